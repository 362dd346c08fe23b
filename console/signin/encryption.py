"""Secrets of second factors as they are stored: encrypted under a key that is in no database.

The key follows from DJANGO_SECRET_KEY. An older one in SECRET_KEY_FALLBACKS still decrypts.
"""

from __future__ import annotations

import base64
import logging

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.utils.encoding import force_bytes

logger = logging.getLogger(__name__)


class Unreadable(ValueError):
    """It was encrypted under another DJANGO_SECRET_KEY, or is damaged."""


def encrypt(text: str) -> str:
    return _cipher().encrypt(text.encode()).decode()


def decrypt(text: str) -> str:
    try:
        return _cipher().decrypt(text.encode()).decode()
    except InvalidToken:
        raise Unreadable(
            "A second factor was stored under another DJANGO_SECRET_KEY: remove it, and set up anew."
        ) from None


def _cipher() -> MultiFernet:
    return MultiFernet([_key(secret) for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)])


def _key(secret: str | bytes) -> Fernet:
    derived = HKDF(SHA256(), 32, salt=None, info=b"omniops second factors").derive(force_bytes(secret))
    return Fernet(base64.urlsafe_b64encode(derived))
