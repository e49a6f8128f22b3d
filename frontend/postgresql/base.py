"""The connection: looked at, before a request uses it again, where no statement is needed to look."""

from __future__ import annotations

import select

from django.db.backends.postgresql import base


class DatabaseWrapper(base.DatabaseWrapper):
    def is_usable(self) -> bool:
        """Return whether the connection can be used again, as `CONN_HEALTH_CHECKS` asks once a request.

        Django sends a statement and waits, which costs a judgement as much as storing it. A server that hung up, or
        was stopped, has left the end of the stream in the socket, and an idle connection has nothing else to read but
        a notice. So only where there is something to read is a statement sent. A machine that vanished without a word
        is found as late as by Django's own way: when the network gives up on what was sent.
        """
        if self.connection is None or self.connection.closed:
            return False
        waiting = select.poll()
        waiting.register(self.connection.fileno(), select.POLLIN)
        return super().is_usable() if waiting.poll(0) else True
