"""What can be done with rows, beside editing them: buttons on the page of one, actions for those marked in a list.

A room below shows them; a room above, which knows what can be done, registers them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from django.dispatch import Signal
from django.http import HttpRequest, HttpResponse

#: Sent when a page about one of OmniChat's users is shown: `request`, `user_id`, and `page`, a word for which.
opened = Signal()


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


@dataclass(frozen=True)
class ListAction:
    """What can be done with rows that are marked in a list. `run` gets their keys as text, and gives a page."""

    name: str
    label: Any
    permission: str
    run: Callable[[HttpRequest, list[str]], HttpResponse]


_FOR_LISTS: dict[str, dict[str, ListAction]] = {}


def offer_for_list(model: str, action: ListAction) -> None:
    """Let the list of a model ("chat.user") offer an action to who has its permission."""
    _FOR_LISTS.setdefault(model, {})[action.name] = action


def list_actions(request: HttpRequest, model: str) -> list[ListAction]:
    return [action for action in _FOR_LISTS.get(model, {}).values() if request.user.has_perm(action.permission)]
