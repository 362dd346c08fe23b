// Routes, tokens and the order of things: faults before, the work, faults after, the answer.
import * as answers from "./answers.mjs";
import { control, SETTINGS } from "./control.mjs";
import { Counts } from "./counts.mjs";
import { databases } from "./databases.mjs";
import { after, before, Cut, Faults, Hang, isCutMidway } from "./faults.mjs";
import * as queries from "./queries.mjs";
import { RateLimit } from "./rate_limit.mjs";
import { TimeTravel } from "./time_travel.mjs";
import { Transfers } from "./transfers.mjs";

const ROUTE = /^\/client\/v4\/accounts\/([^/]+)\/d1\/database(?:\/([^/]+)(\/.*)?)?$/;

export class Api {
  base = "";
  settings = { ...SETTINGS };
  faults = new Faults();
  counts = new Counts();
  rateLimit = new RateLimit();

  constructor({ engine, pool, tokens, account }) {
    Object.assign(this, { engine, pool, tokens, account });
    this.timeTravel = new TimeTravel(engine);
    this.transfers = new Transfers(this);
  }

  handle = async (request, response) => {
    try {
      const { answer, midway } = await this.#answer(request);
      answers.write(response, answer, midway);
    } catch (error) {
      if (error instanceof Cut) response.socket?.destroy();
      else if (!(error instanceof Hang)) answers.write(response, this.#refused(error));
    }
  };

  #refused(error) {
    this.counts.totals.errors += 1;
    if (error instanceof answers.Refusal) return answers.refused(error);
    console.error(error);
    return answers.refused(answers.passing(`The stand-in failed: ${error.message}`));
  }

  async #answer(request) {
    const url = new URL(request.url, "http://standin");
    const body = await readBody(request);
    if (url.pathname.startsWith("/__standin__/")) return { answer: await control(this, request, url, body) };
    const [, account, id, path = ""] = ROUTE.exec(url.pathname) ?? [];
    this.counts.request(id ? path || "/ID" : url.pathname.split("/", 2).join("/"));
    const faults = this.faults.choose(request, url.pathname, body);
    this.counts.totals.faults += faults.length;
    await before(faults);
    const answer = await this.#settled(() => this.#work({ request, url, body, account, id, path }));
    // A lost answer is lost whether the work succeeded or not.
    await after(faults);
    return { answer, midway: isCutMidway(faults) };
  }

  async #settled(work) {
    try {
      return await work();
    } catch (error) {
      return this.#refused(error);
    }
  }

  async #work(call) {
    if (call.url.pathname.startsWith("/__files__/")) return this.transfers.file(call.request, call.url, call.body);
    if (!call.account) throw answers.noRoute();
    const headers = this.rateLimit.take();
    const answer = await this.#settled(() => this.#admitted(call));
    return { ...answer, headers: { ...answer.headers, ...headers } };
  }

  async #admitted({ request, url, body, account, id, path }) {
    const token = this.#token(request, account);
    if (id && !this.pool.get(id)) throw answers.noDatabase(id);
    const call = { method: request.method, url, id, path, token, json: parseJson(body) };
    const isQuery = request.method === "POST" && (path === "/query" || path === "/raw");
    return isQuery ? this.#query(call) : databases(this, call);
  }

  #token(request, account) {
    const [, secret] = /^Bearer (.+)$/.exec(request.headers.authorization ?? "") ?? [];
    const token = this.tokens.get(secret);
    if (!token || token === "expired") throw answers.unauthenticated();
    if (account !== this.account) throw answers.forbidden();
    return token;
  }

  async #query({ id, path, json, token }) {
    const statements = queries.parse(json);
    const writing = queries.writes(statements);
    this.counts.statements(statements, path, id, writing);
    if (token === "read" && writing) throw answers.forbidden();
    this.transfers.admit(id);
    const format = path === "/raw" ? "ROWS_AND_COLUMNS" : "BATCH";
    const results = await queries.execute(this.engine, id, statements, format);
    return answers.wrapped(this.counts.rows(results));
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
    return JSON.parse(body) ?? {};
  } catch {
    throw answers.badRequest("The body is not JSON");
  }
}
