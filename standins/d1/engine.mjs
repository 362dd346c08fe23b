// The real D1: workerd with one D1 service a database, reached through one worker on a direct socket.
import { randomUUID } from "node:crypto";
import http from "node:http";
import { createInterface } from "node:readline";
import { Miniflare } from "miniflare";
import { databaseIds, stateFile } from "./pool.mjs";
import { isWrite } from "./statements.mjs";

// /query is env.DB.batch(), which folds rows into objects, and so loses columns of one name and the columns of an empty
// result. /raw keeps them: it is the request that env.DB.batch() itself sends, an array for one transactionSync() of the
// engine, without the folding. `__D1_BETA__` names the service that takes it.
const SERVICE = "__D1_BETA__";
// What the engine throws instead of answering (a foreign key that is still violated at the end) is an error of the SQL too.
const WORKER = `export default {
  async fetch(request, env) {
    const [, id, format] = new URL(request.url).pathname.split("/");
    try {
      if (format === "BATCH") return Response.json(await batch(env[id], await request.json()));
      const url = "http://d1/query?resultsFormat=" + format;
      return await env["${SERVICE}" + id].fetch(url, { method: "POST", body: request.body });
    } catch (error) {
      return Response.json({ success: false, error: error.message.replace(/^D1_ERROR: /, "") });
    }
  },
};
function batch(db, queries) {
  return db.batch(queries.map(({ sql, params }) => db.prepare(sql).bind(...params)));
}`;
const EXPORT = "PRAGMA miniflare_d1_export(?,?,?);";
const GONE = new Set(["EPIPE", "ECONNRESET"]);

export class Engine {
  #miniflare;
  #url;
  // workerd closes a connection that was idle for 5 s; ours has to go first, or a request meets the closing.
  #agent = new http.Agent({ keepAlive: true, timeout: 3000 });
  #running = 0;
  #closed = null;
  #run = randomUUID();
  #writes = new Map();

  constructor(directory, size) {
    this.directory = directory;
    this.size = size;
  }

  async start() {
    this.#miniflare = new Miniflare(this.#options());
    await this.#miniflare.ready;
    this.#url = await this.#miniflare.unsafeGetDirectURL();
  }

  #options() {
    const ids = databaseIds(this.size);
    return {
      modules: true,
      script: WORKER,
      compatibilityDate: "2026-04-01",
      d1Databases: Object.fromEntries(ids.flatMap((id) => [[id, id], [SERVICE + id, id]])),
      d1Persist: `${this.directory}/v3/d1`,
      cf: false, // else it is fetched from the network
      telemetry: { enabled: false },
      handleRuntimeStdio: report,
      unsafeDirectSockets: [{ host: "127.0.0.1", port: 0 }],
    };
  }

  async stop() {
    this.#agent.destroy();
    await this.#miniflare?.dispose();
  }

  stateFile(id) {
    return stateFile(this.directory, id);
  }

  /** Another text after each request that may have written to a database. */
  version(id) {
    return `${this.#run}:${this.#writes.get(id) ?? 0}`;
  }

  changed(id) {
    this.#writes.set(id, (this.#writes.get(id) ?? 0) + 1);
  }

  /** Run `queries` as one transaction. Resolves to the engine's own answer: {ok, text} with text a Buffer of JSON. The format is
   *  ROWS_AND_COLUMNS, or BATCH for what env.DB.batch() gives. */
  async run(id, queries, format = "ROWS_AND_COLUMNS") {
    while (this.#closed) await this.#closed;
    this.#running += 1;
    try {
      return await this.#post(`/${id}/${format}`, JSON.stringify(queries));
    } finally {
      if (queries.some(({ sql }) => isWrite(sql))) this.changed(id);
      this.#running -= 1;
    }
  }

  /** The results of a transaction, parsed. Throws the engine's message. */
  async results(id, queries) {
    const { ok, text } = await this.run(id, queries);
    const answer = JSON.parse(text);
    if (!ok) throw new Error(answer.error);
    return answer;
  }

  /** The rows of one statement, as arrays. */
  async rows(id, sql, params = []) {
    return (await this.results(id, [{ sql, params }]))[0].results.rows;
  }

  /** The lines of D1's own SQL dump, as `wrangler d1 export` writes them. */
  async dump(id, { no_schema = false, no_data = false, tables = [] }) {
    const params = [Number(no_schema), Number(no_data), ...tables];
    const { text } = await this.run(id, [{ sql: EXPORT, params }]);
    return JSON.parse(text).results[0];
  }

  /** Let `work` see the files while no request runs. Requests wait meanwhile. */
  async quiet(work) {
    while (this.#closed) await this.#closed;
    let open;
    this.#closed = new Promise((resolve) => (open = resolve));
    try {
      while (this.#running) await new Promise((resolve) => setTimeout(resolve, 1));
      return await work();
    } finally {
      this.#closed = null;
      open();
    }
  }

  /** The same with the engine stopped, so that `work` may change the files. */
  whileStopped(work) {
    return this.quiet(async () => {
      await this.#miniflare.dispose();
      try {
        return await work();
      } finally {
        await this.start();
      }
    });
  }

  #post(path, body) {
    const { hostname, port } = this.#url;
    return new Promise((resolve, reject) => {
      const options = { host: hostname, port, path, method: "POST", agent: this.#agent };
      const request = http.request(options, (response) => {
        const chunks = [];
        response.on("data", (chunk) => chunks.push(chunk));
        response.on("error", reject);
        response.on("end", () => {
          const text = Buffer.concat(chunks);
          if (response.statusCode !== 200) return reject(new Error(firstLine(text)));
          resolve({ ok: text[0] === 0x5b, text });
        });
      });
      // On a busy machine the engine closes an idle connection before we hear of it: it has then run nothing.
      request.on("error", (error) =>
        request.reusedSocket && GONE.has(error.code) ? this.#post(path, body).then(resolve, reject) : reject(error),
      );
      request.end(body);
    });
  }
}

// What the engine logs, without its remark on every request that looks at its own tables' names.
function report(stdout, stderr) {
  for (const stream of [stdout, stderr]) {
    createInterface(stream).on("line", (line) => line.includes("reserved _cf_ prefix") || console.error(line));
  }
}

const firstLine = (text) => text.toString().split("\n")[0].replace(/^Error: /, "");
