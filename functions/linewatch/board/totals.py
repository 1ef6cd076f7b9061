"""What turns add up to, taken one after the other in the order they began. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from linewatch.board.holes import Holes
from linewatch.board.rules import Finding, TurnRule
from linewatch.board.silence import Quiet
from linewatch.board.turns import Turn, packed, unpacked
from linewatch.calls import Channel, Evidence

#: So many of a speaker's last polarities are kept: the row is read every second.
TREND_POINTS: Final = 15


@dataclass(slots=True)
class Totals:
    """Counts, moods, talk time, silences, and what the rules found in what was taken so far.

    ``recent`` holds the last turns that a rule noticed, as many as it looks back on.
    """

    quiet: Quiet
    utterances: int = 0
    talk_ms: dict[Channel, int] = field(default_factory=dict)
    customer: tuple[float, ...] = ()
    agent: tuple[float, ...] = ()
    recent: dict[str, tuple[Turn, ...]] = field(default_factory=dict)
    found: dict[str, Finding] = field(default_factory=dict)

    @classmethod
    def on(cls, channels: Iterable[Channel]) -> Totals:
        """Begin a call that has *channels*."""
        return cls(Quiet.on(channels))

    def copy(self) -> Totals:
        """Return others that go on by themselves."""
        return replace(
            self,
            quiet=self.quiet.copy(),
            talk_ms={**self.talk_ms},
            recent={**self.recent},
            found={**self.found},
        )

    def take(self, spoken: Turn, holes: Holes, rules: Mapping[str, TurnRule]) -> None:
        """Take the next turn; none that began earlier may follow."""
        self.quiet.take(spoken, holes)
        self.utterances += 1
        length_ms = spoken.end_ms - spoken.start_ms
        self.talk_ms[spoken.channel] = self.talk_ms.get(spoken.channel, 0) + length_ms
        if spoken.channel.has_customer:
            self.customer = (*self.customer, spoken.polarity)[-TREND_POINTS:]
        else:
            self.agent = (*self.agent, spoken.polarity)[-TREND_POINTS:]
        for name in spoken.noticed.keys() - self.found.keys():
            self._look(rules[name], spoken)

    def _look(self, rule: TurnRule, turn: Turn) -> None:
        turns = (*self.recent.pop(rule.name, ()), turn)
        finding = rule.find_in_turns(turns)
        if finding:
            self.found[rule.name] = finding
        elif rule.look_back:
            self.recent[rule.name] = turns[-rule.look_back :]

    def packed(self) -> dict[str, object]:
        """Return this as JSON can write it."""
        return {
            "quiet": self.quiet.packed(),
            "utterances": self.utterances,
            "talk_ms": self.talk_ms,
            "customer": self.customer,
            "agent": self.agent,
            "recent": {name: [packed(t) for t in turns] for name, turns in self.recent.items()},
            "found": {name: asdict(finding) for name, finding in self.found.items()},
        }

    @classmethod
    def unpacked(cls, kept: Mapping[str, Any]) -> Totals:
        """Read what `packed` returned."""
        return cls(
            quiet=Quiet.unpacked(kept["quiet"]),
            utterances=kept["utterances"],
            talk_ms={Channel(name): spoken_ms for name, spoken_ms in kept["talk_ms"].items()},
            customer=tuple(kept["customer"]),
            agent=tuple(kept["agent"]),
            recent={name: _turns(turns) for name, turns in kept["recent"].items()},
            found={name: _finding(finding) for name, finding in kept["found"].items()},
        )


def _turns(kept: Sequence[list[object]]) -> tuple[Turn, ...]:
    return tuple(map(unpacked, kept))


def _finding(kept: Mapping[str, Any]) -> Finding:
    evidence = (Evidence(Channel(e["channel"]), e["first_sample"]) for e in kept["evidence"])
    return Finding(kept["reason"], kept["at_ms"], tuple(evidence))
