"""A connection is looked at before it is used again: no statement while nothing happened, never one that is dead."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from django.db import connection

from frontend.postgresql.base import DatabaseWrapper


class Idle(SimpleNamespace):
    """A connection on which every statement fails."""

    closed = False

    def cursor(self, *_: Any) -> Any:
        raise psycopg.OperationalError("the connection is lost")


@pytest.fixture
def ends():
    ours, servers = socket.socketpair()
    yield ours, servers
    ours.close()
    servers.close()


def test_an_idle_connection_costs_no_statement_and_one_that_the_server_left_is_found(ends) -> None:
    ours, servers = ends
    wrapper = DatabaseWrapper(dict.fromkeys(("NAME", "USER", "PASSWORD", "HOST", "PORT"), ""))
    assert not wrapper.is_usable()
    wrapper.connection = Idle(fileno=ours.fileno)
    assert wrapper.is_usable()
    servers.close()
    assert not wrapper.is_usable()
    wrapper.connection = Idle(fileno=ours.fileno, closed=True)
    assert not wrapper.is_usable()


@pytest.mark.django_db(transaction=True)
def test_a_request_after_the_server_hung_up_gets_a_new_connection() -> None:
    if connection.vendor != "postgresql":
        return  # said of it above, and there is no server that could hang up
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    assert connection.is_usable()
    with psycopg.connect(connection.connection.info.dsn, password=connection.settings_dict["PASSWORD"]) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    assert not connection.is_usable()
    connection.health_check_enabled, connection.health_check_done = True, False
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        assert cursor.fetchone() != (pid,)
