// /__standin__/...: what tests ask of the stand-in itself. No token; loopback only.
import * as answers from "./answers.mjs";
import { empty } from "./databases.mjs";

// How often a job answers `active` before its end; when an unpolled export is cancelled; statements a transaction of an import.
export const SETTINGS = { export_polls: 1, export_idle_seconds: 15, import_polls: 1, import_group: 1000 };

const ROUTES = {
  "GET ready": () => ({ ready: true }),
  "GET counts": (api) => api.counts.snapshot(),
  "GET log": (api) => api.counts.log,
  "POST reset": (api) => {
    api.counts.reset();
    api.faults.clear();
    api.rateLimit.set(null);
    api.settings = { ...SETTINGS };
  },
  "GET faults": (api) => api.faults.rules,
  "POST faults": (api, rule) => api.faults.add(rule),
  "DELETE faults": (api) => api.faults.clear(),
  "POST rate_limit": (api, rule) => api.rateLimit.set(rule),
  "DELETE rate_limit": (api) => api.rateLimit.set(null),
  "POST settings": (api, changes) => Object.assign(api.settings, changes),
  "POST empty": (api, { database }) => empty(api, database),
  "GET file": async (api, _, url) => {
    const database = url.searchParams.get("database");
    await api.engine.rows(database, "SELECT 1"); // the first request makes the file
    return { path: api.engine.stateFile(database) };
  },
};

export async function control(api, request, url, body) {
  const route = ROUTES[`${request.method} ${url.pathname.slice("/__standin__/".length)}`];
  if (!route) throw answers.noRoute();
  return answers.plain(await route(api, body.length ? JSON.parse(body) : {}, url));
}
