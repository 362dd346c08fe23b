"""What verify_backup finds, copies without personal data, and the commands around backups."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pyrage
import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connections
from django.test import override_settings

from database.anonymize import Anonymizer
from database.archive import read_archive
from database.backup import Wish, backup_done, make_backup
from database.backup_files import Backups, backups_at
from database.backup_verification import Verified, verify_backup, verify_file

from .conftest import Command

Manage = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def kept(django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one backup of a set-up database, with a ledger."""
    folder = tmp_path_factory.mktemp("kept")
    with django_db_blocker.unblock():
        make_backup(connections["omnichat"], backups_at(str(folder)), Wish(console=False))
    return folder


@pytest.fixture
def copy(kept: Path, tmp_path: Path) -> Path:
    """The backup in a folder of its own, with its record."""
    for path in kept.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return next(path for path in tmp_path.iterdir() if path.suffix == ".zst")


def verified(path: Path) -> tuple[Verified, dict[str, Any]]:
    backups = backups_at(str(path.parent))
    found = verify_backup(backups, path.name)
    record = backups.record(path.name)
    assert record is not None
    return found, record


@pytest.mark.django_db
@pytest.mark.sqlite_only(reason="the scratch database is SQLite whatever was backed up")
def test_a_good_one_is_noted_as_verified(copy: Path) -> None:
    found, record = verified(copy)
    assert (found.problems, found.content) == ([], [])
    assert found.tables["subscription_plans"] == 4
    assert record["verified_at"] is not None
    assert record["problems"] == []


@pytest.mark.django_db
@pytest.mark.sqlite_only(reason="the scratch database is SQLite whatever was backed up")
def test_each_damage_is_told_and_takes_the_note_back(copy: Path) -> None:
    verified(copy)
    whole = copy.read_bytes()
    copy.write_bytes(whole[:-100])
    found, record = verified(copy)
    assert (found.kind, record["verified_at"]) == ("CutShort", None)
    assert f"{len(whole) - 100:,} of {len(whole):,} bytes" in found.problems[0]
    copy.write_bytes(whole[:500] + bytes([whole[500] ^ 8]) + whole[501:])
    found, record = verified(copy)
    assert (found.kind, record["verified_at"]) == ("Damaged", None)
    copy.write_bytes(whole)
    assert verified(copy)[1]["verified_at"]


@pytest.mark.django_db
@pytest.mark.sqlite_only(reason="the scratch database is SQLite whatever was backed up")
def test_one_without_a_record_is_recorded_when_it_is_whole(copy: Path) -> None:
    Path(f"{copy}.json").unlink()
    backups = backups_at(str(copy.parent))
    assert backups.unrecorded() == [copy.name]
    found, record = verified(copy)
    assert found.problems == []
    assert (backups.unrecorded(), record["bytes"]) == ([], copy.stat().st_size)


def live(tmp_path: Path, manage: Manage) -> sqlite3.Connection:
    assert manage("setup_database").returncode == 0
    return sqlite3.connect(tmp_path / "omnichat.sqlite3", isolation_level=None)


def test_a_ledger_and_keys_that_were_wrong_are_told_of_a_backup_that_is_faithful(
    manage: Manage, tmp_path: Path
) -> None:
    with closing(live(tmp_path, manage)) as database:
        database.execute("INSERT INTO users (id, email) VALUES ('user_a', 'a@example.com')")
        database.execute("INSERT INTO user_battery (user_id, total_balance) VALUES ('user_a', 900)")
        database.execute("INSERT INTO conversations (id, userId) VALUES ('c', 'user_gone')")
    assert manage("backup_database", "--to", str(tmp_path / "kept")).returncode == 0
    done = manage("verify_backup", "latest", "--json", "--storage", str(tmp_path / "kept"))
    told = json.loads(done.stdout)
    assert (done.returncode, told["ok"], told["restorable"]) == (1, False, True)
    assert "1 row of conversations points to rows of users that are not there" in told["error"]
    assert "audit of its ledgers has 1 finding " in told["error"]
    listed = json.loads(manage("list_backups", "--json", "--storage", str(tmp_path / "kept")).stdout)
    assert listed["backups"][0]["verified_at"] is not None


def test_the_commands_tell_what_the_contract_says(command: Command, tmp_path: Path, settings: Any) -> None:
    command("migrate_database")
    settings.BACKUP_STORAGE = str(tmp_path / "kept")
    code, made = command("backup_database")
    file = tmp_path / "kept" / made["backup"]
    assert (code, made["tables"]["subscription_plans"], made["bytes"]) == (0, 4, file.stat().st_size)
    assert made["rows"] == sum(made["tables"].values())
    code, verified = command("verify_backup", made["backup"])
    assert (code, verified["ok"], verified["tables"]) == (0, True, made["tables"])
    code, again = command("backup_database", "--tables", "users,audit_logs")
    assert sorted(again["tables"]) == ["audit_logs", "users"]
    code, listed = command("list_backups")
    assert [each["backup"] for each in listed["backups"]] == [made["backup"], again["backup"]]
    assert [bool(each["verified_at"]) for each in listed["backups"]] == [True, False]
    assert command("prune_backups", "--keep-daily", "1") == (0, {"removed": 0, "names": [], "kept": 2})
    bad = [("prune_backups",), ("backup_database", "--tables", ",")]
    assert [command(*words)[0] for words in bad] == [2, 2]
    code, missing = command("verify_backup", "omnichat-20200101T000000Z.tar.zst")
    assert (code, "has no backup" in missing["error"]) == (1, True)


def test_the_commands_tell_it_in_words(manage: Manage, tmp_path: Path) -> None:
    live(tmp_path, manage).close()
    kept = {"BACKUP_STORAGE": str(tmp_path / "kept")}
    assert "11 tables" in manage("backup_database", **kept).stdout
    assert manage("verify_backup", "latest", **kept).stdout.startswith("OK: 11 tables, ")
    listed = manage("list_backups", **kept).stdout
    assert (listed.count("omnichat-"), "verified 20" in listed) == (1, True)
    assert manage("prune_backups", "--keep-last", "x", **kept).returncode == 2


def test_a_storage_that_cannot_be_written_is_told(manage: Manage, tmp_path: Path) -> None:
    live(tmp_path, manage).close()
    (tmp_path / "file").write_text("")
    done = manage("backup_database", "--json", "--to", str(tmp_path / "file"))
    assert done.returncode == 1
    assert str(tmp_path / "file") in json.loads(done.stdout)["error"]
    assert "Traceback" not in done.stderr
    wrong = manage("list_backups", BACKUP_STORAGE="ftp://x", BACKUP_AGE_RECIPIENT="age1wrong", BACKUP_AGE_IDENTITY="x")
    assert wrong.returncode == 1
    assert all(name in wrong.stderr for name in ("BACKUP_STORAGE", "BACKUP_AGE_RECIPIENT", "BACKUP_AGE_IDENTITY"))


PERSON = "Alice Almeida"


@pytest.mark.django_db
@pytest.mark.sqlite_only(reason="what is made up does not hang on the engine")
def test_an_anonymized_copy_holds_nobody_and_keeps_keys_and_money(tmp_path: Path, kept: Path) -> None:
    with connections["omnichat"].cursor() as cursor:
        cursor.execute("ALTER TABLE users ADD COLUMN phone TEXT")
        cursor.execute("CREATE TABLE notes (body TEXT)")
        cursor.execute("CREATE TRIGGER note AFTER INSERT ON users BEGIN INSERT INTO notes VALUES (new.name); END")
        cursor.execute(
            "INSERT INTO users (id, email, name, avatarUrl, stripeCustomerId, phone) VALUES "
            "('user_1', 'alice@almeida.org', 'Alice Almeida', 'https://img.example/alice', 'cus_1A', '+351 555'), "
            "('user_2', 'ALICE@almeida.org', 'Alice Almeida', NULL, NULL, NULL)"
        )
        cursor.execute("INSERT INTO conversations (id, userId, title) VALUES ('c1', 'user_1', 'Alice Almeida at home')")
        cursor.execute(
            "INSERT INTO messages (id, conversationId, role, content, metadata) VALUES ('m1', 'c1', 'user', "
            '\'I am Alice Almeida\', \'{"attachments": [{"name": "Alice Almeida.pdf", "size": 5}]}\')'
        )
        cursor.execute(
            "INSERT INTO battery_transactions (id, user_id, type, amount, balance_after, metadata) VALUES "
            "('t1', 'user_1', 'subscription', 200, 200, '{\"date\": \"2026-11-22\", \"note\": \"for Alice Almeida\"}')"
        )
        cursor.execute(
            "INSERT INTO audit_logs (id, userId, action, metadata) VALUES ('a1', 'user_1', 'users.update', "
            '\'{"before": {"email": "alice@almeida.org", "tier": "free"}}\')'
        )
    backups = backups_at(str(tmp_path))
    wish = Wish(anonymize=True)
    records = [make_backup(connections["omnichat"], backups, wish) for _ in range(2)]
    with read_archive(backups.source(records[0]["backup"])) as archive:
        rows = {
            member.name: [dict(zip(member.columns or [], row, strict=True)) for row in archive.rows(member)]
            for member in archive.tables()
        }
        assert archive.console() == []
        assert [each["name"] for each in archive.objects if each["type"] == "trigger"] == []
    text = orjson.dumps([rows, records[0]]).decode()
    assert [word for word in ("Alice", "alice", "ALICE", "almeida", "+351") if word in text] == []
    one, two = rows["users"]
    assert (one["id"], one["stripeCustomerId"]) == ("user_1", "cus_1A")
    assert one["email"] != two["email"]
    assert one["name"] == two["name"]
    assert "notes" not in rows
    assert any("notes" in warning for warning in records[0]["warnings"])
    assert any("users.phone" in warning for warning in records[0]["warnings"])
    entry = rows["battery_transactions"][0]
    assert (entry["amount"], entry["balance_after"]) == (200, 200)
    assert json.loads(entry["metadata"])["date"] == "2026-11-22"
    assert json.loads(rows["messages"][0]["metadata"])["attachments"][0]["size"] == 5
    assert json.loads(rows["audit_logs"][0]["metadata"])["before"]["tier"] == "free"
    with read_archive(backups.source(records[1]["backup"])) as archive:
        again = {member.name: list(archive.rows(member)) for member in archive.tables()}
    assert again["users"] == [list(row.values()) for row in rows["users"]]


def test_other_secrets_make_other_people_up() -> None:
    one, same, other = Anonymizer("a"), Anonymizer("a"), Anonymizer("b")
    address = "bob@example.org"
    assert one.email(address) == same.email(address) != other.email(address)
    assert one.email("bob@example.org ") != one.email(address)


@pytest.mark.django_db
@pytest.mark.sqlite_only(reason="the console's tables do not hang on the engine of OmniChat's")
def test_the_consoles_own_tables_are_in_it_without_secrets(tmp_path: Path) -> None:
    staff = User.objects.create_user("olga", "olga@example.com", "very secret")
    call_command("migrate", verbosity=0, database="default")
    backups = backups_at(str(tmp_path))
    record = make_backup(connections["omnichat"], backups, Wish())
    with read_archive(backups.source(record["backup"])) as archive:
        members = {member.name: member for member in archive.console()}
        rows = {name: list(archive.rows(member)) for name, member in members.items()}
    assert "sessions.Session" not in members
    assert {"auth.User", "auth.Group", "auth.User_groups", "console.StaffEvent"} <= set(members)
    assert "password" not in (members["auth.User"].columns or [])
    assert rows["auth.User"][0][(members["auth.User"].columns or []).index("username")] == "olga"
    data = orjson.dumps(rows).decode()
    assert staff.password not in data
    names = list(members)
    assert names.index("auth.User") < names.index("auth.User_groups")


@pytest.mark.django_db
@pytest.mark.sqlite_only(reason="signals do not hang on the engine")
def test_whoever_listens_is_told_of_each_run(copy: Path) -> None:
    heard: list[tuple[str, str]] = []

    def hear(*, action: str, record: dict[str, Any], **signal: Any) -> None:
        heard.append((action, record["backup"]))

    backup_done.connect(hear)
    try:
        verified(copy)
    finally:
        backup_done.disconnect(hear)
    assert heard == [("verify", copy.name)]


@pytest.mark.django_db
@pytest.mark.sqlite_only(reason="keys do not hang on the engine")
def test_the_wrong_key_is_told_as_that(tmp_path: Path) -> None:
    mine, other = pyrage.x25519.Identity.generate(), pyrage.x25519.Identity.generate()
    backups = Backups(backups_at(str(tmp_path)).place)
    with override_settings(BACKUP_AGE_RECIPIENT=str(mine.to_public())):
        record = make_backup(connections["omnichat"], backups, Wish(console=False))
    for identity, kind in ((other, "WrongKey"), ("", "WrongKey"), (mine, None)):
        with override_settings(BACKUP_AGE_IDENTITY=str(identity)):
            assert verify_backup(backups, record["backup"]).kind == kind
            assert verify_file(tmp_path / record["backup"]).kind == kind
    assert str(mine) not in os.environ.values()
