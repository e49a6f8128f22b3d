"""How fast webhooks go out: signed and logged, by one worker, beside bare requests one after the other."""

from __future__ import annotations

import http.client
import http.server
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from celery import current_app
from django.conf import settings

from annotation.models import Campaign, Delivery
from annotation.services import webhooks
from annotation.webhooks import EVENTS


class _Receiver(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keeps connections, as receivers do

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def _receiver() -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def measure(campaign: Campaign, messages: int) -> dict[str, float]:
    """Return messages per second, and requests per second of a client that signs and notes nothing."""
    settings.ATTUNE_WEBHOOKS_PRIVATE = True
    current_app.conf.broker_url = "memory://"  # the row is the job; who is woken is not measured
    with _receiver() as port:
        url = f"http://127.0.0.1:{port}/hook"
        webhooks.add(campaign=campaign, url=url, wanted=list(EVENTS), actor=campaign.created_by)
        for number in range(messages):
            webhooks.emit(campaign, "feedback.created", {"campaign": campaign.pk, "feedback": number})
        waiting = list(Delivery.objects.filter(state=Delivery.State.WAITING).values_list("pk", "body"))
        started = time.perf_counter()
        for pk, _body in waiting:  # as each wakes the worker; what went along with another one is not due any more
            webhooks.deliver(pk)
        seconds = time.perf_counter() - started
        delivered = Delivery.objects.filter(state=Delivery.State.DELIVERED).count()
        if delivered != messages:
            raise RuntimeError(f"Of {messages} messages {delivered} were delivered.")
        started = time.perf_counter()
        for _pk, body in waiting:
            bare = http.client.HTTPConnection("127.0.0.1", port)
            bare.request("POST", "/hook", body=body.encode())
            bare.getresponse().read()
            bare.close()
        limit = time.perf_counter() - started
    return {"messages": messages, "per_second": messages / seconds, "bare_per_second": messages / limit}
