"""Text that a spreadsheet would take for a formula, made harmless and back again.

An apostrophe goes before each of `= + - @ TAB CR` at the start of a text (OWASP ASVS 1.2.10), and before texts that
already have apostrophes there, so that taking one away always gives back the text. Numbers are not text.
"""

from __future__ import annotations

import re

_FIRST = frozenset("'=+-@\t\r")
_DANGEROUS = re.compile(r"'*[=+\-@\t\r]")
_MADE_HARMLESS = re.compile(r"'+[=+\-@\t\r]")


def harmless(text: str) -> str:
    return f"'{text}" if text[:1] in _FIRST and _DANGEROUS.match(text) else text


def as_it_was(text: str) -> str:
    """The text that `harmless` was given."""
    return text[1:] if _MADE_HARMLESS.match(text) else text
