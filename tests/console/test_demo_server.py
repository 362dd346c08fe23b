"""The server of the demo."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest

from console import demo_server


def test_the_body_of_an_answer_does_not_wait_until_its_head_is_acknowledged(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(demo_server, "get_wsgi_application", lambda: None)
    usual, seen, accepted = demo_server.Handler.setup, [], threading.Event()

    def look(handler: Any) -> None:
        usual(handler)
        seen.append(handler.connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        accepted.set()

    monkeypatch.setattr(demo_server.Handler, "setup", look)
    with demo_server.listening(0) as server:
        server.timeout = 60
        with socket.create_connection((demo_server.HOST, server.server_port), timeout=60):
            server.handle_request()
            assert accepted.wait(60)
    assert seen != [0]


def test_an_answer_without_a_body_goes_out_while_the_connection_stays_open(monkeypatch: pytest.MonkeyPatch):
    def not_modified(environ: Any, start: Any) -> list[bytes]:
        start("304 Not Modified", [("Content-Length", "0")])
        return []

    monkeypatch.setattr(demo_server, "get_wsgi_application", lambda: not_modified)
    with demo_server.listening(0) as server:
        server.timeout = 60
        with socket.create_connection((demo_server.HOST, server.server_port), timeout=60) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            server.handle_request()
            assert client.recv(100).startswith(b"HTTP/1.1 304")
