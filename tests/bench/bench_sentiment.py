"""What the sentiment function costs, and how good it is.

Run from the project's root: ``python -m tests.bench.bench_sentiment``. Cost: scored events
per second of the service's own CPU (gunicorn's two processes; HTTP in, scoring, the POST to a
null sink on kept connections; the senders' and the sink's CPU is theirs). Quality: three
classes on ``../shared/sentiment`` written as a recognizer writes, spacytextblob alone
against the scorer.
"""

from __future__ import annotations

import csv
import itertools
import re
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from http.client import HTTPConnection
from pathlib import Path

from linewatch.calls import Channel, ChannelKey, Utterance
from linewatch.sentiment import warmup
from tests.bench.sentiment_service import ROOT, NullSink, null_sink, request_of, say, service

EVENTS = 2000
SENDERS = 4
LIMIT_PER_CPU_S = 500
SETS = ROOT.parent / "shared" / "sentiment"
CLASSES = ("negative", "neutral", "positive")
TEXTS = (
    "i have been waiting for forty minutes and nobody has helped me",
    "good morning thank you for calling how can i help you today",
    "my internet connection has been down since monday and i want to speak to a manager",
    "okay",
    "the technician was very friendly but the router still does not work",
    "yes my account number is four four seven one nine two",
)


def throughput(sink: NullSink) -> float:
    """Return scored events per second of the service's CPU, warm."""
    with service(sink.url) as running:
        running.wait_ready()
        _send_all(running.port, 200)
        before_s, taken = running.cpu_s(), len(sink.taken)
        _send_all(running.port, EVENTS)
        used_s = running.cpu_s() - before_s
        assert len(sink.taken) - taken == EVENTS
    return EVENTS / used_s


def _send_all(port: int, count: int) -> None:
    senders = [
        threading.Thread(target=_send, args=(port, range(first, count, SENDERS)))
        for first in range(SENDERS)
    ]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()


def _send(port: int, numbers: Iterable[int]) -> None:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    for number in numbers:
        headers, body = request_of(TEXTS[number % len(TEXTS)], number)
        connection.request("POST", "/", body=body, headers=headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 204, answer.status
    connection.close()


def as_recognized(text: str) -> str:
    """Return *text* in lower case and without punctuation, as a recognizer writes it."""
    return " ".join(re.findall(r"[a-z0-9]+(?:'[a-z]+)*", text.lower()))


def class_of(polarity: float) -> str:
    """Return the class of a polarity; only 0 is neutral."""
    return CLASSES[(polarity > 0) - (polarity < 0) + 1]


def quality(rows: list[tuple[str, str]], polarity: Callable[[str], float]) -> tuple[float, float]:
    """Return accuracy and macro-F1 of *polarity* over (text, label) *rows*."""
    pairs = Counter((class_of(polarity(text)), label) for text, label in rows)
    hits = {name: pairs[name, name] for name in CLASSES}
    f1 = [
        2 * hits[name] / (sum(n for pair, n in pairs.items() for each in pair if each == name) or 1)
        for name in CLASSES
    ]
    return sum(hits.values()) / len(rows), sum(f1) / len(f1)


def _report_quality() -> None:
    scorer = warmup.load()
    key = ChannelKey("default", "bench", Channel.CUSTOMER)

    def scored(text: str) -> float:
        return scorer.score(Utterance(key, 0, 0, 0, 0, 0, text), "").polarity

    say("accuracy / macro-F1, classes by sign; written: plain, ours; recognized: plain, ours")
    for path in sorted(SETS.glob("*.csv")):
        rows = _rows(path)
        spoken = [(as_recognized(text), label) for text, label in rows]
        peers = itertools.product((rows, spoken), (lambda t: scorer.plain(t).polarity, scored))
        figures = ["{:.3f} / {:.3f}".format(*quality(*each)) for each in peers]
        say(f"  {path.stem:16} {len(rows):5} rows    {'   '.join(figures)}")


def _rows(path: Path) -> list[tuple[str, str]]:
    with path.open(encoding="utf-8", newline="") as lines:
        return [(row["text"], row["label"]) for row in csv.DictReader(lines)]


def main() -> int:
    """Measure, print, and fail where the service costs too much."""
    with null_sink() as sink:
        per_cpu_s = throughput(sink)
        kept = sink.connections
    say(f"scored events per CPU second: {per_cpu_s:.0f} (at least {LIMIT_PER_CPU_S}),")
    say(f"  {EVENTS} events by {SENDERS} senders, {kept} connections to the sink")
    if SETS.exists():
        _report_quality()
    return int(per_cpu_s < LIMIT_PER_CPU_S)


if __name__ == "__main__":
    sys.exit(main())
