"""Encryption of backups to an age recipient, streamed. https://age-encryption.org/v1"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import IO, Any

import pyrage  # type: ignore[import-untyped]

from database.archive_errors import CutShort, Damaged, NotABackup, WrongKey

MAGIC = b"age-encryption.org/v1"
_CHUNK, _TAG, _NONCE = 64 * 1024, 16, 16


def recipient(text: str) -> Any:
    """The public key of a text: `age1...`, or an SSH key. ValueError where it is none."""
    kind = pyrage.ssh if text.startswith("ssh-") else pyrage.x25519
    try:
        return kind.Recipient.from_str(text)
    except pyrage.RecipientError as error:
        raise ValueError(f"it is no age recipient ({error}); it looks like age1...") from None


def identities(text: str) -> list[Any]:
    """The private keys of a text as age-keygen writes it, or of an OpenSSH private key. ValueError where there is none.

    The text of the error never holds any of it.
    """
    try:
        if "PRIVATE KEY-----" in text:
            return [pyrage.ssh.Identity.from_buffer(text.strip().encode() + b"\n")]
        lines = [line.strip() for line in text.splitlines()]
        found = [pyrage.x25519.Identity.from_str(line) for line in lines if line and not line.startswith("#")]
    except pyrage.IdentityError:
        found = []
    if not found:
        raise ValueError("it holds no age identity; it looks like AGE-SECRET-KEY-1...")
    return found


def encrypt(reader: Any, writer: IO[bytes], to: str) -> None:
    """Read `reader` to its end and write it encrypted. Errors of either side keep their kind."""
    keeper = _Keeper(reader)
    try:
        pyrage.encrypt_io(keeper, writer, [recipient(to)])
    except Exception:
        if keeper.error is not None:
            raise keeper.error from None
        raise


class _Keeper:
    """A reader that keeps its error, which pyrage would flatten into a text of its own."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader
        self.error: Exception | None = None

    def read(self, size: int) -> bytes:
        try:
            data: bytes = self._reader.read(size)
        except Exception as error:
            self.error = error
            raise
        return data


class Decrypted:
    """The plain bytes of an encrypted stream. pyrage pushes, so a thread of its own writes them into a pipe."""

    def __init__(self, source: Any, text: str) -> None:
        if not text:
            raise WrongKey("The backup is encrypted: give its age identity in BACKUP_AGE_IDENTITY.")
        self._source, self._identities = source, identities(text)
        self.error: Exception | None = None
        reading, writing = os.pipe()
        self._pipe = os.fdopen(reading, "rb", buffering=256 * 1024)
        self._thread = threading.Thread(target=self._work, args=(writing,), daemon=True)
        self._thread.start()

    def _work(self, writing: int) -> None:
        with suppress(BrokenPipeError), os.fdopen(writing, "wb", buffering=256 * 1024) as pipe:
            try:
                pyrage.decrypt_io(self._source, pipe, self._identities)
            except BrokenPipeError:
                pass  # Whoever reads has enough.
            except Exception as error:
                self.error = error

    def read(self, size: int = -1) -> bytes:
        data = self._pipe.read(size)
        if not data and size:
            self._thread.join()
            if self.error is not None:
                raise _named(self.error)
        return data

    def close(self) -> None:
        self._pipe.close()
        self._thread.join()
        self._source.close()


def _named(error: Exception) -> Exception:
    text = str(error)
    if "No matching keys" in text:
        return WrongKey("The backup is encrypted to another key than the one in BACKUP_AGE_IDENTITY.")
    if "truncated" in text or "Incomplete" in text:
        return CutShort("The backup ends too early: its end is missing. Copy it anew, or take another one.")
    if isinstance(error, pyrage.DecryptError) and "MAC" not in text:
        return NotABackup(f"The file begins as an encrypted one and goes on otherwise ({text}).")
    if isinstance(error, pyrage.DecryptError) or "decryption error" in text:
        return Damaged("The backup cannot be decrypted: bytes of it are not what was written.")
    return error


def encrypted_size(plain: int, header: int) -> int:
    """The bytes of an encrypted file whose header has `header` bytes."""
    return header + _NONCE + plain + _TAG * max(1, -(-plain // _CHUNK))


def header_size(start: bytes) -> int:
    """The bytes of the header that a file starts with; 0 where its end is not in `start`."""
    mark = start.find(b"\n--- ")
    return start.find(b"\n", mark + 1) + 1 if mark > 0 else 0
