"""The stand-in of Clerk: its deliveries by Svix's own verification, its users over HTTP."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import urllib3
from svix.webhooks import Webhook, WebhookVerificationError

from standins.clerk import Clerk

Get = Callable[..., tuple[int, Any]]


@pytest.fixture
def clerk() -> Iterator[Clerk]:
    with Clerk() as server:
        yield server


@pytest.fixture
def get(clerk: Clerk) -> Iterator[Get]:
    http = urllib3.PoolManager(retries=False, timeout=60)

    def request(path: str, fields: Any = None, key: str = "") -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {key or clerk.key}"}
        answer = http.request("GET", clerk.base + path.removeprefix("/v1"), fields=fields, headers=headers)
        return answer.status, answer.json()

    yield request
    http.clear()


def test_a_delivery_passes_svixs_verification(clerk: Clerk) -> None:
    alice = clerk.create("alice@example.com", "Alice", "Example")
    body, headers = clerk.signed(clerk.events[-1])
    Webhook(clerk.secret).verify(body, headers)
    event = json.loads(body)
    assert (event["type"], event["object"], event["data"]) == ("user.created", "event", alice)
    primary = event["data"]["primary_email_address_id"]
    addresses = {each["id"]: each["email_address"] for each in event["data"]["email_addresses"]}
    assert addresses[primary] == "alice@example.com"


def test_an_old_a_foreign_and_a_tampered_delivery_do_not(clerk: Clerk) -> None:
    clerk.create("alice@example.com")
    event = clerk.events[-1]
    for body, headers in (
        clerk.signed(event, at=int(time.time()) - 301),
        clerk.signed(event, secret="whsec_b3RoZXI="),
        (clerk.signed(event)[0] + b" ", clerk.signed(event)[1]),
    ):
        with pytest.raises(WebhookVerificationError):
            Webhook(clerk.secret).verify(body, headers)


def test_an_event_keeps_its_id_when_it_is_sent_again(clerk: Clerk) -> None:
    clerk.create("alice@example.com")
    clerk.create("bob@example.com")
    ids = [clerk.signed(event)[1]["svix-id"] for event in (*clerk.events, clerk.events[0])]
    assert ids[0] == ids[2] != ids[1]
    assert "svix_id" not in json.loads(clerk.signed(clerk.events[0])[0])


def test_a_change_of_the_email_keeps_the_old_address_beside_it(clerk: Clerk) -> None:
    alice = clerk.create("alice@example.com", "Alice")
    changed = clerk.update(alice, email="new@example.com", last_name="Example")
    assert [each["email_address"] for each in changed["email_addresses"]] == ["alice@example.com", "new@example.com"]
    assert changed["primary_email_address_id"] == changed["email_addresses"][1]["id"]
    assert clerk.events[-1]["type"] == "user.updated"
    with pytest.raises(ValueError, match="colour"):
        clerk.update(alice, colour="red")


def test_a_deleted_user_leaves_only_an_id(clerk: Clerk, get: Get) -> None:
    alice = clerk.create("alice@example.com")
    clerk.delete(alice)
    assert clerk.events[-1]["data"] == {"deleted": True, "id": alice["id"], "object": "user"}
    status, body = get(f"/v1/users/{alice['id']}")
    assert (status, body["errors"][0]["code"]) == (404, "resource_not_found")


def test_users_are_listed_newest_first_by_limit_and_offset(clerk: Clerk, get: Get) -> None:
    made = [clerk.create(f"user{n}@example.com", created_at=1_700_000_000 + n)["id"] for n in range(25)]
    assert [each["id"] for each in get("/v1/users")[1]] == made[:14:-1], "ten unless told otherwise"
    assert [each["id"] for each in get("/v1/users", {"limit": 5, "offset": 23})[1]] == [made[1], made[0]]
    assert [each["id"] for each in get("/v1/users", {"limit": 500, "order_by": "+created_at"})[1]] == made
    assert get("/v1/users/count")[1] == {"object": "total_count", "total_count": 25}
    assert get("/v1/users", [("user_id", made[3]), ("user_id", made[4])])[1][0]["id"] == made[4]
    assert [each["id"] for each in get("/v1/users", {"email_address": "user7@example.com"})[1]] == [made[7]]
    assert get(f"/v1/users/{made[2]}")[1]["created_at"] == 1_700_000_002_000


@pytest.mark.parametrize("fields", [{"limit": "501"}, {"limit": "x"}, {"offset": "-1"}, {"order_by": "colour"}])
def test_what_clerk_refuses_is_refused(get: Get, fields: dict[str, str]) -> None:
    assert get("/v1/users", fields)[0] == 422


def test_keys_are_checked_calls_counted_and_failures_planned(clerk: Clerk, get: Get) -> None:
    assert get("/v1/users", key="sk_test_wrong")[0] == 401
    clerk.failures = [500, 429]
    assert [get("/v1/users")[0] for _ in range(3)] == [500, 429, 200]
    assert clerk.calls == {"GET /v1/users": 4}
