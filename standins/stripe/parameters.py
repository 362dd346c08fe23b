"""Stripe's form encoding, read: `items[0][price]=x` becomes {"items": [{"price": "x"}]}."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl

from standins.stripe.errors import invalid
from standins.stripe.store import Thing

_PART = re.compile(r"\[([^\[\]]*)\]")


def read(text: str) -> Thing:
    """Query string or form. Values stay text; hashes whose keys are numbers become lists."""
    found: Thing = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        head, _, rest = name.partition("[")
        path = [head, *_PART.findall("[" + rest if rest else "")]
        _put(found, path, value)
    return {name: _listed(value) for name, value in found.items()}


def _put(into: Thing, path: list[str], value: str) -> None:
    for part in path[:-1]:
        into = into.setdefault(part or str(len(into)), {})
        if not isinstance(into, dict):
            raise invalid(f"Invalid hash: {path[0]}", path[0])
    into[path[-1] or str(len(into))] = value


def _listed(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {name: _listed(each) for name, each in value.items()}
    if inner and all(name.isdigit() for name in inner):
        return [inner[name] for name in sorted(inner, key=int)]
    return inner


def integer(given: Thing, name: str, default: int | None = None) -> int | None:
    value = given.get(name)
    if value is None or value == "":
        return default
    if not re.fullmatch(r"-?\d+", str(value)):
        raise invalid(f"Invalid integer: {value}", name, "parameter_invalid_integer")
    return int(value)


def boolean(given: Thing, name: str) -> bool | None:
    value = given.get(name)
    if value in (None, ""):
        return None
    if str(value).lower() not in ("true", "false"):
        raise invalid(f"Invalid boolean: {value}", name)
    return str(value).lower() == "true"


def known(given: Thing, names: set[str]) -> None:
    """Stripe refuses parameters that it does not know."""
    for name in given:
        if name not in names and name != "expand":
            raise invalid(f"Received unknown parameter: {name}", name, "parameter_unknown")


def required(given: Thing, name: str) -> Any:
    if given.get(name) in (None, ""):
        raise invalid(f"Missing required param: {name}.", name, "parameter_missing")
    return given[name]
