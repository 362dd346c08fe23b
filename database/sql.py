"""SQL text taken apart: a file into its statements, a statement into its words."""

from __future__ import annotations

import re
import sqlite3

# Quoted text, names and comments are whole tokens, so that a semicolon in one of them ends nothing. An unclosed
# one reaches to the end of the text: the database then says what is wrong with it.
_TOKEN = re.compile(
    r"""
    (?P<comment> --[^\n]* | /\*.*?(?:\*/|\Z) )
  | (?P<string> '[^']*(?:'|\Z) )
  | (?P<name> "[^"]*(?:"|\Z) | `[^`]*(?:`|\Z) | \[[^\]]*(?:\]|\Z) )
  | (?P<word> [^\W\d][\w$]* )
  | (?P<space> \s+ )
  | (?P<other> . )
    """,
    re.VERBOSE | re.DOTALL,
)


def statements(text: str) -> list[str]:
    """The statements of a file, in order, without their last semicolon and without comments around them.

    A trigger is one statement, whatever stands between its BEGIN and END. Comments alone are none.
    """
    found: list[str] = []
    start = end = None
    for token in _TOKEN.finditer(text):
        if start is None:
            if token.lastgroup in ("comment", "space") or token.group() == ";":
                continue
            start = token.start()
        if token.group() == ";" and sqlite3.complete_statement(text[start : token.end()]):
            found.append(text[start:end])
            start = None
        elif token.lastgroup not in ("comment", "space"):
            end = token.end()
    if start is not None:
        found.append(text[start:end])
    return found


def words(statement: str) -> list[str]:
    """Keywords, names without their quotes, and signs, as they are written; no strings, no comments."""
    found = []
    for token in _TOKEN.finditer(statement):
        if token.lastgroup == "name":
            found.append(token.group()[1:-1])
        elif token.lastgroup in ("word", "other"):
            found.append(token.group())
    return found


def same_line_ends(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")
