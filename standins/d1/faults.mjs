// Faults on demand: by the header `x-standin-fault: NAME; ms=5` or by rules set on the control path.
import { badRequest, passing, Refusal, unauthenticated } from "./answers.mjs";
import { rateLimited } from "./rate_limit.mjs";

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const busy = (message) => new Refusal(429, 7429, message);

// Thrown instead of an answer: the connection is cut, or nothing is said until the client gives up.
export class Cut extends Error {}
export class Hang extends Error {}

const internal = () => passing("An internal error occurred");

const BEFORE = {
  latency: async ({ ms = 100 }) => { await sleep(ms); },
  rate_limit: ({ retry_after = 300 }) => { throw rateLimited(retry_after); },
  error_before: () => { throw internal(); },
  cut_before: () => { throw new Cut(); },
  hang_before: () => { throw new Hang(); },
  expired_token: () => { throw unauthenticated(); },
  overload: () => { throw busy("D1 DB is overloaded. Requests queued for too long."); },
  network_lost_before: () => { throw passing("Network connection lost."); },
  storage_reset: () => { throw passing("D1 DB storage operation exceeded timeout which caused object to be reset."); },
  transient: () => { throw passing("Cannot resolve D1 DB due to transient issue on remote node."); },
  exporting: () => { throw passing("Currently processing a long-running export."); },
};
const AFTER = {
  error_after: () => { throw internal(); },
  cut_after: () => { throw new Cut(); },
  hang_after: () => { throw new Hang(); },
  network_lost_after: () => { throw passing("Network connection lost."); },
};
const MIDWAY = "cut_midway";
const NAMES = [...Object.keys(BEFORE), ...Object.keys(AFTER), MIDWAY];

export class Faults {
  rules = [];

  /** Add {name, count?, probability?, skip?, match?, ...options}; `match` is a part of the SQL or of the path. */
  add(rule) {
    this.rules.push({ ...rule, name: known(rule.name) });
  }

  clear() {
    this.rules = [];
  }

  /** The faults that befall this request: rules count down as they strike. */
  choose(request, path, body) {
    const sql = this.rules.length ? body.toString() : "";
    const struck = this.rules.filter((rule) => this.#strikes(rule, path, sql));
    this.rules = this.rules.filter((rule) => rule.count !== 0);
    return [...fromHeader(request.headers["x-standin-fault"]), ...struck];
  }

  #strikes(rule, path, sql) {
    if (rule.match && !sql.includes(rule.match) && !path.includes(rule.match)) return false;
    if (rule.skip > 0) return (rule.skip -= 1), false;
    if (rule.probability !== undefined && Math.random() >= rule.probability) return false;
    if (rule.count !== undefined) rule.count -= 1;
    return true;
  }
}

function known(name) {
  if (NAMES.includes(name)) return name;
  throw badRequest(`No fault ${name}. There are: ${NAMES.join(", ")}`);
}

function fromHeader(header) {
  if (!header) return [];
  return header.split(",").map((part) => {
    const [name, ...options] = part.split(";").map((piece) => piece.trim());
    const pairs = options.map((option) => option.split("="));
    return { name: known(name), ...Object.fromEntries(pairs.map(([key, value]) => [key, Number(value)])) };
  });
}

export async function before(faults) {
  for (const fault of faults) await BEFORE[fault.name]?.(fault);
}

export async function after(faults) {
  for (const fault of faults) await AFTER[fault.name]?.(fault);
}

export const isCutMidway = (faults) => faults.some(({ name }) => name === MIDWAY);
