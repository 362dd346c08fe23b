"""The documentation is whole: what the code has, docs/ tells."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.apps import apps

from omniops.variables import NAMES

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
OURS = ("omniops", "console", "billing", "chat", "database")


def text(name: str) -> str:
    return (DOCS / name).read_text()


def commands() -> list[str]:
    return sorted(p.stem for room in OURS for p in (ROOT / room).glob("management/commands/[a-z]*.py"))


def test_each_variable_is_in_the_settings_page() -> None:
    assert [name for name in NAMES if f"`{name}`" not in text("settings.md")] == []


def test_each_command_is_in_the_commands_page() -> None:
    assert [name for name in commands() if f"`{name}" not in text("commands.md")] == []


def test_each_option_of_a_command_is_in_the_commands_page() -> None:
    for name in commands():
        source = next(
            (ROOT / room / f"management/commands/{name}.py")
            for room in OURS
            if (ROOT / room / f"management/commands/{name}.py").exists()
        ).read_text()
        section = text("commands.md").split(f"## `{name}`", 1)[-1].split("\n## ", 1)[0]
        missing = [option for option in re.findall(r'"(--[a-z-]+)"', source) if option not in section]
        assert missing == [], f"{name}: {missing}"


def test_each_role_is_in_the_roles_page() -> None:
    from console.roles import ROLES

    assert [name for name in ROLES if name not in text("roles.md")] == []


def test_each_table_and_column_is_in_the_tables_page() -> None:
    page = text("tables.md")
    for model in apps.get_models():
        if not model._meta.managed and model._meta.app_label in OURS:
            section = page.split(f"## `{model._meta.db_table}`", 1)[-1].split("\n## ", 1)[0]
            missing = [f.column for f in model._meta.concrete_fields if f"`{f.column}`" not in section]
            assert missing == [], f"{model._meta.db_table}: {missing}"


def test_each_dependency_has_its_reason() -> None:
    page = text("dependencies.md").lower()
    for name in ("requirements.in", "requirements-dev.in"):
        for line in (ROOT / name).read_text().splitlines():
            package = re.split(r"[\[<>=;]", line)[0].strip().lower()
            assert not package or package.startswith("-r") or package in page, package


def test_each_page_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    assert [page.name for page in DOCS.glob("*.md") if f"(docs/{page.name}" not in readme] == []


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted(DOCS.glob("*.md"))], ids=lambda p: p.name)
def test_no_link_in_a_page_is_broken(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text())
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda p: p.name)
def test_each_test_that_a_page_names_is_there(page: Path) -> None:
    files = {path.relative_to(ROOT / "tests").as_posix(): path.read_text() for path in (ROOT / "tests").rglob("*.py")}
    named = set(re.findall(r"`(?:tests/)?((?:\w+/)?test_\w+(?:\.py)?)`", page.read_text()))
    code = "\n".join(files.values())
    there = {name for name in named if name in files or re.search(rf"^ *def {re.escape(name)}\(", code, re.MULTILINE)}
    names = {path.rpartition("/")[2] for path in files}
    assert named - there - names == set()
