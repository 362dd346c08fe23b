// POST /query and /raw: from Cloudflare's body to one transaction of the engine.
import { badRequest, badSql, forbidden, Refusal } from "./answers.mjs";
import { hasStatement, isWrite, split } from "./statements.mjs";

const TRANSACTION = /JavaScript API is safer/;
const PER_STATEMENT_BYTES = 100_000;
const EMPTY = "No SQL statements detected.";

/** The statements of a body, each {sql, params}; a text with several statements becomes a batch of them. */
export function parse(body) {
  const elements = Array.isArray(body?.batch) ? body.batch : [body];
  const queries = elements.flatMap(parseElement);
  if (!queries.length) throw badSql(EMPTY);
  return queries;
}

function parseElement(element) {
  if (typeof element?.sql !== "string") throw badRequest("Expected sql to be a string");
  const params = parseParams(element.params ?? []);
  const texts = split(element.sql);
  if (texts.length > 1 && params.length) {
    throw badSql("Parameters cannot be bound to a text of several statements; send a batch");
  }
  if (texts.some((sql) => Buffer.byteLength(sql) > PER_STATEMENT_BYTES)) {
    throw badSql("statement too long: SQLITE_TOOBIG");
  }
  return texts.filter(hasStatement).map((sql) => ({ sql, params }));
}

function parseParams(params) {
  if (!Array.isArray(params)) throw badRequest("Expected params to be an array");
  return params.map((param) => {
    if (typeof param === "boolean") return Number(param);
    const bytes = Array.isArray(param) && param.every((byte) => typeof byte === "number");
    if (param === null || bytes || ["number", "string"].includes(typeof param)) return param;
    throw badRequest(`Parameter of a type that D1 does not bind: ${JSON.stringify(param).slice(0, 80)}`);
  });
}

export const writes = (queries) => queries.some(({ sql }) => isWrite(sql));

/** Run the statements as one transaction. Resolves to the engine's JSON, an array with one element a statement. */
export async function execute(engine, database, queries, format) {
  const { ok, text } = await engine.run(database, queries, format);
  if (ok) return text;
  throw badSql(refusedText(JSON.parse(text).error));
}

// The hosted D1 has no storage API to point to; its text differs from the engine's here.
function refusedText(message) {
  if (!TRANSACTION.test(message)) return message;
  return "To execute a transaction, please use the batch API instead of the SQL BEGIN TRANSACTION or SAVEPOINT statements.: SQLITE_AUTH";
}

export function authorize(token, queries) {
  if (token === "read" && writes(queries)) throw forbidden();
}

export { Refusal };
