"""What a resync knows so far, in a file of its own: memory stays that of a page, and a kill loses one page at the most.

The file is locked while a resync uses it, readable by its owner alone, and removed when the resync has ended.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from django.conf import settings

from billing import stripe_shapes as shapes

#: A file left by a kill is taken up again for so long; Stripe has moved on too far after that.
GOES_ON_SECONDS = 6 * 3600
_TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT);
CREATE TABLE objects (kind TEXT, id TEXT, customer TEXT, intent TEXT, user TEXT, created INTEGER, body BLOB,
  PRIMARY KEY (kind, id));
CREATE INDEX by_customer ON objects (kind, customer);
CREATE INDEX by_intent ON objects (kind, intent) WHERE intent IS NOT NULL;
CREATE INDEX by_user ON objects (kind, user) WHERE user IS NOT NULL;
CREATE TABLE windows (number INTEGER PRIMARY KEY, kind TEXT, low INTEGER, high INTEGER, cursor TEXT, edge INTEGER,
  done INTEGER DEFAULT 0);
CREATE TABLE notes (cause TEXT PRIMARY KEY, user TEXT, row_id TEXT) WITHOUT ROWID;
CREATE INDEX notes_by_user ON notes (user);
CREATE TABLE seen (customer TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE suspects (number INTEGER PRIMARY KEY, user_id TEXT, customer TEXT, needs TEXT, state TEXT DEFAULT 'new',
  UNIQUE (user_id, customer));
CREATE TABLE differences (number INTEGER PRIMARY KEY, suspect INTEGER, kind TEXT, user_id TEXT, subject TEXT,
  expected TEXT, found TEXT, action TEXT, reason TEXT,
  paid_at TEXT, UNIQUE (kind, user_id, subject));
"""


class Busy(Exception):
    """Another resync of the same uses the file now. The text is a sentence."""


class Difference(NamedTuple):
    """Something that is not as Stripe says. `subject` is what it is about: a row, a cause, a customer.

    `paid_at`, where it is a payment, in ISO's form.
    """

    kind: str
    user_id: str | None
    subject: str
    expected: Any
    found: Any
    action: str
    reason: str = ""
    paid_at: str | None = None

    def as_dict(self) -> dict[str, Any]:
        return self._asdict()


class Suspect(NamedTuple):
    number: int
    user_id: str
    customer: str | None
    needs: dict[str, list[str]]
    state: str


class Scratch:
    """`identity` names databases and options: a file is only taken up by a resync of the same."""

    def __init__(self, identity: str) -> None:
        folder = Path(getattr(settings, "VAR_DIR", tempfile.gettempdir())) / "resync"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError:
            folder = Path(tempfile.mkdtemp(prefix="resync-"))
        self.path = folder / f"{identity}.sqlite3"
        held = _locked(self.path)
        if held is None:
            raise Busy("A resync of the same accounts runs already: wait until it has ended.")
        self._lock = held
        _sweep(folder)
        goes_on = self._is_young()
        if not goes_on:
            _remove(self.path)
        self._open(goes_on=goes_on)

    def _open(self, *, goes_on: bool) -> None:
        self.goes_on = goes_on
        os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        self.db = sqlite3.connect(self.path, isolation_level=None)
        self.db.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; PRAGMA cache_size = -8000;")
        if not self.goes_on:
            self.db.executescript(f"BEGIN; {_TABLES} COMMIT;")
            self.set("begun", int(time.time()))

    def begin_anew(self) -> None:
        """What an earlier process left does not fit what is wanted now."""
        self.db.close()
        _remove(self.path)
        self._open(goes_on=False)

    def _is_young(self) -> bool:
        try:
            with sqlite3.connect(f"file:{self.path}?mode=ro", uri=True) as db:
                found = db.execute("SELECT value FROM meta WHERE name = 'begun'").fetchone()
            db.close()
        except sqlite3.Error:
            return False
        return bool(found) and time.time() - json.loads(found[0]) < GOES_ON_SECONDS

    def close(self, *, keep: bool) -> None:
        """`keep` where it did not come to its end, and is to go on."""
        self.db.close()
        if not keep:
            _remove(self.path)
        Path(f"{self.path}.lock").unlink(missing_ok=True)
        os.close(self._lock)

    def set(self, name: str, value: Any) -> None:
        self.db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", [name, json.dumps(value)])

    def get(self, name: str, default: Any = None) -> Any:
        found = self.db.execute("SELECT value FROM meta WHERE name = ?", [name]).fetchone()
        return json.loads(found[0]) if found else default

    # Objects of Stripe's

    def keep(self, kind: str, objects: Iterable[Mapping[str, Any]]) -> None:
        self.db.executemany(
            "INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?, ?, ?)",
            [row for each in objects for row in _rows(kind, each)],
        )

    def object(self, kind: str, id: str) -> dict[str, Any] | None:
        found = self.db.execute("SELECT body FROM objects WHERE kind = ? AND id = ?", [kind, id]).fetchone()
        return orjson.loads(found[0]) if found else None

    def objects(self, kind: str, **by: str) -> list[dict[str, Any]]:
        """Those of a customer, an intent or a user, newest first; those of one second as Stripe lists them."""
        ((column, value),) = by.items()
        rows = self.db.execute(
            f"SELECT body FROM objects WHERE kind = ? AND {column} = ? ORDER BY created DESC, rowid",  # noqa: S608
            [kind, value],
        )
        return [orjson.loads(body) for (body,) in rows.fetchall()]

    def unseen_customers(self) -> Iterator[dict[str, Any]]:
        """Customers that belong to no user who was compared."""
        last = ""
        while True:
            sql = "SELECT id, body FROM objects o WHERE kind = 'customer' AND id > ? ORDER BY id LIMIT 500"
            rows = self.db.execute(sql, [last]).fetchall()
            for id, body in rows:
                if not self.db.execute("SELECT 1 FROM seen WHERE customer = ?", [id]).fetchone():
                    yield orjson.loads(body)
            if len(rows) < 500:
                return
            last = rows[-1][0]

    # What was found

    def suspect(self, user_id: str, customer: str | None, needs: Mapping[str, Iterable[str]]) -> None:
        words = json.dumps({name: sorted(ids) for name, ids in needs.items()})
        self.db.execute(
            "INSERT INTO suspects (user_id, customer, needs) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            [user_id, customer or "", words],
        )

    def suspects(self, state: str, limit: int) -> list[Suspect]:
        rows = self.db.execute("SELECT * FROM suspects WHERE state = ? ORDER BY number LIMIT ?", [state, limit])
        return [Suspect(n, user, customer or None, json.loads(needs), s) for n, user, customer, needs, s in rows]

    def count(self, state: str) -> int:
        return int(self.db.execute("SELECT count(*) FROM suspects WHERE state = ?", [state]).fetchone()[0])

    def mark(self, suspects: Iterable[Suspect], state: str) -> None:
        self.db.executemany("UPDATE suspects SET state = ? WHERE number = ?", [(state, s.number) for s in suspects])

    def note(self, difference: Difference, suspect: int | None = None) -> None:
        d = difference
        self.db.execute(
            "INSERT INTO differences (suspect, kind, user_id, subject, expected, found, action, reason, paid_at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            [
                suspect,
                d.kind,
                d.user_id or "",
                d.subject,
                _text(d.expected),
                _text(d.found),
                d.action,
                d.reason,
                d.paid_at,
            ],
        )

    def conclude(self, suspect: int, action: str, *, only: tuple[str, str] | None = None, reason: str = "") -> None:
        """What became of a suspect's repairs, or of the one of a kind and a subject."""
        sql = "UPDATE differences SET action = ?, reason = ? WHERE suspect = ? AND action = 'repair'"
        more = " AND kind = ? AND subject = ?" if only else ""
        self.db.execute(sql + more, [action, reason, suspect, *(only or ())])

    def differences(self, suspect: int | None = None) -> Iterator[Difference]:
        """All of them, some hundreds in memory at a time."""
        last = 0
        while True:
            sql = "SELECT * FROM differences WHERE number > ? AND (? IS NULL OR suspect = ?) ORDER BY number LIMIT 500"
            rows = self.db.execute(sql, [last, suspect, suspect]).fetchall()
            for _, _, kind, user, subject, expected, found, *rest in rows:
                yield Difference(kind, user or None, subject, json.loads(expected), json.loads(found), *rest)
            if len(rows) < 500:
                return
            last = rows[-1][0]

    def actions(self) -> dict[str, int]:
        return dict(self.db.execute("SELECT action, count(*) FROM differences GROUP BY action").fetchall())


def _locked(path: Path) -> int | None:
    """The descriptor of the lock of a scratch file; None while somebody else has it."""
    lock = os.open(f"{path}.lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Who held it before may have removed this very file.
        if os.fstat(lock).st_ino == os.stat(f"{path}.lock").st_ino:
            return lock
    except OSError:
        pass
    os.close(lock)
    return None


def _remove(path: Path) -> None:
    for ending in ("", "-wal", "-shm"):
        Path(f"{path}{ending}").unlink(missing_ok=True)


def _sweep(folder: Path) -> None:
    """Remove what kills have left and nobody took up again: customers' data are in it."""
    for file in folder.glob("*.sqlite3"):
        try:
            is_old = time.time() - file.stat().st_mtime > GOES_ON_SECONDS
        except FileNotFoundError:
            continue
        if is_old and (lock := _locked(file)) is not None:
            _remove(file)
            Path(f"{file}.lock").unlink(missing_ok=True)
            os.close(lock)


def _text(value: Any) -> str:
    return json.dumps(value, default=str)


def _rows(kind: str, given: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    """The row of an object, and of the payment and the subscriptions that came inside it."""
    thing = _SHORT[kind](given) if kind in _SHORT else dict(given)
    customer, intent = shapes.id_of(thing.get("customer")), shapes.id_of(thing.get("payment_intent"))
    for each in shapes.items_of(given.get("subscriptions")):
        yield from _rows("subscription", each)
    inner = shapes.expanded(thing.get("payment_intent"))
    if inner is not None:
        yield from _rows("intent", inner)
        customer = customer or shapes.id_of(inner.get("customer"))
        thing = {**thing, "payment_intent": intent}
    body = orjson.dumps(thing)
    yield kind, thing["id"], customer, intent, shapes.metadata_user(thing), shapes.cents(thing.get("created")), body


def _customer(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: given.get(name) for name in ("id", "email", "name", "metadata", "livemode", "created", "deleted")}


_OF_SUBSCRIPTION = (
    "id", "customer", "status", "created", "start_date", "livemode", "metadata", "cancel_at", "cancel_at_period_end",
    "canceled_at", "trial_end", "latest_invoice", "current_period_start", "current_period_end",
)  # fmt: skip
_OF_PRICE = ("id", "recurring", "unit_amount", "currency")


def _subscription(given: Mapping[str, Any]) -> dict[str, Any]:
    items = [
        {
            "current_period_start": item.get("current_period_start"),
            "current_period_end": item.get("current_period_end"),
            "price": {name: shapes.dig(item, "price", name) for name in _OF_PRICE},
        }
        for item in shapes.items_of(given.get("items"))
    ]
    return {**{name: given.get(name) for name in _OF_SUBSCRIPTION}, "items": {"data": items}}


# Of what there is most, only what is compared is kept.
_SHORT = {"customer": _customer, "subscription": _subscription}
