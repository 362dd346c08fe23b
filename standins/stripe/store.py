"""The objects by kind, in the order of their making, with windows and cursors as Stripe's lists have them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import orjson

from standins.stripe.errors import missing

Thing = dict[str, Any]
Key = tuple[int, int, str]  # created, a running number, the id: two objects of one second keep their order

# The fields that lists are asked by, which have to be quick at 100,000 objects.
INDEXED = ("customer", "payment_intent", "charge", "invoice", "subscription", "product")


def field(thing: Thing, name: str) -> Any:
    """A field that lists are asked by, which a kind may keep deeper down."""
    if name == "payment_intent" and thing["object"] == "invoice_payment":
        return thing["payment"].get("payment_intent")
    if name == "subscription" and thing["object"] in ("invoice", "invoiceitem"):
        return ((thing["parent"] or {}).get("subscription_details") or {}).get("subscription")
    return thing.get(name)


class Seedling:
    """An object made in bulk: a template and a number. It becomes a dict when somebody asks for it by its id."""

    __slots__ = ("_number", "_template", "_values", "created")

    def __init__(self, template: bytes, values: Callable[[int], dict[bytes, Any]], number: int, created: int) -> None:
        self._template, self._values, self._number, self.created = template, values, number, created

    def body(self) -> bytes:
        return self._template % self._values(self._number)

    def grown(self) -> Thing:
        return orjson.loads(self.body())  # type: ignore[no-any-return]


class Table:
    """All objects of one kind."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.rows: dict[str, Thing | Seedling] = {}
        self.deleted: dict[str, Thing] = {}
        self._keys: list[Key] = []
        self._in_order = True
        self._key_of: dict[str, Key] = {}
        self._index: dict[str, dict[str, list[Key]]] = {field: {} for field in INDEXED}

    def __len__(self) -> int:
        return len(self.rows)

    def add(self, thing: Thing) -> Thing:
        created: int = thing["date"] if thing["object"] == "invoiceitem" else thing["created"]
        self._enter(thing["id"], created, thing, {name: field(thing, name) for name in INDEXED})
        return thing

    def plant(self, id: str, seedling: Seedling, fields: dict[str, str]) -> None:
        """`fields` are those that lists are asked by."""
        self._enter(id, seedling.created, seedling, fields)

    def _enter(self, id: str, created: int, row: Thing | Seedling, fields: dict[str, Any]) -> None:
        key = (created, len(self._key_of), id)
        self.rows[id], self._key_of[id] = row, key
        self._in_order = self._in_order and (not self._keys or key > self._keys[-1])
        self._keys.append(key)
        for name, value in fields.items():
            if isinstance(value, str):
                self._index[name].setdefault(value, []).append(key)

    def relate(self, thing: Thing, name: str, value: str) -> None:
        """Sets a field that lists are asked by, after the object was made."""
        thing[name] = value
        self._index[name].setdefault(value, []).append(self._key_of[thing["id"]])

    def _ordered(self) -> list[Key]:
        """The keys, oldest first. Sorted when they are read, so that bulk is not slowed by objects of the past."""
        if not self._in_order:
            self._keys.sort()
            self._in_order = True
        return self._keys

    def remove(self, id: str, tombstone: Thing) -> None:
        del self.rows[id]
        self.deleted[id] = tombstone
        del self._ordered()[bisect_left(self._keys, self._key_of[id])]

    def find(self, id: str) -> Thing | None:
        """The object itself, not a copy; None where there is none or it is deleted."""
        row = self.rows.get(id)
        if isinstance(row, Seedling):
            row = self.rows[id] = row.grown()
        return row

    def get(self, id: str, *, param: str = "id", status: int = 404) -> Thing:
        """The object itself.

        Raises:
            StripeError: none of that id.
        """
        found = self.find(id)
        if found is None:
            raise missing(self.kind, id, param=param, status=status)
        return found

    def all(self) -> Iterator[Thing]:
        """Each object, oldest first; what was made in bulk as a copy."""
        for _, _, id in list(self._ordered()):
            row = self.rows[id]
            yield row.grown() if isinstance(row, Seedling) else row

    def of(self, name: str, value: str) -> list[Thing]:
        """The objects that were made with that value in an indexed field, oldest first."""
        keys = sorted(self._index[name].get(value, ()))
        return [row for _, _, id in keys if (row := self.find(id)) is not None]

    def shown(self, name: str, value: str) -> list[Thing]:
        """The same to look at alone: what was made in bulk stays as small as it is."""
        rows = (self.rows.get(id) for _, _, id in sorted(self._index[name].get(value, ())))
        return [row.grown() if isinstance(row, Seedling) else row for row in rows if row is not None]

    def page(
        self,
        *,
        limit: int,
        after: str | None = None,
        before: str | None = None,
        window: tuple[float, float] = (float("-inf"), float("inf")),
        where: Callable[[Thing], bool] | None = None,
        index: tuple[str, str] | None = None,
    ) -> tuple[list[Thing | Seedling], bool]:
        """A page, newest first, and whether there is more. `window` is of `created`, both ends included."""
        keys = self._ordered() if index is None else sorted(self._index[index[0]].get(index[1], ()))
        low = bisect_left(keys, (window[0], -1, ""))  # type: ignore[type-var]
        high = bisect_right(keys, (window[1], float("inf"), ""))  # type: ignore[type-var]
        if after is not None:
            high = min(high, bisect_left(keys, self._cursor(after, "starting_after")))
        if before is not None:
            low = max(low, bisect_right(keys, self._cursor(before, "ending_before")))
        places: Iterable[int] = range(low, high) if before is not None else range(high - 1, low - 1, -1)
        found = self._matching((keys[place][2] for place in places), where, limit + 1)
        page = found[:limit]
        return page[::-1] if before is not None else page, len(found) > limit

    def _matching(
        self, ids: Iterable[str], where: Callable[[Thing], bool] | None, enough: int
    ) -> list[Thing | Seedling]:
        found: list[Thing | Seedling] = []
        for id in ids:
            row = self.rows.get(id)
            if row is None:
                continue
            if where is None or where(row.grown() if isinstance(row, Seedling) else row):
                found.append(row)
                if len(found) == enough:
                    break
        return found

    def _cursor(self, id: str, param: str) -> Key:
        if id not in self.rows:
            raise missing(self.kind, id, param=param, status=400)
        return self._key_of[id]


KINDS = (
    "customer", "product", "price", "coupon", "subscription", "invoice", "invoice_payment", "invoiceitem",
    "payment_intent", "charge", "refund", "dispute", "credit_note", "checkout.session", "balance_transaction",
    "payment_method", "event",
)  # fmt: skip
PREFIXES = {
    "cus": "customer", "prod": "product", "price": "price", "sub": "subscription", "in": "invoice",
    "inpay": "invoice_payment", "ii": "invoiceitem", "pi": "payment_intent", "ch": "charge", "re": "refund",
    "du": "dispute", "cn": "credit_note", "cs": "checkout.session",
    "txn": "balance_transaction", "pm": "payment_method", "evt": "event",
}  # fmt: skip


class Store:
    """A table for each kind."""

    def __init__(self) -> None:
        self.tables = {kind: Table(kind) for kind in KINDS}

    def __getitem__(self, kind: str) -> Table:
        return self.tables[kind]

    def by_id(self, id: str) -> Thing | None:
        """Any object by its id alone; a deleted one as Stripe shows it."""
        kind = PREFIXES.get(id.split("_", 1)[0])
        if kind is None:
            return self.tables["coupon"].find(id)
        return self.tables[kind].find(id) or self.tables[kind].deleted.get(id)


def copy(thing: Any) -> Any:
    """A deep copy, by way of JSON, which is quicker than copy.deepcopy and all that these objects are made of."""
    return orjson.loads(orjson.dumps(thing))
