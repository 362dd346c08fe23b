"""The environment, read once. A value that cannot be read becomes a problem that a system check names."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import environ

T = TypeVar("T")

env = environ.FileAwareEnv()

#: (variable, what is wrong with it), filled while the settings load; omniops.checks reports each.
PROBLEMS: list[tuple[str, str]] = []

# What a database gets whose variable is wrong: it refuses every query, so nobody works on the wrong data.
REFUSING = {"ENGINE": "django.db.backends.dummy", "NAME": ""}

_ID = re.compile(r"[A-Za-z0-9_-]+")
# What Django compares with: a port never matches. Behind a point, all that end so: not a whole top-level domain.
_HOST = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*|(\.[A-Za-z0-9_-]+){2,}|\[[0-9A-Fa-f:.]+\]")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def read(name: str, parse: Callable[[str], T], default: T, *, wrong: T | None = None) -> T:
    """The value of `name` (or of the file that NAME_FILE names) through `parse`.

    Unset or empty gives `default`. What cannot be read is noted as a problem, and gives `wrong` or else `default`.
    """
    try:
        text = str(env.str(name, "")).strip()
        return parse(text) if text else default
    except (ValueError, environ.ImproperlyConfigured) as error:
        problem = str(error)
    except OSError as error:
        problem = f"{name}_FILE names {error.filename}: {error.strerror}."
    if (name, problem) not in PROBLEMS:
        PROBLEMS.append((name, problem))
    return default if wrong is None else wrong


def kept(path: Path, make: Callable[[], str]) -> str:
    """What the file holds; where there is none, what `make` makes, which appears whole or not at all."""
    if not path.exists():
        fresh = path.with_name(f"{path.name}.{os.getpid()}")
        fresh.touch(mode=0o600)
        fresh.write_text(make())
        fresh.replace(path)
    return path.read_text()


def flag(text: str) -> bool:
    if text.lower() in ("1", "true", "yes", "on"):
        return True
    if text.lower() in ("0", "false", "no", "off"):
        return False
    raise ValueError(f"{text!r} is neither true nor false; give 1 or 0.")


def hosts(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if not _HOST.fullmatch(name):
            raise ValueError(f"{name!r} is no host: give names alone, without *, scheme, port and path.")
    return names


def choice(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"{text!r} is none of {', '.join(choices)}.")
        return text

    return parse


def checked(check: Callable[[str], Any]) -> Callable[[str], str]:
    """The text itself, once `check` has read it without a ValueError."""

    def parse(text: str) -> str:
        check(text)
        return text

    return parse


def http_url(text: str) -> str:
    if not re.fullmatch(r"https?://[^\s/]+(/\S*)?", text):
        raise ValueError("it is no URL; give one that starts with https://.")
    return text.rstrip("/")


def secret_url(text: str) -> str:
    """A URL to which a secret is sent, so in the clear only on this machine."""
    url = http_url(text)
    if urlsplit(url).scheme == "http" and urlsplit(url).hostname not in _LOOPBACK:
        raise ValueError("it would send a secret in the clear; give one that starts with https://.")
    return url


def sqlite(path: Path) -> dict[str, Any]:
    """A SQLite file that several processes write to: write-ahead log, and transactions that lock at their start."""
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": path,
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL",
        },
    }


def api_token(text: str) -> str:
    if not re.fullmatch(r"[!-~]+", text):
        raise ValueError("it has characters that no API token has; copy it anew.")
    return text


def cloudflare_id(text: str) -> str:
    if not _ID.fullmatch(text):
        raise ValueError("it is no id of Cloudflare: these have letters, digits, - and _ alone.")
    return text


def tokens() -> tuple[str, str]:
    """The token to edit with, and the one to read with, "" where there is none."""
    return read("CLOUDFLARE_API_TOKEN", api_token, ""), read("CLOUDFLARE_API_READ_TOKEN", api_token, "")


def d1_tokens() -> tuple[str, str]:
    token, to_read = tokens()
    if not token and "CLOUDFLARE_API_TOKEN" not in dict(PROBLEMS):
        PROBLEMS.append(("CLOUDFLARE_API_TOKEN", "it is not set, and D1 answers nothing without one."))
    return token, to_read


@cache
def api_base() -> str:
    return read("CLOUDFLARE_API_BASE", secret_url, "https://api.cloudflare.com/client/v4")


def d1(account: str, database: str) -> dict[str, Any]:
    token, to_read = d1_tokens()
    return {
        "ENGINE": "d1",
        "NAME": database,
        "USER": account,
        "PASSWORD": token,
        "OPTIONS": {
            "read_token": to_read,
            "api_base": api_base(),
            "migrate_refusal": "OmniChat's tables come from numbered SQL: run manage.py migrate_database.",
        },
    }


def console_url(text: str) -> dict[str, Any]:
    if text.startswith("sqlite:///") and text != "sqlite:///":
        return sqlite(Path(text.removeprefix("sqlite:///")))
    if not text.startswith(("postgres://", "postgresql://")):
        raise ValueError("give sqlite:///PATH or postgres://USER:PASSWORD@HOST/NAME.")
    config = dict(env.db_url_config(text))
    if not config["NAME"]:
        raise ValueError("it names no database; give postgres://USER:PASSWORD@HOST/NAME.")
    return {**config, "CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}


def omnichat_url(text: str) -> dict[str, Any]:
    if text.startswith("sqlite:///") and text != "sqlite:///":
        return sqlite(Path(text.removeprefix("sqlite:///")))
    account, _, database = text.removeprefix("d1://").partition("/")
    if not text.startswith("d1://") or not _ID.fullmatch(account) or not _ID.fullmatch(database):
        raise ValueError("give sqlite:///PATH or d1://ACCOUNT_ID/DATABASE_ID.")
    return d1(account, database)


def omnichat_database(local: dict[str, Any]) -> dict[str, Any]:
    """OMNICHAT_DATABASE_URL wins over CLOUDFLARE_ACCOUNT_ID with D1_DATABASE_ID, and those over `local`."""
    api_base(), tokens()  # What is wrong is told also where nothing needs it yet.
    database = read("D1_DATABASE_ID", cloudflare_id, "", wrong="?")
    account = read("CLOUDFLARE_ACCOUNT_ID", cloudflare_id, "", wrong="?")
    url = read("OMNICHAT_DATABASE_URL", omnichat_url, {}, wrong=REFUSING)
    if url or not database:
        return url or local
    if not account:
        PROBLEMS.append(("CLOUDFLARE_ACCOUNT_ID", "D1_DATABASE_ID is set and this is not; set both, or neither."))
    return d1(account, database) if _ID.fullmatch(account) and _ID.fullmatch(database) else REFUSING


#: What each role may grant alone, in units: a grant, a UTC day, and one recipient in 30 days.
USUAL_GRANT_LIMITS: dict[str, dict[str, int | None]] = {
    "Support": {"grant": 5_000, "day": 20_000, "recipient": 20_000},
    "Billing": {"grant": 50_000, "day": 200_000, "recipient": 200_000},
}
_GRANTING = (*USUAL_GRANT_LIMITS, "Operator", "Auditor")
_LIMITED = ("grant", "day", "recipient")


def grant_limits(text: str) -> dict[str, dict[str, int | None]]:
    """`{"Support": {"grant": 5000, "day": 20000, "recipient": null}}`. What it does not name stays as it is."""
    try:
        given = json.loads(text)
    except ValueError:
        raise ValueError('it is no JSON; give {"Support": {"grant": 5000, "day": 20000}}.') from None
    if not isinstance(given, dict) or not all(isinstance(limits, dict) for limits in given.values()):
        raise ValueError('it maps no roles to limits; give {"Support": {"grant": 5000, "day": 20000}}.')
    for role, limits in given.items():
        if role not in _GRANTING:
            raise ValueError(f"{role!r} is no role; name {', '.join(_GRANTING)}.")
        for name, units in limits.items():
            _check_limit(role, name, units)
    nothing = dict.fromkeys(_LIMITED, 0)
    return USUAL_GRANT_LIMITS | {role: USUAL_GRANT_LIMITS.get(role, nothing) | limits for role, limits in given.items()}


def _check_limit(role: str, name: str, units: Any) -> None:
    if name not in _LIMITED:
        raise ValueError(f"{role} has no limit called {name!r}; name {', '.join(_LIMITED)}.")
    if units is not None and (type(units) is not int or units < 0):
        raise ValueError(f"{role}'s {name} is {json.dumps(units)}; give a whole number of units, or null for no limit.")
