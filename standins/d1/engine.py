"""The real D1 engine on loopback, as a Python object. Needs Node 20 or later, and nothing else outside the standard library."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from standins.d1.node import HERE, node_environment, require_node

ACCOUNT = "0123456789abcdef0123456789abcdef"
TOKEN = "standin-edit-token"
READ_TOKEN = "standin-read-token"
EXPIRED_TOKEN = "standin-expired-token"


class EngineError(RuntimeError):
    """The engine did not start, or refused a control call. The text says what to do."""


class Engine:
    """Starts the stand-in on a free port of 127.0.0.1 and stops it, leaving no process behind.

    `database` is the id of a database that is there from the start; its name is omnichat. Without `directory` the
    files live in a temporary folder that goes with the engine. `size` databases can be in use at once.
    """

    account = ACCOUNT
    token = TOKEN
    read_token = READ_TOKEN
    expired_token = EXPIRED_TOKEN

    def __init__(self, directory: str | os.PathLike[str] | None = None, *, port: int = 0, size: int = 64) -> None:
        self._wanted_port, self._size = port, size
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._directory = None if directory is None else Path(directory).absolute()
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0
        self.database = ""

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`, without a path."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def base(self) -> str:
        """What stands for `https://api.cloudflare.com/client/v4`."""
        return f"{self.url}/client/v4"

    @property
    def directory(self) -> Path:
        """Where the state is. `wrangler --persist-to` takes it too, while the engine is stopped."""
        if self._directory is None:
            raise EngineError("The engine has not been started: call start(), or use it in a with block.")
        return self._directory

    def start(self) -> Self:
        """Start the server and wait until it answers. Installs the npm packages on first use."""
        require_node()
        if self._directory is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="d1-")
            self._directory = Path(self._temporary.name)
        self._directory.mkdir(parents=True, exist_ok=True)
        self._process = subprocess.Popen(
            self._command(),
            cwd=HERE,
            env=node_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            self._read_ready_line(self._process)
        except BaseException:
            self.stop()
            raise
        return self

    def _command(self) -> list[str]:
        options = {
            "port": self._wanted_port,
            "directory": self.directory,
            "size": self._size,
            "account": self.account,
            "token": self.token,
            "read-token": self.read_token,
            "expired-token": self.expired_token,
        }
        return ["node", "server.mjs", *(f"--{name}={value}" for name, value in options.items())]

    def _read_ready_line(self, process: subprocess.Popen[bytes]) -> None:
        line = _stream(process.stdout).readline()
        if not line:
            raise EngineError("The D1 engine did not start; what it said stands above.")
        ready = json.loads(line)
        self.port, self.database = ready["port"], ready["database"]

    def stop(self) -> None:
        """Stop the server and remove a temporary folder. Harmless when it is stopped already."""
        process, self._process = self._process, None
        if process is not None:
            _end(process)
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = self._directory = None

    def environment(self, database: str | None = None) -> dict[str, str]:
        """The variables that point the console at this engine."""
        return {
            "OMNICHAT_DATABASE_URL": f"d1://{self.account}/{database or self.database}",
            "CLOUDFLARE_API_TOKEN": self.token,
            "CLOUDFLARE_API_READ_TOKEN": self.read_token,
            "CLOUDFLARE_API_BASE": self.base,
        }

    def create_database(self, name: str) -> str:
        """Make an empty database and return its id. The name must be free."""
        return str(self.api("POST", "", {"name": name})["uuid"])

    def drop_database(self, database: str) -> None:
        """Empty the database and make its place free for another name."""
        self.api("DELETE", f"/{database}")

    def empty_database(self, database: str | None = None) -> None:
        """Drop all tables and views of a database, in one transaction."""
        self._control("POST", "empty", {"database": database or self.database})

    def execute(self, *statements: str, database: str | None = None) -> list[list[list[Any]]]:
        """Run statements as one batch; the rows of each."""
        batch = [{"sql": sql} for sql in statements]
        answers = self.api("POST", f"/{database or self.database}/raw", {"batch": batch})
        return [answer["results"]["rows"] for answer in answers]

    def fault(self, name: str, **options: Any) -> None:
        """Let later requests meet a fault. Options: count, probability, skip, match, ms, retry_after."""
        self._control("POST", "faults", {"name": name, **options})

    def clear_faults(self) -> None:
        """Forget all faults."""
        self._control("DELETE", "faults")

    def counts(self) -> dict[str, Any]:
        """Since the last reset: requests, statements, batches, writes, rows_read, rows_written, errors, faults, paths."""
        return dict(self._control("GET", "counts"))

    def log(self) -> list[dict[str, Any]]:
        """The last 500 requests, each `{path, database, sql: [...]}`, oldest first."""
        return list(self._control("GET", "log"))

    def reset(self) -> None:
        """Set the counts to zero and forget the log and all faults."""
        self._control("POST", "reset")

    def state_file(self, database: str | None = None) -> Path:
        """The SQLite file of a database. Others may read it; write to it only while the engine is stopped."""
        return Path(self._control("GET", f"file?database={database or self.database}")["path"])

    def api(self, method: str, path: str, body: Any = None) -> Any:
        """Call Cloudflare's API below `.../d1/database` with the edit token; the `result` of its answer."""
        return self._call(method, f"{self.base}/accounts/{self.account}/d1/database{path}", body)["result"]

    def _control(self, method: str, path: str, body: Any = None) -> Any:
        return self._call(method, f"{self.url}/__standin__/{path}", body)

    def _call(self, method: str, url: str, body: Any) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(url, data, headers, method=method)
        try:
            with _OPENER.open(request, timeout=120) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise EngineError(f"{method} {url}: {error.code} {error.read().decode(errors='replace')}") from None


# Proxies of the environment have no business between here and loopback.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _stream(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream


def _end(process: subprocess.Popen[bytes]) -> None:
    _stream(process.stdin).close()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        pass
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()
    _stream(process.stdout).close()
