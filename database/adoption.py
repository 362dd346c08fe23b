"""Takes over a database that somebody else made: what is there is compared, then recorded as applied."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from django.db.backends.base.base import BaseDatabaseWrapper

from database.drift import Difference, compare, expected_schema
from database.migration_log import Log, read_log, recording
from database.migrations import Migration, MigrationError
from database.rehearsal import copy_of_schema
from database.schema import Schema, read_schema
from database.sql import words
from database.transactions import StatementFailed, Step, run_as_one
from database.words import counted

#: What the runner mends by itself whenever it writes.
_RUNNERS_OWN = "schema_version"


@dataclass
class Adoption:
    """What has to happen so that `migrations` count as applied.

    `lacking` is in the way; `mending` adds what can be added; `foreign` are rows of other migrations that go.
    """

    migrations: list[Migration]
    log: Log
    lacking: list[Difference] = field(default_factory=list)
    mending: list[str] = field(default_factory=list)
    foreign: list[int] = field(default_factory=list)
    #: The last version up to which nothing is lacking.
    possible: int = 0
    #: Whether `mend` would add some of what is lacking.
    mendable: bool = False


def examine(
    connection: BaseDatabaseWrapper, migrations: Sequence[Migration], to: int | None, *, mend: bool
) -> Adoption:
    """Compare the live tables with what migrations 1 to `to` make. Writes nothing.

    Without `to` it is the last file that wrangler's d1_migrations records.
    """
    target = _recorded_by_wrangler(connection, migrations) if to is None else to
    if not 1 <= target <= len(migrations):
        raise MigrationError(f"There is no version {target} to adopt: the files go from 1 to {len(migrations)}.")
    with connection.cursor() as cursor:
        live = read_schema(cursor)
    wanted, log = list(migrations[:target]), read_log(connection)
    lacking = _lacking(wanted, live)
    adoption = Adoption(wanted, log, lacking, foreign=list(_foreign(log, migrations, target)))
    mending = _mending(wanted, lacking)
    adoption.mendable = bool(mending) and not mend
    if mend:
        adoption.mending = mending
        adoption.lacking = _left_after(connection, adoption.mending, wanted)
    if adoption.lacking:
        adoption.possible = next((n for n in range(target - 1, 0, -1) if not _lacking(wanted[:n], live)), 0)
    return adoption


def adopt(connection: BaseDatabaseWrapper, adoption: Adoption) -> None:
    """Mend what can be, and record the files, in one transaction. Raises MigrationError; then nothing is done."""
    if adoption.lacking:
        raise MigrationError(refusal(adoption))
    steps: list[Step] = [(sql, []) for sql in adoption.mending]
    steps += [("DELETE FROM schema_version WHERE version = %s", [version]) for version in adoption.foreign]
    for migration in adoption.migrations:
        steps += recording(migration)
    try:
        run_as_one(connection, adoption.log.making(), "1", steps)
    except StatementFailed as failed:
        shown = "" if failed.number is None else f"\n\n{steps[failed.number - 1][0]}"
        raise MigrationError(f"The adoption failed: {failed.words}. Nothing of it stays.{shown}") from failed


def refusal(adoption: Adoption) -> str:
    """The sentence with every difference, and the way out."""
    count, last = len(adoption.lacking), adoption.migrations[-1].version
    listed = "; ".join(str(each) for each in adoption.lacking)
    ways = [f"Up to {adoption.possible} all is there: --adopt {adoption.possible}."] if adoption.possible else []
    ways.append(
        "--mend adds missing columns and indexes; the rest is changed by hand."
        if adoption.mendable
        else "--mend cannot add what is lacking: it is changed by hand."
    )
    return f"The database is not what 1 to {last} make, {counted(count, 'difference')}: {listed}. {' '.join(ways)}"


def _lacking(migrations: Sequence[Migration], live: Schema) -> list[Difference]:
    found = compare(expected_schema(migrations), live).drift
    return [each for each in found if each.table != _RUNNERS_OWN]


def _foreign(log: Log, migrations: Sequence[Migration], target: int) -> Iterator[int]:
    """Rows above the target that are not of these files."""
    checksums = {each.version: each.checksum for each in migrations}
    for version, record in log.records.items():
        if version > target and (version > len(migrations) or record.checksum != checksums[version]):
            yield version


def _recorded_by_wrangler(connection: BaseDatabaseWrapper, migrations: Sequence[Migration]) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'd1_migrations'")
        if not cursor.fetchone():
            raise MigrationError("No d1_migrations of wrangler is there to tell: say up to which version, --adopt N.")
        cursor.execute("SELECT name FROM d1_migrations")
        names = {name for (name,) in cursor.fetchall()}
    count = 0
    for migration in migrations:
        if migration.path.name not in names:
            break
        count += 1
    if not count:
        raise MigrationError(f"wrangler's d1_migrations has no {migrations[0]}: say up to which version, --adopt N.")
    return count


def _mending(migrations: Sequence[Migration], lacking: list[Difference]) -> list[str]:
    """The statements that add missing columns, then missing indexes."""
    columns = [
        # ADD COLUMN takes no computed default, so the column gets none.
        f'ALTER TABLE "{each.table}" ADD COLUMN "{each.name}" {each.expected.split(" DEFAULT ")[0]}'
        for each in lacking
        if each.kind == "column" and each.expected and "NOT NULL" not in each.expected
    ]
    names = {each.name for each in lacking if each.kind == "index" and each.found is None}
    return columns + [sql for name, sql in _indexes(migrations) if name in names]


def _indexes(migrations: Sequence[Migration]) -> Iterator[tuple[str, str]]:
    """Each CREATE INDEX of the files with the index's name."""
    for migration in migrations:
        for statement in migration.statements:
            spoken = words(statement)
            upper = [word.upper() for word in spoken]
            if upper[0] == "CREATE" and "INDEX" in upper[1:3]:
                yield spoken[upper.index("ON") - 1], statement


def _left_after(
    connection: BaseDatabaseWrapper, mending: list[str], migrations: Sequence[Migration]
) -> list[Difference]:
    """What is still lacking once the statements ran, found out on a copy without rows."""
    with closing(copy_of_schema(connection)) as copy:
        for statement in mending:
            copy.execute(statement)
        return _lacking(migrations, read_schema(copy.cursor()))
