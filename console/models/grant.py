"""Grants: units given to a user by staff, and the files and selections that many of them came from."""

from __future__ import annotations

from datetime import date
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.urls import reverse

from billing.models import TransactionType
from database.words import counted


def staff_key() -> Any:
    return models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+")


class GrantBulk(models.Model):
    """Rows of a file, or selected users, that somebody looked at; granted once it is confirmed.

    `rows` is a list of {row, user_id, email, units, text}: those that can be granted, `row` as in the file.
    """

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    file_name = models.CharField(max_length=255, blank=True)
    sha256 = models.CharField("SHA-256 of the file", max_length=64, blank=True)
    rows = models.JSONField(default=list)
    category = models.CharField(max_length=20)
    ticket = models.CharField(max_length=100, blank=True)
    expires_on = models.DateField(null=True, blank=True)
    made_by = staff_key()
    made_at = models.DateTimeField(auto_now_add=True, db_index=True)
    confirmed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "bulk grant"
        default_permissions = ()

    def __str__(self) -> str:
        # Without its rows, which are megabytes and not read for each of its grants.
        return self.file_name or "selected users"

    def key(self, row: int) -> str:
        """The key of the grant that a row becomes: the same file gives the same keys, whoever brings it."""
        return f"file:{self.sha256}:{row}" if self.sha256 else f"bulk:{self.pk}:{row}"


class Grant(models.Model):
    """Units for a user of OmniChat: who asked for them, who decided, and what was taken back.

    `key` names the cause: a form that was shown, a row of a file, a word of whoever types a command. `waits_because`
    says which limit it is over; empty where it is within the limits, and nobody needs to decide. A reversal and an
    expiry are decided when `reversal_units` or `expiry_units` are set, what is to be taken back, and done when
    `reversed_units` or `expired_units` are, what was: each happens once.
    """

    class State(models.TextChoices):
        REQUESTED = "REQUESTED"
        APPROVED = "APPROVED"
        APPLIED = "APPLIED"
        REJECTED = "REJECTED"
        REVERSED = "REVERSED"

    class Category(models.TextChoices):
        GOODWILL = "goodwill", "Goodwill"
        OUTAGE = "outage", "Outage"
        REFUND = "refund_in_kind", "Refund in kind"
        PROMOTION = "promotion", "Promotion"
        CORRECTION = "correction", "Correction"
        TEST = "test", "Test"

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    key = models.CharField(max_length=255, unique=True, null=True, blank=True)
    user_id = models.CharField("user", max_length=255, db_index=True)
    email = models.CharField("email at the time", max_length=320, blank=True)
    units = models.BigIntegerField()
    category = models.CharField(max_length=20, choices=Category, db_index=True)
    text = models.TextField("reason")
    ticket = models.CharField(max_length=100, blank=True, db_index=True)
    expires_on = models.DateField("usable until the end of (UTC)", null=True, blank=True)
    bulk = models.ForeignKey(GrantBulk, models.PROTECT, null=True, blank=True, related_name="grants")
    bulk_row = models.PositiveIntegerField(null=True, blank=True)

    state = models.CharField(max_length=10, choices=State)
    waits_because = models.CharField(max_length=300, blank=True)
    problem = models.CharField("why it is not applied", max_length=300, blank=True)
    requested_at = models.DateTimeField()
    requested_by = staff_key()
    operator = models.CharField("at the command line", max_length=150, blank=True)
    decided_at = models.DateTimeField(null=True, blank=True)
    decided_by = staff_key()
    decision = models.CharField(max_length=1000, blank=True)
    applied_at = models.DateTimeField(null=True, blank=True)

    reversal_units = models.BigIntegerField(null=True, blank=True)
    reversal_text = models.CharField(max_length=1000, blank=True)
    reversal_at = models.DateTimeField(null=True, blank=True)
    reversal_by = staff_key()
    reversed_units = models.BigIntegerField(null=True, blank=True)
    expiry_units = models.BigIntegerField(null=True, blank=True)
    expired_units = models.BigIntegerField(null=True, blank=True)
    expired_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-requested_at", "-id")
        # Nobody edits or deletes a grant: it is decided, applied and reversed.
        default_permissions = ("add", "view")
        permissions = (("approve_grant", "Can decide on grants that wait"), ("export_grant", "Can export grants"))
        indexes = (
            models.Index(fields=["-requested_at", "-id"], name="grant_by_time"),
            models.Index(fields=["requested_by", "requested_at"], name="grant_by_requester"),
            models.Index(fields=["state", "requested_at"], name="grant_by_state"),
            models.Index(
                fields=["expires_on"],
                condition=Q(expires_on__isnull=False, expired_at__isnull=True),
                name="grant_to_expire",
            ),
            models.Index(
                fields=["reversal_at"],
                condition=Q(reversal_units__isnull=False, reversed_units__isnull=True),
                name="grant_half_reversed",
            ),
        )
        constraints = (models.CheckConstraint(condition=Q(units__gt=0), name="grant_gives_units"),)

    def __str__(self) -> str:
        return f"{counted(self.units, 'unit')} for {self.email or self.user_id}"

    def get_absolute_url(self) -> str:
        return reverse("admin:console_grant_change", args=(self.pk,))

    @property
    def requester(self) -> str:
        return self.requested_by.get_username() if self.requested_by else self.operator

    @property
    def ledger_type(self) -> TransactionType:
        return TransactionType.REFUND if self.category == self.Category.REFUND else TransactionType.BONUS

    @property
    def entry_id(self) -> str:
        return f"grant:{self.pk}"

    @property
    def reversal_entry_id(self) -> str:
        return f"grant-reversal:{self.pk}"

    @property
    def expiry_entry_id(self) -> str:
        return f"grant-expiry:{self.pk}"

    @property
    def is_given(self) -> bool:
        return self.state in (self.State.APPLIED, self.State.REVERSED)

    def is_past(self, day: date) -> bool:
        """Whether its last day is over on this UTC day."""
        return self.expires_on is not None and self.expires_on < day
