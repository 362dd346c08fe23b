"""What BACKUP_STORAGE may say: a folder, a bucket of S3 or R2, or any storage class of Django."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

S3 = "database.backup_s3.BackupS3Storage"
_CLASS = re.compile(r"[A-Za-z_]\w*(\.\w+)+")
_SECRET = re.compile(r"key|secret|token|password", re.IGNORECASE)
_S3_OPTIONS = frozenset(("endpoint_url", "region_name", "addressing_style", "signature_version", "default_acl"))


@dataclass(frozen=True)
class Address:
    """Either a `folder`, or the dotted name of a storage class with its options."""

    text: str
    folder: Path | None = None
    storage_class: str = ""
    options: dict[str, Any] = field(default_factory=dict)


def address(text: str) -> Address:
    """`/folder`, `s3://BUCKET/PREFIX?endpoint_url=...`, or `package.Class?option=value`. ValueError otherwise."""
    url = urlsplit(text)
    if url.scheme == "s3":
        return _bucket(text)
    if url.scheme:
        raise ValueError("give a folder, s3://BUCKET/PREFIX?endpoint_url=..., or the name of a storage class.")
    name, mark, query = text.partition("?")
    if mark or (_CLASS.fullmatch(text) and not Path(text).exists()):
        if not _CLASS.fullmatch(name):
            raise ValueError(
                f"{name!r} is no name of a storage class such as storages.backends.gcloud.GoogleCloudStorage."
            )
        return Address(text, storage_class=name, options=_options(query))
    return Address(text, folder=Path(text).absolute())


def _bucket(text: str) -> Address:
    url = urlsplit(text)
    if not url.hostname or url.username:
        raise ValueError("give s3://BUCKET/PREFIX; the keys stand in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.")
    options = _options(url.query)
    if unknown := set(options) - _S3_OPTIONS:
        raise ValueError(f"{', '.join(sorted(unknown))} is none of {', '.join(sorted(_S3_OPTIONS))}.")
    return Address(
        text, storage_class=S3, options={"bucket_name": url.netloc, "location": url.path.strip("/"), **options}
    )


def _options(query: str) -> dict[str, str]:
    """The options of a storage. None may be secret: this text is shown in lists and errors."""
    options = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))
    if secret := [name for name in options if _SECRET.search(name)]:
        raise ValueError(
            f"{', '.join(secret)} looks like a secret, which must not stand in a URL; use the storage's own variables."
        )
    return options
