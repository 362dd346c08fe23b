"""Serves the demo on this machine alone."""

from __future__ import annotations

import errno
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
from django.core.wsgi import get_wsgi_application

HOST = "127.0.0.1"


class PortTaken(Exception):
    """Another program listens on the port."""


def check_port(port: int) -> None:
    """Raises PortTaken, so that a taken port is told before anything else is done."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _bind(lambda: probe.bind((HOST, port)))


class Handler(WSGIRequestHandler):
    # Head and body are two packets: the second would wait 40 ms for the first to be acknowledged.
    disable_nagle_algorithm = True


@contextmanager
def listening(port: int) -> Iterator[ThreadedWSGIServer]:
    """A server that listens already; its `server_port` is the one taken where `port` is 0. Raises PortTaken."""
    server = _bind(lambda: ThreadedWSGIServer((HOST, port), Handler))
    try:
        server.set_app(get_wsgi_application())
        yield server
    finally:
        server.server_close()


def serve(server: ThreadedWSGIServer) -> None:
    """Until Ctrl-C or a plain kill."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        # make and the terminal may each send one; the end is on its way already.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _bind(bind: Any) -> Any:
    try:
        return bind()
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        raise PortTaken from error
