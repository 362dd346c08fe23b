"""Backup and restore at full size, beside `sqlite3 .dump | zstd`, VACUUM INTO and django-dbbackup: `make bench-backup`.

200,000 users and 1,000,000 transactions in a SQLite file. Prints one table and exits 1 when a goal is missed. `--write`
puts the table into docs/performance-backup.md too.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "performance-backup.md"
BEGIN, END = "<!-- measured: begin -->\n", "<!-- measured: end -->\n"
RIVAL = ROOT / "var" / "bench-backup" / "venv"
LOCK = ROOT / "bench" / "backup_rival" / "requirements.txt"
SETTINGS = ROOT / "bench" / "backup_rival"
USERS, TRANSACTIONS = 200_000, 1_000_000
DEADLINE = 900


class Measured(NamedTuple):
    """Seconds (the median), and bytes of what was made. `start` are those that Python and Django take to start."""

    seconds: float
    size: int = 0
    more: str = ""
    start: float = 0.0

    @property
    def work(self) -> float:
        return self.seconds - self.start


class Line(NamedTuple):
    what: str
    tool: str
    measured: Measured
    goal: str = ""
    met: bool | None = None


def prepare(path: Path, users: int, transactions: int, environment: dict[str, str]) -> None:
    """The tables of the migrations with their indexes, and rows as the app writes them."""
    run(["manage.py", "migrate_database", "--json"], environment)
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {})"
    with closing(sqlite3.connect(path)) as database:
        database.executescript(
            f"""BEGIN;
            INSERT INTO users (id, email, name, stripeCustomerId, tier)
            {numbers.format(users)} SELECT printf('user_%024d', i), printf('someone.%d@example.com', i),
              printf('Someone %d of %d', i, i % 977), printf('cus_%014d', i * 7919 % 99999999999999),
              CASE WHEN i % 5 = 0 THEN 'paid' ELSE 'free' END FROM n;
            INSERT INTO user_battery (user_id, total_balance, daily_allowance)
              SELECT id, 6000, 200 FROM users;
            INSERT INTO battery_transactions (id, user_id, type, amount, balance_after, metadata)
            {numbers.format(transactions)} SELECT lower(hex(randomblob(16))),
              printf('user_%024d', 1 + abs(random() % {users})), CASE i % 7 WHEN 0 THEN 'subscription' ELSE 'usage' END,
              -(i % 90), 6000 - i % 90,
              '{{"model":"gpt-4o-mini","input_tokens":' || (abs(random()) % 4000) || ',"cached":false}}' FROM n;
            COMMIT;"""
        )


def run(words: list[str], environment: dict[str, str]) -> str:
    """A command of ours in a process of its own; what it prints."""
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}: {done.stdout}{done.stderr}")
    return done.stdout


def shell(text: str) -> None:
    subprocess.run(["bash", "-o", "pipefail", "-c", text], check=True, capture_output=True)


def median(times: int, work: Callable[[], object], before: Callable[[], object] = lambda: None) -> float:
    found = []
    for _ in range(times):
        before()
        began = time.perf_counter()
        work()
        found.append(time.perf_counter() - began)
    return statistics.median(found)


def rival_python() -> str | None:
    """The interpreter that has django-dbbackup, installed on first use; None where it cannot be had."""
    python = RIVAL / "bin" / "python"
    if not python.exists():
        venv.create(RIVAL, with_pip=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(LOCK)]
        if subprocess.run(install).returncode:
            shutil.rmtree(RIVAL)
            return None
    return str(python)


class Bench:
    def __init__(self, folder: Path, users: int, transactions: int, times: int) -> None:
        self.folder, self.times = folder, times
        self.live, self.store = folder / "omnichat.sqlite3", folder / "backups"
        self.environment = {
            "OMNICHAT_DATABASE_URL": f"sqlite:///{self.live}",
            "CONSOLE_DATABASE_URL": f"sqlite:///{folder / 'console.sqlite3'}",
            "BACKUP_STORAGE": str(self.store),
        }
        prepare(self.live, users, transactions, self.environment)
        run(["manage.py", "setup_database", "--json"], self.environment)
        self.start = median(times, lambda: run(["manage.py", "list_backups", "--json"], self.environment))
        self.lines: list[Line] = []

    def measure(self) -> None:
        ours = self.backup_ours()
        dump = self.backup_dump()
        vacuum = self.backup_vacuum()
        rival = self.backup_rival()
        self.lines = [
            Line("backup", "backup_database", ours, *goals(ours, dump, rival)),
            Line("backup", "`sqlite3 .dump \\| zstd -3`", dump),
            Line("backup", "`VACUUM INTO`", vacuum),
            Line("backup", "django-dbbackup, gzip", rival) if rival else absent("backup"),
        ]
        back, plain = self.restore_ours(), self.restore_dump()
        again = self.restore_rival() if rival else None
        met = back.work <= plain.seconds
        self.lines += [
            Line("restore", "restore_database", back, judged("as fast as `sqlite3 < dump`", met), met),
            Line("restore", "`zstd -d \\| sqlite3`", plain),
            Line("restore", "django-dbbackup", again) if again else absent("restore"),
        ]

    def backup_ours(self) -> Measured:
        def forget() -> None:
            shutil.rmtree(self.store, ignore_errors=True)

        peaks: list[int] = []

        def work() -> None:
            peaks.append(peak_of([sys.executable, "manage.py", "backup_database", "--json"], self.environment))

        seconds = median(self.times, work, forget)
        return Measured(
            seconds, newest(self.store).stat().st_size, f"peak {max(peaks)} MiB, SHA-256 of each table", self.start
        )

    def backup_dump(self) -> Measured:
        path = self.folder / "dump.sql.zst"
        text = f"sqlite3 {self.live} .dump | zstd -q -3 -f -o {path}"
        return Measured(median(self.times, lambda: shell(text)), path.stat().st_size)

    def backup_vacuum(self) -> Measured:
        path = self.folder / "vacuum.sqlite3"
        text = f"sqlite3 {self.live} \"VACUUM INTO '{path}'\""
        seconds = median(self.times, lambda: shell(text), lambda: path.unlink(missing_ok=True))
        return Measured(seconds, path.stat().st_size, "no checksums, not packed")

    def backup_rival(self) -> Measured | None:
        python = rival_python()
        if python is None:
            return None
        kept = self.folder / "rival"
        seconds = median(1, lambda: self.rival(python, "dbbackup", "--compress"), lambda: shutil.rmtree(kept, True))
        return Measured(seconds, newest(kept).stat().st_size)

    def rival(self, python: str, *words: str) -> None:
        environment = {"PYTHONPATH": str(SETTINGS), "DJANGO_SETTINGS_MODULE": "rival_settings"}
        paths = {"RIVAL_DATABASE": str(self.live), "RIVAL_FOLDER": str(self.folder / "rival")}
        subprocess.run(
            [python, "-m", "django", *words],
            env={**os.environ, **environment, **paths},
            check=True,
            capture_output=True,
            timeout=DEADLINE,
        )

    def restore_ours(self) -> Measured:
        target = self.folder / "restored.sqlite3"
        words = ["manage.py", "restore_database", str(newest(self.store)), "--into", f"sqlite:///{target}", "--json"]
        peaks: list[int] = []

        def work() -> None:
            peaks.append(peak_of([sys.executable, *words], self.environment))

        seconds = median(self.times, work, lambda: target.unlink(missing_ok=True))
        more = f"peak {max(peaks)} MiB, hashes, quick_check, foreign keys included"
        return Measured(seconds, target.stat().st_size, more, self.start)

    def restore_dump(self) -> Measured:
        target = self.folder / "loaded.sqlite3"
        text = f"zstd -q -d -c {self.folder / 'dump.sql.zst'} | sqlite3 {target}"
        seconds = median(1, lambda: shell(text), lambda: target.unlink(missing_ok=True))
        return Measured(seconds, target.stat().st_size, "nothing checked")

    def restore_rival(self) -> Measured | None:
        """Into an empty database, as the others."""
        kept, self.live = self.live, self.folder / "rival.sqlite3"
        try:
            seconds = median(
                1, lambda: self.rival(str(RIVAL / "bin" / "python"), "dbrestore", "--noinput", "--uncompress")
            )
            with closing(sqlite3.connect(self.live)) as database:
                (rows,) = database.execute("SELECT count(*) FROM battery_transactions").fetchone()
            return Measured(seconds, self.live.stat().st_size, f"{rows:,} transactions are back")
        except subprocess.SubprocessError as error:
            return Measured(float("nan"), 0, f"it failed: {type(error).__name__}")
        finally:
            self.live = kept


def absent(what: str) -> Line:
    return Line(what, "django-dbbackup", Measured(float("nan"), 0, "could not be installed"))


def goals(ours: Measured, dump: Measured, rival: Measured | None) -> tuple[str, bool]:
    """Each goal with its verdict, and whether all are met."""
    verdicts = {"as fast as `.dump`": ours.work <= dump.seconds, "no larger": ours.size <= dump.size}
    if rival is not None:
        verdicts["3 times as fast as django-dbbackup"] = ours.seconds * 3 <= rival.seconds
    return "; ".join(judged(*each) for each in verdicts.items()), all(verdicts.values())


def judged(goal: str, met: bool) -> str:
    return f"{goal}: {'met' if met else 'MISSED'}"


def newest(folder: Path) -> Path:
    """The backup in a folder: beside one lies what says of it how large it is."""
    return max(folder.iterdir(), key=lambda path: path.stat().st_size)


def peak_of(words: list[str], environment: dict[str, str]) -> int:
    """Run a process; the most memory that it had, in MiB."""
    process = subprocess.Popen(words, cwd=ROOT, env={**os.environ, **environment}, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(words)} failed.")
    return used.ru_maxrss // 1024


def table(lines: list[Line]) -> str:
    rows = ["| | | s | without the start | MB | | goal |", "| --- | --- | --- | --- | --- | --- | --- |"]
    for line in lines:
        seconds, size, more, start = line.measured
        work = f"{seconds - start:.1f}" if start else ""
        rows.append(f"| {line.what} | {line.tool} | {seconds:.1f} | {work} | {size / 1e6:.0f} | {more} | {line.goal} |")
    return "\n".join(rows) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the table into docs/performance-backup.md, too")
    parser.add_argument("--small", action="store_true", help="a twentieth of everything, to see that it runs")
    parser.add_argument("--times", type=int, default=3, help="runs of which the median is taken (3)")
    options = parser.parse_args()
    share = 20 if options.small else 1
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), USERS // share, TRANSACTIONS // share, options.times)
        bench.measure()
    machine = f"{os.cpu_count()} cores, load {load:.1f} before and {os.getloadavg()[0]:.1f} after"
    text = f"{table(bench.lines)}\n{machine}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}.\n"
    print(text)
    if options.write:
        head, rest = PAGE.read_text().split(BEGIN)
        PAGE.write_text(head + BEGIN + text + END + rest.split(END)[1])
    sys.exit(any(line.met is False for line in bench.lines))


main()
