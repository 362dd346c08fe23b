"""System checks: a wrong environment stops the start, and the variable is named."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register


@register()
def check_environment(**kwargs: Any) -> list[CheckMessage]:
    return [
        Error(
            f"{name}: {problem}",
            hint=f"Correct {name} or unset it; docs/settings.md tells of each.",
            id="omniops.E001",
        )
        for name, problem in settings.ENVIRONMENT_PROBLEMS
    ]
