"""The stand-in in another process, driven over /_control with the names that it has in this one."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import urllib3

from standins.stripe.server import KEY
from standins.stripe.signing import signed
from standins.stripe.store import Thing


class RemoteError(RuntimeError):
    """What the stand-in refused, in its own words."""


class RemoteStripe:
    """A stand-in that runs at `url`. Every deed of StripeServer: `remote.subscribe(customer, "starter")`."""

    key = KEY

    def __init__(self, url: str, secret: str = "whsec_test") -> None:
        self.url, self.secret = url, secret
        self._http = urllib3.PoolManager(retries=False, timeout=600)

    def control(self, name: str, /, **given: Any) -> Any:
        """
        Raises:
            RemoteError: the stand-in refused.
        """
        answer = self._http.request("POST", f"{self.url}/_control/{name}", json=given)
        if answer.status != 200:
            raise RemoteError(answer.json()["error"]["message"])
        return answer.json()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda **given: self.control(name, **given)

    @property
    def calls(self) -> Counter[str]:
        return Counter(self.control("state")["calls"])

    @property
    def clock(self) -> int:
        return int(self.control("state")["clock"])

    @property
    def prices(self) -> dict[tuple[str, str], str]:
        return {(each["plan"], each["interval"]): each["id"] for each in self.control("state")["prices"]}

    @property
    def events(self) -> list[Thing]:
        return list(self.control("events"))

    def signed(self, event: Thing, secret: str | None = None, at: int | None = None) -> tuple[bytes, dict[str, str]]:
        return signed(event, secret or self.secret, at)


class StripeProcess(RemoteStripe):
    """Starts one in a process of its own, on a free port, for measurements; it ends with the `with`, or with us."""

    def __init__(self, *options: str, secret: str = "whsec_test") -> None:
        super().__init__("", secret)
        self._options = options
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "standins.stripe", "serve", "--with-parent", "--webhook-secret", self.secret]
        self._process = subprocess.Popen(
            [*command, *self._options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for line in self._process.stdout or ():
            if line.startswith("export STRIPE_API_BASE="):
                self.url = line.strip().partition("=")[2]
                return self
        raise RemoteError("The stand-in of Stripe did not start.")

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError("The stand-in runs inside the `with` only.")
        return self._process.pid

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process:
            self._process.communicate(timeout=60)
        self._http.clear()
