"""Delivers signed events over HTTP as Stripe does: many connections that stay open, each one event at a time.

It speaks HTTP by itself, for a client of some comfort takes as much of a processor as the servers that are measured.
"""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

Delivery = tuple[bytes, dict[str, str]]


@dataclass
class Delivered:
    """Milliseconds of each answer, and how many deliveries were answered by anything but 200, and repeated."""

    times: list[float] = field(default_factory=list)
    refused: int = 0


def deliver(urls: list[str], deliveries: list[Delivery], connections: int, rate: float | None = None) -> Delivered:
    """In the order given, at `rate` a second or as fast as they are answered, until each is answered by 200.

    Connections are shared out over the servers.
    """
    turns, done, lock = iter(range(len(deliveries))), Delivered(), threading.Lock()
    began = time.perf_counter()

    def run(url: str) -> None:
        connection = Connection(url)
        while True:
            with lock:
                number = next(turns, None)
            if number is None:
                return
            if rate:
                time.sleep(max(0.0, began + number / rate - time.perf_counter()))
            asked = time.perf_counter()
            refused = 0
            while connection.post(*deliveries[number]) != 200:
                refused += 1
            with lock:
                done.times.append((time.perf_counter() - asked) * 1000)
                done.refused += refused

    threads = [threading.Thread(target=run, args=[urls[number % len(urls)]]) for number in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(done.times) != len(deliveries):
        raise RuntimeError("A connection failed: its traceback stands above.")
    return done


class Connection:
    """One connection that stays open."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._path, self._host = parts.path, parts.netloc
        self._socket = socket.create_connection((parts.hostname, parts.port or 80), timeout=600)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def post(self, body: bytes, headers: dict[str, str]) -> int:
        """The status of the answer."""
        lines = [f"POST {self._path} HTTP/1.1", f"Host: {self._host}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        head, _, rest = self._read(b"", b"\r\n\r\n").partition(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        while len(rest) < length:
            rest += self._receive()
        return int(head.split(None, 2)[1])

    def _read(self, found: bytes, until: bytes) -> bytes:
        while until not in found:
            found += self._receive()
        return found

    def _receive(self) -> bytes:
        part = self._socket.recv(65536)
        if not part:
            raise ConnectionError("The server closed the connection.")
        return part
