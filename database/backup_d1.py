"""How D1 is read."""

from __future__ import annotations

from typing import Any

from database.backup_sqlite import BackupError

METHODS = ("auto", "export", "pages")


def d1_source(connection: Any, method: str, remark: Any) -> Any:
    raise BackupError("A backup from D1 cannot be made yet.")
