"""A call that is told fact by fact to the fold alone, without a Redis; and ways to draw stories."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from linewatch.board import rules, summary
from linewatch.board.alerts import raised
from linewatch.board.fold import Terms
from linewatch.board.kept import Change, Kept
from linewatch.board.scores import ANYBODY, Shown
from linewatch.calls import GapReason, Score
from tests.support.board_facts import AGENT, CUSTOMER, MIXED, WORDS, end, gap, score, start


class Folded:
    """What Redis would hold of one call; *anew* counts how often everything was folded."""

    def __init__(self, shown=ANYBODY, alert_rules=None):
        self.terms = Terms(rules.default_rules() if alert_rules is None else alert_rules, shown)
        self.fields = {}
        self.anew = 0

    def put(self, fact):
        """Take *fact* in; return the row and the alerts that come of it."""
        kept = Kept.of(self.fields)
        change = Change.by_fold(kept, fact, self.terms)
        if change is None:
            self.anew += 1
            change = Change.by_facts(kept, fact, self.terms)
        if change.is_news:
            self.fields |= {"version": "1", "fold": change.folded, change.field: change.text}
        self.state = change.state
        alerts = raised(change.state, self.terms, change.facts)
        return summary.summarize(change.state, alerts), alerts

    def put_all(self, facts):
        """Take *facts* in, one by one; return what came of the last."""
        for fact in facts:
            put = self.put(fact)
        return put


def folded(*facts, shown=ANYBODY, alert_rules=None):
    """Return row and alerts of a call of which *facts* were told in this order."""
    return Folded(shown, alert_rules).put_all(facts)


_TIMES = st.integers(0, 60).map(lambda half: half * 500)
_CHANNELS = st.sampled_from([AGENT, CUSTOMER, CUSTOMER, MIXED])


@st.composite
def _odd_scores(draw, channels):
    """An utterance anywhere, of any length and index, as no decoder would cut it."""
    begin_ms, length_ms = draw(_TIMES), draw(st.sampled_from([0, 500, 2000, 40_000]))
    told = score(
        draw(st.integers(0, 3)),
        draw(st.sampled_from([-0.8, -0.25, 0.0, 0.3])),
        draw(st.sampled_from(WORDS)),
        channel=draw(channels),
        at_ms=begin_ms,
        first_sample=draw(st.integers(0, 4)),
        started_at_ms=score(0).started_at_ms + draw(st.sampled_from([0, 0, 0, 7])),
    )
    consumer = draw(st.sampled_from(["sentiment", "sentiment", "notebook"]))
    version = draw(st.sampled_from([1, 1, 2, 10]))
    return replace(told, end_ms=begin_ms + length_ms, consumer=consumer, scorer_version=version)


@st.composite
def _gaps(draw, channels):
    """Gaps anywhere, some of which touch or overlap; none is told twice with another end."""
    found = {}
    for _ in range(draw(st.integers(0, 8))):
        begin_ms, length_ms = draw(_TIMES), draw(st.sampled_from([0, 500, 1000, 9000]))
        told = replace(
            gap(begin_ms, begin_ms + length_ms, draw(channels)),
            reason=draw(st.sampled_from([GapReason.LOST, GapReason.LOST, GapReason.PAUSED])),
        )
        found[draw(st.integers(0, 9))] = told
    return list(found.values())


@st.composite
def odd_stories(draw):
    """Facts of one call that fit each other badly: overlapping, contradicting, out of order."""
    channels = draw(
        st.sampled_from([st.just(CUSTOMER), st.sampled_from([AGENT, CUSTOMER]), _CHANNELS])
    )
    facts = draw(st.lists(_odd_scores(channels), max_size=10))
    facts += draw(_gaps(channels))
    if draw(st.booleans()):
        facts.append(end(draw(_TIMES), draw(st.integers(0, 6)), draw(st.integers(0, 2))))
    if draw(st.booleans()) or not facts:
        facts.append(start())
    repeats = draw(st.lists(st.sampled_from(facts), max_size=3))
    shown = Shown(draw(st.sampled_from([(), ("sentiment",), ("sentiment", "notebook")])))
    return draw(st.permutations(facts + repeats)), shown


@st.composite
def long_calls(draw):
    """A call longer than any tail, nearly in order: some utterances late, scored anew or lost."""
    told, at_ms = [], {AGENT: 0, CUSTOMER: 700}
    index = dict.fromkeys(at_ms, 0)
    for _ in range(draw(st.integers(5, 40))):
        channel = draw(st.sampled_from([AGENT, CUSTOMER]))
        at_ms[channel] = max(at_ms.values()) + draw(st.sampled_from([0, 300, 1500, 31_000]))
        polarity = draw(st.sampled_from([-0.8, -0.3, 0.0, 0.5]))
        text = draw(st.sampled_from(WORDS))
        said = score(index[channel], polarity, text, channel=channel, at_ms=at_ms[channel])
        at_ms[channel], index[channel] = said.end_ms, index[channel] + 1
        told.append(said)
    late = draw(st.lists(st.integers(0, len(told) - 1), max_size=3, unique=True))
    anew = [replace(told[each], scorer_version=2, polarity=-0.9) for each in late]
    told += draw(_gaps(st.sampled_from([AGENT, CUSTOMER])))
    moved = draw(st.integers(1, 12))
    for at in late:
        told.insert(min(len(told), at + moved), told.pop(at))
    return [*told, *anew, end(max(at_ms.values()) + 1000, len(told))]


def scores_in(facts):
    """Return those of *facts* that are scores."""
    return [each for each in facts if isinstance(each, Score)]
