"""What can be done with a row, beside editing it: buttons at the head of its page.

A room below shows them; a room above, which knows what can be done, registers them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest


@dataclass(frozen=True)
class ObjectAction:
    """A link to a page that does one thing to a row. The page itself asks, shows what will happen, and takes a POST."""

    label: Any
    url: str


#: Gives the actions that whoever asks may take on the row. It makes no query to OmniChat's database.
Source = Callable[[HttpRequest, Any], Iterable[ObjectAction]]

_SOURCES: dict[str, list[Source]] = {}


def offer(model: str, source: Source) -> None:
    """Let the pages of a model ("chat.user") show what `source` gives. The same source twice counts once."""
    sources = _SOURCES.setdefault(model, [])
    if source not in sources:
        sources.append(source)


def actions_of(request: HttpRequest, row: Any) -> list[ObjectAction]:
    return [action for source in _SOURCES.get(row._meta.label_lower, []) for action in source(request, row)]
