// Faults on demand: by the header `x-standin-fault: NAME; ms=5` or by rules set on the control path.
import { Refusal, unauthenticated } from "./answers.mjs";

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const busy = (message) => new Refusal(429, 7429, message);
const passing = (message) => new Refusal(500, 7500, message);

// Thrown instead of an answer: the connection is cut, or nothing is said until the client gives up.
export class Cut extends Error {}
export class Hang extends Error {}

const rateLimited = ({ retry_after = 300 }) => {
  const headers = { "retry-after": String(retry_after), "x-ratelimit-remaining": "0" };
  return new Refusal(429, 971, "Please wait and consider throttling your request speed", headers);
};
const internal = () => new Refusal(500, 7500, "An internal error occurred");

const BEFORE = {
  latency: async ({ ms = 100 }) => { await sleep(ms); },
  rate_limit: (rule) => { throw rateLimited(rule); },
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
export const NAMES = [...Object.keys(BEFORE), ...Object.keys(AFTER)];

export class Faults {
  rules = [];

  /** Add {name, count?, probability?, skip?, match?, ...options}; `match` is a part of the SQL or of the path. */
  add(rule) {
    if (!NAMES.includes(rule.name)) throw new Refusal(400, 7400, `No fault ${rule.name}. There are: ${NAMES.join(", ")}`);
    this.rules.push({ ...rule });
  }

  clear() {
    this.rules = [];
  }

  /** The faults that befall this request: rules count down as they strike. */
  choose(request, path, sql) {
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

function fromHeader(header) {
  if (!header) return [];
  return header.split(",").map((part) => {
    const [name, ...options] = part.split(";").map((piece) => piece.trim());
    if (!NAMES.includes(name)) throw new Refusal(400, 7400, `No fault ${name}. There are: ${NAMES.join(", ")}`);
    const pairs = options.map((option) => option.split("="));
    return { name, ...Object.fromEntries(pairs.map(([key, value]) => [key, Number(value)])) };
  });
}

export async function before(faults) {
  for (const fault of faults) await BEFORE[fault.name]?.(fault);
}

export async function after(faults) {
  for (const fault of faults) await AFTER[fault.name]?.(fault);
}
