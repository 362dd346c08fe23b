"""Who did what to whom, and what was before and after."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.db import IntegrityError, transaction
from django.utils import timezone

from database import audit
from database.models import AuditLog

pytestmark = pytest.mark.django_db


def test_an_entry_names_staff_and_both_sides_of_the_change():
    alice = get_user_model().objects.create_user("alice")
    audit.record(
        "users.update",
        by=alice,
        user_id="user_1",
        resource_type="users",
        resource_id="user_1",
        before={"tier": "free", "name": b"\xff"},
        after={"tier": "paid", "name": None},
        reason="asked for it",
    )
    entry = AuditLog.objects.get()
    assert (entry.action, entry.user_id, entry.resource_type, entry.resource_id) == (
        "users.update",
        "user_1",
        "users",
        "user_1",
    )
    assert entry.metadata == {
        "by": {"username": "alice", "id": alice.pk},
        "before": {"tier": "free", "name": "\N{REPLACEMENT CHARACTER}"},
        "after": {"tier": "paid", "name": None},
        "reason": "asked for it",
    }
    assert timezone.now() - entry.created_at < timedelta(minutes=1)


def test_a_program_is_named_too():
    assert audit.record("plans.update", by="operator", user_id=None).metadata == {"by": {"name": "operator"}}


def test_an_entry_with_an_id_of_its_cause_is_written_once():
    audit.record("grant.apply", by="operator", user_id="user_1", id="grant-1")
    with pytest.raises(IntegrityError), transaction.atomic(using="omnichat"):
        audit.record("grant.apply", by="operator", user_id="user_1", id="grant-1")
    assert AuditLog.objects.count() == 1


def test_an_entry_goes_with_a_change_that_is_rolled_back():
    with transaction.atomic(using="omnichat"):
        audit.record("users.update", by="operator", user_id="user_1")
        transaction.set_rollback(True, using="omnichat")
    assert not AuditLog.objects.exists()


def test_many_entries_are_written_at_once(django_assert_num_queries):
    entries = [audit.entry("users.import", by="operator", user_id=f"user_{number}") for number in range(50)]
    with django_assert_num_queries(1, using="omnichat"):
        audit.record_all(entries)
    assert AuditLog.objects.count() == 50
