// Export and import: jobs that are polled and that block their database while they run.
import { createHash, randomUUID } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { badRequest, badSql, file, passing, plain, Refusal } from "./answers.mjs";
import { split } from "./statements.mjs";

const HOUR_MS = 3_600_000;
const POLL_MS = 1000;
const VIRTUAL = "SELECT 1 FROM sqlite_master WHERE sql LIKE 'CREATE VIRTUAL TABLE%'";
const NO_VIRTUAL = "D1 Export error: cannot export databases with Virtual Tables (fts5)";
const DEFER = /^\s*PRAGMA\s+defer_foreign_keys/i;

export class Transfers {
  #exports = new Map();
  #imports = new Map();
  #uploads = new Map();
  #signed = new Map();

  constructor(api) {
    this.api = api;
    this.folder = `${api.engine.directory}/transfers`;
    mkdirSync(this.folder, { recursive: true });
  }

  /** Throws while a job holds the database. */
  admit(id) {
    if (this.#export(id)) throw passing("Currently processing a long-running export.");
    if (this.#imports.get(id)?.status === "active") throw passing("Currently processing a long-running import.");
  }

  // An export that nobody polls is cancelled.
  #export(id) {
    const job = this.#exports.get(id);
    if (job && Date.now() - job.polled > this.api.settings.export_idle_seconds * 1000) this.#exports.delete(id);
    return this.#exports.get(id);
  }

  async export(id, { output_format, current_bookmark, dump_options = {} }) {
    if (output_format !== "polling") throw badRequest("Expected output_format to be polling");
    const job = this.#export(id);
    if (!current_bookmark) {
      if (job) throw passing("Currently processing a long-running export.");
      return this.#startExport(id, dump_options);
    }
    if (job?.bookmark !== current_bookmark) {
      return { type: "export", success: false, status: "error", error: "Not currently exporting anything.", messages: [] };
    }
    return this.#pollExport(id, job);
  }

  async #startExport(id, options) {
    this.admit(id);
    if ((await this.api.engine.rows(id, VIRTUAL)).length) throw badSql(NO_VIRTUAL);
    const bookmark = await this.api.timeTravel.now(id);
    const job = { bookmark, polled: Date.now(), status: "active", left: this.api.settings.export_polls };
    this.#exports.set(id, job);
    job.work = this.#dump(id, options, job);
    return this.#pollExport(id, job);
  }

  async #dump(id, options, job) {
    try {
      const lines = await this.api.engine.dump(id, options);
      job.filename = `${id}-${job.bookmark}.sql`;
      writeFileSync(`${this.folder}/${job.filename}`, `${lines.join("\n")}\n`);
      job.status = "complete";
    } catch (error) {
      Object.assign(job, { status: "error", error: error.message });
    }
  }

  async #pollExport(id, job) {
    const answer = { type: "export", at_bookmark: job.bookmark, messages: [] };
    if (await isActive(job)) return { ...answer, success: true, status: "active" };
    this.#exports.delete(id);
    const { status, error, filename } = job;
    if (error) return { ...answer, success: false, status, error };
    const signed_url = this.#sign(filename, {});
    return { ...answer, success: true, status, result: { filename, signed_url } };
  }

  #sign(filename, options) {
    const signature = randomUUID();
    this.#signed.set(signature, { path: `${this.folder}/${filename}`, until: Date.now() + HOUR_MS, ...options });
    return `${this.api.base}/__files__/${filename}?signature=${signature}`;
  }

  /** What a signed URL or an upload URL answers. */
  file(request, url, body) {
    const signature = url.searchParams.get("signature");
    const signed = this.#signed.get(signature);
    if (!signed || signed.until < Date.now()) throw new Refusal(403, 7403, "This link is unknown or has expired");
    if (request.method === "GET" && !signed.upload) return file(signed.path);
    if (request.method !== "PUT" || !signed.upload) throw new Refusal(405, 7405, "Not for this method");
    writeFileSync(signed.path, body);
    const etag = createHash("md5").update(body).digest("hex");
    this.#uploads.set(signed.upload, etag);
    return plain({}, { etag: `"${etag}"` });
  }

  async import(id, { action, etag, filename, current_bookmark }) {
    if (action === "init") return this.#initImport(id, etag);
    if (action === "ingest") return this.#ingest(id, etag, filename);
    if (action === "poll") return this.#pollImport(id, current_bookmark);
    throw badRequest("Expected action to be init, ingest or poll");
  }

  #initImport(id, etag) {
    if (!/^[0-9a-f]{32}$/.test(etag ?? "")) throw badRequest("Expected etag to be the MD5 of the file");
    const filename = `${id}.${etag}.sql`;
    if (this.#uploads.get(filename) === etag) return this.#ingest(id, etag, filename);
    return { type: "import", success: true, filename, upload_url: this.#sign(filename, { upload: filename }) };
  }

  async #ingest(id, etag, filename) {
    if (this.#uploads.get(filename) !== etag) throw badRequest("The uploaded file does not match the etag");
    this.admit(id);
    const bookmark = await this.api.timeTravel.now(id);
    const job = { bookmark, status: "active", left: this.api.settings.import_polls };
    this.#imports.set(id, job);
    job.work = this.#load(id, `${this.folder}/${filename}`, job);
    return this.#pollImport(id, bookmark);
  }

  // Groups of statements, each a transaction of its own: an import is none, as the hosted one.
  async #load(id, path, job) {
    const meta = { duration: 0, rows_read: 0, rows_written: 0, changes: 0, size_after: 0 };
    const statements = split(readFileSync(path, "utf8"));
    const size = this.api.settings.import_group;
    try {
      for (let at = 0; at < statements.length; at += size) {
        const group = statements.slice(at, at + size);
        if (at && DEFER.test(statements[0])) group.unshift(statements[0]);
        add(meta, await this.api.engine.results(id, group.map((sql) => ({ sql }))));
      }
      const final_bookmark = await this.api.timeTravel.now(id);
      Object.assign(job, { status: "complete", result: { num_queries: statements.length, final_bookmark, meta } });
    } catch (error) {
      Object.assign(job, { status: "error", error: error.message });
    }
    rmSync(path, { force: true });
    this.#uploads.delete(path.split("/").at(-1));
  }

  async #pollImport(id, bookmark) {
    const job = this.#imports.get(id);
    const answer = { type: "import", at_bookmark: bookmark, messages: [] };
    if (job?.bookmark !== bookmark) return { ...answer, success: false, status: "error", error: "Not currently importing anything." };
    if (await isActive(job)) return { ...answer, success: true, status: "active" };
    this.#imports.delete(id);
    const { status, result, error } = job;
    return { ...answer, success: !error, status, ...(error ? { error } : { result }) };
  }
}

// A poll is answered when the job has ended, or after a second: so nobody has to wait between polls, as on the hosted D1.
async function isActive(job) {
  job.polled = Date.now();
  if (job.left-- > 0) return true;
  await Promise.race([job.work, new Promise((resolve) => setTimeout(resolve, POLL_MS).unref())]);
  job.polled = Date.now();
  return job.status === "active";
}

function add(meta, results) {
  for (const one of results) {
    for (const key of ["duration", "rows_read", "rows_written", "changes"]) meta[key] += one.meta[key];
    meta.size_after = one.meta.size_after;
  }
}
