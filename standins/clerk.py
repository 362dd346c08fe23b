"""A stand-in of Clerk over real HTTP: its users, and the deliveries that tell of them, signed as Svix signs.

    with Clerk() as clerk:
        user = clerk.create("alice@example.com", "Alice", "Example")   # makes the event user.created
        body, headers = clerk.signed(clerk.events[-1])
        clerk.base, clerk.key, clerk.secret    # for CLERK_API_BASE, CLERK_SECRET_KEY, CLERK_WEBHOOK_SECRET

Served: GET /v1/users (limit to 500, offset, order_by, user_id, email_address, query), /v1/users/count, /v1/users/ID.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import random
import string
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import orjson

Thing = dict[str, Any]
_LETTERS = string.ascii_letters + string.digits
LARGEST = 500  # users of one page; Clerk's own default is 10


class ClerkError(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, code: str, message: str, long_message: str = "") -> None:
        super().__init__(message)
        self.status = status
        error = {"code": code, "long_message": long_message or message, "message": message, "meta": {}}
        self.body = {"errors": [error], "clerk_trace_id": "0" * 32}


class Clerk:
    """Serves in threads of this process while the `with` lasts. The same seed makes the same ids."""

    key = "sk_test_clerk_standin"

    def __init__(self, seed: int = 0, webhook_secret: str = "whsec_c3RhbmRpbi1vZi1jbGVyaw==", *, port: int = 0) -> None:
        self.secret = webhook_secret
        self.users: dict[str, Thing] = {}
        self.events: list[Thing] = []
        self.calls: Counter[str] = Counter()
        self.failures: list[int] = []  # statuses of the next answers
        self.lock = threading.RLock()
        self._random = random.Random(seed)
        self._port = port
        self._server: _Server | None = None

    def __enter__(self) -> Self:
        self._server = _Server(("127.0.0.1", self._port), self)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server:
            self._server.shutdown()
            self._server.server_close()

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`, without a path."""
        if self._server is None:
            raise RuntimeError("The stand-in serves inside `with Clerk() as clerk:` only.")
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def base(self) -> str:
        """With the `/v1`, as CLERK_API_BASE has it."""
        return f"{self.url}/v1"

    def create(
        self, email: str | None, first_name: str | None = None, last_name: str | None = None, *, id: str | None = None,
        created_at: int | None = None,
    ) -> Thing:  # fmt: skip
        """Signs somebody up. `created_at` in Unix seconds; Clerk itself counts in milliseconds."""
        with self.lock:
            moment = int(time.time() * 1000) if created_at is None else created_at * 1000
            user = _user(id or self._new_id("user"), first_name, last_name, moment)
            self.users[user["id"]] = user
            if email:
                self._set_email(user, email)
            self._tell("user.created", user)
            return _copy(user)

    def update(self, user: str | Thing, *, email: str | None = None, **values: Any) -> Thing:
        """Changes a name, a picture, metadata; an email becomes a second address, and the primary one."""
        with self.lock:
            found = self._find(user)
            unknown = values.keys() - found.keys()
            if unknown:
                raise ValueError(f"A user of Clerk has no {', '.join(sorted(unknown))}.")
            found |= values
            if email:
                self._set_email(found, email)
            found["updated_at"] = int(time.time() * 1000)
            self._tell("user.updated", found)
            return _copy(found)

    def delete(self, user: str | Thing) -> Thing:
        """What is left of them, which is all that the event has."""
        with self.lock:
            found = self._find(user)
            del self.users[found["id"]]
            gone = {"deleted": True, "id": found["id"], "object": "user"}
            self._tell("user.deleted", gone)
            return gone

    def signed(
        self, event: Thing, secret: str | None = None, at: int | None = None, id: str | None = None
    ) -> tuple[bytes, dict[str, str]]:
        """Body and headers of a delivery, with the same svix-id however often it is sent; `at` in Unix seconds."""
        body = orjson.dumps({name: value for name, value in event.items() if name != "svix_id"})
        name, moment = id or event["svix_id"], int(time.time()) if at is None else at
        key = base64.b64decode((secret or self.secret).removeprefix("whsec_"))
        digest = hmac.new(key, f"{name}.{moment}.".encode() + body, hashlib.sha256).digest()
        return body, {
            "Content-Type": "application/json", "svix-id": name, "svix-timestamp": str(moment),
            "svix-signature": f"v1,{base64.b64encode(digest).decode()}",
        }  # fmt: skip

    def answer(self, path: str, given: dict[str, list[str]]) -> Any:
        """
        Raises:
            ClerkError: no such path or user, or a parameter out of range.
        """
        if path == "/v1/users":
            found = _ordered(self._matching(given), given)
            limit, offset = _number(given, "limit", 10, LARGEST), _number(given, "offset", 0, None)
            return found[offset : offset + limit]
        if path == "/v1/users/count":
            return {"object": "total_count", "total_count": len(self._matching(given))}
        id = path.removeprefix("/v1/users/")
        if id not in self.users:
            raise ClerkError(404, "resource_not_found", "not found", f"No user was found with id {id}")
        return self.users[id]

    def _matching(self, given: dict[str, list[str]]) -> list[Thing]:
        ids = {each for name in ("user_id", "user_id[]") for each in given.get(name, ())}
        emails = {each for name in ("email_address", "email_address[]") for each in given.get(name, ())}
        query = given.get("query", [""])[0].lower()
        return [
            user for user in self.users.values()
            if (not ids or user["id"] in ids) and (not emails or emails & set(_emails(user)))
            and query in " ".join([user["id"], user["first_name"] or "", *_emails(user)]).lower()
        ]  # fmt: skip

    def _find(self, user: str | Thing) -> Thing:
        return self.users[user if isinstance(user, str) else user["id"]]

    def _set_email(self, user: Thing, email: str) -> None:
        address = {
            "id": self._new_id("idn"), "object": "email_address", "email_address": email, "linked_to": [],
            "reserved": False, "matches_sso_connection": False, "created_at": user["updated_at"],
            "updated_at": user["updated_at"],
            "verification": {"attempts": 1, "expire_at": None, "status": "verified", "strategy": "email_code"},
        }  # fmt: skip
        user["email_addresses"].append(address)
        user["primary_email_address_id"] = address["id"]

    def _tell(self, type: str, user: Thing) -> None:
        self.events.append({
            "data": _copy(user), "instance_id": "ins_standin", "object": "event", "timestamp": int(time.time() * 1000),
            "type": type, "event_attributes": {"http_request": {"client_ip": "127.0.0.1", "user_agent": "standin"}},
            "svix_id": self._new_id("msg"),
        })  # fmt: skip

    def _new_id(self, kind: str) -> str:
        return f"{kind}_2{''.join(self._random.choices(_LETTERS, k=26))}"


def _user(id: str, first_name: str | None, last_name: str | None, moment: int) -> Thing:
    return {
        "id": id, "object": "user", "username": None, "first_name": first_name, "last_name": last_name, "locale": None,
        "image_url": f"https://img.clerk.com/{id}", "has_image": False, "profile_image_url": "",
        "primary_email_address_id": None, "primary_phone_number_id": None, "primary_web3_wallet_id": None,
        "password_enabled": True, "two_factor_enabled": False, "totp_enabled": False, "backup_code_enabled": False,
        "email_addresses": [], "phone_numbers": [], "web3_wallets": [], "passkeys": [], "external_accounts": [],
        "saml_accounts": [], "enterprise_accounts": [], "public_metadata": {}, "private_metadata": {},
        "unsafe_metadata": {}, "external_id": None, "last_sign_in_at": None, "banned": False, "locked": False,
        "lockout_expires_in_seconds": None, "verification_attempts_remaining": 100, "created_at": moment,
        "updated_at": moment, "delete_self_enabled": True, "create_organization_enabled": True,
        "last_active_at": moment, "mfa_enabled_at": None, "mfa_disabled_at": None, "legal_accepted_at": None,
    }  # fmt: skip


def _emails(user: Thing) -> list[str]:
    return [each["email_address"] for each in user["email_addresses"]]


def _copy(thing: Thing) -> Thing:
    return orjson.loads(orjson.dumps(thing))  # type: ignore[no-any-return]


def _ordered(users: list[Thing], given: dict[str, list[str]]) -> list[Thing]:
    """By created_at, the newest first, unless told otherwise."""
    wanted = given.get("order_by", ["-created_at"])[0]
    name = wanted.lstrip("+-")
    if name not in ("created_at", "updated_at", "last_sign_in_at", "last_active_at", "first_name", "email_address"):
        raise ClerkError(422, "form_param_value_invalid", "is invalid", f"order_by: {wanted}")
    if name == "email_address":
        return sorted(users, key=_emails, reverse=wanted.startswith("-"))
    return sorted(users, key=lambda user: (user[name] is not None, user[name]), reverse=wanted.startswith("-"))


def _number(given: dict[str, list[str]], name: str, default: int, most: int | None) -> int:
    text = given.get(name, [str(default)])[0]
    if not text.isdigit() or (most is not None and not 1 <= int(text) <= most):
        said = f"{name} must be a number" + (f" from 1 to {most}." if most else ".")
        raise ClerkError(422, "form_param_value_invalid", "is invalid", said)
    return int(text)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], clerk: Clerk) -> None:
        super().__init__(address, _Handler)
        self.clerk = clerk


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        clerk, url = self.server.clerk, urlsplit(self.path)
        try:
            with clerk.lock:
                clerk.calls[f"GET {url.path}"] += 1
                if clerk.failures:
                    raise ClerkError(clerk.failures.pop(0), "internal_clerk_error", "an unexpected error occurred")
                if self.headers.get("Authorization") != f"Bearer {clerk.key}":
                    raise ClerkError(401, "clerk_key_invalid", "The provided Clerk Secret Key is invalid.")
                self._send(200, orjson.dumps(clerk.answer(url.path, parse_qs(url.query))))
        except ClerkError as error:
            self._send(error.status, orjson.dumps(error.body))

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: tests need no log of each call."""

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
