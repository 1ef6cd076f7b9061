"""A primary, its replica, and one name that leads to either."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager

import redis

from infra.launcher import redis_server
from tests.chaos.proxy import Proxy
from tests.support.waiting import eventually


class Failover:
    """Two servers; *url* leads to the first until `demote`."""

    def __init__(self, stack, folder):
        self._clients, self._ports = [], []
        for name in ("first", "second"):
            (folder / name).mkdir()
            port = redis_server.free_port()
            server = redis_server.start(port, folder / name, durable=False)
            stack.callback(server.wait)
            stack.callback(server.kill)
            self._ports.append(port)
            self._clients.append(stack.enter_context(redis.Redis(port=port)))
        self._proxy = stack.enter_context(Proxy(self._ports[0]))
        first, second = self._clients
        second.execute_command("REPLICAOF", "127.0.0.1", self._ports[0])
        eventually(lambda: second.info("replication")["master_link_status"] == "up")
        # What was written must be there, too, and a replica tells each second how far it is.
        first.config_set("repl-ping-replica-period", 1)

    @property
    def url(self):
        """Where clients connect to, whichever server it is."""
        return f"redis://127.0.0.1:{self._proxy.port}/0"

    @property
    def primary(self):
        """A client of the server that takes writes after `demote`."""
        return self._clients[1]

    def demote(self):
        """Let the servers change their parts; whoever is connected stays so."""
        first, second = self._clients
        first.wait(1, 5000)
        second.execute_command("REPLICAOF", "NO", "ONE")
        first.execute_command("REPLICAOF", "127.0.0.1", self._ports[1])
        self._proxy.target = self._ports[1]


@contextmanager
def failover(folder):
    """Start both servers in *folder*, and end them."""
    with ExitStack() as stack:
        yield Failover(stack, folder)
