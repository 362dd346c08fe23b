"""Which database a model lives in: unmanaged models in OmniChat's, managed ones in the console's."""

from __future__ import annotations

from typing import Any

from django.db.models import Model

OMNICHAT = "omnichat"
CONSOLE = "default"


class OmniChatRouter:
    def db_for_read(self, model: type[Model], **hints: Any) -> str:
        return CONSOLE if model._meta.managed else OMNICHAT

    db_for_write = db_for_read

    def allow_relation(self, one: Model, other: Model, **hints: Any) -> bool:
        return one._meta.managed == other._meta.managed

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        """OmniChat's tables come from numbered SQL alone."""
        return db == CONSOLE
