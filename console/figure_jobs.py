"""Counts the figures of the home page, every hour and when somebody asks."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils.translation import gettext_lazy

from console import schedule
from console.dashboard import count_figures
from console.jobs import Run, kind

KIND = "figures.count"


@kind(KIND, title="Figures of the home page")
def count(run: Run) -> dict[str, Any]:
    return {"counted_at": count_figures().counted_at.isoformat()}


schedule.register("figures", gettext_lazy("Figures of the home page"), KIND, every=timedelta(hours=1))
