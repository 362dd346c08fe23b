"""What anybody may write behind a command: a sentence and exit 1 or 2, or it is done; never a stack."""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command, get_commands, load_command_class
from django.core.management.base import BaseCommand

from database.commands import OperatorCommand
from tests.hostile_values import VALUES
from tests.pages import make_rows

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.sqlite_only("words are judged before, or as a page's are, which test_hostile throws at both engines"),
]
ROOMS = ("database", "chat", "billing", "console")
#: No shell hands on a NUL; bytes that are no UTF-8 come as halves of characters.
WORDS = {**{kind: value.replace("\0", "") for kind, value in VALUES.items()}, "bytes": "\udcff\udc00x"}
#: What a command asks for besides the word that is tried.
BESIDES: dict[str, dict[str, list[str]]] = {
    "grant_battery": {"user_id": ["u1"], "units": ["5"], "reason": ["--reason=An outage"]},
    "restore_database": {"backup": ["latest"]},
    "verify_backup": {"backup": ["latest"]},
}


def own_commands() -> dict[str, BaseCommand]:
    found = {name: load_command_class(str(app), name) for name, app in get_commands().items() if app in ROOMS}
    return {name: command for name, command in found.items() if isinstance(command, OperatorCommand)}


def taking_values(command: BaseCommand) -> Iterator[argparse.Action]:
    """The options and words of this command alone that take a value."""
    usual = {action.dest for action in BaseCommand().create_parser("manage.py", "x")._actions}
    for action in command.create_parser("manage.py", "x")._actions:
        if action.dest not in usual and action.nargs != 0:
            yield action


CASES = [
    pytest.param(name, action.dest, (*action.option_strings, "")[0], id=f"{name}-{action.dest}")
    for name, command in sorted(own_commands().items())
    for action in taking_values(command)
]


def said(command: str, words: list[str]) -> tuple[int, dict[str, Any]]:
    """The exit code and the JSON. Anything else than an end in order is raised."""
    out, errors = io.StringIO(), io.StringIO()
    try:
        call_command(command, *words, "--json", stdout=out, stderr=errors, skip_checks=True)
        code = 0
    except CommandError as bad_usage:
        return 2, {"error": str(bad_usage)}
    except SystemExit as end:
        code = int(end.code or 0)
    assert "Traceback" not in out.getvalue() + errors.getvalue()
    out.getvalue().encode()
    return code, json.loads(out.getvalue())


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """Deep enough that `../../../..` leads nowhere."""
    deep = tmp_path.joinpath(*"abcdefgh")
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    settings.BACKUP_STORAGE = str(tmp_path / "backups")
    settings.STRIPE_SECRET_KEY = ""


def test_the_walk_sees_the_commands() -> None:
    assert len({case.values[0] for case in CASES}) >= 10


def words_of(command: str, dest: str, option: str, value: str) -> list[str]:
    """Behind the command: `value` in its place, and what else is asked for."""
    others = [word for other, words in BESIDES.get(command, {}).items() if other != dest for word in words]
    if option:
        return [f"{option}={value}", *others]
    if command == "grant_battery":
        return [*others[1:], "--", *([value, "5"] if dest == "user_id" else ["u1", value])]
    return [*others, "--", value]


@pytest.mark.parametrize(("command", "dest", "option"), CASES)
def test_an_empty_word_never_stands_for_the_usual(command: str, dest: str, option: str) -> None:
    """`--by "$STAFF"` with nothing in STAFF would grant without limits, `--into "$COPY"` replace the live database."""
    code, told = said(command, words_of(command, dest, option, ""))
    assert code == 2
    assert told["error"].strip()


@pytest.mark.parametrize(("command", "dest", "option"), CASES)
def test_no_word_makes_a_command_stumble(command: str, dest: str, option: str) -> None:
    make_rows()
    for kind, value in WORDS.items():
        code, told = said(command, words_of(command, dest, option, value))
        assert code in (0, 1, 2), (kind, told)
        assert code == 0 or told["error"].strip(), kind
