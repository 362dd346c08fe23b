"""The record of what staff did: a changed, missing or added row in it is found, and it is never edited."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connections, transaction
from django.test import override_settings
from django.urls import reverse
from django.utils import timezone

from console.models import StaffEvent, Summary
from console.models.staff import HEAD
from console.roles import AUDITOR, OPERATOR, SUPPORT
from console.signin.events import FAILED, KEPT_FOR, prune_failures
from console.staff_events import record, verify_chain
from tests.pages import signed_in

pytestmark = pytest.mark.django_db

Change = Callable[[], Any]


@pytest.fixture
def alice(db: Any) -> User:
    return User.objects.create_user("alice", is_staff=True)


@pytest.fixture
def five(alice: User) -> list[StaffEvent]:
    return [record("export", by=alice, subject=f"=user-{n}", detail={"of": (n, "é\0")}) for n in range(5)]


def rows() -> Any:
    return StaffEvent.objects.order_by("number")


def head() -> Any:
    return Summary.objects.filter(name=HEAD)


def rewritten_head(**values: Any) -> None:
    head().update(value={**head().get().value, **values})


def test_what_is_recorded_is_a_chain(five: list[StaffEvent]) -> None:
    chain = verify_chain()
    assert (chain.events, chain.faults, chain.other_key) == (5, [], 0)
    assert [event.number for event in rows()] == [1, 2, 3, 4, 5]
    assert [event.previous for event in rows()][1:] == [event.seal for event in rows()][:4]


def test_a_clock_that_is_set_back_breaks_nothing(five: list[StaffEvent]) -> None:
    StaffEvent.objects.create(action="a", at=timezone.now() - timedelta(days=400))
    record("b", by=None)
    assert (verify_chain().events, verify_chain().faults) == (7, [])


def test_whatever_way_a_row_is_made_it_is_sealed(five: list[StaffEvent]) -> None:
    StaffEvent.objects.create(action="a")
    StaffEvent.objects.bulk_create([StaffEvent(action="b"), StaffEvent(action="c")])
    StaffEvent.objects.get_or_create(action="d", defaults={"subject": "x"})
    assert (verify_chain().events, verify_chain().faults) == (9, [])


def swapped() -> None:
    """Rows 2 and 3 in each other's place, links and all."""
    two, three = rows().get(number=2), rows().get(number=3)
    rows().filter(number=2).update(number=99, previous=three.previous)
    rows().filter(number=3).update(number=2, previous=two.previous)
    rows().filter(number=99).update(number=3)


def appended() -> None:
    """One more at the end, linked to the last, with a seal that is none."""
    last = rows().get(number=5)
    StaffEvent.objects.create(
        action="x", number=6, previous=last.seal, seal="f" * 64, sealed_with=last.sealed_with, staff=last.staff
    )


CHANGES: dict[str, tuple[Change, str]] = {
    "order": (swapped, "event 2 was changed"),
    "one more": (appended, "event 6 was changed"),
    "link": (lambda: rows().filter(number=4).update(previous=""), "event 4 does not follow the one before it"),
    "text": (lambda: rows().filter(number=3).update(subject="chat.message"), "event 3 was changed"),
    "who": (lambda: rows().filter(number=3).update(staff=None), "event 3 was changed"),
    "when": (lambda: rows().filter(number=1).update(at=rows()[0].at - timedelta(days=1)), "event 1 was changed"),
    "detail": (lambda: rows().filter(number=5).update(detail={"rows": 0}), "event 5 was changed"),
    "first": (lambda: rows().filter(number=1).delete(), "events 1 to 1 are missing"),
    "middle": (lambda: rows().filter(number__in=[2, 3]).delete(), "events 2 to 3 are missing"),
    "newest": (lambda: rows().filter(number__gt=3).delete(), "the newest events, 4 to 5, are missing"),
    "all": (lambda: rows().delete(), "the newest events, 1 to 5, are missing"),
    "head": (lambda: head().delete(), "the head of the chain is missing or was changed"),
    "head's number": (lambda: rewritten_head(number=3), "the head of the chain is missing or was changed"),
    "another key": (lambda: rows().filter(number=2).update(sealed_with="x"), "event 2 has the seal of an unknown key"),
    "seals": (lambda: rows().filter(number=2).update(seal="x"), "event 2 was changed"),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_what_is_changed_past_the_console_is_found(five: list[StaffEvent], kind: str) -> None:
    change, fault = CHANGES[kind]
    change()
    assert fault in verify_chain().faults
    # What is recorded afterwards does not mend it.
    record("later", by=None)
    assert verify_chain().count > 0


@pytest.fixture
def pruned(alice: User) -> int:
    """Of eight events four were failed sign-ins of long ago: 1, 3, 4 and 6. Gives how many were pruned."""
    for number, kind in enumerate("fxffxfxf", start=1):
        old = timezone.now() - (timedelta(days=0) if number == 8 else KEPT_FOR + timedelta(hours=1))
        StaffEvent.objects.create(action=FAILED if kind == "f" else "export", at=old)
    return prune_failures()


def test_old_failures_are_pruned_by_a_sealed_note_and_nothing_else_may_be_missing(pruned: int) -> None:
    assert (pruned, prune_failures()) == (4, 0)
    assert [event.number for event in rows()] == [2, 5, 7, 8, 9]
    note = rows().get(number=9)
    assert (note.action, note.detail["events"]) == ("sign_in.pruned", [[1, 1], [3, 4], [6, 6]])
    assert (verify_chain().faults, verify_chain().pruned) == ([], 4)
    rows().filter(number=5).delete()
    assert verify_chain().faults == ["events 3 to 6 are missing"]


def test_a_note_that_something_was_pruned_cannot_be_forged(pruned: int) -> None:
    rows().filter(number=2).delete()
    rows().filter(number=9).update(detail={**rows().get(number=9).detail, "events": [[1, 4], [6, 6]]})
    assert verify_chain().faults == ["event 9 was changed"]


def test_what_was_made_to_look_like_an_old_failure_is_not_pruned(five: list[StaffEvent]) -> None:
    """Pruning would take the proof with it that the row was changed."""
    rows().filter(number=3).update(action=FAILED, at=timezone.now() - KEPT_FOR - timedelta(hours=1))
    assert prune_failures() == 0
    assert verify_chain().faults == ["event 3 was changed"]


def test_a_row_that_is_slipped_in_is_found(five: list[StaffEvent]) -> None:
    with connections["default"].cursor() as cursor:
        cursor.execute(
            "INSERT INTO console_staffevent (at, action, subject, detail, previous, seal, sealed_with)"
            " SELECT at, 'x', '', '{}', '', '', '' FROM console_staffevent WHERE number = 1"
        )
    assert verify_chain().faults == ["1 event was never sealed: written past the console"]


def test_the_newest_rows_with_their_head_taken_away_are_found_in_the_log(
    five: list[StaffEvent], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "omniops.trace"):
        sixth = record("x", by=None)
    assert caplog.messages == [f"staff event 6 sealed {sixth.seal}"]


def test_a_new_secret_key_goes_on_with_the_chain(five: list[StaffEvent]) -> None:
    with override_settings(SECRET_KEY="another-key-of-some-length"):
        record("later", by=None)
        record("later", by=None)
        chain = verify_chain()
        assert (chain.events, chain.faults, chain.other_key) == (7, [], 5)
        rows().filter(number=7).update(sealed_with="x")
        assert "event 7 has the seal of an unknown key" in verify_chain().faults
        rows().filter(number=7).update(sealed_with=rows().get(number=6).sealed_with)
        rows().filter(number=2).delete()
        assert verify_chain().faults[0] == "events 2 to 2 are missing"


def test_an_old_secret_key_in_the_settings_still_proves_its_rows(five: list[StaffEvent], settings: Any) -> None:
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another-key-of-some-length", [settings.SECRET_KEY]
    record("later", by=None)
    assert (verify_chain().faults, verify_chain().other_key) == ([], 0)
    rows().filter(number=2).update(action="y")
    assert verify_chain().faults == ["event 2 was changed"]


def test_what_is_taken_back_leaves_no_gap(five: list[StaffEvent]) -> None:
    with transaction.atomic():
        record("x", by=None)
        transaction.set_rollback(True)
    record("y", by=None)
    assert (verify_chain().events, verify_chain().faults) == (6, [])


@pytest.mark.parametrize("role", [AUDITOR, OPERATOR])
def test_the_list_is_searched_and_exported_but_not_edited(five: list[StaffEvent], role: str) -> None:
    client = signed_in(role)
    address = reverse("admin:console_staffevent_changelist")
    found = client.get(address, {"q": "=user-3"})
    assert [event.subject for event in found.context["cl"].result_list] == ["=user-3"]
    assert "export/?q=" in found.text
    file = client.post(reverse("admin:console_staffevent_export") + "?q=%3Duser-3")
    lines = b"".join(file.streaming_content).decode().splitlines()
    assert len(lines) == 2
    assert "'=user-3" in lines[1]
    assert StaffEvent.objects.latest("number").detail == {"format": "csv", "filters": "q=%3Duser-3"}
    assert client.get(reverse("admin:console_staffevent_export")).status_code == 200
    page = reverse("admin:console_staffevent_change", args=[five[0].pk])
    assert client.post(page, {"action": "x"}).status_code == 403


def in_process(manage: Callable, code: str, **variables: str) -> str:
    done = manage("shell", "-v0", "-c", code, **variables)
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


FORTY = """
import threading
from django.db import connections, transaction
from console.signin.events import FAILED, KEPT_FOR, prune_failures
from console.staff_events import record, verify_chain
def work():
    for n in range(10):
        record("x", by=None, detail={"n": n})
    connections.close_all()
threads = [threading.Thread(target=work) for _ in range(4)]
[t.start() for t in threads]; [t.join() for t in threads]
chain = verify_chain()
print(chain.events, chain.faults)
"""


def test_two_at_once_take_no_place_twice(manage: Callable) -> None:
    manage("setup_database", "--json")
    assert in_process(manage, FORTY).strip() == "40 []"


def test_two_at_once_take_no_place_twice_on_postgresql(manage: Callable, postgresql_database: Callable) -> None:
    url = postgresql_database()
    manage("setup_database", "--json", CONSOLE_DATABASE_URL=url)
    assert in_process(manage, FORTY, CONSOLE_DATABASE_URL=url).strip() == "40 []"


def test_verify_database_tells_of_a_missing_row(manage: Callable, tmp_path: Path) -> None:
    manage("setup_database", "--json")
    in_process(manage, 'from console.staff_events import record; [record("x", by=None) for n in range(3)]')
    whole = json.loads(manage("verify_database", "--json").stdout)
    assert whole["staff_events"] == {"events": 3, "faults": [], "sealed_with_another_key": 0, "pruned": 0}
    with sqlite3.connect(tmp_path / "console.sqlite3") as connection:
        connection.execute("DELETE FROM console_staffevent WHERE number = 3")
    connection.close()
    done = manage("verify_database", "--json")
    told = json.loads(done.stdout)
    assert done.returncode == 1
    assert told["staff_events"]["faults"] == ["the newest events, 3 to 3, are missing"]
    assert "what staff did has 1 faults" in told["error"]


def test_what_was_recorded_before_the_chain_is_its_beginning(manage: Callable) -> None:
    manage("setup_database", "--json")
    manage("migrate", "console", "0007")
    before = """
from django.db import connection
with connection.cursor() as cursor:
    for n in range(3):
        cursor.execute("INSERT INTO console_staffevent (at, action, subject, detail) "
                       "VALUES ('2026-11-20 10:00:00.5', 'x', 'y', %s)", ['{"n": 1.5}'])
"""
    in_process(manage, before)
    manage("migrate")
    after = """
from console.signin.events import FAILED, KEPT_FOR, prune_failures
from console.staff_events import record, verify_chain
record("z", by=None)
print(verify_chain().events, verify_chain().faults)
"""
    assert in_process(manage, after).strip() == "4 []"


def test_support_sees_no_record(five: list[StaffEvent]) -> None:
    assert signed_in(SUPPORT).get(reverse("admin:console_staffevent_changelist")).status_code == 403
