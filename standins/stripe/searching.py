"""Search: customers and payment intents by a query, in pages that lead from one to the next.

As with Stripe, what was made a moment ago is not found yet: whoever needs it lists instead. Clauses are joined by AND
or by OR, never by both; text is compared whole, in whatever case. https://docs.stripe.com/search
"""

from __future__ import annotations

import base64
import binascii
import operator
import re
from typing import Any

from standins.stripe.account import Account
from standins.stripe.errors import invalid
from standins.stripe.lists import Check
from standins.stripe.parameters import integer, known, required
from standins.stripe.store import Seedling, Thing

#: So long after its making an object is found.
FRESH_SECONDS = 60
FIELDS = {
    "customer": {"email", "name", "phone", "created", "metadata"},
    "payment_intent": {"amount", "created", "currency", "customer", "status", "metadata"},
}
_CLAUSE = re.compile(
    r"""(?P<minus>-)?(?P<field>\w+)(?:\[(?P<q>["'])(?P<key>.*?)(?P=q)\])?(?P<sign>:|>=|<=|>|<)"""
    r"""(?:(?P<v>["'])(?P<text>(?:\\.|(?!(?P=v)).)*)(?P=v)|(?P<word>\w+))(?:\s+(?P<joint>AND|OR)\b)?\s*""",
    re.IGNORECASE,
)
_SIGNS = {":": operator.eq, ">": operator.gt, "<": operator.lt, ">=": operator.ge, "<=": operator.le}


def search(account: Account, kind: str, given: Thing, url: str) -> Thing:
    """The result, newest first.

    Raises:
        StripeError: a query that cannot be read, an unknown field or parameter, a limit out of range.
    """
    known(given, {"query", "limit", "page"})
    limit = integer(given, "limit", 10) or 0
    if not 1 <= limit <= 100:
        raise invalid("Invalid integer: limit must be between 1 and 100.", "limit", "parameter_invalid_integer")
    rows, more = account.store[kind].page(
        limit=limit, after=_opened(given.get("page")), where=_matching(kind, str(required(given, "query"))),
        window=(float("-inf"), account.clock.now() - FRESH_SECONDS),
    )  # fmt: skip
    found = [row.grown() if isinstance(row, Seedling) else row for row in rows]
    page = base64.urlsafe_b64encode(found[-1]["id"].encode()).decode() if more else None
    return {"object": "search_result", "url": url, "has_more": more, "data": found, "next_page": page}


def _opened(page: Any) -> str | None:
    try:
        return base64.urlsafe_b64decode(page).decode() if page else None
    except (binascii.Error, UnicodeDecodeError):
        raise invalid("Invalid page token.", "page") from None


def _matching(kind: str, query: str) -> Check:
    checks, joints, at = [], set(), 0
    while at < len(query):
        clause = _CLAUSE.match(query, at)
        if clause is None:
            raise invalid(f"We were unable to parse your search query near: {query[at:]}", "query")
        checks.append(_check(kind, clause))
        at = clause.end()
        joints |= {(clause["joint"] or "AND").upper()} if at < len(query) else set()
    if len(joints) > 1:
        raise invalid("You cannot use both AND and OR in the same query.", "query")
    every = any if joints == {"OR"} else all
    return lambda thing: every(check(thing) for check in checks)


def _check(kind: str, clause: re.Match[str]) -> Check:
    name, key, sign = clause["field"], clause["key"], clause["sign"]
    if name not in FIELDS[kind] or (name == "metadata") != (key is not None):
        raise invalid(f"Field `{name}` is an unsupported search field for resource `{kind}s`.", "query")
    wanted = re.sub(r"\\(.)", r"\1", clause["text"]) if clause["text"] is not None else clause["word"]
    is_absent = clause["word"] == "null"

    def check(thing: Thing) -> bool:
        value = thing["metadata"].get(key) if key is not None else thing.get(name)
        if is_absent or value is None:
            found = value is None and is_absent
        elif isinstance(value, int):
            found = _SIGNS[sign](value, int(wanted))
        else:
            found = str(value).lower() == wanted.lower()
        return found != bool(clause["minus"])

    return check
