"""Does one thing over and over, kills it at a random moment each time, and looks at what is left.

    python tests/proof/killed.py backup|restore|tables|prune|d1 TIMES FOLDER [SEED]

TIMES are the kills that came before the end. A process of its own, with one thread, so that it may fork. Prints JSON:
`killed` and `wrong`, a list of sentences.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "omniops.settings")
ROWS = 2500


def fill(path: Path, word: str) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.executescript(
            f"""PRAGMA journal_mode = WAL;
            CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT);
            CREATE TABLE notes (id TEXT PRIMARY KEY, user INTEGER REFERENCES users, text TEXT);
            CREATE INDEX by_user ON notes (user);
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS})
            INSERT INTO users SELECT i, '{word} ' || i FROM n;
            INSERT INTO notes SELECT 'n' || id, id, hex(randomblob(40)) FROM users;"""
        )


def content(path: Path) -> str:
    """A hash of all rows, after SQLite itself has found the file sound."""
    with closing(sqlite3.connect(path)) as database:
        check = database.execute("PRAGMA integrity_check").fetchall()
        if check != [("ok",)]:
            return f"damaged: {check[0][0]}"
        hasher = hashlib.sha256()
        for table in ("users", "notes"):
            for row in database.execute(f"SELECT * FROM {table} ORDER BY id"):
                hasher.update(repr(row).encode())
        return hasher.hexdigest()


def connect(path: Path) -> Any:
    from django.db import connections

    from omniops.environment import sqlite

    connections.settings["live"] = connections.configure_settings({"default": {}, "live": sqlite(path)})["live"]
    connections["live"] = connections.create_connection("live")
    return connections["live"]


def ran(work: Callable[[], None], seconds: float | None) -> bool:
    """Run `work` in a child, killed after so many seconds. True if it came to its end."""
    child = os.fork()
    if not child:
        code = 1
        try:
            work()
            code = 0
        except BaseException as error:
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
        finally:
            os._exit(code)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return False
    assert os.WEXITSTATUS(status) == 0, "it failed of itself"
    return True


class Trial:
    """One kind of work. `again` makes the state before, `wrong` tells what is wrong with the state after."""

    def __init__(self, folder: Path) -> None:
        from database.backup import Wish, make_backup
        from database.backup_files import backups_at

        self.live, self.store = folder / "live.sqlite3", folder / "backups"
        fill(self.live, "then")
        self.backups = backups_at(str(self.store))
        self.wish = Wish(console=False)
        self.record = make_backup(connect(self.live), self.backups, self.wish)
        self.then = content(self.live)

    def again(self) -> None:
        """Nothing to make."""

    def work(self) -> None:
        raise NotImplementedError

    def wrong(self, ended: bool) -> str | None:
        raise NotImplementedError

    def listed_wrong(self) -> str | None:
        """A half file among those that are listed."""
        for record in self.backups.records():
            path = self.store / record["backup"]
            if not path.exists():
                return f"{path.name} is listed and is not there"
            if hashlib.sha256(path.read_bytes()).hexdigest() != record["sha256"]:
                return f"{path.name} is listed and is half"
        return None


class Backups(Trial):
    """Kills of a backup: the database as it was, no half file listed, the next backup takes away what was left."""

    def work(self) -> None:
        from database.backup import make_backup

        make_backup(connect(self.live), self.backups, self.wish)

    def wrong(self, ended: bool) -> str | None:
        if content(self.live) != self.then:
            return "the database has changed"
        if len(self.backups.records()) < 1:
            return "the old backup is gone"
        return self.listed_wrong()


class Restores(Trial):
    """Kills of a restore over a full database: the old one or the new one, and the old one is kept."""

    def again(self) -> None:
        for path in self.live.parent.glob(f"{self.live.name}*"):
            if not path.name.endswith(".restoring"):
                path.unlink()
        fill(self.live, "now")
        self.now = content(self.live)

    def work(self) -> None:
        from database.restore import Restore
        from database.restore_sources import open_source

        Restore(open_source(str(self.store / self.record["backup"])), connect(self.live)).run()

    def wrong(self, ended: bool) -> str | None:
        found = content(self.live)
        kept = [path for path in self.live.parent.glob(f"{self.live.name}.before-restore-*") if path.suffix != ".part"]
        if found not in (self.then, self.now):
            return f"the database is half: {found}"
        if found == self.then and [content(path) for path in kept] != [self.now]:
            return "it was replaced and the old one was not kept"
        # Another restore finishes the work, and leaves nothing of the one that was killed.
        self.work()
        left = [path.name for path in self.live.parent.glob("*.restoring*")]
        if content(self.live) != self.then or left:
            return f"another restore did not finish the work ({left})"
        return self.listed_wrong()


class SomeRestores(Restores):
    """Kills of a restore of one table, in one transaction."""

    def work(self) -> None:
        from database.restore import Restore
        from database.restore_sources import open_source

        source = open_source(str(self.store / self.record["backup"]))
        Restore(source, connect(self.live), tables=["users", "notes"]).run()

    def wrong(self, ended: bool) -> str | None:
        found = content(self.live)
        if found not in (self.then, self.now):
            return f"the database is half: {found}"
        self.work()
        return None if content(self.live) == self.then else "another restore did not finish the work"


class Prunes(Trial):
    """Kills of a pruning: what is listed is whole, and the newest verified one is there."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.data = (self.store / self.record["backup"]).read_bytes()

    def again(self) -> None:
        for path in self.store.iterdir():
            path.unlink()
        for day in range(1, 13):
            name = f"omnichat-202611{day:02}T000000Z.tar.zst"
            moment = f"2026-11-{day:02}T00:00:00Z"
            record = {**self.record, "backup": name, "made_at": moment, "verified_at": moment if day == 3 else None}
            self.backups.add(name, lambda file: file.write(self.data), record)  # type: ignore[arg-type,return-value]
        self.verified = "omnichat-20261103T000000Z.tar.zst"

    def work(self) -> None:
        from database.backup_pruning import Keeping, to_remove

        for record in to_remove(self.backups.records(), Keeping(last=3)):
            self.backups.remove(record["backup"])

    def wrong(self, ended: bool) -> str | None:
        names = [record["backup"] for record in self.backups.records()]
        last = [f"omnichat-202611{day}T000000Z.tar.zst" for day in (10, 11, 12)]
        if self.verified not in names or names[-3:] != last:
            return f"what was to be kept is gone: {names}"
        return self.listed_wrong()


class D1Restores(Trial):
    """Kills of a restore to the D1 of the environment: what is half says so, and another restore finishes."""

    def again(self) -> None:
        from django.db import connections

        with connections["omnichat"].cursor() as cursor:
            cursor.execute("DROP TABLE IF EXISTS _restore")
            cursor.execute("DROP TABLE IF EXISTS notes")
            cursor.execute("DROP TABLE IF EXISTS users")
            cursor.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT)")
            cursor.execute("CREATE TABLE notes (id TEXT PRIMARY KEY, user INTEGER REFERENCES users, text TEXT)")
            cursor.execute("INSERT INTO users VALUES (1, 'now')")
        connections["omnichat"].close()
        self.now = self.rows()

    def rows(self) -> str | None:
        from django.db import DatabaseError, connections

        hasher = hashlib.sha256()
        try:
            with connections["omnichat"].cursor() as cursor:
                for table in ("users", "notes"):
                    for row in cursor.execute(f"SELECT * FROM {table} ORDER BY id").fetchall():
                        hasher.update(repr(tuple(row)).encode())
        except DatabaseError:
            return None
        finally:
            connections["omnichat"].close()
        return hasher.hexdigest()

    def work(self) -> None:
        from django.db import connections

        from d1.api import client_for
        from database.restore import Restore
        from database.restore_sources import open_source

        client_for(connections["omnichat"].endpoint).open_pool()
        Restore(open_source(str(self.store / self.record["backup"])), connections["omnichat"]).run()

    def wrong(self, ended: bool) -> str | None:
        from django.db import connections

        from database.restore_marker import unfinished

        found = self.rows()
        if found not in (self.then, self.now) and unfinished(connections["omnichat"]) is None:
            return "the database is half and does not say so"
        self.work()
        if self.rows() != self.then or unfinished(connections["omnichat"]):
            return "another restore did not finish the work"
        return None


KINDS: dict[str, type[Trial]] = {
    "backup": Backups,
    "restore": Restores,
    "tables": SomeRestores,
    "prune": Prunes,
    "d1": D1Restores,
}


def main() -> None:
    kind, times, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    seed = sys.argv[4] if len(sys.argv) > 4 else str(time.time_ns())
    import django

    django.setup()
    chance, trial = random.Random(seed), KINDS[kind](folder)
    trial.again()
    began = time.monotonic()
    ran(trial.work, None)
    usual = time.monotonic() - began
    killed, wrong = 0, []
    while killed < times:
        trial.again()
        ended = ran(trial.work, chance.uniform(0, usual))
        killed += not ended
        if found := trial.wrong(ended):
            wrong.append(f"{kind}, kill {killed} of seed {seed}: {found}")
        # What came to its end before its kill was quicker than the first time: on a busy machine that differs.
        usual *= 0.8 if ended else 1
    print(json.dumps({"killed": killed, "wrong": wrong, "seed": seed, "usual": usual}))


if __name__ == "__main__":
    sys.path[0] = str(ROOT)
    main()
