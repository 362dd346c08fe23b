"""What was done in OmniChat's database after the backup was made, is known elsewhere, and is gone with a restore.

Rooms above register what they keep the cause of: a grant, a paid invoice. Their effects have ids derived from the
cause, so that applying one again where it is not gone does nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple


class Missing(NamedTuple):
    """An effect that is no longer there. `kind` is the registered name, `id` the cause's, `text` says what it was."""

    kind: str
    id: str
    text: str


class NotApplied(Exception):
    """Why one effect cannot be made again. The text is a sentence; the others are none the worse for it."""


class Effects(NamedTuple):
    """`find` gives (id, text) of each effect that is missing, `apply` makes the one of an id again, or NotApplied."""

    find: Callable[[], Iterable[tuple[str, str]]]
    apply: Callable[[str], None]


_registered: dict[str, Effects] = {}


def register_effects(kind: str, effects: Effects) -> None:
    """Let every restore of OmniChat's database look for missing effects of this kind; from AppConfig.ready."""
    _registered[kind] = effects


def missing_effects() -> list[Missing]:
    """All that is missing now, by kind in the order of registration. Reads only."""
    return [Missing(kind, *found) for kind, effects in _registered.items() for found in effects.find()]


def apply_again(missing: Iterable[Missing]) -> tuple[int, list[str]]:
    """Make each effect again, under its old id; gives how many, and why others were not.

    Another error stops, and the rest can be done later.
    """
    count, problems = 0, []
    for each in missing:
        try:
            _registered[each.kind].apply(each.id)
            count += 1
        except NotApplied as reason:
            problems.append(f"{each.kind} {each.id}: {reason}")
    return count, problems
