"""Each rule finds what it names, in words a supervisor can use."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewatch.board.rules import (
    Finding,
    Keywords,
    LongSilence,
    NegativeStreak,
    default_rules,
    fingerprint,
    read_keywords,
)
from linewatch.calls import CallResumed, Evidence, Missing, Severity
from linewatch.names import checked_name
from tests.support.board_facts import AGENT, CUSTOMER, MIXED, calls, end, gap, score, start
from tests.support.board_fold import folded


def _raised(*facts, alert_rules=None):
    return folded(*facts, alert_rules=alert_rules)[1]


def _find(rule, *facts):
    """Return the alert of one rule, if it is met."""
    return next(iter(_raised(*facts, alert_rules=[rule])), None)


def _streak(*polarities, channel=CUSTOMER):
    facts = [score(index, each, channel=channel) for index, each in enumerate(polarities)]
    return _find(NegativeStreak(), start(), *facts)


def test_three_in_row_found():
    """Three negative turns that follow each other are a streak, with all three as evidence."""
    finding = _streak(0.5, -0.3, -0.25, -0.9)
    assert finding.reason == "3 angry turns in a row"
    assert finding.at_ms == 32_000
    assert finding.evidence == tuple(Evidence(CUSTOMER, index * 160_000) for index in (1, 2, 3))


def test_three_of_four_found():
    """One friendlier turn among four does not end a streak."""
    assert _streak(-0.5, 0.1, -0.5, -0.5).reason == "3 of 4 turns angry"


@pytest.mark.parametrize("turns", [(-1, -1), (-1, -1, 0, 0, -1), (-0.24, -1, -1), ()])
def test_fewer_are_no_streak(turns):
    """Two negative turns, turns far apart and turns that are nearly negative are no streak."""
    assert _streak(*turns) is None


def test_streak_stays_found():
    """What held early in a call still holds after a friendly end, with the same evidence."""
    angry = (-0.5, -0.5, -0.5)
    assert _streak(*angry, 0.9, 0.9, 0.9, 0.9) == _streak(*angry)


def test_agent_has_no_streak():
    """An agent's turns are not the customer's; those of a mono source are."""
    assert _streak(-1, -1, -1, channel=AGENT) is None
    assert _streak(-1, -1, -1, channel=MIXED) is not None


def test_late_turn_keeps_streak():
    """A friendly turn between that comes late could not have prevented the streak."""
    known = [score(index, -0.5) for index in (0, 1, 3)]
    assert _find(NegativeStreak(), *known)
    assert _find(NegativeStreak(), *known, score(2, 0.9))


def test_restarted_index_makes_no_streak():
    """Turns whose numbers began again are not taken for neighbours."""
    again = score(0, -1, at_ms=500_000)
    assert _find(NegativeStreak(), score(5, -1), score(6, -1), again) is None


RUDE = Keywords("keyword-rude", Severity.NOTICE, {"bloody hell": "swears", "idiot": "insults"})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("you IDIOT", "insults"),
        ("bloody, hell!", "swears"),
        ("bloody cold as hell", None),
        ("idiots", None),
        ("", None),
    ],
)
def test_keyword_is_whole_words(text, reason):
    """A phrase counts as whole words in order, whatever the case and the punctuation."""
    finding = _find(RUDE, score(0, text=text))
    assert (finding and finding.reason) == reason


def test_agent_may_use_keywords():
    """Only what the customer says is searched."""
    said = score(0, text="let me ask my supervisor", channel=AGENT)
    assert _raised(said) == ()


def test_first_keyword_is_evidence():
    """The earliest utterance with a phrase is the alert's moment and evidence."""
    finding = _find(RUDE, score(4, text="idiot"), score(2, text="idiot"))
    assert (finding.at_ms, finding.evidence) == (22_000, (Evidence(CUSTOMER, 320_000),))


def test_keyword_lines_make_rules():
    """Lines of one rule make one rule, with the severity of its first line."""
    lines = ["rule,severity,reason,phrase", "a,critical,r1,one", "a,notice,r2,two words"]
    (rule,) = read_keywords(lines)
    assert rule == Keywords("keyword-a", Severity.CRITICAL, {"one": "r1", "two words": "r2"})


def test_shipped_rules_are_sound():
    """The rules that ship have names that may be ids, told apart, and phrases that can match."""
    shipped = default_rules()
    names = [checked_name("rule", rule.name) for rule in shipped]
    assert len(set(names)) == len(names) == 7
    for rule in shipped:
        for phrase, reason in getattr(rule, "phrases", {}).items():
            finding = _find(rule, score(0, text=f"well {phrase} then"))
            assert finding.reason in {reason, *rule.phrases.values()}


def test_supervisor_is_asked_for():
    """The words of a real escalation raise the alert that names it."""
    (alert,) = _raised(score(0, text="can i talk to your supervisor please"))
    assert (alert.rule, alert.reason) == ("keyword-supervisor", "asked for a supervisor")


def test_long_silence_is_found():
    """30 s without a word are an alert from the moment the 30th is over."""
    said = [score(0, channel=MIXED, at_ms=0), score(1, channel=MIXED, at_ms=47_500)]
    finding = _find(LongSilence(), *said)
    assert (finding.reason, finding.at_ms) == ("nobody spoke for 45 s", 32_000)
    assert finding.evidence == (Evidence(MIXED, 0),)


def test_gap_shortens_silence():
    """A gap in the silence is no part of it."""
    said = [score(0, channel=MIXED, at_ms=0), score(1, channel=MIXED, at_ms=47_500)]
    assert _find(LongSilence(), *said, gap(20_000, 30_000, MIXED)) is None


def test_silent_end_is_found():
    """Nobody speaking until the end of the call counts, even if nobody ever spoke."""
    finding = _find(LongSilence(), end(60_000))
    assert (finding.reason, finding.evidence) == ("nobody spoke for 60 s", ())


def test_worst_alert_first():
    """Alerts come worst first, each rule once."""
    spoken = ["a refund and your manager", "my lawyer", "refund", "manager"]
    facts = [score(index, text=text) for index, text in enumerate(spoken)]
    assert [alert.severity for alert in _raised(*facts)] == ["critical", "warning", "notice"]


def test_rules_can_be_chosen():
    """Other rules than those that ship may be used."""
    facts = [score(0, text="manager"), score(1, text="idiot")]
    assert [alert.rule for alert in _raised(*facts, alert_rules=[RUDE])] == ["keyword-rude"]


def test_rules_are_told_apart():
    """Rules that differ in anything have another fingerprint, equal ones the same."""
    books = [[RUDE], [LongSilence()], [LongSilence(40)], [RUDE, LongSilence()], []]
    assert len({fingerprint(book) for book in books}) == len(books)
    assert fingerprint([LongSilence(30)]) == fingerprint([LongSilence()])


@dataclass(frozen=True)
class Interruptions:
    """A rule that compares all utterances with each other: it needs the whole set."""

    name: str = "interruptions"
    severity: Severity = Severity.NOTICE

    def find_in_facts(self, facts):
        """Find the first utterance that began before another ended."""
        for before, after in pairwise(facts.scores):
            if after.start_ms < before.end_ms:
                return Finding("interrupted", after.start_ms)
        return None


def test_whole_rule_gets_everything():
    """A rule may ask for everything told of a call; the others work beside it."""
    told = [score(i, text="idiot", at_ms=i * 3000) for i in range(40)]
    alert_rules = [Interruptions(), RUDE]
    assert [each.rule for each in _raised(*told, alert_rules=alert_rules)] == ["keyword-rude"]
    early = score(0, channel=AGENT, at_ms=1000)
    alerts = _raised(*told, early, alert_rules=alert_rules)
    assert [(each.rule, each.at_ms) for each in alerts] == [
        ("interruptions", 1000),
        ("keyword-rude", 2000),
    ]


def test_rule_without_find_is_refused():
    """A rule that can find nothing is refused, and what it lacks is said."""
    with pytest.raises(TypeError, match="r can find nothing: give it a find method"):
        _raised(score(0), alert_rules=[SimpleNamespace(name="r", severity=Severity.NOTICE)])


@given(calls(), st.data())
def test_score_takes_nothing_back(facts, data):
    """What is raised while a score or the end is missing is still raised when it is there."""
    late = data.draw(st.sampled_from(facts))
    rest = [each for each in facts if each is not late]
    # A call that came back is another matter: its last silence goes on, or is over.
    if not rest or isinstance(late, Missing | CallResumed):
        return
    before = {alert.rule for alert in _raised(*rest)}
    assert before <= {alert.rule for alert in _raised(*facts)}
