"""The one box that finds all: a whole id, wherever it stands, and people by their email or name.

The console's own tables come first. Then at most two queries to OmniChat's database: one asks all places for the very
text, each by its index; where none has it, one asks for people. Only places that whoever asks may see are asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

import orjson
from django.apps import apps
from django.db import OperationalError, connections
from django.db.models import Model, Q, QuerySet
from django.utils.text import capfirst

from chat.models import User
from console.grant_forms import is_uuid
from console.models import Grant, InboxEvent
from database import cells
from database.columns import is_about_a_column, learn_missing_fields, missing_fields
from database.router import CONSOLE, OMNICHAT
from database.search import LAST_CHARACTER

#: So many of each place are shown. A list shows them all.
MOST = 8
#: So many of the newest users are looked through for a part of an email or name; the list of users goes on from there.
WINDOW = 50_000
#: No id, email or name is longer.
LONGEST = 320
# Shorter parts stand in nearly every email.
SHORTEST_PART = 3


class Asker(Protocol):
    """Whoever of the staff asks."""

    def has_perm(self, perm: str) -> bool: ...


@dataclass(frozen=True)
class Place:
    """A field that an id may stand in. `before` is put before the term, as in `invoice:in_1AbC`."""

    model: str
    field: str
    before: str = ""

    @property
    def found(self) -> type[Model]:
        return apps.get_model(self.model)


#: Where an id may stand, the page that staff would want first at the top.
PLACES: tuple[Place, ...] = (
    Place("chat.User", "id"),
    Place("chat.User", "email"),
    Place("chat.User", "stripe_customer_id"),
    Place("billing.UserSubscription", "stripe_subscription_id"),
    Place("chat.User", "subscription_id"),
    Place("billing.UserSubscription", "stripe_customer_id"),
    Place("billing.UserSubscription", "id"),
    Place("billing.BatteryTransaction", "id"),
    Place("billing.BatteryTransaction", "id", "invoice:"),
    Place("billing.BatteryTransaction", "stripe_payment_intent_id"),
    Place("chat.Conversation", "id"),
    Place("chat.Message", "id"),
    Place("chat.ApiUsage", "id"),
    Place("database.AuditLog", "id"),
)
#: The field by whose text a row is told from others; else its key.
LABELS = {"chat.User": "email", "chat.Conversation": "title"}


@dataclass(frozen=True)
class Hit:
    label: str
    detail: str
    url: str


@dataclass(frozen=True)
class Group:
    """Rows of one table. `more` is the address of the list that has them all, where there may be more."""

    name: str
    hits: list[Hit]
    more: str = ""


@dataclass(frozen=True)
class Findings:
    """`exact` is the address of the one page that the term names."""

    term: str
    exact: str = ""
    groups: list[Group] = field(default_factory=list)


def find(text: str, *, by: Asker) -> Findings:
    """What a term names or begins, of what its asker may see."""
    term = text.replace("\0", "").strip()
    if not term or len(term) > LONGEST:
        return Findings(term)
    if own := _own(term, by):
        return Findings(term, own[0].hits[0].url if len(own) == len(own[0].hits) == 1 else "", own)
    by_place = _by_place(term, [place for place in PLACES if _may_see(by, place.model)])
    if by_place:
        _, first = by_place[0]
        return Findings(term, first[0].url if len(first) == 1 else "", _groups(by_place))
    return Findings(term, groups=[people] if _may_see(by, "chat.User") and (people := _people(term)).hits else [])


def _own(term: str, by: Asker) -> list[Group]:
    """Rows of the console's own tables: a grant by its id or ticket, an event by its id."""
    asked: list[QuerySet[Any]] = []
    if _may_see(by, "console.Grant"):
        asked.append(Grant.objects.filter(Q(pk=UUID(term)) if is_uuid(term) else Q(ticket=term)))
    if _may_see(by, "console.InboxEvent") and term.startswith(("evt_", "msg_")):
        asked.append(InboxEvent.objects.filter(event_id=term))
    found = [(rows.model._meta.label, list(rows.using(CONSOLE)[:MOST])) for rows in asked]
    return [
        Group(_plural(label), [Hit(str(row), str(row.pk), row.get_absolute_url()) for row in rows])
        for label, rows in found
        if rows
    ]


def _may_see(by: Asker, label: str) -> bool:
    app, name = label.lower().split(".")
    return by.has_perm(f"{app}.view_{name}")


def _by_place(term: str, places: Sequence[Place]) -> list[tuple[Place, list[Hit]]]:
    """The places that have the term, each with its rows."""
    try:
        return list(_asked(term, places))
    except OperationalError as error:
        # An adopted table may lack a column: its places are passed over.
        if not is_about_a_column(error) or not _learn(places):
            raise
    return list(_asked(term, places))


def _learn(places: Iterable[Place]) -> bool:
    """Whether any of the tables lacks a column; which, is remembered."""
    lacking = [learn_missing_fields(model) for model in {place.found for place in places}]
    return any(lacking)


def _asked(term: str, places: Sequence[Place]) -> Iterator[tuple[Place, list[Hit]]]:
    there = [place for place in places if place.field not in missing_fields(place.found)]
    if not there:
        return
    selects = ", ".join(map(_select, there))
    with connections[OMNICHAT].cursor() as cursor:
        cursor.execute(f"SELECT {selects}", [place.before + term for place in there])
        row = cursor.fetchone() or ()
    for place, rows in zip(there, row, strict=True):
        if hits := [_hit(place, *cells_) for cells_ in orjson.loads(rows)]:
            yield place, hits


def _select(place: Place) -> str:
    meta = place.found._meta
    pk, column = meta.pk.column, meta.get_field(place.field).column  # type: ignore[union-attr]
    label = meta.get_field(LABELS.get(place.model, meta.pk.name)).column  # type: ignore[union-attr]
    folded = " COLLATE NOCASE" if place.field == "email" else ""
    rows = f'SELECT "{pk}" AS pk, "{label}" AS label FROM "{meta.db_table}" WHERE "{column}" = %s{folded} LIMIT {MOST}'  # noqa: S608
    return f"(SELECT json_group_array(json_array(CAST(pk AS TEXT), CAST(label AS TEXT))) FROM ({rows}))"  # noqa: S608


def _hit(place: Place, pk: str, label: str | None) -> Hit:
    return Hit(label or pk, "" if label in (None, pk) else pk, cells.row_url(place.found, pk))


def _groups(by_place: Iterable[tuple[Place, list[Hit]]]) -> list[Group]:
    """One group a table; a row that stands in two places is shown once."""
    by_model: dict[str, dict[str, Hit]] = {}
    for place, hits in by_place:
        by_model.setdefault(place.model, {}).update({hit.url: hit for hit in hits})
    return [Group(_plural(model), list(hits.values())) for model, hits in by_model.items()]


def _plural(label: str) -> str:
    return capfirst(str(apps.get_model(label)._meta.verbose_name_plural))


# What begins with the term comes before what has it inside.
_BEGINNING = """
SELECT id, email, name, 0 AS rank FROM users WHERE rowid IN (
  SELECT rowid FROM (SELECT rowid FROM users
    WHERE email COLLATE NOCASE >= %s AND email COLLATE NOCASE < %s ORDER BY email COLLATE NOCASE LIMIT {most})
  UNION SELECT rowid FROM (SELECT rowid FROM users
    WHERE name COLLATE NOCASE >= %s AND name COLLATE NOCASE < %s ORDER BY name COLLATE NOCASE LIMIT {most})
)"""
_INSIDE = """
UNION ALL SELECT * FROM (
  SELECT id, email, name, 1 FROM (SELECT id, email, name FROM users ORDER BY rowid DESC LIMIT {window})
  WHERE instr(lower(email), lower(%s)) OR instr(lower(name), lower(%s)) LIMIT {most}
)"""


def _people(term: str) -> Group:
    """Users whose email or name begins with the term, and such of the newest that have it inside."""
    has_part = len(term) >= SHORTEST_PART
    sql = (_BEGINNING + _INSIDE * has_part).format(most=2 * MOST, window=WINDOW)
    ends = [term, term + LAST_CHARACTER]
    with connections[OMNICHAT].cursor() as cursor:
        cursor.execute(f"{sql} ORDER BY rank, email", [*ends, *ends, *[term] * (2 * has_part)])
        rows = {pk: Hit(str(email or pk), str(name or ""), cells.row_url(User, pk)) for pk, email, name, _ in cursor}
    more = cells.list_url(User, q=term, **({"inside": "1"} if has_part else {}))
    return Group(_plural("chat.User"), list(rows.values())[:MOST], more)
