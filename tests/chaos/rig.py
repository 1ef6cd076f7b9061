"""Everything one run needs on loopback: a Redis, decoders that can be stopped, and the verdict."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis

from infra.launcher import redis_server
from infra.launcher.tether import tethered
from infra.model.preparation import decoder_env
from linewatch import keys
from linewatch.events import PARTITIONS
from tests.chaos.points import Trap
from tests.support.decoders import ROOT, Decoder, Fleet, is_ready
from tests.support.waiting import eventually

CONF = ROOT / "tests/chaos/gunicorn.conf.py"
APP = "tests.chaos.app:create()"
READY_S = 60
DRAINED_S = 60


class TooLong(Exception):
    """Something that had to happen did not, within its deadline."""


def start_redis(port, folder):
    """Start a durable Redis that ends with this process, however that ends."""
    command = tethered(redis_server.command(port, folder), signal.SIGKILL)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    eventually(lambda: redis_server.is_listening(port), 20, what="Redis listens")
    return process


@dataclass
class Stoppable(Decoder):
    """A decoder with a trap for its points."""

    trap: Trap

    @property
    def worker(self):
        """The worker's pid; 0 between two workers."""
        try:
            return super().worker
        except (IndexError, FileNotFoundError):
            return 0

    def is_stopped(self):
        """Tell whether the worker is stopped as a whole."""
        return Path(f"/proc/{self.worker}/stat").read_text().rpartition(")")[2].split()[0] == "T"


class ChaosFleet(Fleet):
    """Decoders of `tests.chaos.app`."""

    def __init__(self, redis_url, folder, **env):
        super().__init__(redis_url, APP, **env)
        self._folder = folder
        self._made = 0

    def _spawn(self, env, port=None):
        self._made += 1
        folder = self._folder / f"decoder-{self._made}"
        trap = Trap(folder)
        port = port or redis_server.free_port()
        given = self._environment(port, folder, env)
        command = [sys.executable, "-m", "gunicorn", "-c", str(CONF), self._app]
        log = (folder / "log").open("w")
        process = subprocess.Popen(
            tethered(command, signal.SIGKILL),
            env=given,
            start_new_session=True,
            stderr=log,
            cwd=ROOT,
        )
        log.close()
        return Stoppable(f"http://127.0.0.1:{port}", process, trap)

    def _environment(self, port, folder, env):
        return {
            **os.environ,
            **decoder_env(),
            "PYTHONPATH": os.pathsep.join(str(ROOT / each) for each in ("functions", "")),
            "PORT": str(port),
            "REDIS_URL": self.redis_url,
            "VOSK_MODEL_PATH": str(ROOT),
            # The calls of tests begin at one moment for ever: so are their events' bytes.
            "START_BELIEVED_S": "10000000000",
            "COOKIE_KEYS": "one-secret",
            "CAPACITY": "1000",
            "CHAOS_FOLDER": str(folder),
            **self._env,
            **env,
        }

    def replace(self, decoder):
        """Start *decoder*, which is dead as a whole, anew at its address."""
        port = int(decoder.url.rpartition(":")[2])
        born = self._spawn({}, port)
        decoder.process, decoder.trap = born.process, born.trap

    def at(self, address):
        """Return the decoder that listens at *address*, none if it is no more."""
        return next((each for each in self.decoders if each.url == address), None)

    def wait_ready(self, decoder):
        """Wait until *decoder* serves again.

        Raises:
            TooLong: it does not.
        """
        eventually(
            lambda: decoder.worker and is_ready(decoder),
            READY_S,
            what="a decoder serves",
            every_s=0.02,
        )


class Rig:
    """One run's Redis and decoders; everything it started ends with it."""

    def __init__(self, stack, **env):
        self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-")))
        self.port = redis_server.free_port()
        self.redis_url = f"redis://127.0.0.1:{self.port}/0"
        self.server = start_redis(self.port, self.folder)
        stack.callback(self.stop_redis)
        self.client = stack.enter_context(redis.Redis.from_url(self.redis_url, socket_timeout=10))
        self.fleet = stack.enter_context(ChaosFleet(self.redis_url, self.folder, **env))

    def stop_redis(self):
        """End Redis."""
        self.server.kill()
        self.server.wait()

    def restart_redis(self):
        """Start Redis again on the same port and folder."""
        self.server = start_redis(self.port, self.folder)

    def use(self, client):
        """Ask another Redis from now on: the one that was promoted."""
        self.client = client

    def owner(self, member):
        """Return the pod that owns a session, by its member name; none if nobody does."""
        found = self.client.hget(keys.session(keys.of_member(member)), "owner")
        return found.decode() if found else None

    def address(self, pod):
        """Return where a pod listens while it holds its lease."""
        found = self.client.hget(keys.pod(pod), "address") if pod else None
        return found.decode() if found else None

    def pod_of(self, decoder):
        """Return the newest pod id that holds a lease at *decoder*'s address."""
        started = {}
        for pod in map(bytes.decode, self.client.smembers(keys.PODS)):
            # Both at once: a lease may run out between two questions.
            address, at_ms = self.client.hmget(keys.pod(pod), "address", "started_at_ms")
            if address and address.decode() == decoder.url:
                started[int(at_ms)] = pod
        return started[max(started)] if started else None

    def owned_by(self, pod, channels):
        """Return those of *channels* that *pod* owns."""
        with self.client.pipeline(transaction=False) as pipe:
            for key in channels:
                pipe.hget(keys.session(key), "owner")
            owners = pipe.execute()
        return [key for key, owner in zip(channels, owners, strict=True) if owner == pod.encode()]

    def is_drained(self):
        """Tell whether the relays passed everything on."""
        with self.client.pipeline(transaction=False) as pipe:
            for partition in range(PARTITIONS):
                pipe.xlen(keys.outbox(partition))
            return not any(pipe.execute())

    def drain(self):
        """Wait until the relays passed everything on.

        Raises:
            TooLong: they do not.
        """
        eventually(self.is_drained, DRAINED_S, what="the outbox is drained", every_s=0.05)


@contextmanager
def rig(decoders=3, **env):
    """Start a rig with *decoders*, and end it."""
    with ExitStack() as stack:
        made = Rig(stack, **env)
        if decoders:
            made.fleet.start(decoders)
        yield made
