// /__standin__/...: what tests ask of the stand-in itself. No token; loopback only.
import * as answers from "./answers.mjs";
import { empty } from "./databases.mjs";

const ROUTES = {
  "GET ready": () => ({ ready: true }),
  "GET counts": (api) => api.counts.snapshot(),
  "GET log": (api) => api.counts.log,
  "POST reset": (api) => {
    api.counts.reset();
    api.faults.clear();
  },
  "GET faults": (api) => api.faults.rules,
  "POST faults": (api, rule) => api.faults.add(rule),
  "DELETE faults": (api) => api.faults.clear(),
  "POST empty": (api, { database }) => empty(api, database),
  "GET file": (api, _, url) => ({ path: api.engine.stateFile(url.searchParams.get("database")) }),
};

export async function control(api, request, response, url, body) {
  const route = ROUTES[`${request.method} ${url.pathname.slice("/__standin__/".length)}`];
  if (!route) throw answers.noRoute();
  const result = await route(api, body.length ? JSON.parse(body) : {}, url);
  answers.send(response, 200, result ?? {});
}
