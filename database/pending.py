"""Imports that wait for a confirmation: what was previewed is kept in a file that only this program may read.

The page carries a signed token that names the file, its checksum, and who may confirm it; after an hour it is void.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from django.core import signing

from database.imports import Preview

#: How long a preview waits, in seconds.
KEPT = 3600
SALT = "database.pending"


class Gone(Exception):
    """There is no such preview, or no longer, or it is somebody else's."""


def keep(found: Preview, *, table: str, staff: Any) -> str:
    """Keep a preview; the token that gets it back."""
    content = json.dumps(found.as_dict(), default=lambda blob: {"hex": blob.hex()}).encode()
    name = uuid4().hex
    _sweep()
    with open(_folder() / name, "xb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        file.write(content)
    return signing.dumps([name, hashlib.sha256(content).hexdigest(), table, str(staff)], salt=SALT)


def take(token: str, *, table: str, staff: Any) -> Preview:
    """The preview of a token, once. Raises `Gone`."""
    try:
        name, digest, *owner = signing.loads(token, salt=SALT, max_age=KEPT)
        if owner != [table, str(staff)]:
            raise Gone
        path = _folder() / name
        content = path.read_bytes()
        path.unlink()
    except (signing.BadSignature, FileNotFoundError) as error:
        raise Gone from error
    if hashlib.sha256(content).hexdigest() != digest:
        raise Gone
    return Preview.of(json.loads(content, object_hook=_blob))


def _blob(value: dict[str, Any]) -> Any:
    return bytes.fromhex(value["hex"]) if value.keys() == {"hex"} else value


def _folder() -> Path:
    folder = Path(tempfile.gettempdir()) / f"omniops-imports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid() or folder.stat().st_mode & 0o077:
        raise PermissionError(f"{folder} is open to others: remove it.")
    return folder


def _sweep() -> None:
    for path in _folder().iterdir():
        # Another process may take it this moment.
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < time.time() - KEPT:
                path.unlink()
