// What clients cost: requests, statements, rows; and the SQL of the last requests.

const KEEP = 500;
const META = Buffer.from('"meta":{');
const REGION = Buffer.from('"served_by_region":"WEUR","served_by_primary":true,');

export class Counts {
  constructor() {
    this.reset();
  }

  reset() {
    this.totals = { requests: 0, statements: 0, batches: 0, writes: 0, rows_read: 0, rows_written: 0, errors: 0, faults: 0 };
    this.paths = {};
    this.log = [];
  }

  request(path) {
    this.totals.requests += 1;
    this.paths[path] = (this.paths[path] ?? 0) + 1;
  }

  statements(queries, path, database, writes) {
    this.totals.statements += queries.length;
    if (queries.length > 1) this.totals.batches += 1;
    if (writes) this.totals.writes += 1;
    this.log.push({ path, database, sql: queries.map((query) => query.sql) });
    if (this.log.length > KEEP) this.log.shift();
  }

  /** Add up the rows of an engine's answer, and give back the answer with the hosted D1's fields of its meta. */
  rows(answer) {
    const pieces = [];
    let from = 0;
    // A string inside JSON has its quotes escaped, so this text occurs nowhere but before a statement's meta.
    for (let at = answer.indexOf(META); at >= 0; at = answer.indexOf(META, at + 1)) {
      const start = at + META.length;
      const meta = JSON.parse(answer.subarray(start - 1, answer.indexOf("}", start) + 1));
      this.totals.rows_read += meta.rows_read;
      this.totals.rows_written += meta.rows_written;
      pieces.push(answer.subarray(from, start), REGION);
      from = start;
    }
    return Buffer.concat([...pieces, answer.subarray(from)]);
  }

  snapshot() {
    return { ...this.totals, paths: { ...this.paths } };
  }
}
