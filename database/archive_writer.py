"""Writes a backup: each table is compressed as it is read, and the file is put together when all sizes are known.

A tar says a member's size before the member. So the members wait in a spool, compressed, each a zstd frame of its own;
the tar's headers become small frames between them. Frames in a row are one zstd file, for any tool.
"""

from __future__ import annotations

import hashlib
import struct
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from queue import Queue
from threading import Thread
from typing import IO, Any

import orjson
import zstandard

from database.archive_format import FORMAT, MANIFEST, Member
from database.archive_values import Row, encoded

#: What D1 takes as a row. https://developers.cloudflare.com/d1/platform/limits/
MAX_ROW_BYTES = 2_000_000
_LEVEL = 1
_BLOCK = 512
_COPY_BYTES = 1024 * 1024
# https://github.com/facebook/zstd/blob/dev/doc/zstd_compression_format.md#skippable-frames
_SKIPPABLE, _SKIPPABLE_HEAD = 0x184D2A50, 8


@dataclass
class ArchiveWriter:
    """Gathers members in `spool`, an empty file that may be sought. `chunks` then gives the bytes of the whole."""

    spool: IO[bytes]
    watch: Callable[[int], None] = lambda rows: None
    members: list[Member] = field(default_factory=list)
    #: By table how many rows are larger than D1 takes.
    oversized: dict[str, int] = field(default_factory=dict)
    _frames: list[tuple[int, int]] = field(default_factory=list)

    def add_rows(self, member: Member, rows: Iterable[Row]) -> Member:
        """Write rows as lines; fills `rows`, `bytes` and `sha256` of the member."""
        return self.add_lines(member, encoded(rows))

    def add_lines(self, member: Member, chunks: Iterable[tuple[bytes, int]]) -> Member:
        """The same of lines as `encoded` gives them: each chunk with its number of rows."""

        def pieces() -> Iterator[bytes]:
            for chunk, count in chunks:
                member.rows += count
                self.watch(count)
                self._look_for_oversized(member, chunk)
                yield chunk

        return self._add(member, pieces())

    def _look_for_oversized(self, member: Member, chunk: bytes) -> None:
        if len(chunk) > MAX_ROW_BYTES:
            count = sum(len(line) > MAX_ROW_BYTES for line in chunk.split(b"\n"))
            if count:
                self.oversized[member.name] = self.oversized.get(member.name, 0) + count

    def add_text(self, member: Member, text: str) -> Member:
        return self._add(member, [text.encode()])

    def _add(self, member: Member, pieces: Iterable[bytes]) -> Member:
        start, hasher = self.spool.tell(), hashlib.sha256()
        # Two threads in C beside this one, which reads the database and makes JSON.
        compressor = zstandard.ZstdCompressor(level=_LEVEL, threads=1, write_checksum=True)
        with compressor.stream_writer(self.spool, closefd=False) as frame:

            def take(piece: bytes) -> None:
                hasher.update(piece)
                frame.write(piece)
                member.bytes += len(piece)

            _in_parallel(take, pieces)
        member.sha256 = hasher.hexdigest()
        self._frames.append((start, self.spool.tell() - start))
        self.members.append(member)
        return member

    def chunks(self, manifest: dict[str, Any]) -> Iterator[bytes]:
        """The file, its manifest first. `manifest` gets `format`, `file_bytes`."""
        heads = [_frame(_header(member.member, member.bytes)) for member in self.members]
        pads = [_frame(_padding(member.bytes)) if member.bytes % _BLOCK else b"" for member in self.members]
        end = _frame(bytes(2 * _BLOCK))
        rest = len(end) + sum(map(len, heads)) + sum(map(len, pads)) + sum(length for _, length in self._frames)
        yield _first_frame({"format": FORMAT, "file_bytes": 0, **manifest}, rest)
        for head, (start, length), pad in zip(heads, self._frames, pads, strict=True):
            yield head
            yield from self._spooled(start, length)
            yield pad
        yield end

    def _spooled(self, start: int, length: int) -> Iterator[bytes]:
        self.spool.seek(start)
        while length:
            piece = self.spool.read(min(length, _COPY_BYTES))
            if not piece:
                raise OSError("The temporary file of the backup is shorter than it was.")
            length -= len(piece)
            yield piece


def _in_parallel(take: Callable[[bytes], None], pieces: Iterable[bytes]) -> None:
    """Hash and compress in a thread: both let go of the interpreter, so the next rows are read meanwhile."""
    queue: Queue[bytes | None] = Queue(maxsize=4)
    failed: list[BaseException] = []

    def work() -> None:
        while (piece := queue.get()) is not None:
            try:
                if not failed:
                    take(piece)
            except BaseException as error:
                failed.append(error)

    thread = Thread(target=work, daemon=True)
    thread.start()
    try:
        for piece in pieces:
            if failed:
                break
            queue.put(piece)
    finally:
        queue.put(None)
        thread.join()
    if failed:
        raise failed[0]


def _first_frame(manifest: dict[str, Any], rest: int) -> bytes:
    """The manifest, which names the size of the file that it is a part of: a frame to be skipped fills it up."""

    def frame(total: int) -> bytes:
        text = orjson.dumps({**manifest, "file_bytes": total}, option=orjson.OPT_INDENT_2)
        return _frame(_header(MANIFEST, len(text)) + text + _padding(len(text)))

    reserved = len(frame(rest)) + 64
    filled = frame(rest + reserved)
    spare = reserved - len(filled) - _SKIPPABLE_HEAD
    return filled + struct.pack("<II", _SKIPPABLE, spare) + bytes(spare)


def _frame(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compress(data)


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = size, int(time.time()), 0o600
    return info.tobuf(tarfile.GNU_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % _BLOCK)
