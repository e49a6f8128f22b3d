"""Sixteen annotators in a closed loop: each asks for an item, judges it at once, and asks for the next one.

One thread and non-blocking sockets: the load must cost little, because it runs on the cores it measures. Run as a
process of its own: ``python -m tests.bench.load '<json>'`` prints its figures as JSON.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Connection:
    """One annotator's keep-alive connection; `steps` is a generator that yields requests and is sent answers."""

    port: int
    steps: Iterator[bytes]
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


def request(port: int, path: str, token: str, body: bytes) -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Token {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def annotator(port: int, campaign: int, token: str, budget: list[int], times: dict[str, list[float]]):
    """Yield requests, receive (status, body); take judgements from `budget` until it or the queue is empty."""
    while budget[0] > 0:
        budget[0] -= 1
        asked = time.perf_counter()
        status, body = yield request(port, f"/api/campaigns/{campaign}/next/", token, b"{}")
        if status == 204:
            return
        if status != 200:
            raise ValueError(f"next answered {status}: {body[:300]!r}")
        shown = time.perf_counter()
        key = json.loads(body)["key"]
        answer = json.dumps({"preference": "2", "client_key": key, "active_seconds": 1.5}).encode()
        status, body = yield request(port, f"/api/assignments/{key}/submit/", token, answer)
        if status != 200:
            raise ValueError(f"submit answered {status}: {body[:300]!r}")
        stored = time.perf_counter()
        times["next"].append(shown - asked)
        times["submit"].append(stored - shown)
        times["both"].append(stored - asked)


def run(port: int, campaign: int, tokens: list[str], judgements: int) -> dict[str, float]:
    """Return requests per second and the quantiles of next, submit and both together, in seconds."""
    times: dict[str, list[float]] = {"next": [], "submit": [], "both": []}
    budget = [judgements]
    selector = selectors.DefaultSelector()
    connections = [Connection(port, annotator(port, campaign, token, budget, times)) for token in tokens]
    started = time.perf_counter()
    for connection in connections:
        connection.sock.sendall(next(connection.steps))
        selector.register(connection.sock, selectors.EVENT_READ, connection)
    working = len(connections)
    while working:
        for key, _ in selector.select():
            connection = key.data
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
    figures = {"judgements": len(times["both"]), "requests_per_second": 2 * len(times["both"]) / seconds}
    for name, values in times.items():
        values.sort()
        figures[f"{name}_p50"] = values[len(values) // 2]
        figures[f"{name}_p95"] = values[int(len(values) * 0.95)]
    return figures


if __name__ == "__main__":
    print(json.dumps(run(**json.loads(sys.argv[1]))))
