// What clients cost: requests, statements, rows; and the SQL of the last requests.

const KEEP = 500;
const META = Buffer.from('"meta":{');

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

  // A string inside JSON has its quotes escaped, so this text occurs nowhere but before a statement's meta.
  rows(answer) {
    for (let at = answer.indexOf(META); at >= 0; at = answer.indexOf(META, at + 1)) {
      const start = at + META.length - 1;
      const meta = JSON.parse(answer.subarray(start, answer.indexOf("}", start) + 1));
      this.totals.rows_read += meta.rows_read ?? 0;
      this.totals.rows_written += meta.rows_written ?? 0;
    }
  }

  snapshot() {
    return { ...this.totals, paths: { ...this.paths } };
  }
}
