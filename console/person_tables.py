"""All that OmniChat's tables hold of a person, page by page: memory does not grow with it, nor the requests with rows.

Tables are walked by the index that leads to a user's rows, from the oldest to the newest: a row that is touched
meanwhile moves to the end, so that it may come twice, but is never left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db import OperationalError, connections
from django.db.models import Count, Model, OuterRef, Q, QuerySet, Subquery
from django.db.models.expressions import Expression

from billing.models import BatteryTransaction, UserBattery, UserSubscription
from chat.models import ApiUsage, Conversation, DailyUsageSummary, Message, User
from database.columns import is_about_a_column, learn_missing_fields, missing_fields
from database.instants import Instant, StoredText
from database.models import AuditLog
from database.paging import Order, Place, RowId, Walk
from database.router import OMNICHAT

#: Rows of a page; of messages these are their contents, too.
PAGE = 500
Rows = list[Any]


@dataclass(frozen=True)
class Part:
    """A table: the field by which a row is a person's, and the one by which its index goes on. "" has one row."""

    model: type[Model]
    field: str
    moment: str = ""

    @property
    def table(self) -> str:
        return self.model._meta.db_table

    def key(self) -> Expression:
        if not self.moment or self.moment in missing_fields(self.model):
            return RowId()
        return StoredText(self.moment) if self.moment == "date" else Instant(self.moment)


USERS = Part(User, "id")
CONVERSATIONS = Part(Conversation, "user_id", "last_message_at")
MESSAGES = Part(Message, "conversation_id", "created_at")
#: The fields of a message that only who may read it is given.
SAID = ("content", "metadata")
USAGE = Part(ApiUsage, "user_id", "created_at")
AUDIT = Part(AuditLog, "user_id", "created_at")
PARTS = (
    USERS,
    CONVERSATIONS,
    MESSAGES,
    Part(UserSubscription, "user_id", "created_at"),
    Part(UserBattery, "user_id"),
    Part(BatteryTransaction, "user_id", "created_at"),
    USAGE,
    Part(DailyUsageSummary, "user_id", "date"),
    AUDIT,
)


def count_rows(user_id: str) -> dict[str, int]:
    """How many rows of each table are a person's. One query."""
    selects = ", ".join(f"(SELECT count(*) FROM {_of_person(part)})" for part in PARTS)  # noqa: S608
    with connections[OMNICHAT].cursor() as cursor:
        cursor.execute(f"SELECT {selects}", [user_id] * len(PARTS))
        row = cursor.fetchone() or ()
    return {part.table: count for part, count in zip(PARTS, row, strict=True)}


def _of_person(part: Part) -> str:
    column = part.model._meta.get_field(part.field).column  # type: ignore[union-attr]
    if part is MESSAGES:
        inner = "SELECT id FROM conversations WHERE userId = %s"
        return f'{part.table} WHERE "{column}" IN ({inner})'
    return f'{part.table} WHERE "{column}" = %s'


def pages(part: Part, user_id: str, after: Place | None = None) -> Iterator[Rows]:
    """The person's rows of a table. After each page `place_after` tells where to go on."""
    found = _pages(part, user_id, after)
    try:
        first = next(found, None)
    except OperationalError as error:
        # An adopted table may lack a column: it is done without.
        lacking = [learn_missing_fields(model) for model in (part.model, Conversation)]
        if not is_about_a_column(error) or not any(lacking):
            raise
        found = _pages(part, user_id, after)
        first = next(found, None)
    if first is not None:
        yield first
        yield from found


def _pages(part: Part, user_id: str, after: Place | None) -> Iterator[Rows]:
    if part is MESSAGES:
        return _messages(user_id)
    return _walk(part, Q(**{part.field: user_id}), _rows(part.model), after)


def place_after(part: Part, rows: Rows) -> Place:
    return Place(rows[-1].order_key, getattr(rows[-1], "order_tie", rows[-1].order_key))


def _rows(model: type[Model]) -> QuerySet[Any]:
    return model._default_manager.using(OMNICHAT).defer(*missing_fields(model))


def _walk(part: Part, condition: Q, rows: QuerySet[Any], after: Place | None = None) -> Iterator[Rows]:
    order, place = Order("", part.key(), descending=False), after
    while True:
        page = Walk(order, condition, place=place).page(rows, PAGE)
        if page.rows:
            yield page.rows
        place = page.place(-1)
        if not page.later or place is None:
            return


def conversation_pages(user_id: str) -> Iterator[Rows]:
    """The person's conversations, each with the number of its messages as `messages_count`."""
    messages = Message.objects.filter(conversation_id=OuterRef("pk")).order_by().values("conversation_id")
    counted = _rows(Conversation).annotate(messages_count=Subquery(messages.annotate(n=Count("pk")).values("n")))
    return _walk(CONVERSATIONS, Q(user_id=user_id), counted)


def _messages(user_id: str) -> Iterator[Rows]:
    """Of many small conversations together, of a long one by itself: a request brings a page either way."""
    for group, count in _groups(user_id):
        if count > PAGE:
            yield from _walk(MESSAGES, Q(conversation_id=group[0]), _rows(Message))
        else:
            found = _rows(Message).filter(conversation_id__in=group)
            yield list(found.order_by("conversation_id", MESSAGES.key().asc(), "pk"))


def _groups(user_id: str) -> Iterator[tuple[list[str], int]]:
    group: list[str] = []
    total = 0
    for page in conversation_pages(user_id):
        for conversation in page:
            count = conversation.messages_count or 0
            if group and total + count > PAGE:
                yield group, total
                group, total = [], 0
            if count:
                group, total = [*group, conversation.pk], total + count
    if group:
        yield group, total
