"""Runs one client in a process of its own. A line of JSON `[method, *arguments]` in, `[answer, CPU seconds]` out.

Every client measures itself, so neither this pipe nor another client's memory is in its figures.
"""

from __future__ import annotations

import importlib
import json
import resource
import sys
from pathlib import Path
from time import process_time

# In place of this folder, in which no module may hide another of the same name.
sys.path[0] = str(Path(__file__).resolve().parent.parent.parent)


def main() -> None:
    client = importlib.import_module(f"bench.d1_rivals.{sys.argv[1]}").Client()
    answers = sys.stdout
    sys.stdout = sys.stderr
    for line in sys.stdin:
        method, *arguments = json.loads(line)
        before = process_time()
        answer = peak_bytes() if method == "peak_bytes" else getattr(client, method)(*arguments)
        print(json.dumps([answer, process_time() - before]), file=answers, flush=True)


def peak_bytes() -> int:
    """The most memory that this process has had at once."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main()
