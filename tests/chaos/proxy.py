"""A TCP proxy that slows, resets, refuses and swallows: what a bad link does."""

from __future__ import annotations

import asyncio
import contextlib
import threading

_PIECE = 65_536
_START_S = 10


class Proxy:
    """Passes connections on to *target*, a port of loopback, which may change.

    Attributes:
        latency_s: What every piece waits, each way.
        is_down: New connections are closed at once.
        is_deaf: What the target answers is thrown away: replies are lost.
    """

    def __init__(self, target):
        self.target = target
        self.latency_s = 0.0
        self.is_down = False
        self.is_deaf = False
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._writers = set()
        self._listening = threading.Event()
        self._thread = threading.Thread(target=self._run, name="proxy")

    def __enter__(self):
        self._thread.start()
        assert self._listening.wait(_START_S), "the proxy did not start"
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        self._loop.close()

    def reset(self):
        """Cut every connection off with a RST."""
        self._loop.call_soon_threadsafe(self._abort)

    def _abort(self):
        for writer in list(self._writers):
            writer.transport.abort()

    def _run(self):
        self._loop.run_until_complete(self._serve())

    async def _serve(self):
        self._stopping = asyncio.Event()
        server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._listening.set()
        await self._stopping.wait()
        server.close()
        self._abort()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)

    async def _pass_on(self, reader, writer):
        if self.is_down:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        pair = {writer, far_writer}
        self._writers |= pair
        try:
            await asyncio.gather(
                self._pump(reader, far_writer), self._pump(far_reader, writer, back=True)
            )
        finally:
            self._writers -= pair

    async def _pump(self, reader, writer, *, back=False):
        with contextlib.suppress(OSError):
            while piece := await reader.read(_PIECE):
                if self.latency_s:
                    await asyncio.sleep(self.latency_s)
                if not (back and self.is_deaf):
                    writer.write(piece)
                    await writer.drain()
        writer.close()
