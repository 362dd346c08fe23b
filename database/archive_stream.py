"""The members of a packed tar, one after the other, decrypted and unpacked as they are read."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from typing import IO, Any, cast

import zstandard

from database import archive_crypto
from database.archive_errors import ArchiveError, CutShort, Damaged, NotABackup

_BLOCK = tarfile.BLOCKSIZE
_ZSTD_MAGIC = zstandard.FRAME_HEADER
_HEAD_BYTES = 4096
_CUT = "The backup ends too early: its end is missing. Copy it anew, or take another one."
_NO_TAR = "It is no backup of omniops: packed by zstd, and no tar."
_CHANGED = "The backup is damaged: bytes of it are not what was written. Copy it anew, or take another one."


class ArchiveStream:
    """`next_member`, then `pieces` of it or not; the rest of a member is skipped.

    `file_bytes` is how long the unencrypted file should be, once known: by it a cut file is told from a damaged one.
    """

    def __init__(self, source: IO[bytes], identity: str) -> None:
        self.file_bytes = 0
        self.size = self._left = 0
        self._ahead, self._is_at_end, self._has_begun = b"", False, False
        self._raw = _Counted(source)
        self._plain: Any = self._raw
        try:
            self._plain = self._decrypted(identity)
            head = self._start()
        except BaseException:
            self._plain.close()
            raise
        self._unpacked = zstandard.ZstdDecompressor().stream_reader(
            cast("IO[bytes]", _Joined(head, self._plain)), read_across_frames=True, closefd=False
        )

    def _decrypted(self, identity: str) -> Any:
        if self._raw.head.startswith(archive_crypto.MAGIC):
            return archive_crypto.Decrypted(self._raw, identity)
        return self._raw

    def _start(self) -> bytes:
        head: bytes = self._named(self._plain.read, 4)
        if len(head) < 4 and _ZSTD_MAGIC.startswith(head):
            raise CutShort(_CUT)
        if head != _ZSTD_MAGIC:
            raise NotABackup("It is no backup of omniops: neither packed by zstd nor encrypted by age.")
        return head

    def next_member(self) -> str | None:
        """The name of the next member, whose `size` in bytes then is known; None at the end."""
        if self._is_at_end:
            return None
        self.look_ahead()
        block, self._ahead = self._ahead, b""
        if not block.strip(b"\0"):
            self.size, self._left, self._is_at_end = 0, 0, True
            return None
        try:
            info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError:
            raise Damaged(_CHANGED) if self._has_begun else NotABackup(_NO_TAR) from None
        self._has_begun = True
        self.size = self._left = info.size
        return info.name.removeprefix("./") if info.isreg() else self.next_member()

    def look_ahead(self) -> None:
        """Read as far as the next header. What was read of this member is known to be unchanged only then: its
        checksum stands behind it."""
        for _ in self.pieces(_BLOCK * 1024):
            pass
        if not self._ahead:
            self._read(-self.size % _BLOCK)
            self._ahead = self._read(_BLOCK)

    def finish(self) -> None:
        """Read to the end of the file. Raises CutShort or Damaged where it is not the end that was written."""
        while self.next_member() is not None:
            pass
        # An archive of tar's own ends in many blocks of zeros.
        while self._named(self._unpacked.read, _BLOCK * 1024):
            pass
        if not isinstance(self._plain, archive_crypto.Decrypted) and self._raw.total() < self.file_bytes:
            raise CutShort(_CUT)

    def pieces(self, size: int) -> Iterator[bytes]:
        """What is left of the member, `size` bytes at a time."""
        while self._left:
            piece = self._read(min(size, self._left))
            self._left -= len(piece)
            yield piece

    def _read(self, size: int) -> bytes:
        """Exactly so many bytes."""
        parts = []
        while size:
            part = self._named(self._unpacked.read, size)
            if not part:
                raise self._ended()
            parts.append(part)
            size -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _named(self, read: Any, size: int) -> bytes:
        try:
            data: bytes = read(size)
        except zstandard.ZstdError:
            raise Damaged(_CHANGED) from None
        except Damaged:
            raise self._ended() from None
        return data

    def _ended(self) -> ArchiveError:
        """The end came too early: of a cut file, or of a whole one whose changed bytes promise more."""
        wanted = self.file_bytes
        if isinstance(self._plain, archive_crypto.Decrypted):
            wanted = archive_crypto.encrypted_size(wanted, archive_crypto.header_size(self._raw.head))
            if not self.file_bytes:
                return Damaged(_CHANGED)
        return Damaged(_CHANGED) if 0 < wanted <= self._raw.total() else CutShort(_CUT)

    def close(self) -> None:
        self._plain.close()


class _Counted:
    """A file that counts what is read of it, and shows its beginning."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.head = b""
        while len(self.head) < _HEAD_BYTES and (part := file.read(_HEAD_BYTES - len(self.head))):
            self.head += part
        self._pending = self.head
        self._count = len(self.head)

    def read(self, size: int = -1) -> bytes:
        if self._pending:
            end = len(self._pending) if size < 0 else size
            data, self._pending = self._pending[:end], self._pending[end:]
            return data
        data = self._file.read(size)
        self._count += len(data)
        return data

    def total(self) -> int:
        """The bytes of the whole file."""
        while data := self._file.read(_BLOCK * 2048):
            self._count += len(data)
        return self._count

    def close(self) -> None:
        self._file.close()


class _Joined(io.RawIOBase):
    """Bytes that were read already, then the rest."""

    def __init__(self, head: bytes, rest: Any) -> None:
        self._head, self._rest = head, rest

    def read(self, size: int = -1) -> bytes:
        if self._head:
            data, self._head = self._head, b""
            return data
        found: bytes = self._rest.read(size)
        return found
