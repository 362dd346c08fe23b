"""Lists, cursors, windows, filters, expansion and parameters: read by the real client."""

from __future__ import annotations

from typing import Any

import pytest
import stripe as real

from standins.stripe import StripeServer


def ids(found: Any) -> list[str]:
    return [each["id"] for each in found.data]


def test_a_list_goes_by_cursors_from_the_newest_back(stripe: StripeServer, client: real.StripeClient) -> None:
    made = [stripe.customer(f"user{n}@example.com")["id"] for n in range(7)]
    first = client.v1.customers.list({"limit": 3})
    assert (ids(first), first.has_more) == (made[:3:-1], True)
    second = client.v1.customers.list({"limit": 3, "starting_after": made[4]})
    assert ids(second) == [made[3], made[2], made[1]]
    back = client.v1.customers.list({"limit": 3, "ending_before": made[1]})
    assert (ids(back), back.has_more) == ([made[4], made[3], made[2]], True)
    assert ids(client.v1.customers.list({"limit": 3, "starting_after": made[0]})) == []
    assert [each.id for each in client.v1.customers.list({"limit": 2}).auto_paging_iter()] == made[::-1]


def test_a_window_of_created_takes_both_kinds_of_ends(stripe: StripeServer, client: real.StripeClient) -> None:
    made = []
    for n in range(4):
        stripe.account.clock.set(1_800_000_000 + n)
        stripe.account.clock._frozen = True
        made.append(stripe.customer(f"user{n}@example.com")["id"])
    start = 1_800_000_000
    for window, wanted in [
        ({"gte": start + 1, "lt": start + 3}, [2, 1]), ({"gt": start + 1, "lte": start + 3}, [3, 2]),
        ({"gt": start + 3}, []), (start + 2, [2]),
    ]:  # fmt: skip
        found = client.v1.customers.list({"created": window})  # type: ignore[typeddict-item]
        assert ids(found) == [made[n] for n in wanted], window


def test_a_cursor_to_a_deleted_customer_is_an_error(stripe: StripeServer, client: real.StripeClient) -> None:
    made = [stripe.customer(f"user{n}@example.com") for n in range(3)]
    stripe.delete_customer(made[1])
    with pytest.raises(real.InvalidRequestError) as raised:
        client.v1.customers.list({"starting_after": made[1]["id"]})
    assert (raised.value.http_status, raised.value.code, raised.value.param) == (
        400, "resource_missing", "starting_after",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("given", "param"), [({"limit": 101}, "limit"), ({"limit": 0}, "limit"), ({"colour": "x"}, "colour")]
)
def test_what_stripe_refuses_is_refused(client: real.StripeClient, given: Any, param: str) -> None:
    with pytest.raises(real.InvalidRequestError) as raised:
        client.v1.customers.list(given)
    assert (raised.value.http_status, raised.value.param) == (400, param)


def test_filters_narrow_a_list(stripe: StripeServer, client: real.StripeClient) -> None:
    alice, bob = stripe.customer("alice@example.com"), stripe.customer("bob@example.com")
    a, b, c = stripe.subscribe(alice, "starter"), stripe.subscribe(bob, "power"), stripe.subscribe(bob, "starter")
    stripe.cancel(c, at_period_end=False)
    subs = client.v1.subscriptions
    assert ids(client.v1.customers.list({"email": "bob@example.com"})) == [bob["id"]]
    assert ids(subs.list()) == [b["id"], a["id"]], "what is canceled is only there when it is asked for"
    assert ids(subs.list({"status": "all", "customer": bob["id"]})) == [c["id"], b["id"]]
    assert ids(subs.list({"status": "canceled"})) == [c["id"]]
    assert ids(subs.list({"price": stripe.prices["starter", "month"]})) == [a["id"]]
    assert ids(client.v1.prices.list({"product": a["items"]["data"][0]["price"]["product"], "limit": 1})) != []
    assert len(client.v1.prices.list({"active": True, "limit": 100}).data) == 8
    assert len(client.v1.invoices.list({"status": "paid", "customer": bob["id"]}).data) == 2
    assert len(client.v1.checkout.sessions.list({"subscription": a["id"]}).data) == 1


def test_expand_puts_objects_where_ids_were(stripe: StripeServer, client: real.StripeClient) -> None:
    sub = stripe.subscribe(stripe.customer("alice@example.com"), "starter", coupon=stripe.coupon(50, "forever"))
    found = client.v1.subscriptions.list(
        {"expand": ["data.customer", "data.latest_invoice.payments.data", "data.discounts"]}
    ).data[0]
    assert found.customer.email == "alice@example.com"
    assert found.latest_invoice.payments.data[0].payment.payment_intent.startswith("pi_")
    assert found.discounts[0].source.coupon.startswith(tuple("ABCDEFGHJKLMNPQRSTUVWXYZ23456789"))
    plain = client.v1.invoices.retrieve(sub["latest_invoice"])
    assert "payments" not in plain
    deep = client.v1.invoices.retrieve(sub["latest_invoice"], {"expand": ["payments.data.payment.payment_intent"]})
    assert deep.payments.data[0].payment.payment_intent.status == "succeeded"
    with pytest.raises(real.InvalidRequestError, match="cannot be expanded"):
        client.v1.customers.list({"expand": ["data.nothing"]})


def test_customers_are_made_changed_and_merged(stripe: StripeServer, client: real.StripeClient) -> None:
    made = client.v1.customers.create({"email": "a@example.com", "metadata": {"userId": "user_a", "x": "1"}})
    client.v1.customers.update(made.id, {"name": "Alice", "metadata": {"x": "", "y": "2"}})
    found = client.v1.customers.retrieve(made.id)
    assert (found.name, found.metadata.to_dict()) == ("Alice", {"userId": "user_a", "y": "2"})
    changed = stripe.events[-1]
    assert changed["data"]["previous_attributes"] == {"name": None, "metadata": {"x": "1", "y": None}}
    assert changed["request"]["id"].startswith("req_")
    with pytest.raises(real.InvalidRequestError) as raised:
        client.v1.customers.create({"email": "nonsense"})
    assert raised.value.param == "email"


def test_a_subscription_is_made_changed_and_canceled_over_http(stripe: StripeServer, client: real.StripeClient) -> None:
    alice = stripe.customer("alice@example.com")
    price = stripe.prices["starter", "month"]
    sub = client.v1.subscriptions.create({"customer": alice["id"], "items": [{"price": price}], "trial_period_days": 3})
    assert sub.status == "trialing"
    later = client.v1.subscriptions.update(sub.id, {"cancel_at_period_end": True})
    assert later.cancel_at == later.items.data[0].current_period_end
    kept = client.v1.subscriptions.update(sub.id, {"cancel_at_period_end": False})
    assert kept.cancel_at is None
    paused = client.v1.subscriptions.update(sub.id, {"pause_collection": {"behavior": "void"}})
    assert paused.pause_collection.behavior == "void"
    assert client.v1.subscriptions.cancel(sub.id).status == "canceled"
    with pytest.raises(real.InvalidRequestError):
        client.v1.subscriptions.update(sub.id, {"cancel_at_period_end": True})


def test_events_reach_back_thirty_days_and_go_by_type(stripe: StripeServer, client: real.StripeClient) -> None:
    stripe.subscribe(stripe.customer("alice@example.com"), "starter")
    one = client.v1.events.list({"type": "invoice.paid"}).data
    assert [event.type for event in one] == ["invoice.paid"]
    several = client.v1.events.list({"types": ["customer.created", "checkout.session.completed"]}).data
    assert [event.type for event in several] == ["checkout.session.completed", "customer.created"]
    assert client.v1.events.retrieve(one[0].id).data.object["status"] == "paid"
    stripe.advance(days=30, seconds=3_600)
    assert one[0].id not in ids(client.v1.events.list({"type": "invoice.paid"}))


def test_an_event_keeps_what_was_so_then(stripe: StripeServer) -> None:
    sub = stripe.subscribe(stripe.customer("alice@example.com"), "starter")
    stripe.cancel(sub, at_period_end=False)
    seen = [e["data"]["object"]["status"] for e in stripe.events if e["data"]["object"]["object"] == "subscription"]
    assert seen == ["incomplete", "active", "canceled"]
    updated = next(e for e in stripe.events if e["type"] == "customer.subscription.updated")
    assert updated["data"]["previous_attributes"] == {"status": "incomplete"}


def test_the_same_seed_makes_the_same_ids() -> None:
    one, two, other = StripeServer(7), StripeServer(7), StripeServer(8)
    made = [each.subscribe(each.customer("a@example.com"), "starter")["id"] for each in (one, two, other)]
    assert made[0] == made[1] != made[2]


def test_a_search_goes_by_metadata_in_pages(stripe: StripeServer, client: real.StripeClient) -> None:
    stripe.account.clock.set(1_800_000_000)
    stripe.account.clock._frozen = True
    alice = stripe.customer("alice@example.com", user_id="user_alice")
    made = [stripe.buy_pack(alice, 500, 10 + n)["payment_intent"] for n in range(3)]
    stripe.subscribe(alice, "starter")
    query = 'status:"succeeded" AND -metadata["units"]:null'
    assert ids(client.v1.payment_intents.search({"query": query})) == []  # Not yet.
    stripe.advance(days=1)
    first = client.v1.payment_intents.search({"query": query, "limit": 2, "expand": ["data.latest_charge"]})
    assert (ids(first), first.has_more) == (made[:0:-1], True)
    assert first.data[0].latest_charge.object == "charge"  # type: ignore[union-attr]
    assert ids(client.v1.payment_intents.search({"query": query, "page": first.next_page})) == made[:1]
    for query, wanted in [
        ('metadata["units"]:"11"', made[1:2]), ('metadata["units"]:"10" OR metadata[\'units\']:"12"', made[2::-2]),
        (f"created<{stripe.clock - 86_400}", []), ('amount>499 amount<=500 -metadata["units"]:"12"', made[1::-1]),
    ]:  # fmt: skip
        assert ids(client.v1.payment_intents.search({"query": query})) == wanted, query
    assert ids(client.v1.customers.search({"query": 'metadata["userId"]:"USER_ALICE"'})) == [alice["id"]]


@pytest.mark.parametrize("query", ['mode:"payment"', "status", 'email:"a" AND name:"b" OR name:"c"', 'metadata:"x"'])
def test_a_search_that_stripe_cannot_read_is_refused(client: real.StripeClient, query: str) -> None:
    with pytest.raises(real.InvalidRequestError) as raised:
        client.v1.customers.search({"query": query})
    assert (raised.value.http_status, raised.value.param) == (400, "query")
