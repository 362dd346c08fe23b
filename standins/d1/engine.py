"""The real D1 engine on loopback, as a Python object."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
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
        self._wanted_directory = None if directory is None else Path(directory).absolute()
        self._directory: Path | None = None
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
        self._directory = self._wanted_directory or Path(tempfile.mkdtemp(prefix="d1-"))
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
        # The server removes a temporary folder itself, so that it goes even when Python is killed.
        temporary = [] if self._wanted_directory else ["--temporary"]
        return ["node", "server.mjs", *temporary, *(f"--{name}={value}" for name, value in options.items())]

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
        if self._directory and not self._wanted_directory:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None

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
        """Let later requests meet a fault. Options: count, probability, skip, match, ms, retry_after; see README.md."""
        self._control("POST", "faults", {"name": name, **options})

    def clear_faults(self) -> None:
        """Forget all faults."""
        self._control("DELETE", "faults")

    def limit_rate(self, limit: int = 1200, *, window: float = 300, ban: float = 300, used: int = 0) -> None:
        """Allow `limit` requests in `window` seconds, after which everything answers 429 for `ban` seconds."""
        self._control("POST", "rate_limit", {"limit": limit, "window": window, "ban": ban, "used": used})

    def settings(self, **changes: float) -> None:
        """Change export_polls, export_idle_seconds, import_polls or import_group until the next reset."""
        self._control("POST", "settings", changes)

    def counts(self) -> dict[str, Any]:
        """Numbers since the last reset: requests, statements, batches, writes, rows_read, rows_written, errors, faults;
        and `paths`, a map from path to requests."""
        return dict(self._control("GET", "counts"))

    def log(self) -> list[dict[str, Any]]:
        """The last 500 requests, each `{path, database, sql: [...]}`, oldest first."""
        return list(self._control("GET", "log"))

    def reset(self) -> None:
        """Set the counts to zero, forget the log, all faults, the rate limit and the settings."""
        self._control("POST", "reset")

    def state_file(self, database: str | None = None) -> Path:
        """The SQLite file of a database. Others may read it; write to it only while the engine is stopped."""
        return Path(self._control("GET", f"file?database={database or self.database}")["path"])

    def bookmark(self, database: str | None = None) -> str:
        """The time-travel bookmark of this moment, which can be restored."""
        return str(self.api("GET", f"/{database or self.database}/time_travel/bookmark")["bookmark"])

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
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=10)
    # The engine is in the server's group: should the server have died alone, this ends it.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    _stream(process.stdout).close()
