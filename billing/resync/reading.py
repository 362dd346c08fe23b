"""Stripe's lists, read by hundreds in several windows of `created` at once, into the scratch file.

How objects lie in time is not known, so a window that has more is cut while fewer than `WINDOWS` are under way: what is
older than its next dozen of pages becomes a window of its own. Each page is kept in one transaction with where its
window stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from billing import stripe_shapes as shapes
from billing.resync.scratch import Scratch
from billing.stripe_api import Stripe, StripeDown, StripeRefused, StripeTrouble

WINDOWS = 8
#: A window is cut off behind so many pages, if objects go on as close together as those of its first.
PAGES_OF_A_WINDOW = 12
#: Each payment is looked at so far back, unless one asks for more; packs that name their units, whatever their age.
DAYS_OF_PAYMENTS = 35
#: A session of Checkout may be paid so long after it was opened.
SESSION_SECONDS = 86_400
#: Stripe began in 2011.
OLDEST = 1_293_840_000
_SPLITS = 500
Given = TypeVar("Given")
Found = TypeVar("Found")


class ListTrouble(StripeTrouble):
    """A list that cannot be gone through. The text is a sentence."""


@dataclass(frozen=True)
class Listed:
    kind: str
    path: str
    params: dict[str, Any] = field(default_factory=dict)
    since: int = OLDEST


_WITH_PAYMENT = {"expand": ["data.payment_intent.latest_charge"]}
#: Customers come with their subscriptions, but for those that have ended: a list less to read.
ALL = (
    Listed("customer", "/v1/customers", {"expand": ["data.subscriptions"]}),
    Listed("refund", "/v1/refunds", _WITH_PAYMENT),
    Listed("dispute", "/v1/disputes", _WITH_PAYMENT),
)
#: Read after the customers, so that none that ends meanwhile is missed.
ENDED = Listed("subscription", "/v1/subscriptions", {"status": "ended"})
SUBSCRIPTIONS = Listed("subscription", "/v1/subscriptions", {"status": "all"})
SESSIONS = Listed("session", "/v1/checkout/sessions", {"status": "complete", **_WITH_PAYMENT})
PAYMENTS = Listed("intent", "/v1/payment_intents", {"expand": ["data.latest_charge"]})
INVOICES = Listed("invoice", "/v1/invoices", {"status": "paid", "expand": ["data.payments"]})


@dataclass
class Window:
    """`low` to `high` in Unix seconds, both included; `high` None is open. `edge` is the oldest second read so far."""

    number: int
    listed: Listed
    low: int
    high: int | None
    cursor: str | None = None
    edge: int | None = None
    at_edge: frozenset[str] = frozenset()

    def params(self) -> dict[str, Any]:
        created = {"gte": self.low} | ({} if self.high is None else {"lte": self.high})
        after = {"starting_after": self.cursor} if self.cursor else {}
        return {"limit": 100, "created": created, **self.listed.params, **after}


def read_all(stripe: Stripe, scratch: Scratch, payments_since: int, advance: Callable[[int], None]) -> None:
    """All that a complete resync compares, with each payment since some Unix second. Raises StripeTrouble.

    Sessions cannot be listed by what they sell, and those of subscriptions are many: of packs that were sold before,
    the payments are searched for. Where Stripe does not search, all sessions are listed.
    """
    if scratch.get("sessions_since") is None:
        found = _search_packs(stripe, scratch, payments_since, advance)
        scratch.set("sessions_since", payments_since - SESSION_SECONDS if found else OLDEST)
    sessions = replace(SESSIONS, since=scratch.get("sessions_since"))
    payments = replace(PAYMENTS, since=payments_since)
    read_lists(stripe, scratch, [*ALL, sessions, payments], advance=advance)
    read_lists(stripe, scratch, [ENDED], advance=advance)


def _search_packs(stripe: Stripe, scratch: Scratch, before: int, advance: Callable[[int], None]) -> bool:
    """Payments whose metadata name units, of whatever age. False where Stripe does not search, as in India."""
    try:
        for key in shapes.UNIT_KEYS:
            query = f'status:"succeeded" AND created<{before} AND -metadata["{key}"]:null'
            for found in searched(stripe, PAYMENTS.path, query, **PAYMENTS.params):
                scratch.keep(PAYMENTS.kind, found)
                advance(len(found))
    except (StripeDown, ListTrouble):
        raise
    except StripeTrouble:
        return False
    return True


def searched(stripe: Stripe, path: str, query: str, **params: Any) -> Iterator[list[Any]]:
    """What Stripe finds, page by page: all but what was made in the last minute. Raises StripeTrouble."""
    pages: set[str] = set()
    asked = {"query": query, "limit": 100, **params}
    while True:
        page = stripe.page(f"{path}/search", **asked)
        if page is None:
            raise StripeTrouble(f"Stripe knows no {path}/search.")
        yield shapes.items_of(page)
        if not page.get("has_more"):
            return
        asked["page"] = str(page.get("next_page"))
        if asked["page"] in pages:
            raise ListTrouble(f"Stripe's search {path} repeats itself, so it would never end. Run the resync again.")
        pages.add(asked["page"])


def at_once(work: Callable[[Given], Found], items: Iterable[Given]) -> Iterator[Found]:
    """In their order. Where one fails, those that have not begun do not begin."""
    with ThreadPoolExecutor(WINDOWS, thread_name_prefix="resync") as pool:
        try:
            yield from pool.map(work, items)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def read_lists(
    stripe: Stripe, scratch: Scratch, lists: Iterable[Listed], *,
    advance: Callable[[int], None] = lambda objects: None, sorted_out: Callable[[Any], bool] | None = None,
) -> None:  # fmt: skip
    """Read what is not read yet. `sorted_out` says of an object that it need not be kept. Raises StripeTrouble."""
    by_kind = {each.kind: each for each in lists}
    for each in by_kind.values():
        if not scratch.db.execute("SELECT 1 FROM windows WHERE kind = ?", [each.kind]).fetchone():
            scratch.db.execute("INSERT INTO windows (kind, low) VALUES (?, ?)", [each.kind, each.since])
    waiting = [
        Window(number, by_kind[kind], low, high, cursor, edge)
        for number, kind, low, high, cursor, edge, done in scratch.db.execute("SELECT * FROM windows").fetchall()
        if kind in by_kind and not done
    ]
    _Reading(stripe, scratch, advance, sorted_out).run(waiting)


@dataclass
class _Reading:
    stripe: Stripe
    scratch: Scratch
    advance: Callable[[int], None]
    sorted_out: Callable[[Any], bool] | None
    splits: dict[str, int] = field(default_factory=dict)

    def run(self, waiting: list[Window]) -> None:
        asked: dict[Future[dict[str, Any] | None], Window] = {}
        with ThreadPoolExecutor(WINDOWS, thread_name_prefix="resync") as pool:
            try:
                while waiting or asked:
                    while waiting and len(asked) < WINDOWS:
                        window = waiting.pop(0)
                        asked[pool.submit(self.stripe.page, window.listed.path, **window.params())] = window
                    for answered in wait(asked, return_when=FIRST_COMPLETED).done:
                        window = asked.pop(answered)
                        is_idle = len(asked) + len(waiting) < WINDOWS - 1
                        waiting += self._take(window, _answer(answered), is_idle=is_idle)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _take(self, window: Window, page: dict[str, Any] | None, *, is_idle: bool) -> list[Window]:
        """Keep a page, and where its window stands; the windows that go on."""
        if page is None:
            raise ListTrouble(f"Stripe knows no {window.listed.path}: look at STRIPE_API_BASE.")
        found = shapes.items_of(page)
        after = _moved(window, found)
        kept = [each for each in found if not (self.sorted_out and self.sorted_out(each))]
        more = [sub for each in kept if shapes.dig(each, "subscriptions", "has_more") for sub in self._of(each["id"])]
        db = self.scratch.db
        db.execute("BEGIN")
        self.scratch.keep(window.listed.kind, kept)
        self.scratch.keep("subscription", more)
        going = self._next(after, _span(found), is_idle=is_idle) if page.get("has_more") and found else []
        if not going:
            db.execute("UPDATE windows SET done = 1 WHERE number = ?", [window.number])
        db.execute("COMMIT")
        self.advance(len(found))
        return going

    def _of(self, customer: str) -> Iterator[dict[str, Any]]:
        """All subscriptions of one who has more than come with a customer."""
        return self.stripe.list(SUBSCRIPTIONS.path, customer=customer, **SUBSCRIPTIONS.params)

    def _next(self, window: Window, span: int, *, is_idle: bool) -> list[Window]:
        """The window itself, and where hands are free what is older than its next pages as another."""
        kind, going = window.listed.kind, [window]
        middle = (window.edge or 0) - PAGES_OF_A_WINDOW * span
        if is_idle and span and middle > window.low and self.splits.get(kind, 0) < _SPLITS:
            self.splits[kind] = self.splits.get(kind, 0) + 1
            row = self.scratch.db.execute(
                "INSERT INTO windows (kind, low, high) VALUES (?, ?, ?)", [kind, window.low, middle]
            )
            older = Window(int(row.lastrowid or 0), window.listed, window.low, middle)
            going = [replace(window, low=middle + 1), older]
        self.scratch.db.execute(
            "UPDATE windows SET low = ?, cursor = ?, edge = ? WHERE number = ?",
            [going[0].low, window.cursor, window.edge, window.number],
        )
        return going


def _span(found: list[Any]) -> int:
    """Seconds that a page covers."""
    return shapes.cents(found[0].get("created")) - shapes.cents(found[-1].get("created"))


def _answer(answered: Future[dict[str, Any] | None]) -> dict[str, Any] | None:
    """What Stripe refuses, it would refuse again: an object at which a list stood was deleted meanwhile."""
    try:
        return answered.result()
    except (StripeDown, StripeRefused, ListTrouble):
        raise
    except StripeTrouble as trouble:
        raise ListTrouble(f"{trouble} Nothing was written; run the resync again, it begins anew.") from trouble


def _moved(window: Window, found: list[Any]) -> Window:
    """The window after a page. A list that goes back, or repeats itself, would never end: raises ListTrouble."""
    edge, at_edge = window.edge, set(window.at_edge)
    for each in found:
        created, id = shapes.cents(each.get("created")), str(each.get("id"))
        if (
            (edge is not None and created > edge)
            or id in at_edge
            or (window.cursor is not None and id == window.cursor)
        ):
            raise ListTrouble(
                f"Stripe's list {window.listed.path} repeats itself at {id}, so it would never end. Nothing was "
                "written; run the resync again."
            )
        if created != edge:
            edge, at_edge = created, set()
        at_edge.add(id)
    last = str(found[-1].get("id")) if found else window.cursor
    return replace(window, cursor=last, edge=edge, at_edge=frozenset(at_edge))
