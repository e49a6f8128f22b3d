"""Signed messages to other servers: what is told, how it is signed, and sending it nowhere it must not go.

As Standard Webhooks 1.0 has it (github.com/standard-webhooks): the headers ``webhook-id``, ``webhook-timestamp`` and
``webhook-signature``, the last ``v1,`` and the base64 of the HMAC-SHA256 of ``id.timestamp.body``; the key is what
follows ``whsec_`` in the secret, in base64.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import ipaddress
import socket
import ssl
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from annotation.errors import Invalid

EVENTS = {
    "feedback.created": gettext_lazy("Somebody judged an item, or amended a judgement"),
    "batch.completed": gettext_lazy("All items of a batch are judged"),
    "round.state": gettext_lazy("A round of the loop moved on"),
    "version.promoted": gettext_lazy("A model was put into use"),
    "snapshot.created": gettext_lazy("A data set was frozen"),
}
TIMEOUT = 10.0  # seconds, for each step of a try
MOST_READ = 2048  # bytes of an answer; nobody needs them


def secret_of(salt: str) -> str:
    """Return the secret of a webhook; another SECRET_KEY makes another one of the same salt."""
    key = hmac.new(settings.SECRET_KEY.encode(), f"attune.webhook.{salt}".encode(), hashlib.sha256).digest()
    return "whsec_" + base64.b64encode(key).decode()


def signature(secret: str, *, message_id: str, timestamp: int, body: str) -> str:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{message_id}.{timestamp}.{body}".encode()
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def check_url(url: str) -> None:
    """Raise `Invalid` unless messages may be sent to this address; where its name leads is looked up only then."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    schemes = ("https", "http") if settings.ATTUNE_WEBHOOKS_PRIVATE else ("https",)
    message = ""
    if any(character.isspace() or ord(character) < 33 for character in url) or not host or parts.scheme not in schemes:
        message = _("Give an address that begins with https://.")
    elif parts.username or parts.password:
        message = _("Give an address without a name and password; messages are signed instead.")
    elif port == 0:
        message = _("Give an address that begins with https://.")
    elif not settings.ATTUNE_WEBHOOKS_PRIVATE and ((_is_address(host) and not _is_public(host)) or host == "localhost"):
        message = _("Messages are sent to public addresses only; this one is private.")
    if message:
        raise Invalid(message, {"url": [message]})


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_public(address: str) -> bool:
    """Return whether an address is one of the wide internet; one in another's clothes counts as what it stands for."""
    found = ipaddress.ip_address(address.split("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        inside = found.ipv4_mapped or found.sixtofour or (found.teredo[1] if found.teredo else None)
        if inside is not None:
            return inside.is_global and not inside.is_multicast
        if found in ipaddress.ip_network("64:ff9b::/96"):
            return _is_public(str(ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)))
    return found.is_global and not found.is_multicast


@dataclass(frozen=True)
class Answer:
    """What became of one try: a status, or why there is none."""

    status: int | None
    error: str = ""

    @property
    def is_good(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def post(url: str, *, body: str, headers: Mapping[str, str]) -> Answer:
    """Send one message and return the answer; as `Line.post`."""
    with closing(Line(url)) as line:
        return line.post(body=body, headers=headers)


class Line:
    """One receiver's address with a connection that is kept between messages. Not for two threads at once.

    The name is looked up once for each connection, and that goes to the address that was checked: a name that leads
    elsewhere a moment later leads nowhere.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: http.client.HTTPConnection | None = None

    def post(self, *, body: str, headers: Mapping[str, str]) -> Answer:
        """Send one message and return the answer. Follows no redirect, asks no proxy, and never raises.

        A receiver may close a kept connection at any moment: what was sent on one is sent once more on a new one.
        """
        kept = self._connection is not None
        answer = self._try(body, headers)
        return self._try(body, headers) if kept and answer.status is None else answer

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _try(self, body: str, headers: Mapping[str, str]) -> Answer:
        try:
            connection = self._connection or self._connect()
        except Invalid as refused:
            return Answer(None, str(refused))
        except (OSError, UnicodeError, ValueError) as error:
            return Answer(None, f"{type(error).__name__}: {error}"[:300])
        self._connection = connection
        try:
            parts = urlsplit(self._url)
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request("POST", path, body=body.encode(), headers=dict(headers))
            response = connection.getresponse()
            response.read(MOST_READ)
            if not response.isclosed():  # it has more to say, which nobody reads
                self.close()
            return Answer(response.status, "" if 200 <= response.status < 300 else (response.reason or "")[:300])
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            return Answer(None, f"{type(error).__name__}: {error}"[:300])

    def _connect(self) -> http.client.HTTPConnection:
        check_url(self._url)
        parts = urlsplit(self._url)
        host = parts.hostname or ""
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return _Pinned(host, port, _checked_address(host, port), encrypted=parts.scheme == "https")


def _checked_address(host: str, port: int) -> str:
    found = [str(one[4][0]) for one in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    if not settings.ATTUNE_WEBHOOKS_PRIVATE and not all(map(_is_public, found)):
        raise Invalid(_("Messages are sent to public addresses only; this one is private."))
    return found[0]


class _Pinned(http.client.HTTPConnection):
    """A connection to one address, which must show the certificate of the name."""

    def __init__(self, host: str, port: int, address: str, *, encrypted: bool) -> None:
        super().__init__(host, port, timeout=TIMEOUT)
        self._address, self._encrypted = address, encrypted

    def connect(self) -> None:
        self.sock = socket.create_connection((self._address, self.port), TIMEOUT)
        # Head and body are two writes: the second must not wait until the first is acknowledged.
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._encrypted:
            self.sock = ssl.create_default_context().wrap_socket(self.sock, server_hostname=self.host)
