"""The command line, and that nothing is left behind."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from standins.d1 import Engine, EngineError, NodeError, __main__, missing_reason, node, wrangler


@pytest.fixture(autouse=True)
def node_is_there() -> None:
    if reason := missing_reason():
        pytest.skip(f"missing: {reason}")


def standin(*words: str) -> list[str]:
    return [sys.executable, "-m", "standins.d1", *words]


def is_up(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/__standin__/ready", timeout=30):
            return True
    except OSError:
        return False


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 600
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def living(group: int) -> list[str]:
    """States of a process group's members, without those that are dead but for a parent that has not asked."""
    listing = subprocess.run(["ps", "-eo", "pgid=,stat="], capture_output=True, text=True).stdout
    members = [line.split() for line in listing.splitlines()]
    return [state for pgid, state in members if int(pgid) == group and not state.startswith("Z")]


def test_run_gives_the_environment_to_a_command_and_exits_with_its_code() -> None:
    code = "import os, sys; print(os.environ['OMNICHAT_DATABASE_URL'], os.environ['CLOUDFLARE_API_BASE']); sys.exit(7)"
    answer = subprocess.run(standin("run", sys.executable, "-c", code), capture_output=True, text=True)
    assert answer.returncode == 7
    url, base = answer.stdout.split()
    assert url.startswith("d1://")
    assert base.endswith("/client/v4")
    assert not is_up(base.removesuffix("/client/v4"))


def test_run_without_a_command_or_with_an_unknown_one_says_so() -> None:
    answer = subprocess.run(standin("run", "no-such-program"), capture_output=True, text=True)
    assert (answer.returncode, answer.stderr) == (127, "no-such-program: No such file or directory\n")
    assert subprocess.run(standin("run"), capture_output=True).returncode == 2


def test_serve_prints_the_environment_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    command = standin("serve", "--directory", str(tmp_path))
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stderr
        lines = [process.stdout.readline().removeprefix("export ").strip().split("=") for _ in range(4)]
        url = dict(lines)["CLOUDFLARE_API_BASE"].removesuffix("/client/v4")
        assert is_up(url)
        assert "Ctrl-C" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=600) == 0
    assert not is_up(url)


def test_a_kept_directory_keeps_databases_and_bookmarks(tmp_path: Path) -> None:
    with Engine(tmp_path) as engine:
        other = engine.create_database("other")
        engine.execute("CREATE TABLE t (a)", database=other)
        engine.execute("CREATE TABLE u (a)")
        bookmark, first = engine.bookmark(), engine.database
        engine.execute("DROP TABLE u")
    with Engine(tmp_path) as engine:
        assert engine.database == first
        assert engine.execute("SELECT * FROM t", database=other) == [[]]
        engine.api("POST", f"/{first}/time_travel/restore?bookmark={bookmark}")
        assert engine.execute("SELECT * FROM u") == [[]]


def test_killing_its_python_ends_the_server_the_engine_and_the_folder() -> None:
    code = (
        "import time; from standins.d1 import Engine\n"
        "engine = Engine().start(); engine.execute('SELECT 1')\n"
        "print(engine.url, engine.directory, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        url, directory = process.stdout.readline().rstrip().split(" ", 1)
        process.kill()
    wait_until(lambda: not Path(directory).exists() and not is_up(url))
    # The server removes the folder shortly before it ends.
    wait_until(lambda: directory not in subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout)


def test_a_server_that_died_alone_takes_its_engine_along_at_the_stop() -> None:
    with Engine() as engine:
        process = engine._process
        assert process
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    wait_until(lambda: not living(process.pid))


def test_a_taken_port_is_an_error_with_a_reason(capfd: pytest.CaptureFixture[str]) -> None:
    with Engine() as engine, pytest.raises(EngineError, match="did not start"):
        Engine(port=engine.port).start()
    assert f"cannot listen on port {engine.port}" in capfd.readouterr().err


def test_a_missing_node_is_an_error_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NodeError, match="node is not installed; the D1 engine needs Node 20 or later"):
        Engine().start()
    assert __main__.main(["serve"]) == 1


def test_an_old_node_is_an_error_that_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node, "_node_major", lambda: 18)
    assert missing_reason() == "Node 18 is too old; the D1 engine needs Node 20 or later"
    assert node.missing_reason() == missing_reason()


def test_an_installation_that_fails_says_what_npm_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho 'the registry cannot be reached' >&2\nexit 1\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(node, "_installed", lambda: False)
    with pytest.raises(NodeError, match=r"npm could not install the D1 engine.*\n.*registry cannot be reached"):
        Engine().start()


def test_wrangler_reads_the_state_of_a_stopped_engine(tmp_path: Path) -> None:
    with Engine(tmp_path / "state") as engine:
        engine.execute("CREATE TABLE t (a)", "INSERT INTO t VALUES ('left here')")
        config = f'[[d1_databases]]\nbinding = "DB"\ndatabase_name = "omnichat"\ndatabase_id = "{engine.database}"\n'
    (tmp_path / "wrangler.toml").write_text(f'name = "test"\ncompatibility_date = "2026-04-01"\n{config}')
    options = ("--local", "--persist-to", "state", "--json", "--command", "SELECT a FROM t")
    variables = os.environ | {"WRANGLER_SEND_METRICS": "false", "CI": "1", "HOME": str(tmp_path)}
    command = wrangler("d1", "execute", "omnichat", *options)
    answer = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True)
    assert '"a": "left here"' in answer.stdout, answer.stdout + answer.stderr


def test_the_lock_file_pins_the_engine_and_names_no_registry() -> None:
    lock = (node.HERE / "package-lock.json").read_text()
    assert '"node_modules/wrangler": {\n      "version": "4.82.2"' in lock
    assert '"resolved"' not in lock


@pytest.mark.parametrize(("ci", "code"), [("", 0), ("true", 1)])
def test_a_machine_without_node_says_what_it_did_not_test(ci: str, code: int) -> None:
    command, environment = standin("run", "--or-skip", "echo", "tested"), {"PATH": "/nowhere", "CI": ci}
    root = Path(__file__).parents[2]
    done = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True)
    assert done.returncode == code
    assert done.stdout.startswith("NOT TESTED HERE, missing: node")
    assert "tested\n" not in done.stdout
