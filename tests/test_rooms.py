"""The house: what may import what. The table stands in pyproject.toml and is told in docs/architecture.md."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("omniops", "console", "billing", "chat", "database", "d1", "standins")
SHELLS = ("admin", "views", "management")


def modules() -> Iterator[tuple[str, Path]]:
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            if "node_modules" not in path.parts:
                yield ".".join(path.relative_to(ROOT).with_suffix("").parts), path


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_shell(name: str) -> bool:
    parts = name.split(".")
    return len(parts) > 1 and parts[0] in ROOMS and parts[1] in SHELLS


def test_each_room_imports_only_the_rooms_below_it() -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_shell_imports_a_shell() -> None:
    # database.admin holds the base class of every room's admin, which is no shell of its own. A package lists its own.
    found = {
        f"{name} imports {imported}"
        for name, path in modules()
        if is_shell(name) and not name.endswith("__init__")
        for imported in imports(path)
        if is_shell(imported) and not imported.startswith("database.admin.")
    }
    assert not found


def test_no_module_is_named_after_nothing() -> None:
    nothing = {"utils", "helpers", "services", "common", "misc", "tools"}
    assert not {name for name, _ in modules() if name.split(".")[-1] in nothing}


def test_the_project_names_no_place_outside_itself() -> None:
    """No machine's paths and no registries' hosts in what is committed."""
    words = ["/" + "work/", "../" + "shared", "registry." + "npmjs", "files." + "pythonhosted", "pypi." + "org"]
    pattern = "|".join(word.replace(".", r"\.") for word in words)
    done = subprocess.run(
        ["git", "grep", "-nIE", pattern, "--", ":!requirements*.txt"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout == ""
