"""Node and the npm packages that hold the engine: found, checked, and installed on first use."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
OLDEST_NODE = 20
_STAMP = HERE / "node_modules" / ".installed"


class NodeError(RuntimeError):
    """Node or npm is missing, too old, or could not install the packages. The text says what to do."""


def missing_reason() -> str | None:
    """Why the engine cannot run on this machine, or None."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            return f"{program} is not installed; the D1 engine needs Node {OLDEST_NODE} or later"
    if (found := _node_major()) < OLDEST_NODE:
        return f"Node {found} is too old; the D1 engine needs Node {OLDEST_NODE} or later"
    return None


def require_node() -> None:
    """Raise NodeError unless Node is there; install the pinned packages unless they are there already."""
    if reason := missing_reason():
        raise NodeError(reason)
    with (HERE / "package-lock.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _installed():
            _install()


def node_environment() -> dict[str, str]:
    """The environment for Node: no telemetry, no proxy between processes on loopback."""
    without = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return {**without, "WRANGLER_SEND_METRICS": "false", "NO_COLOR": "1"}


def wrangler(*arguments: str) -> list[str]:
    """The command line of the pinned wrangler, which comes with the engine."""
    require_node()
    return ["node", str(HERE / "node_modules" / "wrangler" / "bin" / "wrangler.js"), *arguments]


def _node_major() -> int:
    answer = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False).stdout
    match = re.match(r"v(\d+)", answer)
    return int(match[1]) if match else 0


def _lock_hash() -> str:
    return hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()


def _installed() -> bool:
    return _STAMP.is_file() and _STAMP.read_text() == _lock_hash()


def _install() -> None:
    print("Installing the D1 engine with npm (once, about 190 MB)...", file=sys.stderr)
    command = ["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"]
    answer = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise NodeError(f"npm could not install the D1 engine into {HERE}:\n{answer.stderr.strip()}")
    _STAMP.write_text(_lock_hash())
