// What D1 does with the text of a request before SQLite sees it: split it, and tell reads from writes.

const TOKEN = /'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]|--[^\n]*|\/\*[\s\S]*?(?:\*\/|$)|[A-Za-z_]\w*|;|[^\sA-Za-z_]|\s+/g;
const COMMENT = /^(--|\/\*)/;
const WRITING = new Set(["INSERT", "UPDATE", "DELETE", "INTO"]); // REPLACE alone may be the function
const READING = new Set(["SELECT", "VALUES", "EXPLAIN"]);
const READ_PRAGMAS = new Set([
  "TABLE_INFO", "TABLE_XINFO", "TABLE_LIST", "INDEX_LIST", "INDEX_INFO", "INDEX_XINFO",
  "FOREIGN_KEY_LIST", "FOREIGN_KEY_CHECK", "QUICK_CHECK", "DEFER_FOREIGN_KEYS",
]);

/** The words of one statement in upper case, without literals and comments. At most `limit` of them. */
function words(sql, limit = Infinity) {
  const found = [];
  for (const [token] of sql.matchAll(TOKEN)) {
    if (/^[A-Za-z_]/.test(token)) found.push(token.toUpperCase());
    if (found.length >= limit) break;
  }
  return found;
}

const START = { trigger: false, depth: 0, seen: [] };

/** Split a text at its semicolons, keeping the body of CREATE TRIGGER ... END whole. Comments alone are no statement. */
export function split(sql) {
  if (!sql.slice(0, sql.trimEnd().length - 1).includes(";")) return [sql].filter(hasStatement);
  const statements = [];
  let begin = 0;
  let state = START;
  for (const { 0: token, index } of sql.matchAll(TOKEN)) {
    if (/^[A-Za-z_]/.test(token)) state = follow(state, token.toUpperCase());
    if (token !== ";" || (state.trigger && state.depth > 0)) continue;
    statements.push(sql.slice(begin, index + 1));
    begin = index + 1;
    state = START;
  }
  statements.push(sql.slice(begin));
  return statements.filter(hasStatement);
}

function follow({ trigger, depth, seen }, word) {
  if (seen.length < 4) seen = [...seen, word];  // CREATE TEMP TRIGGER: the word comes among the first
  trigger ||= seen[0] === "CREATE" && seen.includes("TRIGGER");
  if (trigger && (word === "BEGIN" || word === "CASE")) depth += 1;
  if (trigger && word === "END") depth -= 1;
  return { trigger, depth, seen };
}

/** True when there is more than comments, blanks and a semicolon. */
function hasStatement(sql) {
  for (const [token] of sql.matchAll(TOKEN)) {
    if (token.trim() && token !== ";" && !COMMENT.test(token)) return true;
  }
  return false;
}

/** True when a token that may only read has to be refused this statement. */
export function isWrite(sql) {
  const [first, second] = words(sql, 2);
  if (first === "PRAGMA") return !READ_PRAGMAS.has(second);
  if (first === "WITH") return words(sql).some((word) => WRITING.has(word));
  return !READING.has(first);
}
