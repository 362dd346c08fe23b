"""The backend over the real engine, under an alias of its own, emptied before each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connections, models, transaction

from standins.d1 import Engine
from tests.d1.shelf import Author, Book

ALIAS = "on_d1"


@pytest.fixture
def engine(d1_engine: Engine) -> Engine:
    d1_engine.reset()
    d1_engine.empty_database()
    d1_engine.reset()
    return d1_engine


@pytest.fixture
def settings_of(engine: Engine) -> Callable[..., dict[str, Any]]:
    """`settings_of(timeout=1)`: what DATABASES holds for the engine, with these options."""

    def settings(**options: Any) -> dict[str, Any]:
        return {
            "ENGINE": "d1",
            "NAME": engine.database,
            "USER": engine.account,
            "PASSWORD": engine.token,
            "OPTIONS": {"api_base": engine.base, "read_token": engine.read_token, "backoff": 0.001, **options},
        }

    return settings


@pytest.fixture
def connect(settings_of: Any, settings: Any, django_db_blocker: Any) -> Iterator[Callable[..., Any]]:
    """`connect(timeout=1)`: Django's connection of the alias, with these options."""
    # A row is saved where it was read, whatever the project's router thinks of its model.
    settings.DATABASE_ROUTERS = []

    def connection(**options: Any) -> Any:
        if hasattr(connections._connections, ALIAS):
            del connections[ALIAS]
        configured = connections.configure_settings({"default": {}, ALIAS: settings_of(**options)})
        connections.settings[ALIAS] = configured[ALIAS]
        return connections[ALIAS]

    with django_db_blocker.unblock():
        yield connection
        if hasattr(connections._connections, ALIAS):
            connections[ALIAS].close()
            del connections[ALIAS]
        connections.settings.pop(ALIAS, None)


@pytest.fixture
def d1(connect: Any) -> Any:
    """Django's connection to an empty D1 database."""
    return connect()


@pytest.fixture
def rows(d1: Any) -> Callable[..., list[tuple[Any, ...]]]:
    """`rows("SELECT %s", [5])`: what the cursor gives."""

    def run(sql: str, params: Any = None) -> list[tuple[Any, ...]]:
        with d1.cursor() as cursor:
            cursor.execute(sql, params)
            return list(cursor.fetchall())

    return run


@pytest.fixture
def tables(d1: Any, engine: Engine) -> Callable[..., None]:
    """`tables(Author, Book)`: make the tables of models, and count requests from now on."""

    def create(*kinds: type[models.Model]) -> None:
        with d1.schema_editor() as editor:
            for kind in kinds:
                editor.create_model(kind)
        d1.usage.reset()
        engine.reset()

    return create


@pytest.fixture
def block(d1: Any) -> Callable[[], Any]:
    """`with block():` is `atomic()` on the alias."""
    return lambda: transaction.atomic(using=d1.alias)


@pytest.fixture
def authors(d1: Any, tables: Any) -> Any:
    tables(Author, Book)
    return Author.objects.using(d1.alias)


@pytest.fixture
def books(d1: Any, authors: Any) -> Any:
    return Book.objects.using(d1.alias)
