// Cloudflare's D1 paths on loopback over the real engine. Prints one line of JSON when it is ready; ends with its stdin.
import { mkdirSync, rmSync } from "node:fs";
import http from "node:http";
import { parseArgs } from "node:util";
import { Api } from "./api.mjs";
import { Engine } from "./engine.mjs";
import { Pool } from "./pool.mjs";

const { values: options } = parseArgs({
  options: {
    port: { type: "string", default: "0" },
    directory: { type: "string" },
    temporary: { type: "boolean", default: false },
    size: { type: "string", default: "64" },
    account: { type: "string" },
    token: { type: "string" },
    "read-token": { type: "string" },
    "expired-token": { type: "string" },
  },
});

// What the engine leaves in its temporary folder goes with it.
process.env.TMPDIR = `${options.directory}/tmp`;
rmSync(process.env.TMPDIR, { recursive: true, force: true });
mkdirSync(process.env.TMPDIR, { recursive: true });

const size = Number(options.size);
const engine = new Engine(options.directory, size);
await engine.start();
const pool = new Pool(options.directory, size);
const first = pool.named("omnichat") ?? pool.take("omnichat");
const tokens = new Map([[options.token, "edit"], [options["read-token"], "read"], [options["expired-token"], "expired"]]);
const api = new Api({ engine, pool, tokens, account: options.account });
const server = http.createServer({ keepAliveTimeout: 600_000, requestTimeout: 0 }, api.handle);

let stopping = false;
async function stop() {
  if (stopping) return;
  stopping = true;
  server.close();
  server.closeAllConnections();
  await engine.stop();
  rmSync(options.temporary ? options.directory : process.env.TMPDIR, { recursive: true, force: true });
  process.exit(0);
}
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, stop);
// The parent's death closes this pipe, whatever it died of.
process.stdin.on("end", stop).on("error", stop).resume();
server.on("error", (error) => {
  console.error(`The stand-in cannot listen on port ${options.port}: ${error.message}`);
  engine.stop().finally(() => process.exit(1));
});
server.listen(Number(options.port), "127.0.0.1", () => {
  const { port } = server.address();
  api.base = `http://127.0.0.1:${port}`;
  console.log(JSON.stringify({ port, database: first.uuid, pid: process.pid }));
});
