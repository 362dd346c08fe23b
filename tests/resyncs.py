"""A resync as a test runs it, with a scratch folder of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from billing.resync.run import Resync, Wish
from billing.resync.scratch import Difference


@pytest.fixture(autouse=True)
def own_folder(settings: Any, tmp_path: Path) -> None:
    settings.VAR_DIR = tmp_path


def resync(wish: Wish | None = None) -> list[Difference]:
    with Resync(wish or Wish()) as found:
        found.find()
        found.repair(by="resync_stripe")
        return list(found.differences())
