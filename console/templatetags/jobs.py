"""What the templates of jobs are made of."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import template
from django.utils.translation import gettext as _

from console.job_progress import in_words, progress_of
from console.models import Job, ScheduleEntry
from console.schedule import times_of
from database import cells

register = template.Library()


@register.filter
def progress(job: Job) -> dict[str, Any]:
    return progress_of(job)


@register.filter
def words(time: timedelta | None) -> str:
    return "" if time is None else in_words(time)


@register.filter
def moment(value: Any) -> Any:
    return cells.moment(value)


@register.filter
def spaced(name: str) -> str:
    return str(name).replace("_", " ")


@register.filter
def plain(value: Any) -> Any:
    """A value of a result: numbers with separators, what is nested as JSON, a dash for nothing."""
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, int):
        return f"{value:,}"
    if not value:
        return "–"
    return cells.json_block(value) if isinstance(value, dict | list) else value


@register.filter
def times(entry: ScheduleEntry) -> str:
    return times_of(entry)
