"""Applies and reverts the numbered SQL files, each together with its row in schema_version or not at all."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import Error

from d1.errors import OutcomeUnknown
from database.adoption import adopt, examine
from database.drift import Difference
from database.failures import sentence
from database.migration_log import Log, check_log, fill_checksums, read_log, recording, without_checksum
from database.migrations import Migration, MigrationError
from database.precautions import bookmark, check_sizes, has_rows, refuse_passing_over
from database.rehearsal import Batch, Hazard, rehearse
from database.transactions import StatementFailed, Step, is_d1, run_as_one

Confirm = Callable[[str], None]
Remark = Callable[[str], None]


def silent(text: str) -> None:
    """Where nobody watches."""


def agreed(question: str) -> None:
    """Where nobody needs to be asked."""


@dataclass
class Outcome:
    """What a run did. `pending` is what no row records in the end; `filled` had no checksum and has one now.

    `differences` is what stood in the way of an adoption, `bookmark` D1's name of the moment before the first change.
    """

    applied: list[Migration] = field(default_factory=list)
    reverted: list[Migration] = field(default_factory=list)
    pending: list[Migration] = field(default_factory=list)
    filled: list[Migration] = field(default_factory=list)
    adopted: list[Migration] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    version: int = 0
    bookmark: str | None = None
    error: str | None = None


@dataclass
class Plan:
    """What a run would do, in order: each file with its statements up or down, and what to look at twice."""

    log: Log
    up: bool
    batches: list[Batch]
    hazards: list[Hazard]
    unfilled: list[Migration]


@dataclass(frozen=True)
class Migrator:
    """Brings one database to one version.

    `confirm` is asked before rows are lost and raises to stop; `remark` takes a line of prose for whoever watches.
    """

    connection: BaseDatabaseWrapper
    migrations: Sequence[Migration]
    confirm: Confirm = agreed
    remark: Remark = silent

    def migrate(self, to: int | None = None) -> Outcome:
        """Go up or down to version `to`, or up to the last. What was wrong stands in the outcome's `error`."""
        return self._watched(lambda outcome: self._migrate(outcome, self.target(to)))

    def plan(self, to: int | None = None, *, rerun: int | None = None) -> Plan:
        """What `migrate` or `rerun` would do. Writes nothing. Raises MigrationError where it would stop at once."""
        log = read_log(self.connection)
        if rerun is not None:
            batches, up = [self._batch_to_rerun(log, rerun)], True
        else:
            check_log(log, list(self.migrations))
            target = self.target(to)
            up = target >= log.version
            ups = [(each, each.statements) for each in self.pending(log, target)]
            batches = ups if up else [(each, each.down_statements) for each in self.above(log, target)]
        check_sizes(self.connection, batches)
        hazards = rehearse(self.connection, batches)
        return Plan(log, up, batches, hazards, without_checksum(log, list(self.migrations)))

    def rerun(self, version: int) -> Outcome:
        """Apply an applied file again, as it is now, and record its checksum."""
        return self._watched(lambda outcome: self._rerun(outcome, version))

    def adopt(self, to: int | None = None, *, mend: bool = False) -> Outcome:
        """Record 1 to `to` as applied, if the tables have all that these make; `mend` adds columns and indexes."""
        return self._watched(lambda outcome: self._adopt(outcome, to, mend=mend))

    def target(self, to: int | None) -> int:
        last = len(self.migrations)
        if to is not None and not 0 <= to <= last:
            raise MigrationError(f"There is no version {to}: the files end with {last}, and 0 is before the first.")
        return last if to is None else to

    def pending(self, log: Log, target: int) -> list[Migration]:
        return [each for each in self.migrations[:target] if each.version not in log.records]

    def above(self, log: Log, target: int) -> list[Migration]:
        """What has to be reverted, the last one first."""
        return [each for each in reversed(self.migrations[target:]) if each.version in log.records]

    def _watched(self, work: Callable[[Outcome], Any]) -> Outcome:
        outcome = Outcome()
        try:
            work(outcome)
            # What the database says in the end; another runner may have been at work, too.
            self._conclude(outcome)
        except MigrationError as error:
            outcome.error = str(error)
            self._conclude_failure(outcome)
        except Error as error:
            outcome.error = sentence(error, self.connection)
        return outcome

    def _conclude_failure(self, outcome: Outcome) -> None:
        with contextlib.suppress(MigrationError, Error):
            self._conclude(outcome)

    def _conclude(self, outcome: Outcome) -> None:
        log = read_log(self.connection)
        outcome.version = log.version
        outcome.pending = self.pending(log, len(self.migrations))

    def _migrate(self, outcome: Outcome, target: int) -> None:
        log = read_log(self.connection)
        check_log(log, list(self.migrations))
        log = self._fill(outcome, log)
        if target < log.version:
            self._down(outcome, self.above(log, target))
        else:
            self._up(outcome, log, self.pending(log, target))

    def _fill(self, outcome: Outcome, log: Log) -> Log:
        outcome.filled = fill_checksums(self.connection, log, list(self.migrations))
        if outcome.filled:
            names = ", ".join(map(str, outcome.filled))
            self.remark(f"Recorded without a checksum, which is filled in now, unverified: {names}.")
        return read_log(self.connection) if outcome.filled else log

    def _up(self, outcome: Outcome, log: Log, pending: list[Migration]) -> None:
        if not pending:
            return
        batches = [(each, each.statements) for each in pending]
        check_sizes(self.connection, batches)
        self._ask_before_loss(rehearse(self.connection, batches))
        self._bookmark(outcome)
        for migration, statements in batches:
            making = log.making() if migration is pending[0] else []
            steps: list[Step] = [*((sql, []) for sql in statements), *recording(migration)]
            if self._run(migration, making, f"{_VERSION} = {migration.version - 1}", steps):
                outcome.applied.append(migration)
                self.remark(f"Applied {migration}")
            else:
                self.remark(f"{migration} was applied by another runner meanwhile")

    def _down(self, outcome: Outcome, above: list[Migration]) -> None:
        batches = [(each, each.down_statements) for each in above]
        check_sizes(self.connection, batches)
        names = ", ".join(f"down/{each}" for each in above)
        self.confirm(f"Going down runs {names}: what these drop is lost.")
        self._bookmark(outcome)
        for migration, statements in batches:
            # The row goes first, for a down file may drop the table it stands in.
            first: list[Step] = [("DELETE FROM schema_version WHERE version = %s", [migration.version])]
            steps = [*first, *((sql, []) for sql in statements)]
            done = self._run(migration, [], f"{_VERSION} = {migration.version}", steps, before=1)
            if not done:
                raise MigrationError(f"Another runner is at work: {migration} is not the last version any more.")
            outcome.reverted.append(migration)
            self.remark(f"Reverted {migration}")

    def _rerun(self, outcome: Outcome, version: int) -> None:
        log = read_log(self.connection)
        migration, statements = self._batch_to_rerun(log, version)
        check_sizes(self.connection, [(migration, statements)])
        self.confirm(f"{migration} will be applied again, on top of what it made the first time.")
        self._bookmark(outcome)
        self._run(migration, log.making(), "1", [*((sql, []) for sql in statements), *recording(migration)])
        outcome.applied.append(migration)
        self.remark(f"Applied {migration} again")

    def _ask_before_loss(self, hazards: list[Hazard]) -> None:
        refuse_passing_over(hazards)
        losing = [str(each) for each in hazards if any(has_rows(self.connection, table) for table in each.loses)]
        if losing:
            self.confirm(" ".join(losing))

    def _bookmark(self, outcome: Outcome) -> None:
        outcome.bookmark = bookmark(self.connection)
        if outcome.bookmark:
            self.remark(f"D1 can be put back to this moment for 30 days, by its bookmark {outcome.bookmark}")
        elif is_d1(self.connection):
            self.remark("D1 gave no bookmark; for 30 days `wrangler d1 time-travel` goes back to a time as well.")

    def _batch_to_rerun(self, log: Log, version: int) -> Batch:
        """A version below the present one that no row records may be run as well: it fills the hole."""
        if version not in log.records and not 0 < version < log.version:
            raise MigrationError(f"Version {version} was not applied: migrate_database applies what is pending.")
        migration = self.migrations[self.target(version) - 1]
        return migration, migration.statements

    def _adopt(self, outcome: Outcome, to: int | None, *, mend: bool) -> None:
        adoption = examine(self.connection, self.migrations, to, mend=mend)
        outcome.differences = adoption.lacking
        if adoption.foreign and not adoption.lacking:
            versions = ", ".join(map(str, adoption.foreign))
            self.confirm(f"schema_version has rows of other migrations, which will be removed: {versions}.")
        adopt(self.connection, adoption)
        for sql in adoption.mending:
            self.remark(f"Added what was missing: {sql}")
        outcome.adopted = adoption.migrations

    def _run(
        self, migration: Migration, making: list[Step], condition: str, steps: list[Step], *, before: int = 0
    ) -> bool:
        """`before` counts the steps that are not the file's own and come before it."""
        try:
            return run_as_one(self.connection, making, condition, steps)
        except StatementFailed as failed:
            raise MigrationError(_failure(migration, failed, steps, before)) from failed
        except OutcomeUnknown as lost:
            return self._look_up(migration, lost, reverting=bool(before))

    def _look_up(self, migration: Migration, lost: OutcomeUnknown, *, reverting: bool) -> bool:
        """The answer was lost: the row in schema_version tells whether the batch was committed."""
        try:
            record = read_log(self.connection).records.get(migration.version)
        except Error as error:
            raise MigrationError(
                f"Nobody knows whether {migration} was {'reverted' if reverting else 'applied'}: D1's answer was lost "
                f"({lost.reason}), and it cannot be asked now. {sentence(error, self.connection)} Then run the command "
                "again: it looks into schema_version and goes on from what is there."
            ) from lost
        if (record is None) if reverting else (record and record.checksum == migration.checksum):
            return True
        raise MigrationError(
            f"{migration} is not done, and D1's answer was lost ({lost.reason}). If it needs more than 30 seconds, "
            "divide it; else wait a minute and run the command again."
        ) from lost


_VERSION = "(SELECT coalesce(max(version), 0) FROM schema_version)"
_SHOWN = 2000


def _failure(migration: Migration, failed: StatementFailed, steps: list[Step], before: int) -> str:
    nothing = "Nothing of this file stays, the files before it do."
    if failed.number is None:
        return f"{migration} failed at its end, when all was to be committed: {failed.words}. {nothing}"
    statement = steps[failed.number - 1][0]
    shown = statement if len(statement) <= _SHOWN else f"{statement[:_SHOWN]}... ({len(statement):,} characters)"
    number = failed.number - before
    return f"{migration}, statement {number} failed: {failed.words.rstrip('.')}. {nothing}\n\n{shown}"
