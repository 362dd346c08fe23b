"""The file of a backup: what is written comes back, and what is wrong with a file is told as what it is."""

from __future__ import annotations

import io
import math
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import orjson
import pyrage
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from database.archive import Archive, read_archive
from database.archive_errors import ArchiveError, CutShort, Damaged, MissingMember, NewerFormat, NotABackup, WrongKey
from database.archive_format import SCHEMA, TABLE, Member, file_name, member_of, moment_of
from database.archive_values import RawText
from database.archive_writer import ArchiveWriter

INT64 = st.integers(-(2**63), 2**63 - 1)
RAW = st.binary(min_size=1).map(RawText)
CELL = st.one_of(st.none(), INT64, st.floats(allow_nan=False), st.text(), st.binary(), RAW)
ROWS = st.integers(1, 4).flatmap(lambda width: st.lists(st.lists(CELL, min_size=width, max_size=width), max_size=8))
BIG = [[number, "x" * 997] for number in range(3000)]


def packed(tables: dict[str, list[list[Any]]], **manifest: Any) -> bytes:
    with TemporaryFile() as spool:
        writer = ArchiveWriter(spool)
        writer.add_text(Member(SCHEMA), "CREATE TABLE t (a);\n")
        for name, rows in tables.items():
            writer.add_rows(Member(member_of(name), name, TABLE, ["a"]), rows)
        members = [member.as_dict() for member in writer.members]
        return b"".join(writer.chunks({"objects": [], "members": members, **manifest}))


def opened(data: bytes, identity: str = "") -> Archive:
    return read_archive(lambda: io.BytesIO(data), identity)


def read(data: bytes, identity: str = "") -> None:
    with opened(data, identity) as archive:
        archive.check()


def exact(rows: list[list[Any]]) -> list[list[tuple[type, Any]]]:
    """0.0 equals -0.0 and 1 equals 1.0, which would hide a loss."""
    return [[(type(value), str(value) if isinstance(value, float) else value) for value in row] for row in rows]


@given(ROWS)
def test_every_value_comes_back_as_it_was(rows: list[list[Any]]) -> None:
    with opened(packed({"t": rows})) as archive:
        assert exact(list(archive.rows("t"))) == exact(rows)
        archive.check()


def test_a_lone_surrogate_comes_back_as_its_bytes() -> None:
    with opened(packed({"t": [["a\ud800"]]})) as archive:
        assert list(archive.rows("t")) == [[RawText(b"a\xed\xa0\x80")]]


def test_an_infinity_is_no_null() -> None:
    with opened(packed({"t": [[math.inf], [-math.inf], [None]]})) as archive:
        assert list(archive.rows("t")) == [[math.inf], [-math.inf], [None]]


def test_any_tool_opens_it(tmp_path: Path) -> None:
    data = packed({"users": [[1, "a"]], "t": BIG})
    with tarfile.open(
        fileobj=io.BytesIO(zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True).read())
    ) as tar:
        assert tar.getnames() == ["manifest.json", "schema.sql", "tables/users.jsonl", "tables/t.jsonl"]
        assert tar.extractfile("tables/users.jsonl").read() == b'[1,"a"]\n'  # type: ignore[union-attr]
    (tmp_path / "x.zst").write_bytes(data)
    assert subprocess.run(["zstd", "-tq", tmp_path / "x.zst"], check=False).returncode == 0


def test_the_manifest_is_read_without_the_rest() -> None:
    data = packed({"t": [[i, i * 7919 % 104729] for i in range(200_000)]})
    taken: list[int] = []

    class Counting(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            found = super().read(size)
            taken.append(len(found))
            return found

    with read_archive(lambda: Counting(data), "") as archive:
        assert archive.manifest["file_bytes"] == len(data)
    assert sum(taken) < len(data) / 2


def test_members_may_be_read_in_any_order() -> None:
    with opened(packed({"a": [[1]], "b": [[2]], "c": [[3]]})) as archive:
        assert [list(archive.rows(name)) for name in "cabcb"] == [[[3]], [[1]], [[2]], [[3]], [[2]]]


def test_a_flipped_byte_is_never_taken_for_good() -> None:
    data = packed({"t": [[i, "some words"] for i in range(50)]})
    with opened(data) as archive:
        wanted = (archive.manifest, list(archive.rows("t")))
    told = set()
    for place in range(len(data)):
        flipped = bytearray(data)
        flipped[place] ^= 1 << place % 8
        try:
            with opened(bytes(flipped)) as archive:
                archive.check()
                assert (archive.manifest, list(archive.rows("t"))) == wanted, place
        except ArchiveError as error:
            told.add(type(error))
    assert Damaged in told
    assert told <= {Damaged, NotABackup, CutShort}


def test_a_cut_file_is_called_cut_wherever_it_is_cut() -> None:
    data = packed({"t": [[i, "some words"] for i in range(50)], "u": []})
    for length in range(len(data)):
        with pytest.raises(CutShort):
            read(data[:length])


def repacked(data: bytes, change: Callable[[dict[str, bytes]], None]) -> bytes:
    """The same through tar and zstd, as a person would change one."""
    plain = zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True).read()
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        members = {info.name: tar.extractfile(info).read() for info in tar}  # type: ignore[union-attr]
    change(members)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return zstandard.ZstdCompressor().compress(out.getvalue())


def test_a_missing_member_is_named() -> None:
    data = repacked(packed({"t": [[1]], "u": [[2]]}), lambda members: members.pop("tables/t.jsonl"))  # type: ignore[arg-type, return-value]
    with pytest.raises(MissingMember, match=r"tables/t\.jsonl is not in the file"):
        read(data)


def test_a_changed_row_is_found_by_its_hash() -> None:
    def change(members: dict[str, bytes]) -> None:
        members["tables/t.jsonl"] = members["tables/t.jsonl"].replace(b"500", b"900")

    with pytest.raises(Damaged, match=r"SHA-256 of tables/t\.jsonl"):
        read(repacked(packed({"t": [["balance", 500]]}), change))


def test_a_newer_format_asks_for_an_update() -> None:
    def change(members: dict[str, bytes]) -> None:
        members["manifest.json"] = orjson.dumps({**orjson.loads(members["manifest.json"]), "format": 2})

    with pytest.raises(NewerFormat, match="update omniops"):
        read(repacked(packed({}), change))


@pytest.mark.parametrize("data", [b"SELECT 1;\n", b"PK\x03\x04 zipped", zstandard.compress(b"hello" * 500)])
def test_other_files_are_no_backups(data: bytes) -> None:
    with pytest.raises(NotABackup):
        read(data)


def test_another_key_and_none_are_told_apart_from_damage() -> None:
    mine, other = pyrage.x25519.Identity.generate(), pyrage.x25519.Identity.generate()
    data = pyrage.encrypt(packed({"t": BIG}), [mine.to_public()])
    read(data, f"# created: today\n{mine}\n")
    with pytest.raises(WrongKey, match="another key"):
        read(data, str(other))
    with pytest.raises(WrongKey, match="BACKUP_AGE_IDENTITY"):
        read(data)


def test_a_cut_and_a_flipped_byte_are_told_apart_in_an_encrypted_file() -> None:
    rows = [[i, str(i * 7919 % 104729 * 31337)] for i in range(40_000)]
    mine = pyrage.x25519.Identity.generate()
    data = pyrage.encrypt(packed({"t": rows}), [mine.to_public()])
    for length in (len(data) - 1, len(data) - 20, len(data) - 70_000):
        with pytest.raises(CutShort):
            read(data[:length], str(mine))
    flipped = bytearray(data)
    flipped[-30_000] ^= 1
    with pytest.raises(Damaged):
        read(bytes(flipped), str(mine))


def test_names_of_files_say_their_moment() -> None:
    moment = moment_of("omnichat-20261122T140309Z.tar.zst.age")
    assert moment is not None
    assert file_name(moment, encrypted=False) == "omnichat-20261122T140309Z.tar.zst"
    assert [moment_of(name) for name in ("omnichat-20261399T000000Z.tar.zst", "other.tar.zst", "x")] == [None] * 3


@given(st.lists(st.text(min_size=1), unique=True, max_size=5))
def test_odd_names_of_tables_have_members_of_their_own(names: list[str]) -> None:
    taken: list[str] = []
    for name in names:
        taken.append(member_of(name, taken))
    assert len(set(taken)) == len(names)
    assert all(len(name) < 100 and name.isascii() and name.count("/") == 1 for name in taken)
