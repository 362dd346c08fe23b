// The real D1: workerd with one D1 service a database, reached through one worker on a direct socket.
import http from "node:http";
import { Miniflare } from "miniflare";
import { databaseIds, stateFile } from "./pool.mjs";

// `__D1_BETA__` names the service that `env.DB` itself calls. env.DB.batch() sends this same request, an array to
// /query, which the engine runs in one transactionSync(); but it then folds rows into objects, and so
// loses columns of one name and the columns of an empty result, which Cloudflare's /raw keeps.
const BINDING = "__D1_BETA__";
const WORKER = `export default {
  fetch(request, env) {
    const [, id, format] = new URL(request.url).pathname.split("/");
    const url = "http://d1/query?resultsFormat=" + format;
    return env["${BINDING}" + id].fetch(url, { method: "POST", body: request.body });
  },
};`;

export class Engine {
  #miniflare;
  #url;
  #agent = new http.Agent({ keepAlive: true });
  #running = 0;
  #closed = null;

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
    return {
      modules: true,
      script: WORKER,
      compatibilityDate: "2026-04-01",
      d1Databases: Object.fromEntries(databaseIds(this.size).map((id) => [BINDING + id, id])),
      d1Persist: `${this.directory}/v3/d1`,
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

  /** Run `queries` as one transaction. Resolves to the engine's own answer: {ok, text} with text a Buffer of JSON. */
  async run(id, queries, format = "ROWS_AND_COLUMNS") {
    while (this.#closed) await this.#closed;
    this.#running += 1;
    try {
      return await this.#post(`/${id}/${format}`, JSON.stringify(queries));
    } finally {
      this.#running -= 1;
    }
  }

  /** The rows of one statement, as arrays. Throws the engine's message. */
  async rows(id, sql, params = []) {
    const { ok, text } = await this.run(id, [{ sql, params }]);
    const answer = JSON.parse(text);
    if (!ok) throw new Error(answer.error);
    return answer[0].results.rows;
  }

  /** Stop workerd, let `change` touch the files, start it again. Requests wait meanwhile. */
  async whileStopped(change) {
    while (this.#closed) await this.#closed;
    let open;
    this.#closed = new Promise((resolve) => (open = resolve));
    try {
      while (this.#running) await new Promise((resolve) => setTimeout(resolve, 2));
      await this.#miniflare.dispose();
      await change();
      await this.start();
    } finally {
      this.#closed = null;
      open();
    }
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
          if (response.statusCode !== 200) return reject(new Error(`engine: ${text.toString().split("\n")[0]}`));
          resolve({ ok: text[0] === 0x5b, text });
        });
      });
      request.on("error", reject);
      request.end(body);
    });
  }
}
