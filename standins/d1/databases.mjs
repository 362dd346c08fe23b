// Databases as such: list, create, look at, drop.
import { statSync } from "node:fs";
import * as answers from "./answers.mjs";

export async function databases(api, call) {
  const { request, id, path } = call;
  const route = `${request.method} ${id ? "/ID" : ""}${path}`;
  const answer = ROUTES[route];
  if (!answer) throw answers.noRoute();
  if (call.token === "read" && request.method !== "GET") throw answers.forbidden();
  answers.send(call.response, 200, answers.envelope(await answer(api, call)));
}

const ROUTES = {
  "GET ": (api, { url }) => list(api, url),
  "POST ": (api, { json }) => create(api, json.name),
  "GET /ID": (api, { id }) => describe(api, id),
  "DELETE /ID": (api, { id }) => drop(api, id),
};

async function describe(api, id) {
  const tables = await api.engine.rows(id, "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_cf%' ESCAPE '\\' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'");
  const file_size = statSync(api.engine.stateFile(id), { throwIfNoEntry: false })?.size ?? 0;
  return { ...api.pool.get(id), num_tables: tables[0][0], file_size, running_in_region: "WEUR" };
}

function list(api, url) {
  const name = url.searchParams.get("name");
  return [...api.pool.databases.values()].filter((database) => !name || database.name === name);
}

async function create(api, name) {
  if (typeof name !== "string" || !name) throw answers.badRequest("Expected name to be a string");
  if (api.pool.named(name)) throw new answers.Refusal(400, 7502, `A database with the name ${name} exists already`);
  const taken = api.pool.take(name);
  if (!taken) throw new answers.Refusal(400, 7406, "All databases of the stand-in are taken: start it with a larger --size");
  await empty(api, taken.uuid);
  return describe(api, taken.uuid);
}

async function drop(api, id) {
  await empty(api, id);
  api.pool.release(id);
  return null;
}

const OBJECTS = `SELECT type, name FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE '\\_cf%' ESCAPE '\\'
  AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND type IN ('table', 'view')
  ORDER BY type = 'table', sql LIKE 'CREATE VIRTUAL%' DESC`;

/** Drop all tables and views, in one transaction. */
export async function empty(api, id) {
  const objects = await api.engine.rows(id, OBJECTS);
  if (!objects.length) return;
  const drops = objects.map(([type, name]) => ({ sql: `DROP ${type} IF EXISTS "${name.replaceAll('"', '""')}"`, params: [] }));
  const queries = [{ sql: "PRAGMA defer_foreign_keys = ON", params: [] }, ...drops];
  const { ok, text } = await api.engine.run(id, queries);
  if (!ok) throw new answers.Refusal(500, 7500, JSON.parse(text).error);
}
