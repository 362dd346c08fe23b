// A stand-in for time travel, which the local engine lacks: copies of the database's file, one a bookmark.
import { createHash } from "node:crypto";
import { constants, copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { badRequest } from "./answers.mjs";

const PARTS = ["", "-wal"];

export class TimeTravel {
  constructor(engine) {
    this.engine = engine;
  }

  /** The bookmark of this moment; the same one as long as nothing is written. */
  now(id) {
    return this.engine.quiet(() => this.#take(id));
  }

  /** The newest bookmark at or before a moment, given as ISO 8601 or in Unix seconds. */
  async at(id, timestamp) {
    const moment = /^\d+$/.test(timestamp) ? Number(timestamp) * 1000 : Date.parse(timestamp);
    if (Number.isNaN(moment)) throw badRequest(`Not a timestamp: ${timestamp}`);
    if (moment >= Date.now()) return this.now(id);
    const found = this.#index(id).findLast((entry) => entry.at <= moment);
    if (!found) throw badRequest(`There is no bookmark at or before ${timestamp}`);
    return found.bookmark;
  }

  /** Put the database back to a bookmark, in place. Requests of all databases wait for a moment. */
  async restore(id, bookmark) {
    if (!this.#index(id).some((entry) => entry.bookmark === bookmark)) throw badRequest(`No such bookmark: ${bookmark}`);
    let previous;
    await this.engine.whileStopped(() => {
      previous = this.#take(id);
      const target = this.engine.stateFile(id);
      for (const part of [...PARTS, "-shm"]) rmSync(target + part, { force: true });
      copy(`${this.#folder(id)}/${bookmark}`, target);
      this.engine.changed(id);
    });
    return { bookmark, previous_bookmark: previous, message: "Database restored successfully" };
  }

  forget(id) {
    rmSync(this.#folder(id), { recursive: true, force: true });
  }

  #take(id) {
    const index = this.#index(id);
    const file = this.engine.stateFile(id);
    const version = this.engine.version(id);
    if (index.at(-1)?.version === version) return index.at(-1).bookmark;
    const bookmark = name(id, index.length + 1, version);
    mkdirSync(this.#folder(id), { recursive: true });
    copy(file, `${this.#folder(id)}/${bookmark}`);
    index.push({ bookmark, at: Date.now(), version });
    writeFileSync(`${this.#folder(id)}/index.json`, JSON.stringify(index));
    return bookmark;
  }

  #index(id) {
    const path = `${this.#folder(id)}/index.json`;
    return existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : [];
  }

  #folder(id) {
    return `${this.engine.directory}/time_travel/${id}`;
  }
}

// In WAL mode the file and its log together are the database, as long as nobody writes.
function copy(from, to) {
  for (const part of PARTS) {
    if (existsSync(from + part)) copyFileSync(from + part, to + part, constants.COPYFILE_FICLONE);
  }
}

function name(id, number, version) {
  const hash = createHash("md5").update(`${id} ${number} ${version}`).digest("hex");
  return `${number.toString(16).padStart(8, "0")}-ffffffff-00004c60-${hash}`;
}
