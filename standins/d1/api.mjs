// Routes, tokens and the order of things: faults before, the work, faults after, the answer.
import * as answers from "./answers.mjs";
import { control } from "./control.mjs";
import { Counts } from "./counts.mjs";
import { databases } from "./databases.mjs";
import { after, before, Cut, Faults, Hang } from "./faults.mjs";
import * as queries from "./queries.mjs";

const ROUTE = /^\/client\/v4\/accounts\/([^/]+)\/d1\/database(?:\/([^/]+)(\/.*)?)?$/;

export class Api {
  base = "";
  faults = new Faults();
  counts = new Counts();

  constructor({ engine, pool, tokens, account }) {
    Object.assign(this, { engine, pool, tokens, account });
  }

  handle = async (request, response) => {
    const url = new URL(request.url, "http://standin");
    try {
      await this.#route(request, response, url);
    } catch (error) {
      this.#fail(response, error);
    }
  };

  #fail(response, error) {
    if (error instanceof Hang) return;
    if (error instanceof Cut) return response.socket?.destroy();
    this.counts.totals.errors += 1;
    if (error instanceof answers.Refusal) return answers.refuse(response, error);
    console.error(error);
    answers.refuse(response, new answers.Refusal(500, 7500, `The stand-in failed: ${error.message}`));
  }

  async #route(request, response, url) {
    const body = await readBody(request);
    if (url.pathname.startsWith("/__standin__/")) return control(this, request, response, url, body);
    const match = ROUTE.exec(url.pathname);
    if (!match) throw answers.noRoute();
    const [, account, id, path = ""] = match;
    this.counts.request(path || "/");
    const json = parseJson(body);
    const faults = this.faults.choose(request, url.pathname, body.toString());
    this.counts.totals.faults += faults.length;
    await before(faults);
    const token = this.#token(request, account);
    if (id && !this.pool.get(id)) throw answers.noDatabase(id);
    const call = { request, response, url, id, path, json, token, faults };
    if (path === "/query" || path === "/raw") return this.#query(call);
    return databases(this, call);
  }

  #token(request, account) {
    const [, secret] = /^Bearer (.+)$/.exec(request.headers.authorization ?? "") ?? [];
    const token = this.tokens.get(secret);
    if (!token || token === "expired") throw answers.unauthenticated();
    if (account !== this.account) throw answers.forbidden();
    return token;
  }

  async #query({ request, response, id, path, json, token, faults }) {
    if (request.method !== "POST") throw answers.noRoute();
    const statements = queries.parse(json);
    const writing = queries.writes(statements);
    this.counts.statements(statements, path, id, writing);
    if (token === "read" && writing) throw answers.forbidden();
    const format = path === "/raw" ? "ROWS_AND_COLUMNS" : "ARRAY_OF_OBJECTS";
    const answer = await queries.execute(this.engine, id, statements, format);
    this.counts.rows(answer);
    await after(faults);
    answers.sendResult(response, answer);
  }
}

function readBody(request) {
  return new Promise((resolve, reject) => {
    const chunks = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", () => resolve(Buffer.concat(chunks)));
    request.on("error", reject);
  });
}

function parseJson(body) {
  if (!body.length) return {};
  try {
    return JSON.parse(body);
  } catch {
    throw answers.badRequest("The body is not JSON");
  }
}
