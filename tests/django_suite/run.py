"""Run modules of Django's own test suite over the D1 backend and the real D1 engine.

    python tests/django_suite/run.py [--sample] [--jobs 2] [--json FILE] MODULE ...

Django's source distribution comes from PyPI, by the hash in requirements.txt, into var/. Each module runs in a process
of its own with two databases of its own. The last line counts passed, failed, expected failures and skipped.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tarfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT))

from standins.d1 import Engine, missing_reason  # noqa: E402

# Longest first, so that two run side by side to the end.
MODULES = [
    "queries",
    "db_functions",
    "model_fields",
    "expressions",
    "backends",
    "aggregation",
    "annotations",
    "lookup",
    "prefetch_related",
    "expressions_case",
    "timezones",
    "select_related",
    "bulk_create",
    "introspection",
    "inspectdb",
    "transactions",
    "many_to_many",
    "many_to_one",
    "ordering",
    "get_or_create",
    "datetimes",
    "dates",
    "delete",
    "update",
    "basic",
    "pagination",
    "null_queries",
]

# A few minutes of them, for every test run.
SAMPLE = [
    "transactions",
    "bulk_create",
    "lookup",
    "timezones",
    "update",
    "get_or_create",
    "many_to_one",
    "inspectdb",
    "basic",
]


def source(folder: Path) -> Path:
    """The folder of Django's own tests, fetched once and checked against the lock."""
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("django=="))
    version = lines[start].split("==")[1].split()[0]
    tests = folder / f"django-{version}" / "tests"
    if not tests.exists():
        folder.mkdir(parents=True, exist_ok=True)
        end = next(i for i in range(start, len(lines)) if not lines[i].endswith("\\"))
        (folder / "django.txt").write_text("\n".join(lines[start : end + 1]))
        words = ["--quiet", "--no-deps", "--no-binary", "django", "--require-hashes", "-r", "django.txt", "-d", "."]
        subprocess.run([sys.executable, "-m", "pip", "download", *words], cwd=folder, check=True)
        with tarfile.open(folder / f"django-{version}.tar.gz") as archive:
            archive.extractall(folder, filter="data")
    return tests


def run_module(module: str, tests: Path, engine: Engine) -> dict[str, list[str]]:
    """Each test's outcome. A module that ends without results counts as one failure with its last words."""
    names = [f"{module.replace('.', '-')}-{alias}" for alias in ("default", "other")]
    ids = [engine.create_database(name) for name in names]
    results = ROOT / "var" / "django-suite" / f"{module}.json"
    results.unlink(missing_ok=True)
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}{os.pathsep}{HERE}",
        "SUITE_ACCOUNT": engine.account,
        "SUITE_TOKEN": engine.token,
        "SUITE_API_BASE": engine.environment()["CLOUDFLARE_API_BASE"],
        "SUITE_DATABASES": ",".join(str(name) for name in ids),
        "SUITE_RESULTS": str(results),
    }
    words = ["runtests.py", "--settings=suite_settings", "--parallel=1", "--noinput", module]
    started = time.monotonic()
    command = [sys.executable, *words]
    done = subprocess.run(
        command, cwd=tests, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    (results.parent / f"{module}.log").write_text(done.stdout)
    found = json.loads(results.read_text()) if results.exists() else {module: ["failed", done.stdout[-600:]]}
    print(f"{module}: {line(found)} ({time.monotonic() - started:.0f} s)", file=sys.stderr, flush=True)
    return found


def line(outcomes: dict[str, list[str]]) -> str:
    counts = Counter(outcome for outcome, _ in outcomes.values())
    kinds = ("passed", "failed", "unsupported", "expected failure", "unexpected success", "skipped")
    return ", ".join(f"{counts[kind]} {kind}" for kind in kinds)


def share(outcomes: dict[str, list[str]]) -> str:
    """How many of all collected passed, and how many of those that were neither skipped nor expected to fail."""
    counts = Counter(outcome for outcome, _ in outcomes.values())
    possible = len(outcomes) - counts["skipped"] - counts["expected failure"]
    return (
        f"{100 * counts['passed'] / max(1, possible):.1f}% of the {possible} that D1 makes possible passed, "
        f"{100 * counts['passed'] / max(1, len(outcomes)):.1f}% of the {len(outcomes)} collected"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", help="all that the README of d1/ names, unless some are given")
    parser.add_argument("--sample", action="store_true", help="some modules that take a minute or two together")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write each test's outcome to this file")
    options = parser.parse_args()
    if missing := missing_reason():
        print(f"NOT TESTED HERE, missing: {missing}")
        return int(os.environ.get("CI") == "true")
    tests = source(ROOT / "var" / "django-suite")
    outcomes: dict[str, list[str]] = {}
    modules = options.modules or (SAMPLE if options.sample else MODULES)
    with Engine() as engine, ThreadPoolExecutor(options.jobs) as pool:
        for found in pool.map(lambda module: run_module(module, tests, engine), modules):
            outcomes.update(found)
    if options.json:
        options.json.write_text(json.dumps(outcomes, indent=1))
    for name, (outcome, detail) in sorted(outcomes.items()):
        if outcome in ("failed", "unsupported", "unexpected success"):
            print(f"{outcome.upper()} {name}\n    {detail}")
    print(share(outcomes))
    print(line(outcomes))
    return any(outcome in ("failed", "unsupported", "unexpected success") for outcome, _ in outcomes.values())


if __name__ == "__main__":
    sys.exit(main())
