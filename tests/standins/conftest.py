"""One D1 engine for all tests of the stand-ins, emptied before each, and a plain HTTP client; Stripe and its client."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import stripe as stripe_library
import urllib3

from standins.d1 import Engine
from standins.stripe import LATEST, StripeServer


@dataclass
class Answer:
    """What came back: `body` is parsed when it is JSON, else text."""

    status: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def rows(self) -> list[list[Any]]:
        return self.body["result"][0]["results"]["rows"]

    @property
    def message(self) -> str:
        return self.body["errors"][0]["message"]


Call = Callable[..., Answer]


@pytest.fixture
def engine(d1_engine: Engine) -> Engine:
    d1_engine.reset()
    d1_engine.empty_database()
    d1_engine.reset()
    return d1_engine


@pytest.fixture
def call(engine: Engine) -> Iterator[Call]:
    """`call("POST", "/raw", {...}, token=..., fault=...)`: one request, never tried again."""
    http = urllib3.PoolManager(retries=False, timeout=30)

    def request(
        method: str, path: str, body: Any = None, *, fault: str = "", token: str = "", **options: Any
    ) -> Answer:
        url = path if path.startswith("http") else f"{base(engine)}{path}"
        headers = {"authorization": f"Bearer {token or engine.token}"} | ({"x-standin-fault": fault} if fault else {})
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        answer = http.request(method, url, body=data, headers=headers, **options)
        is_json = answer.headers.get("content-type") == "application/json"
        return Answer(answer.status, answer.json() if is_json else answer.data.decode(), dict(answer.headers))

    yield request
    http.clear()


def base(engine: Engine) -> str:
    return f"{engine.base}/accounts/{engine.account}/d1/database/{engine.database}"


@pytest.fixture
def stripe() -> Iterator[StripeServer]:
    with StripeServer() as server:
        yield server


@pytest.fixture
def client(stripe: StripeServer) -> stripe_library.StripeClient:
    """The real client of Stripe, which retries nothing."""
    return stripe_library.StripeClient(stripe.key, base_addresses={"api": stripe.url}, stripe_version=LATEST)
