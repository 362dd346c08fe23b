"""Many grants from a file or a selection: shown row by row before, then worked off by a job, each row once."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import openpyxl
import pytest
from django.contrib.auth.models import Group, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connections
from django.test import Client

from billing.allowance import today
from billing.models import BatteryTransaction, UserBattery
from chat.models import User as Account
from console import grant_bulk, grant_jobs, jobs
from console.amounts import whole
from console.grants import Wish, apply, decide
from console.models import Grant, GrantBulk, Job, StaffEvent
from console.roles import BILLING, SUPPORT
from console.schedule import SCHEDULED
from d1.errors import OutcomeUnknown

pytestmark = pytest.mark.django_db
BULK = "/admin/console/grant/bulk/"
ROWS = "user,units,reason\n" + "".join(f"u{n},{n}0,outage\n" for n in range(1, 6))


@pytest.fixture(autouse=True)
def customers(db: Any) -> None:
    for n in range(1, 8):
        Account.objects.create(id=f"u{n}", email=f"u{n}@example.com")


def log_in(name: str, role: str) -> Client:
    user = User.objects.create_user(name, is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def support() -> Client:
    return log_in("alice", SUPPORT)


def upload(client: Client, content: str | bytes, name: str = "grants.csv", **values: Any) -> Any:
    data = content.encode() if isinstance(content, str) else content
    file = SimpleUploadedFile(name, data)
    return client.post(BULK, {"file": file, "category": "outage", "text": "", "ticket": "T-1", **values})


def confirm(client: Client, preview: Any) -> Job:
    done = client.post(f"{BULK}{preview.context['bulk'].pk}/")
    assert done.status_code == 302, done
    return Job.objects.get(pk=int(re.findall(r"\d+", done["Location"])[-1]))


def run(job: Job) -> Job:
    jobs.work_off()
    job.refresh_from_db()
    return job


def verdicts(preview: Any) -> dict[int, tuple[str, str]]:
    return {line.row.number: (name, line.why) for name, _, lines in preview.context["groups"] for line in lines}


def balances() -> dict[str, int | None]:
    return dict(UserBattery.objects.order_by("pk").values_list("pk", "total_balance"))


def test_each_row_of_a_file_is_shown_and_then_granted_once(support: Client) -> None:
    preview = upload(support, ROWS)
    assert preview.status_code == 200
    assert "5 rows: 5 would be granted (150 units)" in html.unescape(preview.content.decode())
    assert not Grant.objects.exists()
    job = run(confirm(support, preview))
    assert job.state == "done", job.error
    assert job.result == {"granted": 5, "units": 150, "waiting": 0, "not_granted": 0, "granted_before": 0}
    assert balances() == {"u1": 10, "u2": 20, "u3": 30, "u4": 40, "u5": 50}
    grant = Grant.objects.get(user_id="u3")
    assert (grant.bulk_row, grant.text, grant.ticket, grant.category) == (4, "outage", "T-1", "outage")
    assert StaffEvent.objects.get(action="grant.bulk").detail["rows"] == 5


def test_a_file_imported_twice_grants_once_whoever_brings_it(support: Client) -> None:
    run(confirm(support, upload(support, ROWS)))
    again = upload(log_in("bob", BILLING), ROWS, name="renamed.csv")
    assert {name for name, _ in verdicts(again).values()} == {"granted"}
    assert "No row of it can be granted" in again.content.decode()
    assert balances()["u5"] == 50


def test_the_same_file_confirmed_by_two_at_once_grants_once(support: Client) -> None:
    other = log_in("bob", BILLING)
    one, two = upload(support, ROWS), upload(other, ROWS)
    first, second = confirm(support, one), confirm(other, two)
    jobs.work_off()
    second.refresh_from_db()
    first.refresh_from_db()
    assert sum(job.result["granted"] for job in (first, second)) == 5
    assert sum(job.result["granted_before"] for job in (first, second)) == 5
    assert sum(filter(None, balances().values())) == 150


def test_a_confirmation_sent_twice_is_one_job(support: Client) -> None:
    preview = upload(support, ROWS)
    assert confirm(support, preview).pk == confirm(support, preview).pk
    jobs.work_off()
    assert Job.objects.filter(kind="grants.bulk").count() == 1
    assert StaffEvent.objects.filter(action="grant.bulk").count() == 1


def test_nobody_confirms_what_another_looked_at(support: Client) -> None:
    preview = upload(support, ROWS)
    done = log_in("bob", BILLING).post(f"{BULK}{preview.context['bulk'].pk}/")
    assert done["Location"] == "../"
    assert not Job.objects.exists()


def test_the_preview_tells_of_each_row_what_is_wrong_with_it(support: Client) -> None:
    Account.objects.create(id="u8", email="U1@example.com")
    with connections["omnichat"].cursor() as cursor:
        cursor.execute("INSERT INTO user_battery (user_id, total_balance) VALUES ('u7', 'many')")
    content = (
        "Email;Units;Reason\nu1@Example.com;10;x\nu2@example.com;10;x\nu2;10;x\nu2;11;x\nnobody@example.com;10;x\n"
        ";10;x\nu3;ten;x\nu3;1.5;x\nu3;-5;x\nu3;;x\nu3;=1+1;x\nu3;10;\nu7;10;x\nu3;6000;x\n"
    )
    found = verdicts(upload(support, content))
    expected = {
        2: ("problem", "Several users"),
        3: ("grant", ""),
        4: ("problem", "The same as row 3"),
        5: ("grant", ""),
        6: ("problem", "no such user"),
        7: ("problem", "names no user"),
        8: ("problem", "'ten'"),
        9: ("problem", "'1.5'"),
        10: ("problem", "1 to"),
        11: ("problem", "no units"),
        12: ("problem", "'=1+1'"),
        13: ("problem", "no reason"),
        14: ("problem", "cannot be read"),
        15: ("waits", "over the 5,000"),
    }
    assert {row: name for row, (name, _) in found.items()} == {row: name for row, (name, _) in expected.items()}
    assert all(why in found[row][1] for row, (_, why) in expected.items())


def test_rows_without_a_reason_take_the_one_for_all(support: Client) -> None:
    run(confirm(support, upload(support, "user,units\nu1,5\n", text="sorry")))
    assert Grant.objects.get().text == "sorry"


def test_limits_count_for_the_rows_together_and_the_others_wait(support: Client) -> None:
    content = "user,units,reason\n" + "".join(f"u{n},5000,x\n" for n in range(1, 6))
    preview = upload(support, content)
    assert [name for name, _ in verdicts(preview).values()].count("waits") == 1
    job = run(confirm(support, preview))
    assert (job.result["granted"], job.result["waiting"]) == (4, 1)
    assert Grant.objects.get(state="REQUESTED").user_id == "u5"


def test_a_workbook_gives_what_the_same_csv_gives(support: Client) -> None:
    book = openpyxl.Workbook()
    for row in (
        ["user", "units", "reason"],
        ["u1", 5, "x"],
        ["u2", 7.0, "x"],
        ["u3", "=1+1", "x"],
        ["u4", "1,000", "x"],
    ):
        book.active.append(row)
    data = io.BytesIO()
    book.save(data)
    preview = upload(support, data.getvalue(), "grants.xlsx")
    assert {row: name for row, (name, _) in verdicts(preview).items()} == {
        2: "grant",
        3: "grant",
        4: "problem",
        5: "grant",
    }
    run(confirm(support, preview))
    assert balances() == {"u1": 5, "u2": 7, "u4": 1_000}


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", "name,units\nx,1\n", "no column user"),
        ("a.csv", "user\nu1\n", "no column units"),
        ("a.csv", "user,units\n", "no row"),
        ("a.csv", "", "empty"),
        ("a.xlsx", "no workbook", "no Excel workbook"),
        ("a.json", "[]", ".csv or .xlsx"),
        ("a.csv", b"user,units\n\xff\xfe\xfa,1", "not UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read_is_told(support: Client, name: str, content: str | bytes, words: str) -> None:
    page = upload(support, content, name)
    assert page.status_code == 400
    assert words in html.unescape(page.content.decode())


def test_without_a_file_one_is_asked_for_it(support: Client) -> None:
    assert "Columns: user" in support.get(BULK).content.decode()
    assert support.post(BULK, {"category": "outage"}).status_code == 400


def test_users_that_are_marked_in_the_list_get_the_same(support: Client) -> None:
    marked = {"action": "grant_battery", "_selected_action": ["u1", "u2", "gone"], "index": "0"}
    asked = support.post("/admin/chat/user/", marked)
    assert "3 users are marked." in asked.content.decode()
    users = html.unescape(re.findall(r'name="users" value="([^"]+)"', asked.content.decode())[0])
    values = {"users": users, "units": "70", "category": "goodwill", "text": "sorry"}
    preview = support.post(BULK, values)
    assert {row: name for row, (name, _) in verdicts(preview).items()} == {1: "grant", 2: "grant", 3: "problem"}
    run(confirm(support, preview))
    assert balances() == {"u1": 70, "u2": 70}
    run(confirm(support, support.post(BULK, values)))
    assert balances() == {"u1": 140, "u2": 140}


def test_the_list_of_users_offers_it_to_who_may_grant_alone(support: Client) -> None:
    assert 'value="grant_battery"' in support.get("/admin/chat/user/").content.decode()
    auditor = log_in("erin", "Auditor")
    assert 'value="grant_battery"' not in auditor.get("/admin/chat/user/").content.decode()
    auditor.post("/admin/chat/user/", {"action": "grant_battery", "_selected_action": ["u1"], "index": "0"})
    assert not GrantBulk.objects.exists()


@pytest.mark.parametrize("users", ["", "[]", "nonsense", '{"a": 1}', "[1, 2]"])
def test_a_selection_that_is_none_is_told(support: Client, users: str) -> None:
    page = support.post(BULK, {"users": users, "units": "1", "category": "goodwill", "text": "x"})
    assert page.status_code == 400


def test_more_users_than_are_taken_are_told(support: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.grant_bulk_pages.MOST_SELECTED", 2)
    marked = {"action": "grant_battery", "_selected_action": ["u1", "u2", "u3"], "index": "0"}
    assert "Mark fewer users" in support.post("/admin/chat/user/", marked).content.decode()


@pytest.fixture
def pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grant_bulk, "PORTION", 2)


def test_it_is_stopped_and_goes_on_where_it_stopped(support: Client, pairs: None) -> None:
    job = confirm(support, upload(support, ROWS))
    real, seen = grant_bulk.grants.apply, []

    def slow(some: Any) -> Any:
        found = real(some)
        seen.append(len(some))
        if len(seen) == 1:
            jobs.cancel(job, by=job.actor)
        return found

    with patch.object(grant_bulk.grants, "apply", slow):
        run(job)
    assert (job.state, job.done) == ("canceled", 2)
    assert Grant.objects.count() == 2
    assert jobs.retry(job)
    run(job)
    assert (job.state, job.result["granted"]) == ("done", 5)
    assert balances() == {"u1": 10, "u2": 20, "u3": 30, "u4": 40, "u5": 50}


@pytest.mark.parametrize("step", ["decide", "apply"])
@pytest.mark.parametrize("after", [False, True])
def test_a_crash_before_or_after_any_step_loses_and_doubles_nothing(
    support: Client, pairs: None, step: str, after: bool
) -> None:
    confirm(support, upload(support, ROWS))
    bulk = GrantBulk.objects.get()
    real: Callable[..., Any] = getattr(grant_bulk.grants, step)
    calls: list[int] = []

    def crash(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == 2 and not after:
            raise KeyboardInterrupt
        found = real(*args, **kwargs)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return found

    with patch.object(grant_bulk.grants, step, crash), pytest.raises(KeyboardInterrupt):
        grant_bulk.work_off(bulk, 0, lambda done: None)
    assert grant_bulk.work_off(bulk, 0, lambda done: None)["granted"] == 5
    assert balances() == {"u1": 10, "u2": 20, "u3": 30, "u4": 40, "u5": 50}
    assert BatteryTransaction.objects.count() == 5


def test_a_lost_answer_is_tried_again_by_the_job(support: Client, pairs: None) -> None:
    job = confirm(support, upload(support, ROWS))
    real, calls = grant_bulk.grants.post, []

    def lose(*args: Any, **kwargs: Any) -> Any:
        found = real(*args, **kwargs)
        calls.append(1)
        if len(calls) == 2:
            raise OutcomeUnknown("lost")
        return found

    with patch.object(grant_bulk.grants, "post", lose):
        run(job)
        assert (job.state, job.cursor) == ("queued", 2)
        grant_bulk.work_off(GrantBulk.objects.get(), job.cursor, lambda done: None)
    assert balances() == {"u1": 10, "u2": 20, "u3": 30, "u4": 40, "u5": 50}


def test_who_is_deactivated_meanwhile_grants_nothing_more(support: Client, pairs: None) -> None:
    job = confirm(support, upload(support, ROWS))
    User.objects.filter(username="alice").update(is_active=False)
    run(job)
    assert job.state == "failed"
    assert "may not grant" in job.error
    assert not Grant.objects.exists()


def test_a_user_deleted_meanwhile_is_left_out(support: Client) -> None:
    job = confirm(support, upload(support, ROWS))
    Account.objects.filter(pk="u2").delete()
    run(job)
    assert (job.result["granted"], job.result["not_granted"]) == (4, 1)
    assert Grant.objects.get(user_id="u2").state == "REJECTED"


def test_previews_that_nobody_confirmed_are_swept(support: Client) -> None:
    upload(support, ROWS)
    GrantBulk.objects.update(made_at="2020-01-01T00:00:00Z")
    upload(support, ROWS.replace("10", "15"))
    assert GrantBulk.objects.count() == 1


def test_a_preview_that_was_swept_is_told(support: Client) -> None:
    preview = upload(support, ROWS)
    GrantBulk.objects.all().delete()
    done = support.post(f"{BULK}{preview.context['bulk'].pk}/", follow=True)
    assert "This preview is no longer there" in done.content.decode()


def test_a_preview_whose_last_day_is_over_meanwhile_is_not_granted(support: Client) -> None:
    preview = upload(support, ROWS, expires_on=str(today()))
    GrantBulk.objects.update(expires_on=today() - timedelta(days=1))
    done = support.post(f"{BULK}{preview.context['bulk'].pk}/", follow=True)
    assert "is over: begin anew" in done.content.decode()
    assert not Job.objects.exists()


def test_expired_grants_are_taken_back_by_the_schedule() -> None:
    assert SCHEDULED["grants.expire"].kind == "grants.expire"
    apply(decide([Wish("u1", "", 70, "promotion", "x", expires_on=today() - timedelta(days=1))], by="operator"))
    job = run(jobs.start("grants.expire", {}, by=None))
    assert (job.state, job.result) == ("done", {"expired": 1, "units": 70})
    assert balances() == {"u1": 0}


def test_a_worker_looks_each_minute_for_what_a_crash_left() -> None:
    (grant,) = decide([Wish("u1", "", 70, "test", "x")], by="operator")
    Grant.objects.update(decided_at=grant.requested_at - timedelta(minutes=2))
    (resume,) = [one for one in jobs.PERIODIC.values() if one.work is grant_jobs.resume]
    assert resume.every == timedelta(seconds=60)
    resume.work()
    assert balances() == {"u1": 70}


@pytest.mark.parametrize(
    ("cell", "units"),
    [
        (5, 5), (5.0, 5), ("5", 5), (" 1,000 ", 1_000), ("-5", -5), ("1,00", None), ("1.5", None), (1.5, None),
        (True, None), (None, None),
        ("٣", None), ("1_0", None), ("+10", None), ("1e1", None), ("１０", None), ("1,000,00", None),
        ("1" * 30, None), (float("nan"), None), (float("inf"), None),
    ],
)  # fmt: skip
def test_units_are_whole_numbers(cell: Any, units: int | None) -> None:
    assert whole(cell) == units
