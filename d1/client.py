"""`dbshell`: a prompt that reads."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

from django.db import DatabaseError, NotSupportedError
from django.db.backends.base.client import BaseDatabaseClient

from d1.sqltext import is_read


class DatabaseClient(BaseDatabaseClient):
    # No program is run; the name is what an error of Django's own would show.
    executable_name = "the D1 API"

    def runshell(self, parameters: Iterable[str]) -> None:
        """Answer statements that only read: those given as parameters, or else line by line from stdin.

        Rows go to stdout, what was wrong to stderr. Exits with 1 if something was, unless somebody types at a prompt.
        """
        given = list(parameters)
        is_typed = not given and sys.stdin.isatty()
        answered = [self._show(statement) for statement in given or _lines(f"d1 {self.connection.alias}> ")]
        if not is_typed and not all(answered):
            raise SystemExit(1)

    def _show(self, statement: str) -> bool:
        """Print the answer; whether there was one."""
        try:
            print(self.answer(statement))  # noqa: T201 - a prompt prints
        except DatabaseError as error:
            hint = ": each line is one statement" if "incomplete input" in str(error) else ""
            print(f"{error}{hint}", file=sys.stderr)  # noqa: T201
            return False
        return True

    def answer(self, statement: str) -> str:
        """The rows of a statement as text. NotSupportedError for one that writes."""
        if not is_read(statement):
            raise NotSupportedError("This prompt only reads. To change data, use the application or a migration.")
        with self.connection.cursor() as cursor:
            cursor.execute(statement)
            rows = [[column[0] for column in cursor.description], *cursor.fetchall()]
        return "\n".join("|".join("" if value is None else str(value) for value in row) for row in rows)


def _lines(prompt: str) -> Iterator[str]:
    """What is typed, until the end of the input or a line that says so."""
    while True:
        if sys.stdin.isatty():
            sys.stderr.write(prompt)
            sys.stderr.flush()
        line = sys.stdin.readline()
        if not line or line.strip().lower() in (".exit", ".quit", "exit", "quit"):
            return
        if line.strip():
            yield line.strip()
