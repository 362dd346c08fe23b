// Cloudflare's limit over all tokens: so many requests in a window, then 429 for a while. Off until it is set.
import { Refusal } from "./answers.mjs";

const MESSAGE = "Please wait and consider throttling your request speed";

export const rateLimited = (seconds) =>
  new Refusal(429, 971, MESSAGE, { "retry-after": String(Math.ceil(seconds)), "x-ratelimit-remaining": "0" });

export class RateLimit {
  #rule = null;
  #times = [];
  #bannedUntil = 0;

  /** {limit = 1200, window = 300, ban = 300} in seconds; `used` counts as spent already. Null turns it off. */
  set(rule) {
    this.#rule = rule && { limit: 1200, window: 300, ban: 300, ...rule };
    this.#times = Array.from({ length: rule?.used ?? 0 }, () => Date.now());
    this.#bannedUntil = 0;
  }

  /** Count a request and return the headers that its answer carries. Throws the 429. */
  take() {
    if (!this.#rule) return {};
    const { limit, window, ban } = this.#rule;
    const now = Date.now();
    if (now < this.#bannedUntil) throw rateLimited((this.#bannedUntil - now) / 1000);
    this.#times = this.#times.filter((time) => time > now - window * 1000);
    this.#times.push(now);
    if (this.#times.length > limit) {
      this.#bannedUntil = now + ban * 1000;
      throw rateLimited(ban);
    }
    const remaining = limit - this.#times.length;
    return {
      "x-ratelimit-remaining": String(remaining),
      "x-ratelimit-limit": String(limit),
      ratelimit: `"default";r=${remaining};t=${window}`,
      "ratelimit-policy": `"default";q=${limit};w=${window}`,
    };
  }
}
