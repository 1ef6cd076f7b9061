"""What came out of a run against what had to: lost, doubled, differing, out of order, repeated."""

from __future__ import annotations

from dataclasses import dataclass, fields

from linewatch import keys
from linewatch.events import PARTITIONS
from tests.chaos.oracle import truth_of

TOPICS = ("calls", "utterances")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Counts of one run.

    *lost* events never came; *doubled* ones came under a name the undisturbed run does not
    have; *differing* ones have other bytes; *disordered* channels came in another order;
    *untold* channels had a caller who was told other finals; *repeats* are equal copies,
    which every consumer is made for.
    """

    calls: int = 0
    events: int = 0
    lost: int = 0
    doubled: int = 0
    differing: int = 0
    disordered: int = 0
    untold: int = 0
    repeats: int = 0

    def __add__(self, other):
        pairs = ((getattr(self, f.name), getattr(other, f.name)) for f in fields(self))
        return Verdict(*map(sum, pairs))

    @property
    def is_clean(self):
        """Tell whether nothing was lost or made up, whatever was repeated."""
        wrong = self.lost + self.doubled + self.differing + self.disordered + self.untold
        return not wrong


def copies(client, calls):
    """Return topic -> (source, id) -> every copy in the log's order."""
    found = {topic: {} for topic in TOPICS}
    for topic in TOPICS:
        for partition in range(PARTITIONS):
            for _, record in client.xrange(keys.log(topic, partition)):
                if record[b"key"].decode() in calls:
                    name = (record[b"ce_source"], record[b"ce_id"])
                    found[topic].setdefault(name, []).append(tuple(sorted(record.items())))
    return found


def judged(client, crowd, *, without=(), found=None):
    """Compare what *crowd*'s calls published and were told with the oracle.

    Fields of a record named in *without* are not compared. *found* is what came out where
    that is not in the local log.
    """
    found = found or copies(client, set(crowd.scripts))
    verdict = Verdict(calls=len(crowd.scripts))
    for call, script in crowd.scripts.items():
        truth = truth_of(call, script)
        for topic in TOPICS:
            mine = {name: each for name, each in found[topic].items() if _call(name) == call}
            verdict += _compared(mine, truth.records[topic], frozenset(without))
        verdict += Verdict(untold=_untold(crowd.lines[call], truth))
    return verdict


def _call(name):
    return name[0].split(b"/")[4].decode()


def _compared(found, expected, without):
    def cut(record):
        return tuple(pair for pair in record if pair[0] not in without)

    common = found.keys() & expected.keys()
    right = [name for name in found if name in expected]
    return Verdict(
        events=len(expected),
        lost=len(expected.keys() - found.keys()),
        doubled=len(found.keys() - expected.keys()),
        differing=sum({cut(c) for c in found[name]} != {cut(expected[name])} for name in common),
        disordered=_orders(right) != _orders([name for name in expected if name in common]),
        repeats=sum(len(found[name]) - 1 for name in common),
    )


def _orders(names):
    orders = {}
    for source, name in names:
        orders.setdefault(source, []).append(name)
    return orders


def _untold(line, truth):
    return sum(
        [_plain(final) for final in line.finals(channel)] != [_plain(final) for final in said]
        for channel, said in truth.finals.items()
    )


def _plain(final):
    return final["first_sample"], final["text"], final["start_ms"], final["end_ms"]
