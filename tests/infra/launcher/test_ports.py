"""Ports of loopback."""

from __future__ import annotations

import socket

import pytest

from infra.launcher import ports
from infra.launcher.redis_server import free_port
from linewatch.errors import SettingsError


@pytest.fixture(name="taken")
def _taken():
    """A port somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_free_port_is_kept():
    """The usual port is used where it is free."""
    wanted = free_port()
    assert ports.choose(wanted) == wanted


def test_taken_port_is_replaced(taken):
    """A port somebody listens on is replaced by one that can be listened on."""
    found = ports.choose(taken)
    assert found != taken
    assert ports.can_listen(found)


def test_given_port_is_not_reused():
    """A port already given to another role is not given again."""
    wanted = free_port()
    assert ports.choose(wanted, [wanted]) != wanted


def test_demanded_port_stops_start(taken):
    """A port that was asked for by name and is taken stops the start."""
    with pytest.raises(SettingsError, match=rf"SINK_PORT={taken}: the port is taken"):
        ports.choose(taken, demanded_by="SINK_PORT")


def test_everywhere_counts_as_taken():
    """A server on all addresses takes loopback's port as well."""
    with socket.create_server(("0.0.0.0", 0)) as server:
        assert not ports.can_listen(server.getsockname()[1])
