"""The digest promises equal words: code that makes other edges says so by another number."""

from __future__ import annotations

import json

from linewatch.decoder.recognition.lengths import RULES, TAIL_MS, UTTERANCE_MS
from tests.golden import session_rules


def test_rules_name_the_fold():
    """The same story of steps gives the edges that go with RULES: if not, raise RULES."""
    known = json.loads(session_rules.FILE.read_text())
    assert known[str(RULES)] == session_rules.made()
    assert len(set(known.values())) == len(known)


def test_story_meets_every_rule():
    """The story has utterances cut by the longest length, idle edges, gaps and partials."""
    told = list(session_rules.edges())
    found = [each for each in told if "checkpoint" in each]
    said = [each["utterance"] for each in found if each["utterance"]]
    assert any(each["end_ms"] - each["start_ms"] > UTTERANCE_MS - 500 for each in said)
    assert any(each["end_ms"] - each["start_ms"] < TAIL_MS // 20 for each in said)
    assert any(not each["utterance"] and not each["missing"] for each in found)
    assert {each["missing"]["reason"] for each in found if each["missing"]} > {"lost"}
    assert sum(each["ended"] for each in found) == len(session_rules.CASES) * 2
    assert any(each.get("partial") for each in told)
