"""The engine's own behaviour, seen through Cloudflare's paths."""

from collections.abc import Iterator

import pytest

from standins.d1 import Engine, EngineError, missing_reason


@pytest.fixture(scope="module")
def running() -> Iterator[Engine]:
    if reason := missing_reason():
        pytest.skip(f"missing: {reason}")
    with Engine() as engine:
        yield engine


@pytest.fixture
def engine(running: Engine) -> Engine:
    running.reset()
    running.empty_database()
    return running


def test_a_batch_that_fails_leaves_nothing_not_even_its_table(engine: Engine) -> None:
    with pytest.raises(EngineError, match="bad JSON path: 'guard:seen'"):
        engine.execute("CREATE TABLE t (a)", "INSERT INTO t VALUES (1)", "SELECT json_extract('{}', 'guard:seen')")
    assert engine.execute("SELECT name FROM sqlite_master WHERE name = 't'") == [[]]
