"""A stand-in of the decoder's API: the fold of numbered steps, and the faults of a bad day."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from linewatch import errors, events
from linewatch.calls import Chunk, Codec
from linewatch.errors import Unavailable
from linewatch.gateway.decoders import Answer

CODECS = {"audio/PCMU": Codec.PCMU, "audio/PCMA": Codec.PCMA, "audio/x-raw": Codec.S16LE}


class ChannelFold:
    """One channel as the decoder sees it; *kept* is what every accepted step brought."""

    def __init__(self):
        self.kept = []
        self.stream = ""
        self.ended = False
        self.first_seq = 0

    @property
    def next_seq(self):
        """The number the next step must have."""
        return self.kept[-1][0] if self.kept else self.first_seq

    @property
    def next_position(self):
        """Samples accepted or told missing so far."""
        return self.kept[-1][1] if self.kept else 0

    @property
    def audio(self):
        """Everything accepted, in order, without the gaps."""
        return b"".join(step.audio for _, _, step in self.kept if isinstance(step, Chunk))

    @property
    def gaps(self):
        """The gaps that were told, as their JSON."""
        return [step for _, _, step in self.kept if isinstance(step, dict) and "reason" in step]

    def forget(self, steps):
        """Lose the newest *steps*, as a Redis that failed over does."""
        del self.kept[max(0, len(self.kept) - steps) :]
        self.ended = False

    def _is_repeat(self, seq, after, step):
        """Whether *step* was taken already; the same number with other bytes is a conflict."""
        reaches_beyond = seq < self.next_seq < after
        if seq > self.next_seq or reaches_beyond:
            raise errors.SequenceGap("too far", next_seq=self.next_seq, next_position=0)
        if seq < self.next_seq:
            taken = [kept for end, _, kept in self.kept if end == after]
            if taken and taken != [step]:
                raise errors.SequenceConflict("other bytes", next_seq=self.next_seq)
        return seq < self.next_seq

    def _check_position(self, position):
        if position < self.next_position:
            raise errors.PositionConflict(
                "heard", next_seq=self.next_seq, next_position=self.next_position
            )

    def chunk(self, chunk):
        """Take a chunk as the decoder does; a new run of a sender goes on at any number."""
        is_new_run = bool(self.kept) and chunk.stream != self.stream
        if not is_new_run and self._is_repeat(chunk.seq, chunk.seq + 1, chunk):
            return
        self._check_position(chunk.position)
        self.stream = chunk.stream
        self.kept.append((chunk.seq + 1, chunk.end_position, chunk))

    def gap(self, told):
        """Take a gap."""
        if not self._is_repeat(told["from_seq"], told["next_seq"], told):
            self._check_position(told["position"])
            self.stream = told["stream"]
            self.kept.append((told["next_seq"], told["position"], told))

    def end(self, told):
        """Take the end."""
        if told["seq"] > self.next_seq:
            raise errors.SequenceGap("too far", next_seq=self.next_seq, next_position=0)
        if not self.ended:
            self.kept.append((told["seq"] + 1, self.next_position, told))
            self.ended = True


class Decoder:
    """Answers requests one by one; *faults* says what goes wrong with each in turn.

    ``ok``; ``down`` (never arrives); ``lost`` (done, the answer lost); ``503``;
    ``moved`` (409 session-moved); ``forged`` (403 while a cookie is sent); ``html``
    (a proxy's page); ``forget-N`` (the newest N steps are lost, then the step is taken).
    While it *is_full* it makes no channel.
    """

    def __init__(self, faults=()):
        self.faults = deque(faults)
        self.folds = {}
        self.is_full = False
        self.calls = []
        self.seen = []
        self.finals = {}
        self._lock = threading.Lock()

    def fold(self, call, channel):
        """Return the channel, begun if need be."""
        return self.folds.setdefault((call, str(channel)), ChannelFold())

    def only(self):
        """Return the one channel there is."""
        (fold,) = self.folds.values()
        return fold

    def send(self, method, path, headers, body):
        """Be the transport itself, without a socket."""
        with self._lock:
            fault = self.faults.popleft() if self.faults else "ok"
            if fault == "down":
                raise Unavailable("down")
            answer = self.answer(method, path, headers, body, fault)
        if fault == "lost":
            raise Unavailable("lost")
        return answer

    def answer(self, method, path, headers, body, fault="ok"):
        """Answer one request that arrived."""
        self.seen.append((method, path, dict(headers)))
        if fault == "html":
            return Answer(502, {"content-type": "text/html"}, (), b"<h1>Bad gateway</h1>")
        try:
            self._fail(fault, headers, path)
            status, told = self._route(method, path, headers, body)
        except errors.LinewatchError as error:
            text, status, out = errors.problem(error)
            return Answer(status, {k.lower(): v for k, v in out.items()}, (), text.encode())
        cookie = f"lw={len(self.seen)}; HttpOnly; Path=/"
        return Answer(status, {}, (cookie,), json.dumps(told).encode())

    def _fail(self, fault, headers, path):
        if fault == "503":
            raise errors.StoreUnavailable("later")
        if fault == "moved":
            raise errors.SessionMoved("again")
        if fault == "replaced":
            raise errors.StreamReplaced("stop")
        if fault == "ended":
            raise errors.CallEnded("over")
        if fault == "unauthorized":
            raise errors.Unauthorized("who?")
        if fault == "forged" and "cookie" in headers:
            raise errors.Forbidden("forged")
        if fault.startswith("forget-"):
            for fold in self.folds.values():
                fold.forget(int(fault.removeprefix("forget-")))

    def _route(self, method, path, headers, body):
        parts = urlsplit(path)
        names = parts.path.strip("/").split("/")
        if names == ["v1", "calls"]:
            self.calls.append(json.loads(body))
            return 201, {"call": self.calls[-1]["call"], "next": {}}
        call, channel, *what = names[2], *names[4:]
        if (call, channel) not in self.folds:
            self._make(what)
        if method == "GET":
            return self._state(call, channel)
        fold = self.fold(call, channel)
        getattr(self, f"_{what[0]}")(fold, headers, body)
        after = int(parse_qs(parts.query)["after"][0])
        finals = [f for f in self.finals.get(channel, []) if f["first_sample"] > after]
        return 200, {**_told(fold), "partial": "", "finals": finals}

    def _make(self, what):
        if what != ["audio"]:
            raise errors.NotFound("no such channel")
        if self.is_full:
            raise errors.Overloaded("later")

    def _state(self, call, channel):
        fold = self.fold(call, channel)
        return 200, {"stream": fold.stream, **_told(fold), "ended": fold.ended}

    def _audio(self, fold, headers, body):
        event = events.from_http(headers, body)
        assert event.get_type() == events.AUDIO_CHUNK
        codec, _, rate = headers["content-type"].partition(";")
        fold.chunk(
            Chunk(
                int(event.get_extension("sequence")),
                int(event.get_extension("position")),
                event.get_extension("stream"),
                CODECS[codec],
                int(rate.rpartition("=")[2] or 8000),
                body,
            )
        )

    def _gap(self, fold, headers, body):
        fold.gap(json.loads(body))

    def _end(self, fold, headers, body):
        fold.end(json.loads(body))


def _told(fold):
    return {"next_seq": fold.next_seq, "next_position": fold.next_position}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _serve(self):
        decoder = self.server.decoder
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        fault = decoder.faults.popleft() if decoder.faults else "ok"
        if fault == "slow":
            time.sleep(self.server.slow_s)
        if fault != "down":
            with decoder._lock:
                answer = decoder.answer(self.command, self.path, headers, body, fault)
        if fault in {"down", "lost"}:
            self.close_connection = True
            return
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        for cookie in answer.cookies:
            self.send_header("Set-Cookie", cookie)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    do_GET = do_POST = _serve  # noqa: N815 - the server's names

    def log_message(self, *_):
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """A sender that gave up waiting is none of our business."""


@contextmanager
def served(decoder, *, slow_s=0.5):
    """Serve *decoder* on loopback; gives its base URL."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.decoder, server.slow_s = decoder, slow_s
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
