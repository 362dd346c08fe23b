"""`python -m standins.d1 serve` and `python -m standins.d1 run COMMAND ...`."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import subprocess
import sys
import threading

from standins.d1 import Engine, EngineError, NodeError, missing_reason


def main(arguments: list[str] | None = None) -> int:
    """Parse, start an engine, serve or run; the exit code."""
    options = _parser().parse_args(arguments)
    if options.action == "run" and options.or_skip and (reason := missing_reason()):
        print(f"NOT TESTED HERE, missing: {reason}")
        return int(os.environ.get("CI") == "true")
    try:
        with Engine(options.directory, port=options.port) as engine:
            return _serve(engine) if options.action == "serve" else _run(engine, options.command)
    except (EngineError, NodeError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m standins.d1", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    serve = actions.add_parser("serve", help="serve until Ctrl-C; prints the environment as export lines")
    run = actions.add_parser("run", help="run a command with the environment set; exits with its code")
    for action in (serve, run):
        action.add_argument("--port", type=int, default=0, help="a free one by default")
        action.add_argument("--directory", help="keep the databases here; by default they go with the engine")
    run.add_argument("--or-skip", action="store_true", help="where Node is missing say so, and pass unless CI=true")
    run.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND")
    return parser


def _serve(engine: Engine) -> int:
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    for name, value in engine.environment().items():
        print(f"export {name}={shlex.quote(value)}", flush=True)
    print(f"The D1 engine serves on {engine.url}; Ctrl-C stops it.", file=sys.stderr)
    stopped.wait()
    return 0


def _run(engine: Engine, command: list[str]) -> int:
    if command[:1] == ["--"]:
        command = command[1:]
    if not command:
        print("run needs a command: python -m standins.d1 run COMMAND ARGUMENTS", file=sys.stderr)
        return 2
    try:
        return subprocess.run(command, env={**os.environ, **engine.environment()}, check=False).returncode
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)
        return 127


if __name__ == "__main__":
    sys.exit(main())
