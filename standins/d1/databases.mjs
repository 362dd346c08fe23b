// All calls but queries: databases as such, export, import, time travel.
import { statSync } from "node:fs";
import * as answers from "./answers.mjs";

const OURS = "name NOT LIKE '\\_cf\\_%' ESCAPE '\\' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'";
const TABLES = `SELECT count(*) FROM sqlite_master WHERE type = 'table' AND ${OURS}`;
// Virtual tables first: dropping them drops their shadow tables.
const OBJECTS = `SELECT type, name FROM sqlite_master WHERE sql IS NOT NULL AND type IN ('table', 'view') AND ${OURS}
  ORDER BY type = 'table', sql LIKE 'CREATE VIRTUAL%' DESC`;

const ROUTES = {
  "GET ": async (api, { url }) => answers.result(list(api, url)),
  "POST ": async (api, { json }) => answers.result(await create(api, json.name)),
  "GET /ID": async (api, { id }) => answers.result(await describe(api, id)),
  "DELETE /ID": async (api, { id }) => answers.result(await drop(api, id)),
  "POST /ID/export": async (api, { id, json }) => transfer(await api.transfers.export(id, json)),
  "POST /ID/import": async (api, { id, json }) => transfer(await api.transfers.import(id, json)),
  "GET /ID/time_travel/bookmark": async (api, call) => answers.result({ bookmark: await bookmark(api, call) }),
  "POST /ID/time_travel/restore": async (api, call) => answers.result(await restore(api, call)),
};

export async function databases(api, call) {
  const route = ROUTES[`${call.method} ${call.id ? "/ID" : ""}${call.path}`];
  if (!route) throw answers.noRoute();
  if (call.token === "read" && call.method !== "GET" && call.path !== "/export") throw answers.forbidden();
  return route(api, call);
}

const transfer = (job) => answers.result(job, job.status === "active" ? 202 : 200);

async function bookmark(api, { id, url }) {
  const timestamp = url.searchParams.get("timestamp");
  return timestamp ? api.timeTravel.at(id, timestamp) : api.timeTravel.now(id);
}

async function restore(api, { id, url }) {
  const { searchParams } = url;
  const wanted = searchParams.get("bookmark") ?? searchParams.get("timestamp");
  if (!wanted) throw answers.badRequest("Expected a bookmark or a timestamp");
  api.transfers.admit(id);
  return api.timeTravel.restore(id, searchParams.get("bookmark") ?? (await api.timeTravel.at(id, wanted)));
}

async function describe(api, id) {
  const [[num_tables]] = await api.engine.rows(id, TABLES);
  const file_size = statSync(api.engine.stateFile(id), { throwIfNoEntry: false })?.size ?? 0;
  return { ...api.pool.get(id), num_tables, file_size, running_in_region: "WEUR" };
}

function list(api, url) {
  const name = url.searchParams.get("name");
  return [...api.pool.databases.values()].filter((database) => !name || database.name === name);
}

async function create(api, name) {
  if (typeof name !== "string" || !name) throw answers.badRequest("Expected name to be a string");
  if (api.pool.named(name)) throw new answers.Refusal(400, 7502, `A database with the name ${name} exists already`);
  const taken = api.pool.take(name);
  if (!taken) throw new answers.Refusal(400, 7406, "All databases of the stand-in are taken: start it with a larger size");
  return describe(api, taken.uuid);
}

async function drop(api, id) {
  await empty(api, id);
  api.timeTravel.forget(id);
  api.pool.release(id);
}

/** Drop all tables and views, in one transaction. */
export async function empty(api, id) {
  const objects = await api.engine.rows(id, OBJECTS);
  if (!objects.length) return;
  const drops = objects.map(([type, name]) => `DROP ${type} IF EXISTS "${name.replaceAll('"', '""')}"`);
  await api.engine.results(id, ["PRAGMA defer_foreign_keys = ON", ...drops].map((sql) => ({ sql })));
}
