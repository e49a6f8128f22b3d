"""Sixteen annotators in a closed loop: each asks for an item, judges it at once, and asks for the next one.

One thread and non-blocking sockets: the load must cost little, because it runs on the cores it measures. Run as a
process of its own: ``python -m tests.bench.load '<json>'`` prints its figures as JSON.
"""

from __future__ import annotations

import json
import re
import selectors
import socket
import sys
import time
from collections.abc import Generator
from dataclasses import dataclass, field

# Yields requests, is sent status and body of each answer.
Steps = Generator[bytes, tuple[int, bytes], None]
ITEM = re.compile(rb'name="assignment" value="([^"]+)"')


@dataclass
class Connection:
    """One annotator's keep-alive connection."""

    port: int
    steps: Steps
    sock: socket.socket = field(init=False)
    received: bytearray = field(default_factory=bytearray)

    def __post_init__(self) -> None:
        self.sock = socket.create_connection(("127.0.0.1", self.port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def feed(self) -> tuple[int, bytes] | None:
        """Return status and body once a whole answer is there."""
        piece = self.sock.recv(262_144)
        if not piece:
            raise ConnectionError("The server closed the connection.")
        self.received += piece
        end = self.received.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = bytes(self.received[:end]).lower()
        status = int(head[9:12])
        length = 0
        at = head.find(b"\r\ncontent-length:")
        if at >= 0:
            length = int(head[at + 17 :].split(b"\r\n", 1)[0])
        elif status != 204:
            raise ValueError(f"An answer without a length: {head[:300]!r}")
        if len(self.received) < end + 4 + length:
            return None
        body = bytes(self.received[end + 4 : end + 4 + length])
        del self.received[: end + 4 + length]
        return status, body


def post(port: int, path: str, token: str, body: bytes) -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Token {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def annotator(port: int, campaign: int, token: str, budget: list[int], times: dict[str, list[float]]) -> Steps:
    """Yield requests, receive (status, body); take judgements from `budget` until it or the queue is empty."""
    while budget[0] > 0:
        budget[0] -= 1
        asked = time.perf_counter()
        status, body = yield post(port, f"/api/campaigns/{campaign}/next/", token, b"{}")
        if status == 204:
            return
        if status != 200:
            raise ValueError(f"next answered {status}: {body[:300]!r}")
        shown = time.perf_counter()
        key = json.loads(body)["key"]
        answer = json.dumps({"preference": "2", "client_key": key, "active_seconds": 1.5}).encode()
        status, body = yield post(port, f"/api/assignments/{key}/submit/", token, answer)
        if status != 200:
            raise ValueError(f"submit answered {status}: {body[:300]!r}")
        stored = time.perf_counter()
        times["next"].append(shown - asked)
        times["submit"].append(stored - shown)
        times["both"].append(stored - asked)


def reader(port: int, campaign: int, session: str, budget: list[int], times: dict[str, list[float]]) -> Steps:
    """The same over the pages: a submit is answered with the next item, as the page's own script asks for it."""
    path = f"/work/{campaign}/"
    csrf = "a" * 32
    head = (
        f"Host: 127.0.0.1:{port}\r\nCookie: {session}; csrftoken={csrf}\r\nX-CSRFToken: {csrf}\r\n"
        "HX-Request: true\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    )
    status, body = yield f"GET {path} HTTP/1.1\r\n{head}\r\n".encode()
    while budget[0] > 0:
        budget[0] -= 1
        if status != 200:
            raise ValueError(f"The page answered {status}: {body[:300]!r}")
        found = ITEM.search(body)
        if found is None:
            return
        key = found[1].decode()
        form = f"assignment={key}&preference=2&client_key={key}&active_seconds=1.5".encode()
        sent = time.perf_counter()
        status, body = yield f"POST {path} HTTP/1.1\r\n{head}Content-Length: {len(form)}\r\n\r\n".encode() + form
        times["both"].append(time.perf_counter() - sent)


WAYS = {"rest": annotator, "pages": reader}


def run(port: int, campaign: int, keys: list[str], judgements: int, way: str) -> dict[str, float]:
    """Return requests per second and quantiles in seconds; `keys` are tokens for REST and cookies for pages."""
    times: dict[str, list[float]] = {"next": [], "submit": [], "both": []}
    budget = [judgements]
    selector = selectors.DefaultSelector()
    connections = [Connection(port, WAYS[way](port, campaign, key, budget, times)) for key in keys]
    started = time.perf_counter()
    for connection in connections:
        connection.sock.sendall(next(connection.steps))
        selector.register(connection.sock, selectors.EVENT_READ, connection)
    working = len(connections)
    while working:
        for event, _ in selector.select():
            connection = event.data
            answer = connection.feed()
            if answer is None:
                continue
            try:
                connection.sock.sendall(connection.steps.send(answer))
            except StopIteration:
                selector.unregister(connection.sock)
                connection.sock.close()
                working -= 1
    seconds = time.perf_counter() - started
    done = len(times["both"])
    figures: dict[str, float] = {"judgements": done, "judgements_per_second": done / seconds}
    for name, values in times.items():
        if values:
            values.sort()
            figures[f"{name}_p50"] = values[len(values) // 2]
            figures[f"{name}_p95"] = values[int(len(values) * 0.95)]
    return figures


if __name__ == "__main__":
    print(json.dumps(run(**json.loads(sys.argv[1]))))
