"""What no page can answer is answered in a sentence: by Django's client, and in bytes that no client would send."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client

from omniops.variables import NAMES
from tests.forks import Forks
from tests.pages import all_rows, make_rows, signed_in

#: Serves on a free port of this machine, and tells which.
SERVER = """
from console import demo_server
with demo_server.listening(0) as server:
    print(server.server_port, flush=True)
    server.serve_forever()
"""
SECRETS = {
    "DJANGO_SECRET_KEY": "hush" * 20, "STRIPE_WEBHOOK_SECRET": "whsec_hush", "CLERK_WEBHOOK_SECRET": "whsec_hush",
}  # fmt: skip


def test_an_unknown_host_name_is_told_where_names_are_set(client: Client) -> None:
    answer = client.get("/admin/", HTTP_HOST="elsewhere.example")
    assert answer.status_code == 400
    assert "DJANGO_ALLOWED_HOSTS" in answer.content.decode()


@pytest.fixture(scope="module")
def served(forked: Forks, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """A console in a process of its own: its port, and the file that its log goes to."""
    folder = tmp_path_factory.mktemp("served")
    bare = {k: v for k, v in os.environ.items() if k not in NAMES and k.removesuffix("_FILE") not in NAMES}
    urls = {
        "CONSOLE_DATABASE_URL": f"sqlite:///{folder / 'console.sqlite3'}",
        "OMNICHAT_DATABASE_URL": f"sqlite:///{folder / 'omnichat.sqlite3'}",
    }
    env = {**bare, **urls, "DJANGO_SETTINGS_MODULE": "omniops.settings", **SECRETS}
    made = forked.run(["setup_database", "--json"], cwd=settings.BASE_DIR, env=env, timeout=600)
    assert made.returncode == 0, made.stderr
    log = folder / "log"
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [sys.executable, "-c", SERVER],
            cwd=settings.BASE_DIR,
            env=env,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        try:
            assert process.stdout
            yield int(process.stdout.readline()), log
        finally:
            process.kill()


def sent(port: int, request: bytes) -> bytes:
    """All that is answered to these bytes, after which the sender has nothing more to say."""
    answer = b""
    # What is refused need not be read to its end.
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection, suppress(ConnectionError):
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        while piece := connection.recv(65536):
            answer += piece
    return answer


#: What a page of ours would send along, so that what is sent is read.
TOKEN = (b"Cookie: csrftoken=" + b"a" * 32, b"X-CSRFToken: " + b"a" * 32)


def post(path: bytes, body: bytes, *headers: bytes, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    lines = [b"POST " + path + b" HTTP/1.1", b"Host: localhost", b"Content-Length: %d" % size, *TOKEN, *headers]
    return b"\r\n".join([*lines, b"Connection: close", b"", body])


def get(path: bytes, *headers: bytes, host: bytes = b"Host: localhost", method: bytes = b"GET") -> bytes:
    return b"\r\n".join([method + b" " + path + b" HTTP/1.1", host, *headers, b"Connection: close", b"", b""])


PART = b'--x\r\nContent-Disposition: form-data; name="a"'
FORM = b"Content-Type: application/x-www-form-urlencoded"
MULTIPART = b"Content-Type: multipart/form-data; boundary=x"
RAW = {
    "no path": b"GET\r\n\r\n",
    "no words": b"\r\n\r\n",
    "bytes": bytes(range(256)) * 4 + b"\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\r\n\r\n",
    "old": b"GET /admin/login/\r\n\r\n",
    "percent": get(b"/admin/%/%zz/%e9%00/"),
    "nul in path": get(b"/admin/a\0b/"),
    "nul in query": get(b"/admin/login/?next=%00&%00=1&x=\0"),
    "nul in cookie": get(b"/admin/", b"Cookie: sessionid=a\0b; csrftoken=\0"),
    "nul in header": get(b"/admin/", b"Accept-Language: \0\xff"),
    "bytes in path": get(b"/admin/\xff\xfe/?q=\xff"),
    "long path": get(b"/admin/" + b"a" * 60_000),
    "longer path": get(b"/admin/" + b"a" * 70_000),
    "two hosts": get(b"/admin/login/", b"Host: elsewhere.example"),
    "no host": get(b"/admin/login/", host=b"X: y"),
    "bad host": get(b"/admin/login/", host=b"Host: a b<script>"),
    "absolute": get(b"http://elsewhere.example/admin/login/"),
    "two slashes": get(b"//elsewhere.example/admin"),
    "huge cookie": get(b"/admin/", b"Cookie: sessionid=" + b"a" * 60_000),
    "many headers": get(b"/admin/", *[b"X-%d: y" % n for n in range(200)]),
    "folded": get(b"/admin/login/", b"X-Request-ID: a", b" b"),
    "forwarded": get(b"/admin/login/", b"X-Forwarded-For: \xff, ' OR 1=1", b"X-Forwarded-Host: elsewhere.example"),
    "unknown method": get(b"/admin/login/", method=b"BREW"),
    "trace": get(b"/admin/login/", b"Cookie: sessionid=secret", method=b"TRACE"),
    "options": get(b"*", method=b"OPTIONS"),
    "delete": get(b"/admin/login/", method=b"DELETE"),
    "carriage return in next": get(b"/admin/login/?next=%0d%0aSet-Cookie:%20x=y"),
    "too long a length": post(b"/admin/login/", b"username=a", FORM, length=1000),
    "too short a length": post(b"/admin/login/", b"username=a" * 9, FORM, length=3),
    "negative length": post(b"/admin/login/", b"username=a", FORM, length=-5),
    "word for a length": get(b"/admin/login/", FORM, b"Content-Length: ten", *TOKEN, method=b"POST"),
    "chunked": post(b"/admin/login/", b"5\r\nab=cd\r\n0\r\n\r\n", FORM, b"Transfer-Encoding: chunked"),
    "bad utf-8": post(b"/admin/login/", b"username=\xff\xfe%ff&password=%00", FORM),
    "bad charset": post(b"/admin/login/", b"username=a", FORM + b"; charset=nonsense"),
    "utf-7": post(b"/admin/login/", b"username=+ADw-", FORM + b"; charset=utf-7"),
    "json": post(b"/admin/login/", b'{"username": "a"}', b"Content-Type: application/json"),
    "10,000 fields": post(b"/admin/login/", b"&".join(b"a%d=b" % n for n in range(10_000)), FORM),
    "3 MB": post(b"/admin/login/", b"a" * 3_000_000, FORM),
    "no boundary": post(b"/admin/login/", b"--x\r\n", b"Content-Type: multipart/form-data"),
    "open part": post(b"/admin/login/", PART + b"\r\n\r\nb", MULTIPART),
    "no name": post(b"/admin/login/", b"--x\r\nContent-Disposition: form-data\r\n\r\nb\r\n--x--\r\n", MULTIPART),
    "bad base64": post(
        b"/admin/login/",
        PART + b"\r\nContent-Transfer-Encoding: base64\r\n\r\n\xff=b\r\n--x--\r\n",
        MULTIPART,
    ),
    "10,000 parts": post(
        b"/admin/login/",
        (PART + b"\r\n\r\nb\r\n") * 10_000 + b"--x--\r\n",
        MULTIPART,
    ),
    "webhook of bytes": post(b"/webhooks/stripe/", b"\xff\0" * 100, b"Stripe-Signature: t=\xff,v1=\0"),
    "webhook without a body": post(b"/webhooks/clerk/", b"", b"svix-id: \xff"),
}


def test_no_bytes_make_the_server_stumble(served: tuple[int, Path]) -> None:
    port, log = served
    for kind, request in RAW.items():
        answer = sent(port, request)
        status = re.match(rb"HTTP/1.1 (\d+) ", answer)
        assert not status or int(status[1]) < 500, (kind, answer[:2000])
        assert b"Traceback" not in answer, kind
        assert b"hush" not in answer, kind
        assert b"elsewhere.example" not in answer.partition(b"\r\n\r\n")[0], kind
        assert b"Set-Cookie: x" not in answer, kind
    # Nor does anybody set off the alarm for errors.
    assert re.findall(" ERROR (?!django.server)[^\n]*", log.read_text()) == []


def test_it_still_serves_afterwards(served: tuple[int, Path]) -> None:
    for kind in ("json", "word for a length"):
        sent(served[0], RAW[kind])
    assert sent(served[0], get(b"/healthz")).endswith(b'{"ok": true}')


BODIES = {
    "json": ("application/json", b'{"username": ["a"], "action": {}}'),
    "broken json": ("application/json; charset=nonsense", b"{\xff"),
    "xml": ("text/xml", b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>'),
    "another charset": ("application/x-www-form-urlencoded; charset=utf-16", b"a=b"),
    "bytes": ("application/x-www-form-urlencoded", b"\xff=\xfe&%00=%ff&&&===&_save=1&action=%c3%28"),
    "10,000 fields": ("application/x-www-form-urlencoded", b"&".join(b"f%d=x" % n for n in range(10_000))),
    "no boundary": ("multipart/form-data", b"--x\r\n"),
    "another boundary": ("multipart/form-data; boundary=y", b"--x\r\n\r\n--x--"),
    "an open part": (
        "multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a',
    ),
    "a path for a name": (
        "multipart/form-data; boundary=x",
        PART.replace(b'"a"', b'"file"') + b'; filename="../../\0/..%2f"\r\n\r\nb\r\n--x--\r\n',
    ),
    "2,000 files": (
        "multipart/form-data; boundary=x",
        (PART + b'; filename="f"\r\n\r\nb\r\n') * 2000 + b"--x--\r\n",
    ),
}
FORMS = (
    "/admin/login/", "/admin/chat/user/", "/admin/chat/user/u1/change/", "/admin/chat/user/import/", "/admin/views/",
    "/admin/console/grant/add/", "/admin/console/grant/bulk/", "/admin/console/grant/queue/", "/admin/contents/c1/",
    "/admin/account/u1/notes/", "/admin/password_change/", "/admin/security/second-factor/totp/activate/",
    "/webhooks/stripe/", "/webhooks/clerk/",
)  # fmt: skip


@pytest.mark.django_db
@pytest.mark.sqlite_only("what is judged here is no query")
@pytest.mark.parametrize("kind", BODIES)
def test_no_body_makes_a_form_stumble(kind: str) -> None:
    make_rows()
    boss = signed_in(is_superuser=True)
    before = {table: rows for table, rows in all_rows().items() if table.startswith("omnichat")}
    for url in FORMS:
        answer = boss.generic("POST", url, BODIES[kind][1], BODIES[kind][0])
        assert answer.status_code < 500 or "/webhooks/" in url, url
        assert "Traceback" not in answer.text
        assert settings.SECRET_KEY not in answer.text
    assert {table: rows for table, rows in all_rows().items() if table.startswith("omnichat")} == before
