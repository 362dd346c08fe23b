// POST /query and /raw: from Cloudflare's body to one transaction of the engine.
import { badRequest, badSql } from "./answers.mjs";
import { isWrite, split } from "./statements.mjs";

// The local engine lets 2,200,000 bytes pass; the documented limit of a string or BLOB is this.
const VALUE_BYTES = 2_000_000;
const NO_STATEMENT = "No SQL statements detected.";
const NO_TRANSACTION =
  "To execute a transaction, please use the batch API instead of the SQL BEGIN TRANSACTION or SAVEPOINT statements.";

/** The statements of a body, each {sql, params}; a text with several statements becomes a batch of them. */
export function parse(body) {
  const elements = Array.isArray(body.batch) ? body.batch : [body];
  const queries = elements.flatMap(parseElement);
  if (!queries.length) throw badSql(NO_STATEMENT);
  return queries;
}

function parseElement(element) {
  if (typeof element?.sql !== "string") throw badRequest("Expected sql to be a string");
  const params = parseParams(element.params ?? []);
  const texts = split(element.sql);
  if (texts.length > 1 && params.length) {
    throw badSql("Parameters cannot be bound to a text of several statements: send a batch");
  }
  return texts.map((sql) => ({ sql, params }));
}

function parseParams(params) {
  if (!Array.isArray(params)) throw badRequest("Expected params to be an array");
  return params.map(parseParam);
}

function parseParam(param) {
  if (param === null || typeof param === "number") return param;
  if (typeof param === "boolean") return Number(param);
  const bytes = Array.isArray(param) && param.every((byte) => typeof byte === "number");
  if (!bytes && typeof param !== "string") {
    throw badRequest(`Parameter of a type that D1 does not bind: ${JSON.stringify(param).slice(0, 80)}`);
  }
  const size = bytes ? param.length : Buffer.byteLength(param);
  if (size > VALUE_BYTES) throw badSql("string or blob too big: SQLITE_TOOBIG");
  return param;
}

export const writes = (queries) => queries.some(({ sql }) => isWrite(sql));

/** Run statements as one transaction: the engine's JSON, an array with one element a statement. Throws the refusal. */
export async function execute(engine, database, queries, format) {
  const { ok, text } = await engine.run(database, queries, format);
  if (ok) return text;
  const { error } = JSON.parse(text);
  // The engine points to its storage API here, which a client of the REST API does not have.
  throw badSql(/state\.storage\.transaction/.test(error) ? NO_TRANSACTION : error);
}
