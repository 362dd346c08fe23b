"""Whether OmniChat's database is as it should be: its schema, its records of migrations, its keys and its values.

Reads only. Rooms above know more than this one: they register their checks from their AppConfig.ready.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import DatabaseError

from database.drift import Comparison, compare, expected_schema
from database.migration_log import Log, read_log
from database.migrations import Migration, MigrationError
from database.oddities import Extent, Oddity, count_oddities, count_rows, look_closer
from database.schema import Schema, read_schema
from database.soundness import damage, damage_of_d1
from database.transactions import is_d1
from database.words import counted

#: So many violations of foreign keys are listed; all are counted.
SHOWN_VIOLATIONS = 100
_COUNT_VIOLATIONS = "SELECT count(*) FROM pragma_foreign_key_check"
_VIOLATIONS = f'SELECT "table", rowid, parent FROM pragma_foreign_key_check LIMIT {SHOWN_VIOLATIONS}'  # noqa: S608


class CheckFailed(Exception):
    """A check that could not be made. The text says why, and what to do."""


@dataclass(frozen=True)
class Context:
    """What a registered check gets: a connection to read from, the live schema, and the rows of each table.

    `limit` is how many rows are to be printed; `watch` takes how many more are done.
    """

    connection: BaseDatabaseWrapper
    schema: Schema
    rows: dict[str, int]
    limit: int
    watch: Callable[[int], None] = lambda count: None

    def has(self, table: str, *columns: str) -> bool:
        found = self.schema.tables.get(table)
        return found is not None and all(column.lower() in found.columns for column in columns)


@dataclass
class Finding:
    """What a registered check found: keys of the JSON, lines to print, and a sentence part where it is a problem."""

    data: dict[str, Any] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    problem: str | None = None


Check = Callable[[Context], Finding]
_checks: dict[str, Check] = {}
_on_request: dict[str, Check] = {}


def register_check(name: str, check: Check, *, on_request: bool = False) -> None:
    """Let every verification run this check; with `on_request` only one that asks for it by name."""
    (_on_request if on_request else _checks)[name] = check


@dataclass
class Verification:
    """All that was found. `problems` are parts of a sentence, the most important first; none means that all is well."""

    schema_version: int = 0
    tables: dict[str, int] = field(default_factory=dict)
    schema: Comparison = field(default_factory=Comparison)
    checksums: list[dict[str, Any]] = field(default_factory=list)
    pending: list[Migration] = field(default_factory=list)
    violations: int = 0
    violating: list[dict[str, Any]] = field(default_factory=list)
    integrity: list[str] = field(default_factory=list)
    oddities: list[Oddity] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.problems


def verify_schema(connection: BaseDatabaseWrapper, migrations: Sequence[Migration]) -> Verification:
    """Schema, records of migrations and integrity alone: what a set-up answers for, whatever the rows hold.

    Raises MigrationError where the files themselves are wrong, DatabaseError where the database can't be read.
    """
    result, live = Verification(), _live_schema(connection)
    _verify_schema(result, connection, migrations, live)
    _count_rows(result, connection, live)
    return result


def verify(
    connection: BaseDatabaseWrapper,
    migrations: Sequence[Migration],
    *,
    limit: int = 20,
    requested: Iterable[str] = (),
    thorough: bool = False,
    watch: Callable[[int], None] = lambda count: None,
) -> Verification:
    """Everything; `requested` names further checks. `thorough` reads every index too, where the engine allows that.

    Some ten queries, on D1 a request each. Raises as verify_schema does, and CheckFailed.
    """
    result, live = Verification(), _live_schema(connection)
    _verify_schema(result, connection, migrations, live, thorough=thorough)
    if not live.tables:
        return result
    _verify_keys(result, connection)
    extents = _count_rows(result, connection, live)
    odd = count_oddities(connection, live, extents)
    if odd:
        result.oddities = look_closer(connection, live, extents, odd)
        columns = ", ".join(f"{rule.table}.{rule.column}" for rule in odd)
        result.problems.append(f"{sum(odd.values()):,} values are not what their columns should hold ({columns})")
    context = Context(connection, live, result.tables, limit, watch)
    for check in (*_checks.values(), *(_on_request[name] for name in requested)):
        finding = check(context)
        result.findings.append(finding)
        if finding.problem:
            result.problems.append(finding.problem)
    return result


def _live_schema(connection: BaseDatabaseWrapper) -> Schema:
    with connection.cursor() as cursor:
        return read_schema(cursor)


def _count_rows(result: Verification, connection: BaseDatabaseWrapper, live: Schema) -> dict[str, Extent]:
    extents = count_rows(connection, live)
    result.tables = {table.name: extents[key].rows for key, table in live.tables.items()}
    return extents


def _verify_schema(
    result: Verification,
    connection: BaseDatabaseWrapper,
    migrations: Sequence[Migration],
    live: Schema,
    *,
    thorough: bool = False,
) -> None:
    result.schema = compare(expected_schema(migrations), live)
    if not live.tables:
        result.pending = list(migrations)
        result.problems.append("the database has no tables: run manage.py setup_database")
        return
    _verify_log(result, connection, migrations)
    if drift := result.schema.drift:
        shown = "; ".join(str(each) for each in drift[:3])
        more = f" and {len(drift) - 3} more" if len(drift) > 3 else ""
        result.problems.append(f"the schema lacks or has otherwise: {shown}{more}")
    result.integrity = _integrity(connection, thorough=thorough)
    if result.integrity:
        result.problems.append(f"the file is damaged, restore a backup: {result.integrity[0]}")


def _verify_log(result: Verification, connection: BaseDatabaseWrapper, migrations: Sequence[Migration]) -> None:
    try:
        log = read_log(connection)
    except MigrationError as error:
        result.problems.append(str(error).rstrip("."))
        return
    result.schema_version = log.version
    result.pending = [each for each in migrations if each.version not in log.records]
    result.checksums = compare_log(log, migrations)
    if result.checksums:
        versions = ", ".join(f"{each['version']:04}" for each in result.checksums)
        result.problems.append(f"what schema_version records is not what the files are: {versions}")
    if result.pending:
        count = f"{len(result.pending)} of {len(migrations)}"
        result.problems.append(f"{count} migrations are not recorded as applied: run manage.py migrate_database")


def compare_log(log: Log, migrations: Sequence[Migration]) -> list[dict[str, Any]]:
    """Where a row of schema_version and its file disagree: `{version, name, problem, expected, found}`.

    A row without a checksum is no disagreement as long as its name is the file's: migrate_database fills it.
    """
    files = {each.version: each for each in migrations}
    found = []
    for version, record in sorted(log.records.items()):
        file = files.get(version)
        if file is None:
            found.append(_disagreement(version, record.name, "there is no such file", None, record.checksum))
        elif record.checksum and record.checksum != file.checksum:
            text = "the file was changed after it was applied"
            found.append(_disagreement(version, file.name, text, file.checksum, record.checksum))
    return found


def _disagreement(version: int, name: str | None, problem: str, expected: Any, found: Any) -> dict[str, Any]:
    return {"version": version, "name": name, "problem": problem, "expected": expected, "found": found}


def _integrity(connection: BaseDatabaseWrapper, *, thorough: bool) -> list[str]:
    """What the engine itself says is damaged. D1 allows quick_check alone, which leaves out the order of indexes."""
    with connection.cursor() as cursor:

        def query(sql: str) -> list[Any]:
            cursor.execute(sql)
            return list(cursor.fetchall())

        if is_d1(connection):
            return damage_of_d1(query)
        return damage(query, "integrity_check" if thorough else "quick_check")


def _verify_keys(result: Verification, connection: BaseDatabaseWrapper) -> None:
    with connection.cursor() as cursor:
        try:
            cursor.execute(_VIOLATIONS)
            rows = cursor.fetchall()
        except DatabaseError as error:
            # A key whose parent columns are not unique: a fault of the schema, which the comparison names too.
            if "foreign key mismatch" not in str(error):
                raise
            result.problems.append(f"foreign keys cannot be checked: {error}")
            return
        result.violating = [{"table": table, "rowid": rowid, "parent": parent} for table, rowid, parent in rows]
        result.violations = len(rows)
        if len(rows) == SHOWN_VIOLATIONS:
            cursor.execute(_COUNT_VIOLATIONS)
            result.violations = cursor.fetchone()[0]
    if result.violations:
        pairs = sorted({f"{each['table']} to {each['parent']}" for each in result.violating})
        result.problems.append(
            f"{counted(result.violations, 'row points', 'rows point')} to rows that are not there ({', '.join(pairs)})"
        )
