"""What every command of the console has: --json, --local, progress, a line of counts, exit codes 0, 1 and 2."""

from __future__ import annotations

import getpass
import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser, SystemCheckError
from django.db import Error, connections
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)

from d1 import background
from database.failures import sentence
from database.router import OMNICHAT

T = TypeVar("T")

#: Beginnings of the variables that choose OmniChat's database: with --local none of them counts.
_CHOOSING = ("OMNICHAT_DATABASE_URL", "CLOUDFLARE_API_", "CLOUDFLARE_ACCOUNT_ID", "D1_DATABASE_ID")


@dataclass
class Report:
    """What a command found: the keys of its JSON, its last line, and a sentence where it met a problem."""

    data: dict[str, Any]
    counts: str
    error: str | None = None
    lines: list[str] = field(default_factory=list)


class OperatorCommand(BaseCommand):
    """A command for operators. A subclass implements `run`, which calls one function and reports.

    On stdout stands the report alone: prose, or with --json one JSON object. Progress and remarks go to stderr.
    Exit code 0 when all is well, 1 when it found or met a problem (then the JSON has `error`), 2 on bad usage.
    """

    #: Whether the command takes --local.
    local = True

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object on stdout and nothing else")
        if self.local:
            parser.add_argument(
                "--local",
                action="store_true",
                help="use the local SQLite file, whatever the environment says",
            )
        self.add_options(parser)

    def add_options(self, parser: CommandParser) -> None:
        """The options of this command alone."""

    def run(self, **options: Any) -> Report:
        raise NotImplementedError

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Django's, whose complaint about bad usage is a JSON object too where --json is among the words."""
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        usual = parser.error

        def complain(message: str) -> NoReturn:
            if "--json" in sys.argv and parser.called_from_command_line:
                self.stdout.write(json.dumps({"error": message}, ensure_ascii=False))
            usual(message)
            raise SystemExit(2)

        parser.error = complain  # type: ignore[method-assign]
        return parser

    def operator(self) -> str:
        """Who runs the command, for the books. A system's user without a name is told by the number."""
        try:
            name = getpass.getuser()
        except (KeyError, OSError):
            name = f"uid {os.getuid()}"
        return f"{name} ({type(self).__module__.rpartition('.')[2]})"

    def execute(self, *args: Any, **options: Any) -> str | None:
        if options.get("local"):
            others = [each for each in settings.ENVIRONMENT_PROBLEMS if not each[0].startswith(_CHOOSING)]
            settings.ENVIRONMENT_PROBLEMS[:] = others
        try:
            return super().execute(*args, **options)
        except (CommandError, Error) as error:
            code = getattr(error, "returncode", 1)
            self._fail(_sentence(error), {}, as_json=options.get("json", False), code=code)
        except KeyboardInterrupt:
            sentence = "Interrupted. What was done stays done; run the command again to finish."
            self._fail(sentence, {}, as_json=options.get("json", False), code=1)
        except BrokenPipeError:
            # Whoever read the lines has enough, as `head` does. Python must not try again at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(1) from None
        return None

    def handle(self, *args: Any, **options: Any) -> None:
        _refuse_unreadable(options)
        if options.get("local"):
            use_local_file()
        # A command waits before the rate limit of D1 is reached, so that no page has to.
        with background(self._tell_wait):
            report = self.run(**options)
        if report.error:
            self._lines(report, as_json=options["json"])
            self._fail(report.error, report.data, as_json=options["json"], code=1)
        self._lines(report, as_json=options["json"])
        if options["json"]:
            self.stdout.write(json.dumps(report.data, default=str, ensure_ascii=False))
        else:
            self.stdout.write(report.counts)

    _told_of_wait = False

    def _tell_wait(self, seconds: float) -> None:
        """Say that the command waits for the rate limit: at first, then for what is long enough to be wondered at."""
        if seconds >= 5:
            self.remark(
                f"Waiting {seconds:.0f} seconds: Cloudflare's API allows 1,200 requests in 5 minutes, and what is left "
                "of them is kept for pages. Ctrl-C ends the command without harm."
            )
        elif not self._told_of_wait:
            self.remark(
                "Going slower: more than half of the requests that Cloudflare's API allows in 5 minutes are used."
            )
        self._told_of_wait = True

    def remark(self, text: str) -> None:
        """A line of prose on stderr, for whoever watches."""
        self.stderr.write(text, self.style.NOTICE)

    @contextmanager
    def progress(self, label: str, total: int | None = None) -> Iterator[Progress]:
        """A bar on stderr where that is a terminal; call `.advance(task_id, n)` with `.task_ids[0]`."""
        console = Console(file=sys.stderr)
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal) as bar:
            bar.add_task(label, total=total)
            yield bar

    def tracked(self, items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
        """`items`, with a bar that moves as they are taken."""
        with self.progress(label, total) as bar:
            for item in items:
                yield item
                bar.advance(bar.task_ids[0])

    def confirm(self, question: str, options: dict[str, Any]) -> None:
        """Ask before something is destroyed. --no-input says yes; no terminal to ask on says no."""
        if options.get("no_input"):
            return
        if not sys.stdin.isatty():
            raise CommandError(f"{question} Nobody is there to ask: add --no-input to go on.", returncode=2)
        self.stderr.write(f"{question} Type yes to go on: ", ending="")
        if not self._confirmed():
            raise CommandError("Not confirmed: nothing was done.")

    def _confirmed(self) -> bool:
        try:
            return input() == "yes"
        except EOFError:
            return False

    def _lines(self, report: Report, *, as_json: bool) -> None:
        for line in report.lines if not as_json else []:
            self.stdout.write(line)

    def _fail(self, sentence: str, data: dict[str, Any], *, as_json: bool, code: int) -> None:
        if as_json:
            self.stdout.write(json.dumps({**data, "error": sentence}, default=str, ensure_ascii=False))
        else:
            self.stderr.write(sentence, self.style.ERROR)
        raise SystemExit(code)


def _refuse_unreadable(options: dict[str, Any]) -> None:
    """An empty word, as a script's unset variable gives, must not stand for the usual: no limit, the live database.

    Bytes of the shell that are no UTF-8 come as halves of characters, which no database and no JSON takes.
    """
    for name, value in options.items():
        for word in value if isinstance(value, list) else [value]:
            if isinstance(word, str) and not word.strip():
                raise CommandError(f"{name.replace('_', '-')} is empty: give a value, or leave it out.", returncode=2)
            if isinstance(word, str | Path) and not str(word).isascii():
                try:
                    str(word).encode()
                except UnicodeEncodeError:
                    raise CommandError(f"{name} is no text in UTF-8: give it as such.", returncode=2) from None


def _sentence(error: Exception) -> str:
    if isinstance(error, Error):
        return sentence(error, connections[OMNICHAT])
    if isinstance(error, SystemCheckError):
        return " ".join(each.strip().removeprefix("?: ") for each in str(error).split("ERRORS:\n")[-1].splitlines())
    return str(error)


def use_local_file() -> None:
    """From here on the alias `omnichat` is the local SQLite file."""
    if OMNICHAT in connections:
        connections[OMNICHAT].close()
        del connections[OMNICHAT]
    connections.settings[OMNICHAT] = connections.configure_settings(
        {"default": settings.DATABASES["default"], OMNICHAT: settings.LOCAL_OMNICHAT}
    )[OMNICHAT]
