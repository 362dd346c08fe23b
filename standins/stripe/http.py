"""HTTP: a thread for each connection, one call at a time on the account."""

from __future__ import annotations

import re
import time
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import orjson

from standins.stripe import api, faults, parameters
from standins.stripe.control import control
from standins.stripe.errors import StripeError, bad_key, invalid
from standins.stripe.idempotency import Kept
from standins.stripe.store import Seedling

if TYPE_CHECKING:
    from standins.stripe.server import StripeServer


def dump(thing: Any) -> bytes:
    """JSON; what was made in bulk is put in as the bytes it is."""
    return orjson.dumps(thing, default=_seedling)


def _seedling(value: Any) -> Any:
    if isinstance(value, Seedling):
        return orjson.Fragment(value.body())
    raise TypeError(f"not JSON: {type(value)}")


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise invalid("Invalid request: the body is not UTF-8.") from None


_VERSION = re.compile(r"20\d\d-\d\d-\d\d(\.[a-z]+)?")
_CURSOR = re.compile(r"\b(starting_after|ending_before|page)=[^&]*")


class Front(ThreadingHTTPServer):
    """Listens for a stand-in."""

    daemon_threads = True
    request_queue_size = 256
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], stripe: StripeServer) -> None:
        super().__init__(address, Handler)
        self.stripe = stripe

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle of an answer is nothing to write about."""


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet
    disable_nagle_algorithm = True
    server: Front

    def do_GET(self) -> None:
        self._serve("GET")

    def do_POST(self) -> None:
        self._serve("POST")

    def do_DELETE(self) -> None:
        self._serve("DELETE")

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: tests and the demo need no log of each call."""

    def _serve(self, method: str) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.path)
        path = unquote(url.path)
        stripe = self.server.stripe
        if path.startswith("/_control/"):
            return self._control(path.removeprefix("/_control/"), body)
        fault = stripe.faults.take(method, path)
        time.sleep(stripe.faults.latency + (fault.seconds if fault and fault.kind == "slow" else 0))
        if fault and fault.kind == "cut" and not fault.after:
            return self._cut()
        try:
            if fault and fault.kind.isdigit() and not fault.after:
                self._count(method, path)
                self._keep(fault, method, path, _text(body) or url.query)
                raise faults.error(fault.kind)
            if stripe.faults.over_the_limit():
                self._count(method, path)
                raise faults.error("429")
            given = _text(body) or url.query
            if fault and fault.kind == "repeat":
                given = _CURSOR.sub("", given)
            status, answer, headers = self._answer(method, path, given)
            if fault and fault.after and fault.kind.isdigit():
                self._keep(fault, method, path, given)
                raise faults.error(fault.kind)
        except StripeError as error:
            status, answer, headers = error.status, dump(error.envelope()), error.headers
        except Exception:
            # A defect of the stand-in has to be seen by whoever runs the test, and not look like a cut connection.
            traceback.print_exc()
            status, answer, headers = 500, dump(faults.error("500").envelope()), {}
        if fault and fault.kind == "cut":
            return self._cut()
        return self._send(status, answer, headers)

    def _control(self, name: str, body: bytes) -> None:
        try:
            given = orjson.loads(body or b"{}")
            status, answer = 200, control(self.server.stripe, name, given)
        except orjson.JSONDecodeError as error:
            status, answer = 400, {"error": {"message": f"not JSON: {error}"}}
        except StripeError as error:
            status, answer = error.status, error.envelope()
        self._send(status, dump(answer), {})

    def _count(self, method: str, path: str) -> None:
        stripe = self.server.stripe
        try:
            shape = api.find(method, path)[2]
        except StripeError:
            shape = path
        with stripe.account.lock:
            stripe.calls[f"{method} {shape}"] += 1

    def _answer(self, method: str, path: str, given: str) -> tuple[int, bytes, dict[str, str]]:
        self._count(method, path)
        self._authenticate()
        stripe, key = self.server.stripe, self.headers.get("Idempotency-Key")
        version = self.headers.get("Stripe-Version", "")
        if version and not _VERSION.fullmatch(version):
            raise invalid(f"Invalid Stripe API version: {version}")
        with stripe.account.lock:
            request = stripe.account.new_request()
            headers = {"Request-Id": request, "Stripe-Version": version or stripe.account.api_version}
            asked = (method, path, given)
            if method == "POST" and key and (kept := stripe.idempotency.find(key, asked)):
                replayed = {"Idempotency-Key": key, "Idempotent-Replayed": "true", "Original-Request": kept.request}
                return kept.status, kept.body, headers | replayed
            stripe.account.request = {"id": request, "idempotency_key": key}
            try:
                status, body = 200, dump(api.answer(stripe.account, method, path, parameters.read(given), version))
            except StripeError as error:
                error.headers |= headers
                error.more["request_log_url"] = f"https://dashboard.stripe.com/test/logs/{request}"
                # What the card said is an outcome, so a second try with the same key hears the same.
                if error.status == 402 and key:
                    stripe.idempotency.keep(key, Kept(asked, 402, dump(error.envelope()), request))
                raise
            finally:
                stripe.account.request = {"id": None, "idempotency_key": None}
            if method == "POST" and key:
                stripe.idempotency.keep(key, Kept(asked, status, body, request))
        return status, body, headers

    def _keep(self, fault: faults.Fault, method: str, path: str, given: str) -> None:
        key = self.headers.get("Idempotency-Key")
        if fault.kept and key:
            error = faults.error(fault.kind)
            kept = Kept((method, path, given), error.status, dump(error.envelope()), "req_lost")
            with self.server.stripe.account.lock:
                self.server.stripe.idempotency.keep(key, kept)

    def _authenticate(self) -> None:
        given = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if given != self.server.stripe.key:
            raise bad_key(given[:8] + "*" * 8 + given[-4:] if given else "")

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _cut(self) -> None:
        self.close_connection = True
        self.connection.close()
