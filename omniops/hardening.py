"""What is stricter where the console is reached from elsewhere, and what error pages never show."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.core.files.uploadhandler import FileUploadHandler
from django.views.debug import SafeExceptionReporterFilter

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
YEAR = 365 * 24 * 60 * 60
#: Bytes of a request with files. Those of ours have 10 MB; what is somewhat more is told by the form itself.
LARGEST_BODY = 32 * 1024 * 1024


def is_public(debug: bool, hosts: Iterable[str]) -> bool:
    """Whether others than this machine reach it: then a proxy ends TLS before it, and nothing is served without."""
    return not debug and any(host not in LOOPBACK for host in hosts)


def transport(public: bool) -> dict[str, Any]:
    """Settings of Django, for a console behind a proxy that ends TLS and overwrites X-Forwarded-Proto.

    The header is believed in public alone, where the process is reached through that proxy only. Who got past it could
    at most have plain HTTP taken for HTTPS, which no cookie of a browser travels by.
    """
    if not public:
        return {}
    return {
        "SECURE_PROXY_SSL_HEADER": ("HTTP_X_FORWARDED_PROTO", "https"),
        "SECURE_SSL_REDIRECT": True,
        # Probes come from the machine itself, without TLS.
        "SECURE_REDIRECT_EXEMPT": [r"^healthz$", r"^readyz$", r"^metrics$"],
        "SECURE_HSTS_SECONDS": YEAR,
        "SECURE_HSTS_INCLUDE_SUBDOMAINS": True,
        "SECURE_HSTS_PRELOAD": True,
        "SESSION_COOKIE_SECURE": True,
        "CSRF_COOKIE_SECURE": True,
    }


class SecretsFilter(SafeExceptionReporterFilter):
    """Django's hides what is called KEY, TOKEN, SECRET or PASS. A URL may hold a password as well."""

    hidden_settings = re.compile(
        f"{SafeExceptionReporterFilter.hidden_settings.pattern}|URL|URI|DSN|IDENTITY|STORAGE|COOKIE|SVIX|JWT", re.I
    )


class BodyLimit(FileUploadHandler):
    """Refuses a request with files before it is read: Django's own limit leaves files out."""

    def handle_raw_input(
        self, input_data: Any, META: Any, content_length: int, boundary: Any, encoding: str | None = None
    ) -> None:
        if content_length > LARGEST_BODY:
            raise RequestDataTooBig(f"The body has more than {LARGEST_BODY:,} bytes.")

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        return raw_data

    def file_complete(self, file_size: int) -> None:
        """The file is kept by the handlers after this one."""
