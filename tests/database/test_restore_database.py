"""The command: its questions, its JSON, its exit codes, and what comes after a restore."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyrage
import pytest
from django.contrib.auth import get_user_model
from django.db import connections

from console.models import InboxEvent
from database import after_restore
from database.after_restore import Effects, register_effects
from database.archive import read_archive
from database.backup import Wish, make_backup
from database.backup_files import backups_at
from database.restore_console import restore_console
from database.restore_marker import MAKE, MARKER
from standins.d1 import Engine

from .conftest import Command
from .packing import made, pack, querying

SCRIPT = "CREATE TABLE users (id TEXT PRIMARY KEY, email TEXT); INSERT INTO users VALUES ('alice', 'a@example.com');"


@pytest.fixture
def backup(tmp_path: Path) -> str:
    with closing(made(SCRIPT)) as database:
        return str(pack(database, tmp_path / "backup.tar.zst"))


def fill(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.executescript("CREATE TABLE users (id TEXT PRIMARY KEY, email TEXT); CREATE TABLE more (n);")


def test_it_restores_and_tells_the_rows(command: Command, backup: str) -> None:
    code, said = command("restore_database", backup)
    assert (code, said["restored"], said["rows"], said["kept"]) == (0, {"users": 1}, 1, None)


def test_it_asks_before_it_replaces_and_no_input_says_yes(command: Command, backup: str, tmp_path: Path) -> None:
    fill(tmp_path / "omnichat.sqlite3")
    code, said = command("restore_database", backup)
    assert code == 2
    assert "--no-input" in said["error"]
    assert querying(tmp_path / "omnichat.sqlite3")("SELECT count(*) FROM users") == [(0,)]
    code, said = command("restore_database", backup, "--no-input")
    assert (code, said["rows"]) == (0, 1)
    assert querying(Path(said["kept"]))("SELECT count(*) FROM more") == [(0,)]


def test_into_makes_a_copy_to_look_into(command: Command, backup: str, tmp_path: Path) -> None:
    fill(tmp_path / "omnichat.sqlite3")
    code, said = command("restore_database", backup, "--into", f"sqlite:///{tmp_path / 'copy.sqlite3'}")
    assert (code, said["rows"]) == (0, 1)
    assert querying(tmp_path / "copy.sqlite3")("SELECT id FROM users") == [("alice",)]
    assert querying(tmp_path / "omnichat.sqlite3")("SELECT count(*) FROM users") == [(0,)]


def test_tables_names_some(command: Command, backup: str, tmp_path: Path) -> None:
    fill(tmp_path / "omnichat.sqlite3")
    code, said = command("restore_database", backup, "--tables", "users", "--no-input")
    assert (code, said["restored"]) == (0, {"users": 1})
    assert querying(tmp_path / "omnichat.sqlite3")("SELECT count(*) FROM more") == [(0,)]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "Give one of"),
        (["{backup}", "--time-travel", "2026-01-01"], 2, "Give one of"),
        (["{backup}", "--into", "mysql://x"], 2, "sqlite:///PATH"),
        (["{backup}", "--tables", ","], 2, "names no table"),
        (["--console", "--apply-again"], 2, "takes a BACKUP"),
        (["nowhere.tar.zst"], 1, "no backup nowhere.tar.zst"),
        (["latest"], 1, "no backup of a whole database"),
        (["{backup}", "--tables", "nobody"], 1, "no table nobody"),
        (["{backup}", "--into", "sqlite:////nowhere/at/all.sqlite3"], 1, "/nowhere/at is not there"),
        (["--time-travel", "2026-01-01"], 1, "Time travel is D1's"),
        (["{folder}/broken.tar.zst"], 1, "no backup of omniops"),
    ],
)
def test_what_a_person_can_get_wrong_is_told(
    command: Command, backup: str, tmp_path: Path, settings: Any, words: list[str], code: int, said: str
) -> None:
    settings.BACKUP_STORAGE = str(tmp_path / "backups")
    (tmp_path / "broken.tar.zst").write_bytes(b"nothing of the kind")
    filled = [word.format(backup=backup, folder=tmp_path) for word in words]
    found, answer = command("restore_database", *filled)
    assert (found, said in answer["error"]) == (code, True), answer["error"]
    assert not (tmp_path / "omnichat.sqlite3").exists()


def test_latest_is_the_newest_of_the_whole_database(command: Command, tmp_path: Path, settings: Any) -> None:
    settings.BACKUP_STORAGE = str(tmp_path / "backups")
    kept = backups_at(settings.BACKUP_STORAGE)
    fill(tmp_path / "omnichat.sqlite3")
    command("verify_database")
    for wish in (Wish(console=False), Wish(tables=["more"], console=False)):
        made_one = connected(tmp_path / "omnichat.sqlite3", lambda one, wish=wish: make_backup(one, kept, wish))
        assert made_one["backup"]
    code, said = command("restore_database", "latest", "--into", f"sqlite:///{tmp_path / 'copy.sqlite3'}")
    assert (code, sorted(said["restored"])) == (0, ["more", "users"])


def connected(path: Path, work: Callable[[Any], Any]) -> Any:
    from omniops.environment import sqlite

    connections.settings["one"] = connections.configure_settings({"default": {}, "one": sqlite(path)})["one"]
    try:
        return work(connections["one"])
    finally:
        connections["one"].close()
        del connections["one"], connections.settings["one"]


@pytest.fixture
def effects() -> Iterator[set[str]]:
    """A kind of effect whose ids are in a set once they have been applied."""
    there = {"grant_2"}
    known = ["grant_1", "grant_2", "grant_3"]
    usual = dict(after_restore._registered)
    after_restore._registered.clear()
    register_effects(
        "grant", Effects(lambda: [(one, f"500 units of {one}") for one in known if one not in there], there.add)
    )
    yield there
    after_restore._registered.clear()
    after_restore._registered.update(usual)


def test_what_is_gone_with_a_restore_is_listed_and_applied_again_when_one_says_so(
    command: Command, backup: str, effects: set[str], tmp_path: Path
) -> None:
    code, said = command("restore_database", backup)
    assert [each["id"] for each in said["missing"]] == ["grant_1", "grant_3"]
    assert said["applied_again"] == 0
    code, said = command("restore_database", "--apply-again", "--no-input")
    assert (code, said["applied_again"]) == (0, 2)
    assert effects == {"grant_1", "grant_2", "grant_3"}
    code, said = command("restore_database", backup, "--into", f"sqlite:///{tmp_path / 'copy.sqlite3'}")
    assert said["missing"] == []


def test_a_newer_format_touches_nothing(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("database.archive_writer.FORMAT", 99)
    with closing(made(SCRIPT)) as database:
        path = pack(database, tmp_path / "newer.tar.zst")
    fill(tmp_path / "omnichat.sqlite3")
    code, said = command("restore_database", str(path), "--no-input")
    assert (code, "format 99" in said["error"]) == (1, True)
    assert querying(tmp_path / "omnichat.sqlite3")("SELECT count(*) FROM more") == [(0,)]


def test_a_database_that_is_half_says_so(command: Command, tmp_path: Path) -> None:
    command("setup_database")
    with closing(sqlite3.connect(tmp_path / "omnichat.sqlite3", isolation_level=None)) as database:
        database.execute(MAKE)
        database.execute(f"INSERT INTO {MARKER} VALUES ('r', 'b.tar.zst', '0000', '2026-11-22', 1, 3)")
    code, said = command("verify_database")
    assert code == 1
    assert any("restore of b.tar.zst" in problem and "--time-travel 0000" in problem for problem in said["problems"])


def test_time_travel_shows_its_undo_restores_and_verifies(manage: Any, d1_engine: Engine) -> None:
    d1_engine.reset()
    d1_engine.empty_database()
    there = d1_engine.environment()
    assert manage("setup_database", "--json", **there).returncode == 0
    before = d1_engine.bookmark()
    d1_engine.execute("DROP TABLE messages")
    spoiled = d1_engine.bookmark()
    refused = manage("restore_database", "--time-travel", before, "--json", **there)
    assert refused.returncode == 2
    assert f"--time-travel {spoiled}" in refused.stderr
    done = manage("restore_database", "--time-travel", before, "--json", "--no-input", **there)
    said = json.loads(done.stdout)
    assert (done.returncode, said["restored"]["messages"], said["previous_bookmark"]) == (0, 0, spoiled)
    undone = manage("restore_database", "--time-travel", spoiled, "--json", "--no-input", **there)
    assert (undone.returncode, "messages" in json.loads(undone.stdout)["error"]) == (1, True)
    for moment, reason in (("yesterday", "no moment"), ("2999-01-01", "not over yet"), ("2020-01-01", "no bookmark")):
        wrong = manage("restore_database", "--time-travel", moment, "--json", **there)
        assert (wrong.returncode, reason in json.loads(wrong.stdout)["error"]) == (1, True), wrong.stdout
    d1_engine.empty_database()


@pytest.mark.sqlite_only("about the console's own tables")
@pytest.mark.django_db(databases=["default"])
def test_the_consoles_own_tables_come_back_when_asked_for(tmp_path: Path, settings: Any) -> None:
    users = get_user_model()
    bob = users.objects.create_user("bob", "bob@example.com", "his password", first_name="Bob")
    carol = users.objects.create_user("carol", password="hers")
    fill(tmp_path / "some.sqlite3")
    kept = backups_at(str(tmp_path / "backups"))
    record = connected(tmp_path / "some.sqlite3", lambda one: make_backup(one, kept))
    password = users.objects.get(pk=bob.pk).password
    users.objects.filter(pk=bob.pk).update(first_name="Spoiled")
    carol.delete()
    users.objects.create_user("dave")
    with read_archive(tmp_path / "backups" / record["backup"]) as archive:
        restored = restore_console(archive)
    assert restored[users._meta.label] == 2
    found = {one.username: one for one in users.objects.all()}
    assert sorted(found) == ["bob", "carol"]
    assert (found["bob"].first_name, found["bob"].password) == ("Bob", password)
    assert not found["carol"].has_usable_password()


def test_a_wrong_key_and_none_are_told_and_touch_nothing(command: Command, tmp_path: Path, settings: Any) -> None:
    mine, other = pyrage.x25519.Identity.generate(), pyrage.x25519.Identity.generate()
    settings.BACKUP_STORAGE, settings.BACKUP_AGE_RECIPIENT = str(tmp_path / "kept"), str(mine.to_public())
    fill(tmp_path / "omnichat.sqlite3")
    assert command("backup_database", "--no-console")[1]["encrypted"]
    query = querying(tmp_path / "omnichat.sqlite3")
    query("SELECT 1")
    with closing(sqlite3.connect(tmp_path / "omnichat.sqlite3", isolation_level=None)) as database:
        database.execute("INSERT INTO more VALUES (1)")
    for identity, words in ((str(other), "another key"), ("", "BACKUP_AGE_IDENTITY")):
        settings.BACKUP_AGE_IDENTITY = identity
        code, said = command("restore_database", "latest", "--no-input")
        assert (code, words in said["error"]) == (1, True)
        assert query("SELECT count(*) FROM more") == [(1,)]
    settings.BACKUP_AGE_IDENTITY = str(mine)
    assert command("restore_database", "latest", "--no-input")[0] == 0
    assert query("SELECT count(*) FROM more") == [(0,)]


def console_there_and_back(manage: Any, **urls: str) -> None:
    """A member of staff is spoiled and comes back, with a number for the next one that is free."""
    kept = {"BACKUP_STORAGE": str(urls.pop("folder")), **urls}
    staff = "from django.contrib.auth.models import User; "
    assert manage("setup_database", **kept).returncode == 0
    assert manage("shell", "-c", staff + "User.objects.create_user('bob', password='his')", **kept).returncode == 0
    assert manage("backup_database", **kept).returncode == 0
    spoil = "User.objects.update(username='spoiled'); User.objects.create_user('eve')"
    assert manage("shell", "-c", staff + spoil, **kept).returncode == 0
    refused = manage("restore_database", "latest", "--console", "--json", **kept)
    assert (refused.returncode, "--no-input" in json.loads(refused.stdout)["error"]) == (2, True)
    done = manage("restore_database", "latest", "--console", "--no-input", "--json", **kept)
    said = json.loads(done.stdout)
    assert (done.returncode, said.get("console", {}).get("auth.User")) == (0, 1), said
    look = "u = User.objects.get(); print(u.username, u.check_password('his')); User.objects.create_user('carol')"
    assert manage("shell", "-c", staff + look, **kept).stdout.split()[-2:] == ["bob", "True"]


def test_the_console_comes_back_by_the_command(manage: Any, tmp_path: Path) -> None:
    console_there_and_back(manage, folder=str(tmp_path / "kept"))


def test_a_console_on_postgresql_comes_back_by_the_command(
    manage: Any, tmp_path: Path, postgresql_database: Callable[..., str]
) -> None:
    console_there_and_back(manage, folder=str(tmp_path / "kept"), CONSOLE_DATABASE_URL=postgresql_database())


@pytest.mark.sqlite_only("about the console's own tables")
@pytest.mark.django_db(databases=["default"])
def test_what_is_unique_comes_back_although_other_rows_have_it_now(tmp_path: Path) -> None:
    users = get_user_model()
    bob, carol = users.objects.create_user("bob"), users.objects.create_user("carol")
    event = {"source": "stripe", "event_id": "evt_1", "type": "invoice.paid"}
    first = InboxEvent.objects.create(**event).pk
    fill(tmp_path / "some.sqlite3")
    record = connected(tmp_path / "some.sqlite3", lambda one: make_backup(one, backups_at(str(tmp_path / "kept"))))
    for pk, name in ((bob.pk, "x"), (carol.pk, "bob"), (bob.pk, "carol")):
        users.objects.filter(pk=pk).update(username=name)
    InboxEvent.objects.all().delete()
    InboxEvent.objects.create(pk=first + 100, **event)
    with read_archive(tmp_path / "kept" / record["backup"]) as archive:
        restore_console(archive)
    assert dict(users.objects.values_list("pk", "username")) == {bob.pk: "bob", carol.pk: "carol"}
    assert list(InboxEvent.objects.values_list("pk", "event_id")) == [(first, "evt_1")]
