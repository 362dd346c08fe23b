"""What staff did."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, ClassVar

from django.conf import settings
from django.db import models, transaction
from django.utils import timezone

from console import seals
from console.models.summary import Summary
from database.router import CONSOLE

#: The name of the row that holds the head of the chain.
HEAD = "staff events"
logger = logging.getLogger("omniops.trace")


class StaffEvents(models.QuerySet["StaffEvent"]):
    def bulk_create(self, objs: Iterable[StaffEvent], *words: Any, **options: Any) -> list[StaffEvent]:
        """One after another: each is sealed with the one before it."""
        events = list(objs)
        with transaction.atomic(using=CONSOLE):
            for event in events:
                event.save(using=CONSOLE)
        return events


class StaffEvent(models.Model):
    """What staff did that changed nothing in OmniChat's tables: an export, an import's preview, a role given.

    Whoever makes one makes a link of a chain (`console.seals`): a row that is changed or missing later is found.
    """

    at = models.DateTimeField(default=timezone.now, editable=False, db_index=True)
    staff = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    action = models.CharField(max_length=100, db_index=True)
    subject = models.CharField(max_length=255, blank=True, help_text="What it was done to: a model, or a row's id.")
    detail = models.JSONField(default=dict, blank=True)
    number = models.PositiveBigIntegerField(unique=True, null=True, editable=False, help_text="Its place in the chain.")
    previous = models.CharField(max_length=64, blank=True, editable=False)
    seal = models.CharField(max_length=64, blank=True, editable=False)
    sealed_with = models.CharField(max_length=8, blank=True, editable=False, help_text="Names the key, tells nothing.")

    # Said by hand: within a circle of imports the types of Django's own are not found.
    objects: ClassVar[Any] = StaffEvents.as_manager()

    class Meta:
        ordering = ["-at", "-id"]

    def __str__(self) -> str:
        return f"{self.action} {self.subject}".strip()

    @property
    def place(self) -> int:
        """Its number; 0 of one that was written past the console."""
        return self.number or 0

    def save(self, *words: Any, **options: Any) -> None:
        """A new one is sealed; the lock on the head lets no two take the same place."""
        if not self._state.adding or self.seal:
            super().save(*words, **options)
            return
        with transaction.atomic(using=CONSOLE):
            head = _locked_head()
            self._take_place(head)
            super().save(*words, **options)
            Summary.objects.using(CONSOLE).filter(name=HEAD).update(
                value=seals.Head(self.place, self.seal, head.since, head.broken).sealed(), counted_at=self.at
            )
        # A copy outside of the database, by which the loss of the newest rows with their head is seen.
        logger.info("staff event %s sealed %s", self.number, self.seal)

    def _take_place(self, head: seals.Head) -> None:
        self.subject, self.detail = seals.clean(self.subject)[:255], seals.clean(self.detail)
        self.number, self.previous, self.sealed_with = head.number + 1, head.last, seals.key_name()
        self.seal = seals.seal(self.sealed_parts())

    def sealed_parts(self) -> list[Any]:
        at = self.at.astimezone(timezone.get_default_timezone()).isoformat()
        return [self.number, self.previous, at, self.staff_id, self.action, self.subject, self.detail, self.sealed_with]


def _locked_head() -> seals.Head:
    """The head, locked until the block ends. SQLite locks at the beginning of the block."""
    rows = Summary.objects.using(CONSOLE)
    rows.get_or_create(name=HEAD, defaults={"value": {}, "counted_at": timezone.now()})
    newest = StaffEvent.objects.using(CONSOLE).exclude(number=None).order_by("-number")
    found = rows.annotate(newest=models.Subquery(newest.values("number")[:1])).select_for_update().get(name=HEAD)
    stored = found.value
    head = seals.Head.read(stored) if stored else None
    if head and (found.newest or 0) > head.number:
        head = None  # Rows that it knows nothing of have its next place.
    if head is None:
        last = newest.first()
        if last is None and not stored:
            return seals.Head()
        number, seal = (last.place, last.seal) if last else (0, seals.FIRST)
        return seals.Head(number, seal, broken=number + 1)
    if head.sealed_with not in ("", seals.key_name()):
        # SECRET_KEY was changed: from here on another key seals.
        return seals.Head(head.number, head.last, head.number + 1, head.broken)
    return head
