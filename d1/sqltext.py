"""What a statement does, read from its text: whether it writes, which table, which tables it names."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import NamedTuple, TypeVar

_WORD = re.compile(
    r"""(?P<skip>'(?:[^']|'')*'|--[^\n]*|/\*.*?(?:\*/|\Z))
    |"(?P<double>(?:[^"]|"")*)"|`(?P<back>(?:[^`]|``)*)`|\[(?P<bracket>[^\]]*)\]
    |(?P<word>[A-Za-z_]\w*)|(?P<param>%s|%\(\w+\)s)|(?P<mark>[().,;])""",
    re.VERBOSE | re.DOTALL,
)
_READING_PRAGMAS = frozenset(
    (
        "foreign_key_check", "foreign_key_list", "foreign_keys", "index_info", "index_list", "index_xinfo",
        "quick_check", "table_info", "table_list", "table_xinfo",
    )
)  # fmt: skip
_BEFORE_A_TABLE = frozenset((".", "EXISTS", "IN", "INTO", "JOIN", "ON", "TABLE", "UPDATE"))
_CLAUSES = frozenset(("FROM", "GROUP", "JOIN", "LIMIT", "ON", "ORDER", "SELECT", "SET", "USING", "VALUES", "WHERE"))
_WRITING = frozenset(("INSERT", "REPLACE", "UPDATE", "DELETE"))


_Found = TypeVar("_Found")


def for_short_texts(function: Callable[[str], _Found]) -> Callable[[str], _Found]:
    """Remember what was found for statements; long ones are rarely met twice, and would fill the memory."""
    remembered = lru_cache(maxsize=2048)(function)

    @wraps(function)
    def look_up(sql: str) -> _Found:
        return remembered(sql) if len(sql) <= 5000 else function(sql)

    return look_up


class Token(NamedTuple):
    """`text` is upper case for a bare word; `name` is what it would name, in lower case."""

    text: str
    name: str
    depth: int
    start: int
    end: int


@for_short_texts
def tokens(sql: str) -> tuple[Token, ...]:
    """Words, quoted names, parameters and marks of a statement, without literals and comments."""
    found: list[Token] = []
    depth = 0
    for match in _WORD.finditer(sql):
        if match["skip"] is not None and not _names_a_table(match["skip"], found, depth):
            continue
        depth -= match[0] == ")"
        quoted = next((match[kind] for kind in ("double", "back", "bracket") if match[kind] is not None), None)
        if match["skip"] is not None:
            quoted = match["skip"][1:-1].replace("''", "'")
        name = (quoted if quoted is not None else match["word"] or "").lower()
        found.append(Token("" if quoted is not None else match[0].upper(), name, depth, match.start(), match.end()))
        depth += match[0] == "("
    return tuple(found)


def _names_a_table(skipped: str, before: list[Token], depth: int) -> bool:
    """Whether SQLite takes a text in single quotes for a name, as it does where only a table can stand."""
    if not before or not skipped.startswith("'"):
        return False
    last, earlier = before[-1].text, before[-2].text if len(before) > 1 else ""
    if last == "FROM":
        return earlier != "DISTINCT"
    if last == ",":
        clauses = (word.text for word in reversed(before) if word.depth == depth and word.text in _CLAUSES)
        return next(clauses, "") in ("FROM", "JOIN", "ON", "USING")
    return last in _BEFORE_A_TABLE or (last == "(" and earlier in ("FROM", "JOIN"))


@for_short_texts
def verb(sql: str) -> str:
    """The first word; for WITH the first that reads or writes, outside of its parentheses."""
    words = tokens(sql)
    first = words[0].text if words else ""
    if first == "WITH":
        choices = _WRITING | {"SELECT", "VALUES"}
        return next((word.text for word in words if word.depth == 0 and word.text in choices), first)
    return first


@for_short_texts
def is_read(sql: str) -> bool:
    """Whether the statement changes nothing."""
    word = verb(sql)
    if word == "PRAGMA":
        words = tokens(sql)
        # With an argument, this one is set.
        name = words[1].name if len(words) > 1 else ""
        is_set = "=" in sql or (name == "foreign_keys" and any(word.text == "(" for word in words))
        return name in _READING_PRAGMAS and not is_set
    return word in ("SELECT", "VALUES", "EXPLAIN")


@for_short_texts
def returns_rows(sql: str) -> bool:
    """Whether a writing statement has RETURNING."""
    return any(token.text == "RETURNING" and token.depth == 0 for token in tokens(sql))


@for_short_texts
def written_tables(sql: str) -> frozenset[str]:
    """The tables that a writing statement changes or makes, in lower case. Triggers and cascades are not seen."""
    words = [token for token in tokens(sql) if token.depth == 0]
    place = {"INSERT": ("INTO",), "REPLACE": ("INTO",), "DELETE": ("FROM",), "UPDATE": ("UPDATE",)}
    markers = place.get(verb(sql), ("TABLE", "VIEW", "ON", "TO"))
    return frozenset(_name_after(words, number) for number, word in enumerate(words) if word.text in markers) - {""}


def _name_after(words: list[Token], number: int) -> str:
    """The name that follows, past IF NOT EXISTS, OR IGNORE and the schema's name."""
    rest = words[number + 1 :]
    while rest and rest[0].text in {"IF", "NOT", "EXISTS", "OR", "IGNORE", "REPLACE", "ABORT", "FAIL", "ROLLBACK"}:
        rest = rest[1:]
    if len(rest) > 2 and rest[1].text == ".":
        rest = rest[2:]
    return rest[0].name if rest else ""


@for_short_texts
def named(sql: str) -> frozenset[str]:
    """All names of a statement that may be tables: not those after AS, nor after a dot but for a schema's. In lower
    case."""
    words = tokens(sql)
    around = zip((None, None, *words), (None, *words), words, strict=False)
    return frozenset(word.name for schema, before, word in around if _may_be_table(schema, before)) - {""}


def _may_be_table(schema: Token | None, before: Token | None) -> bool:
    if before is None or before.text not in (".", "AS"):
        return True
    return before.text == "." and schema is not None and schema.name in ("main", "temp")


@for_short_texts
def all_names(sql: str) -> frozenset[str]:
    """All names of a statement, of tables and of columns. In lower case."""
    return frozenset(token.name for token in tokens(sql)) - {""}


@for_short_texts
def set_names(sql: str) -> frozenset[str]:
    """The columns that an UPDATE sets, and bare names of its values. In lower case."""
    words = tokens(sql)
    start = next((number for number, word in enumerate(words) if word.text == "SET"), len(words))
    clauses = (n for n, word in enumerate(words) if n > start and word.depth == 0 and word.text in ("FROM", "WHERE"))
    part = words[start + 1 : next(clauses, len(words))]
    around = zip((None, *part), part, (*part[1:], None), strict=False)
    return frozenset(word.name for before, word, after in around if not _is_dot(before) and not _is_dot(after)) - {""}


def _is_dot(word: Token | None) -> bool:
    return word is not None and word.text == "."


def split(script: str) -> list[str]:
    """The statements of a script, as SQLite itself finds their ends; those of comments alone are left out."""
    found, begin = [], ""
    for piece in script.replace("\r\n", "\n").split(";"):
        begin += piece + ";"
        if sqlite3.complete_statement(begin):
            found.append(begin.strip())
            begin = ""
    found.append(begin.removesuffix(";").strip())
    # Comments alone are no statement, and D1 answers them with an error.
    return [statement for statement in found if any(token.text != ";" for token in tokens(statement))]


class Matches(NamedTuple):
    """The rows that an UPDATE or DELETE is about: what to select from, and the parameters before that in the text."""

    table: str
    rows: str
    condition: str
    skipped: int


@for_short_texts
def matches(sql: str) -> Matches | None:
    """What an UPDATE or DELETE matches; None where the text is not of a plain kind."""
    words = tokens(sql)
    top = [word for word in words if word.depth == 0]
    is_update = bool(top) and top[0].text == "UPDATE"
    if not top or top[0].text not in ("UPDATE", "DELETE") or len(top) < 3:
        return None
    if any(word.text in ("RETURNING", "ORDER", "LIMIT") for word in top) or top[1].text == "OR":
        return None
    target = top[1] if is_update else top[2]
    after = next((word for word in top if word.start > target.start), None)
    if after and after.text in ("AS", "INDEXED", "NOT", "."):
        return None
    table = sql[target.start : target.end]
    joined = next((word for word in top if is_update and word.text == "FROM"), None)
    where = next((word for word in top if word.text == "WHERE"), None)
    begin = joined or where
    skipped = sum(_is_param(word) for word in words if begin is None or word.start < begin.start)
    condition = sql[where.end :].strip().rstrip(";") if where else "1"
    if joined is None:
        return Matches(table, f"count(*) FROM {table} WHERE {condition}", condition, skipped)
    # A row that several rows of the FROM match is changed once.
    return Matches(table, f"count(DISTINCT {table}.rowid) FROM {table}, {sql[joined.end :]}", condition, skipped)


def _is_param(word: Token) -> bool:
    return word.text == "%S" or word.text.startswith("%(")
