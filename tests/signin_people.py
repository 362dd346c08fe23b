"""People who sign in, and a clock that can be moved: what the tests of sign-in share."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import Any

import pytest
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, hotp_value, yield_hotp_counters_from_time
from cryptography.hazmat.primitives.asymmetric import ec
from django.contrib.auth.models import Group, User
from django.core.cache import cache
from django.test import Client
from fido2.cose import ES256
from fido2.utils import websafe_encode
from fido2.webauthn import AttestationObject, AttestedCredentialData, AuthenticatorData, CollectedClientData

from console.roles import SUPPORT

PASSWORD = "calm-otter-ferry"
WRONG = "not the password"
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
INDEX, LOGIN = "/admin/", "/admin/login/"
Clock = Callable[[float], None]


def person(name: str, *roles: str, **values: Any) -> User:
    made = User.objects.create_user(name, f"{name}@example.com", PASSWORD, **{"is_staff": True, **values})
    made.groups.set(Group.objects.filter(name__in=roles))
    return made


@pytest.fixture
def alice() -> User:
    return person("alice", SUPPORT)


def sign_in(client: Client, name: str, password: str = PASSWORD, path: str = LOGIN, **headers: Any) -> Any:
    return client.post(path, {"username": name, "password": password}, **headers)


def signed_in(user: User) -> Client:
    client = Client()
    assert sign_in(client, user.username).status_code == 302
    return client


def with_totp(user: User) -> User:
    TOTP.activate(user, SECRET)
    return user


def passkey() -> dict[str, Any]:
    """What a browser answers when a passkey is added, as allauth keeps it."""
    key = ES256.from_cryptography_key(ec.generate_private_key(ec.SECP256R1()).public_key())
    held = AttestedCredentialData.create(bytes(16), b"one passkey", key)
    shown = AuthenticatorData.create(hashlib.sha256(b"localhost").digest(), 0x41, 0, held)
    said = CollectedClientData.create("webauthn.create", bytes(16), "http://localhost")
    response = {
        "clientDataJSON": websafe_encode(said),
        "attestationObject": websafe_encode(AttestationObject.create("none", shown, {})),
    }
    id = websafe_encode(held.credential_id)
    return {"id": id, "rawId": id, "type": "public-key", "response": response, "clientExtensionResults": {}}


def code(steps: int = 0) -> str:
    """The code of now, or of so many steps of thirty seconds later; one that is one off is still good."""
    now = list(yield_hotp_counters_from_time())[1]
    return format_hotp_value(hotp_value(SECRET, now + steps))


@pytest.fixture(autouse=True)
def quick_passwords(settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def pass_time(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """`pass_time(60)`: a minute later, for all that reads the clock of this process by `time.time`."""
    passed = 0.0
    now = time.time

    def later(seconds: float) -> None:
        nonlocal passed
        passed += seconds
        monkeypatch.setattr(time, "time", lambda: now() + passed)

    return later


@pytest.fixture(autouse=True)
def no_counts(db: Any) -> None:
    """Codes that were used stand in the cache."""
    cache.clear()
