"""Where backups are kept: a folder, a real S3 server on loopback, any storage of Django's."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

import boto3
import pyrage
import pytest
from django.db import ConnectionHandler
from django.test import override_settings
from moto.server import ThreadedMotoServer

from database import backup, backup_files
from database.archive import read_archive
from database.archive_format import file_name, moment_of
from database.backup import Wish, make_backup, remove_backups
from database.backup_address import address
from database.backup_files import Backups, Folder, backups_at
from database.backup_pruning import Keeping, to_remove
from database.backup_sqlite import BackupError
from omniops.environment import sqlite

NAME = "omnichat-20261122T140309Z.tar.zst"
RECORD = {"created_at": "2026-11-22T14:03:09Z", "partial": False, "anonymized": False, "verified_at": None}


@pytest.fixture
def live(tmp_path: Path) -> Any:
    with closing(sqlite3.connect(tmp_path / "live.sqlite3")) as database:
        database.execute("CREATE TABLE t (x)")
        database.executemany("INSERT INTO t VALUES (?)", [(os.urandom(3000).hex(),) for _ in range(4000)])
        database.commit()
    return ConnectionHandler({"default": sqlite(tmp_path / "live.sqlite3")})["default"]


@pytest.fixture(scope="module")
def s3_server() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in {"ACCESS_KEY_ID": "mine", "SECRET_ACCESS_KEY": "secret", "DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    boto3.client("s3", endpoint_url=s3_server).create_bucket(Bucket="kept")
    found = boto3.resource("s3", endpoint_url=s3_server).Bucket("kept")
    found.objects.delete()
    return found


def text_of(server: str) -> str:
    return f"s3://kept/omni/chat?endpoint_url={server}"


def test_a_folder_shows_a_file_only_when_it_is_whole(tmp_path: Path) -> None:
    backups = backups_at(str(tmp_path / "kept"))
    seen: list[list[str]] = []

    def deliver(file: IO[bytes]) -> None:
        file.write(b"half")
        seen.append(backups.place.names())
        raise OSError(28, "No space left on device")

    with pytest.raises(BackupError, match="No space left on device"):
        backups.add(NAME, deliver, RECORD)
    assert seen == [[]]
    assert list((tmp_path / "kept").iterdir()) == []


HALF = """
import os, sys
from pathlib import Path
from database.backup_files import Folder
def deliver(file):
    file.write(b"half"); file.flush(); print("there", flush=True); sys.stdin.read()
Folder(Path(sys.argv[1])).put(sys.argv[2], deliver)
"""


def test_what_a_killed_run_left_is_never_listed_and_goes_with_the_next(tmp_path: Path) -> None:
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "omniops.settings"}
    with subprocess.Popen(
        [sys.executable, "-c", HALF, str(tmp_path), NAME],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment,
    ) as run:  # fmt: skip
        assert run.stdout is not None
        assert run.stdout.readline() == b"there\n"
        left = list(tmp_path.iterdir())
        backups = backups_at(str(tmp_path))
        assert (len(left), backups.records(), backups.unrecorded()) == (1, [], [])
        backups.add(NAME, lambda file: file.write(b"another") and None, RECORD)
        assert left[0].exists(), "it is still being written"
        run.kill()
    backups.write_record({**RECORD, "backup": NAME})
    assert not left[0].exists()
    assert [record["backup"] for record in backups.records()] == [NAME]


def test_a_file_without_a_record_is_shown_as_such(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"copied by hand")
    (tmp_path / "omnichat-20261122T140309Z.tar.zst.age").write_bytes(b"too")
    (tmp_path / "notes.txt").write_bytes(b"")
    backups = backups_at(str(tmp_path))
    assert (backups.records(), backups.unrecorded()) == ([], [NAME, f"{NAME}.age"])


def test_s3_keeps_a_backup_in_parts_and_gives_it_back(live: Any, bucket: Any, s3_server: str) -> None:
    backups = backups_at(text_of(s3_server))
    assert backups.records() == []
    record = make_backup(live, backups, Wish(console=False))
    assert record["bytes"] > 8 * 1024 * 1024, "less is not sent in parts"
    assert {each.key for each in bucket.objects.all()} == {
        f"omni/chat/{record['backup']}", f"omni/chat/{record['backup']}.json",
    }  # fmt: skip
    assert backups.records() == [record]
    with read_archive(backups.source(record["backup"]), "") as archive:
        archive.check()
        assert archive.manifest["tables"] == {"t": 4000}
    assert list(remove_backups(backups, [record["backup"]])) == [record["backup"]]
    assert list(bucket.objects.all()) == []


def test_s3_shows_nothing_of_an_upload_that_failed(live: Any, bucket: Any, s3_server: str, monkeypatch: Any) -> None:
    from botocore.client import BaseClient

    usual, parts = BaseClient._make_api_call, []

    def fail(client: Any, name: str, options: dict[str, Any]) -> Any:
        if name == "UploadPart" and options["PartNumber"] == 2:
            parts.append(name)
            raise ConnectionError("the line is dead")
        return usual(client, name, options)

    monkeypatch.setattr(BaseClient, "_make_api_call", fail)
    backups = backups_at(text_of(s3_server))
    with pytest.raises(BackupError, match="the line is dead"):
        make_backup(live, backups, Wish(console=False))
    monkeypatch.undo()
    assert parts
    assert list(bucket.objects.all()) == []
    assert list(bucket.multipart_uploads.all()) == [], "the upload was not aborted"


def test_a_bucket_that_is_not_there_and_one_that_cannot_be_reached_are_told(bucket: Any, s3_server: str) -> None:
    with pytest.raises(BackupError, match=r"NoSuchBucket|does not exist"):
        backups_at(f"s3://missing?endpoint_url={s3_server}").records()
    with pytest.raises(BackupError, match=r"^s3://kept\?endpoint_url=http://127\.0\.0\.1:1: nothing could be listed"):
        backups_at("s3://kept?endpoint_url=http://127.0.0.1:1").records()


def test_any_storage_of_django_will_do(live: Any, tmp_path: Path) -> None:
    backups = backups_at(f"django.core.files.storage.FileSystemStorage?location={tmp_path / 'other'}")
    record = make_backup(live, backups, Wish(console=False))
    backups.write_record({**record, "verified_at": "now"})
    assert [(each["rows"], each["verified_at"]) for each in backups.records()] == [(4000, "now")]
    assert len(list((tmp_path / "other").iterdir())) == 2


def test_a_backup_is_encrypted_to_the_recipient(live: Any, tmp_path: Path) -> None:
    mine = pyrage.x25519.Identity.generate()
    backups = backups_at(str(tmp_path / "kept"))
    with override_settings(BACKUP_AGE_RECIPIENT=str(mine.to_public()), BACKUP_AGE_IDENTITY=str(mine)):
        record = make_backup(live, backups, Wish(console=False))
        assert record["backup"].endswith(".tar.zst.age")
        assert (tmp_path / "kept" / record["backup"]).read_bytes().startswith(b"age-encryption.org/v1")
        with read_archive(backups.source(record["backup"])) as archive:
            archive.check()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("https://example.com/backups", "give a folder"),
        ("s3://", "give s3://BUCKET"),
        ("s3://me:secret@kept", "AWS_ACCESS_KEY_ID"),
        ("s3://kept?access_key=x", "looks like a secret"),
        ("s3://kept?color=red", "color is none of"),
        ("some where?x=1", "is no name of a storage class"),
    ],
)
def test_an_address_that_makes_no_sense_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        address(text)


def test_a_class_that_is_not_there_is_told() -> None:
    with pytest.raises(BackupError, match=r"no\.such\.Storage"):
        backups_at("no.such.Storage")


def records_of(days: int, verified: tuple[int, ...] = ()) -> list[dict[str, Any]]:
    """One a day at noon, the oldest first; day 0 is the newest."""
    noon = datetime(2026, 11, 22, 12, tzinfo=UTC)
    return [
        {
            **RECORD,
            "backup": file_name(noon - timedelta(days=day), encrypted=False),
            "verified_at": "t" if day in verified else None,
        }
        for day in reversed(range(days))
    ]


def kept(records: list[dict[str, Any]], keeping: Keeping) -> list[str]:
    gone = to_remove(records, keeping)
    return [each["backup"][9:17] for each in records if each not in gone]


def test_days_weeks_and_months_keep_their_last() -> None:
    records = records_of(90)
    assert kept(records, Keeping(last=3)) == ["20261120", "20261121", "20261122"]
    assert kept(records, Keeping(daily=2)) == ["20261121", "20261122"]
    assert kept(records, Keeping(weekly=3)) == ["20261108", "20261115", "20261122"]
    assert kept(records, Keeping(monthly=3)) == ["20260930", "20261031", "20261122"]
    assert kept(records, Keeping(last=2, weekly=2, monthly=2)) == ["20261031", "20261115", "20261121", "20261122"]


def test_the_only_verified_one_stays_whatever_is_asked() -> None:
    assert kept(records_of(30, verified=(20,)), Keeping(last=1)) == ["20261102", "20261122"]
    assert kept(records_of(30, verified=(20, 10)), Keeping(last=1)) == ["20261112", "20261122"]
    assert kept(records_of(30), Keeping()) == ["20261122"]


def test_copies_for_development_stand_in_for_no_backup() -> None:
    records = records_of(3)
    records[2]["anonymized"] = True
    records[1]["partial"] = True
    assert kept(records, Keeping(last=1)) == ["20261120", "20261121", "20261122"]


def test_a_removal_that_is_ended_leaves_nothing_that_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backups = Backups(Folder(tmp_path))
    backups.add(NAME, lambda file: file.write(b"whole") and None, RECORD)

    def end(name: str) -> None:
        (tmp_path / name).unlink()
        raise KeyboardInterrupt

    monkeypatch.setattr(backups.place, "remove", end)
    with pytest.raises(KeyboardInterrupt):
        backups.remove(NAME)
    assert (backups.records(), backups.unrecorded()) == ([], [NAME])


def test_two_backups_of_one_second_are_two(live: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backups = backups_at(str(tmp_path / "kept"))
    first: list[dict[str, Any]] = []
    usual = backup._keep

    def another_was_quicker(*words: Any) -> dict[str, Any]:
        if not first:
            first.append({})
            first[0] = make_backup(live, backups_at(str(tmp_path / "kept")), Wish(console=False))
        return usual(*words)

    monkeypatch.setattr(backup, "_keep", another_was_quicker)
    # Both saw that the name was free.
    names = iter([NAME, NAME, NAME.replace("09Z", "10Z")])
    monkeypatch.setattr(backup, "_free_name", lambda *_, **__: (name := next(names), moment_of(name)))
    second = make_backup(live, backups, Wish(console=False))
    assert second["backup"] != first[0]["backup"] == NAME
    for record in backups.records():
        with read_archive(tmp_path / "kept" / record["backup"]) as archive:
            archive.check()
            assert archive.manifest["created_at"] == record["created_at"]
    assert len(backups.records()) == 2


def test_a_file_that_another_run_took_for_a_left_one_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = backups_at(str(tmp_path)).place
    usual, taken = backup_files.fcntl.flock, []

    def flock(file: Any, how: int) -> None:
        if not taken:
            taken.append(next(tmp_path.glob(".*.partial")))
            taken[0].unlink()
        usual(file, how)

    monkeypatch.setattr(backup_files.fcntl, "flock", flock)
    folder.put_small("a.json", b"whole")
    assert (tmp_path / "a.json").read_bytes() == b"whole"
    assert len(taken) == 1
