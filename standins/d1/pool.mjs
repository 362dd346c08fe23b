// The fixed databases that the engine opens, and the names that clients give to them.
import { createHash, createHmac } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";

/** The ids of the first `size` databases: the same in every run, so that a kept directory is found again. */
export function databaseIds(size) {
  return Array.from({ length: size }, (_, slot) => databaseId(slot));
}

function databaseId(slot) {
  const hex = createHash("sha256").update(`d1-stand-in ${slot}`).digest("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

/** Where the engine (and wrangler with --persist-to `directory`) keeps a database: an ordinary SQLite file. */
export function stateFile(directory, id) {
  const key = createHash("sha256").update("miniflare-D1DatabaseObject").digest();
  const hmac = (data) => createHmac("sha256", key).update(data).digest().subarray(0, 16);
  const name = hmac(id);
  const file = Buffer.concat([name, hmac(name)]).toString("hex");
  return `${directory}/v3/d1/miniflare-D1DatabaseObject/${file}.sqlite`;
}

/** Names of databases in use: id -> {uuid, name, created_at}. Kept in the directory. */
export class Pool {
  constructor(directory, size) {
    this.path = `${directory}/databases.json`;
    this.size = size;
    this.databases = new Map(existsSync(this.path) ? JSON.parse(readFileSync(this.path, "utf8")) : []);
  }

  get(id) {
    return this.databases.get(id);
  }

  named(name) {
    return [...this.databases.values()].find((database) => database.name === name);
  }

  /** The next free database under `name`, or null when all are taken. */
  take(name) {
    const uuid = databaseIds(this.size).find((id) => !this.databases.has(id));
    if (!uuid) return null;
    const database = { uuid, name, created_at: new Date().toISOString(), version: "production" };
    this.databases.set(uuid, database);
    this.#save();
    return database;
  }

  release(id) {
    this.databases.delete(id);
    this.#save();
  }

  #save() {
    writeFileSync(this.path, JSON.stringify([...this.databases]));
  }
}
