// Cloudflare's envelope and error codes, and how an answer is written to a connection.
import { createReadStream, statSync } from "node:fs";

export class Refusal extends Error {
  constructor(status, code, message, headers = {}) {
    super(message);
    Object.assign(this, { status, code, headers });
  }
}

export const unauthenticated = () => new Refusal(401, 10000, "Authentication error");
export const forbidden = () =>
  new Refusal(403, 7403, "The given account is not valid or is not authorized to access this service");
export const noDatabase = (id) => new Refusal(404, 7404, `The database ${id} could not be found`);
export const noRoute = () => new Refusal(404, 7000, "No route for that URI");
export const badRequest = (message) => new Refusal(400, 7400, message);
export const badSql = (message) => new Refusal(400, 7500, message);
/** What passes by itself: the client may try again later. */
export const passing = (message) => new Refusal(500, 7500, message);

const HEAD = Buffer.from('{"result":');
const TAIL = Buffer.from(',"success":true,"errors":[],"messages":[]}');

/** An answer whose result is JSON already: it is not parsed again. */
export const wrapped = (json) => ({ status: 200, body: Buffer.concat([HEAD, json, TAIL]) });

export const result = (value, status = 200) => ({ ...wrapped(Buffer.from(JSON.stringify(value ?? null))), status });

/** An answer without Cloudflare's envelope. */
export const plain = (value, headers = {}) => ({ status: 200, body: Buffer.from(JSON.stringify(value ?? {})), headers });

export const file = (path) => ({ status: 200, path, size: statSync(path).size, type: "application/sql" });

export function refused({ status, code, message, headers }) {
  const body = { result: null, success: false, errors: [{ code, message }], messages: [] };
  return { status, headers, body: Buffer.from(JSON.stringify(body)) };
}

/** Write an answer; with `midway` only half of its body, after which the connection is cut. */
export function write(response, { status, body, path, size, type = "application/json", headers = {} }, midway) {
  const length = body?.length ?? size;
  const until = midway ? length >> 1 : length;
  response.writeHead(status, { "content-type": type, "content-length": length, ...headers });
  const cut = () => midway && setImmediate(() => response.socket?.destroy());
  if (body && !midway) response.end(body);
  else if (body) response.write(body.subarray(0, until), cut);
  else createReadStream(path, { end: Math.max(until - 1, 0) }).on("end", cut).pipe(response, { end: !midway });
}
