"""The numbered SQL files: read, checked, and told apart by their number and their checksum."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from database.sql import same_line_ends, statements, words

_NAME = re.compile(r"(?P<version>\d+)_(?P<name>\w+)\.sql")
_TRANSACTION_CONTROL = {"BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE", "VACUUM", "ATTACH", "DETACH"}


class MigrationError(Exception):
    """What is wrong with the files, or between them and the database. The text names the file and the way out."""


@dataclass(frozen=True)
class Migration:
    """One file. `sql` has its line ends made equal; `checksum` is the SHA-256 of that, in hex; `down_sql` undoes it."""

    version: int
    name: str
    sql: str
    down_sql: str | None
    checksum: str
    path: Path

    def __str__(self) -> str:
        return self.path.name

    @property
    def statements(self) -> list[str]:
        """What the file does, without a schema_version row of its own: the runner writes that row.

        Raises MigrationError where a statement can't be part of a transaction.
        """
        return _within_a_transaction(self.path.name, self.sql)

    @property
    def down_statements(self) -> list[str]:
        """What undoes the file, as `statements`. Raises MigrationError where there is no such file."""
        if self.down_sql is None:
            raise MigrationError(f"{self} has no down/{self}: write it, or stay at version {self.version} or above.")
        return _within_a_transaction(f"down/{self}", self.down_sql)


def read_migrations(directory: Path) -> list[Migration]:
    """The migrations of a folder, 1 to the last. Raises MigrationError for a gap, a duplicate or a file unreadable."""
    if not os.path.isdir(directory):  # False, too, for what can be no name of a folder
        raise MigrationError(f"{directory} is no folder: give the one that holds the migrations with --directory.")
    found = sorted((_read(path) for path in directory.glob("*.sql")), key=lambda each: (each.version, each.name))
    if not found:
        raise MigrationError(f"{directory} shows no NNNN_verb_noun.sql: give the migrations' folder with --directory.")
    for expected, migration in enumerate(found, start=1):
        twin = found[expected - 2] if expected > 1 else None
        if twin and migration.version == twin.version:
            raise MigrationError(f"{twin} and {migration} have one number: rename the one that was not applied.")
        if migration.version != expected:
            raise MigrationError(f"{migration} has no {expected:04} before it: bring that file back, or renumber it.")
    return found


def _read(path: Path) -> Migration:
    match = _NAME.fullmatch(path.name)
    if not match:
        raise MigrationError(f"{path.name} is not named NNNN_verb_noun.sql: rename it, or move it out of the folder.")
    text, down = _text(path), path.parent / "down" / path.name
    return Migration(
        version=int(match["version"]),
        name=match["name"],
        sql=text.removeprefix("\ufeff"),
        down_sql=_text(down).removeprefix("\ufeff") if os.path.exists(down) else None,
        checksum=hashlib.sha256(text.encode()).hexdigest(),
        path=path,
    )


def _text(path: Path) -> str:
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise MigrationError(f"{path.name} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise MigrationError(f"{path.name} is not UTF-8 (byte {error.start}): save it as UTF-8.") from None
    if "\0" in text:
        raise MigrationError(f"{path.name} holds a NUL character: it is no SQL text.")
    return same_line_ends(text)


def _within_a_transaction(file: str, text: str) -> list[str]:
    found = statements(text)
    for number, statement in enumerate(found, start=1):
        first = words(statement)[:1]
        if first and first[0].upper() in _TRANSACTION_CONTROL:
            raise MigrationError(
                f"{file} says {first[0].upper()} in statement {number}. Each file is one transaction already: "
                "take such statements out of it."
            )
    return [statement for statement in found if not _records_itself(statement)]


def _records_itself(statement: str) -> bool:
    first = [word.upper() for word in words(statement)[:5]]
    if first[1:2] == ["OR"]:
        first = first[:1] + first[3:]
    return first[:1] in (["INSERT"], ["REPLACE"]) and first[1:3] == ["INTO", "SCHEMA_VERSION"]
