"""The console's own tables on a real PostgreSQL server, as in production."""

from __future__ import annotations

import json
from collections.abc import Callable


def test_the_console_is_set_up_on_postgresql(manage: Callable, postgresql_url: str) -> None:
    done = manage("setup_database", "--json", CONSOLE_DATABASE_URL=postgresql_url)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["ok"] is True


def test_staff_sign_in_and_roles_exist_on_postgresql(manage: Callable, postgresql_url: str) -> None:
    manage("setup_database", "--json", CONSOLE_DATABASE_URL=postgresql_url)
    shown = """
from django.contrib.auth.models import Group, User
from django.test import Client
alice = User.objects.create_user("alice", password="a-long-word-9", is_staff=True)
alice.groups.add(Group.objects.get(name="Support"))
client = Client(SERVER_NAME="localhost")
print(client.login(username="alice", password="a-long-word-9"), client.get("/admin/chat/user/").status_code)
"""
    done = manage("shell", "-v0", "-c", shown, CONSOLE_DATABASE_URL=postgresql_url)
    assert done.stdout.split() == ["True", "200"], done.stderr


def test_jobs_and_the_schedule_work_on_postgresql(manage: Callable, postgresql_url: str) -> None:
    manage("setup_database", "--json", CONSOLE_DATABASE_URL=postgresql_url)
    shown = """
from datetime import timedelta
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from console import jobs, schedule
from console.job_queue import reap
from console.models import Job
bob = User.objects.create_superuser("bob")
schedule.make_entries()
due = schedule.begin_due(timezone.now() + timedelta(days=1))
job = jobs.start("console.pruning", {}, by=bob, title="a" * 300)
assert jobs.cancel(job, by=bob) and jobs.retry(job)
assert jobs.work_off() == due + 2 and not reap(), "worked off"
client = Client(SERVER_NAME="localhost")
client.force_login(bob)
pages = ["/admin/console/job/?state__exact=done", "/admin/console/scheduleentry/", job.get_absolute_url()]
print(*{client.get(page).status_code for page in pages}, Job.objects.get(pk=job.pk).state)
"""
    done = manage("shell", "-v0", "-c", shown, CONSOLE_DATABASE_URL=postgresql_url)
    assert done.stdout.split() == ["200", "done"], done.stderr


def test_an_event_of_stripe_is_kept_once_on_postgresql(manage: Callable, postgresql_url: str) -> None:
    manage("setup_database", "--json", CONSOLE_DATABASE_URL=postgresql_url)
    shown = """
from console import inbox
from console.inbox_arrivals import arrival_of_stripe
from console.models import InboxEvent
event = {"id": "evt_1", "type": "customer.updated", "created": 1795348800, "livemode": False,
         "data": {"object": {"id": "cus_1", "metadata": {"userId": "user_1"}}}}
for _ in range(2):
    inbox.keep([arrival_of_stripe(event), arrival_of_stripe({**event, "id": "evt_2", "created": None})])
kept = InboxEvent.objects.order_by("pk").values_list("event_id", "livemode", "effect", "attempts", "happened_at__year")
print(*kept, InboxEvent.objects.filter(received_at=None).exists(), sep="|")
"""
    done = manage("shell", "-v0", "-c", shown, CONSOLE_DATABASE_URL=postgresql_url)
    assert done.stdout.strip() == ("('evt_1', False, [], 0, 2026)|('evt_2', False, [], 0, None)|False"), done.stderr


def test_a_null_character_in_a_name_stops_no_event_on_postgresql(manage: Callable, postgresql_url: str) -> None:
    variables = {"CONSOLE_DATABASE_URL": postgresql_url, "STRIPE_EFFECTS": "observe"}
    manage("setup_database", "--json", **variables)
    shown = """
from console import inbox
from console.inbox_arrivals import arrival_of_clerk, arrival_of_stripe
from console.models import InboxEvent
def signed_up(user):
    data = {"id": user, "first_name": chr(0), "email_addresses": [{"id": "1", "email_address": "a@example.com"}]}
    return arrival_of_clerk({"type": "user.created", "data": data}, f"msg_{len(user)}")
changed = {"id": "evt_null", "type": "customer.deleted", "data": {"object": {"id": f"cus_{chr(0)}"}}}
inbox.keep([signed_up("user_1"), signed_up(f"user_{chr(0)}2"), arrival_of_stripe(changed)])
inbox.work_off()
mine = InboxEvent.objects.filter(event_id__in=["msg_6", "msg_7", "evt_null"]).order_by("pk")
print(*mine.values_list("subject", "state"), sep="|")
"""
    done = manage("shell", "-v0", "-c", shown, **variables)
    found = "('user_1', 'processed')|('user_�2', 'parked')|('cus_�', 'received')"
    assert done.stdout.strip() == found, done.stderr
