// Cloudflare's envelope and error codes.

export class Refusal extends Error {
  constructor(status, code, message, headers = {}) {
    super(message);
    Object.assign(this, { status, code, headers });
  }
}

export const unauthenticated = () => new Refusal(401, 10000, "Authentication error");
export const forbidden = () =>
  new Refusal(403, 7403, "The given account is not valid or is not authorized to access this service");
export const noDatabase = (id) =>
  new Refusal(404, 7404, `The database ${id} could not be found`);
export const noRoute = () => new Refusal(404, 7000, "No route for that URI");
export const badRequest = (message) => new Refusal(400, 7400, message);
export const badSql = (message) => new Refusal(400, 7500, message);

export const envelope = (result) => ({ result, success: true, errors: [], messages: [] });

const HEAD = Buffer.from('{"result":');
const TAIL = Buffer.from(',"success":true,"errors":[],"messages":[]}');

/** Write a body that is JSON already, without parsing it. */
export function sendResult(response, json) {
  const length = HEAD.length + json.length + TAIL.length;
  response.writeHead(200, { "content-type": "application/json", "content-length": length });
  response.write(HEAD);
  response.write(json);
  response.end(TAIL);
}

export function send(response, status, body, headers = {}) {
  const text = Buffer.from(JSON.stringify(body));
  response.writeHead(status, { "content-type": "application/json", "content-length": text.length, ...headers });
  response.end(text);
}

export function refuse(response, { status, code, message, headers }) {
  const errors = [{ code, message }];
  send(response, status, { result: null, success: false, errors, messages: [] }, headers);
}
