"""SQL text with its spelling taken away: case, quotes, blanks and comments no longer differ."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import NamedTuple

_TOKEN = re.compile(
    r"""(?P<blank>\s+|--[^\n]*|/\*.*?(?:\*/|\Z))
      | (?P<string>'(?:[^']|'')*')
      | (?P<quoted>"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\])
      | (?P<word>[\w$]+(?:\.\d+)?)
      | (?P<mark>\|\||<=|>=|<>|!=|==|<<|>>|->>|->|.)""",
    re.VERBOSE | re.DOTALL,
)
_SAME_MARKS = {"<>": "!=", "==": "="}


class Terms(NamedTuple):
    """What an index is over, a text for each term without COLLATE and direction, and its WHERE (or "")."""

    terms: list[str]
    where: str


def plain(name: str) -> str:
    """A name as it stands unquoted and in lower case, in which SQLite compares names; quoted where it has to be."""
    return name.lower() if re.fullmatch(r"[^\W\d][\w$]*", name) else f'"{name.lower()}"'


def tokens(sql: str, columns: Collection[str] | None = None) -> list[str]:
    """The words and marks of `sql`. With `columns` (lower case) a "quoted" word that names none of them is a string,

    as SQLite takes it: https://www.sqlite.org/quirks.html#double_quoted_string_literals_are_accepted.
    """
    return list(_tokens(sql, columns))


def _tokens(sql: str, columns: Collection[str] | None) -> Iterator[str]:
    for match in _TOKEN.finditer(sql):
        kind, text = match.lastgroup, match.group()
        if kind == "quoted":
            name = text[1:-1].replace(text[0] * 2, text[0])
            is_string = text[0] == '"' and columns is not None and name.lower() not in columns
            yield "'{}'".format(name.replace("'", "''")) if is_string else plain(name)
        elif kind == "word":
            yield text.lower()
        elif kind != "blank":
            yield _SAME_MARKS.get(text, text)


def spelled(sql: str) -> str:
    """The whole text in one spelling; IF NOT EXISTS says nothing about what is made."""
    return " ".join(tokens(sql)).replace(" if not exists ", " ")


def checks(sql: str, columns: Collection[str]) -> list[str]:
    """The expressions of all CHECKs in a CREATE TABLE, of columns and of the table, sorted."""
    words = tokens(sql, columns)
    places = [n for n, word in enumerate(words[:-1]) if word == "check" and words[n + 1] == "("]
    return sorted(_expression(words[n + 2 : _closing(words, n + 1)]) for n in places)


def index_terms(sql: str, columns: Collection[str]) -> Terms:
    """What a CREATE INDEX is over."""
    words = tokens(sql, columns)
    start = words.index("(", words.index("on"))
    end = _closing(words, start)
    rest = words[end + 1 :]
    where = _expression(rest[1:]) if rest[:1] == ["where"] else ""
    return Terms([_expression(_bare(term)) for term in _split(words[start + 1 : end])], where)


def words_after_body(sql: str) -> list[str]:
    """What stands behind the closing parenthesis of a CREATE TABLE: `without rowid`, `strict`."""
    words = tokens(sql)
    return words[_closing(words, words.index("(")) + 1 :] if "(" in words else []


def expression(sql: str) -> str:
    """An expression in one spelling."""
    return _expression(tokens(sql))


def _closing(words: list[str], opening: int) -> int:
    depth = 0
    for place in range(opening, len(words)):
        depth += {"(": 1, ")": -1}.get(words[place], 0)
        if depth == 0:
            return place
    return len(words)


def _split(words: list[str]) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    depth = 0
    for word in words:
        depth += {"(": 1, ")": -1}.get(word, 0)
        if word == "," and depth == 0:
            parts.append([])
        else:
            parts[-1].append(word)
    return parts


def _bare(term: list[str]) -> list[str]:
    if term[-1:] in (["asc"], ["desc"]):
        term = term[:-1]
    return term[:-2] if term[-2:-1] == ["collate"] else term


def _expression(words: list[str]) -> str:
    """The text of an expression without parentheses around the whole, the literals of each IN list sorted."""
    while words[:1] == ["("] and _closing(words, 0) == len(words) - 1:
        words = words[1:-1]
    out: list[str] = []
    place = 0
    while place < len(words):
        if words[place : place + 2] == ["in", "("]:
            end = _closing(words, place + 1)
            members = [" ".join(member) for member in _split(words[place + 2 : end])]
            out += ["in", f"({', '.join(sorted(members))})"]
            place = end
        else:
            out.append(words[place])
        place += 1
    return " ".join(out)
