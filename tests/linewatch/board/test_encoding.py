"""What is written to Redis is read back as the same value."""

from __future__ import annotations

import pytest

from linewatch.board import encoding
from tests.support.board_facts import AGENT, CUSTOMER, end, gap, score, start
from tests.support.board_fold import folded

FACTS = [start(), score(3, 0.0, "naïve \N{WAVING HAND SIGN}\0"), gap(5, 9, AGENT), end()]


@pytest.mark.parametrize("fact", FACTS)
def test_fact_survives_writing(fact):
    """Every kind of fact comes back equal under its field's name."""
    field, text = encoding.field_of(fact), encoding.dumps_facts([fact, fact])
    assert encoding.loads_facts(field, text) == (fact, fact)


def test_row_survives_writing():
    """A row comes back equal, with a polarity of exactly 0 and with its speakers."""
    row, _ = folded(*FACTS, score(0, -0.5, channel=AGENT))
    assert row.polarity == 0.0
    assert encoding.loads_row(encoding.dumps(row)) == row


def test_empty_row_survives_writing():
    """A row of a call that nobody spoke in yet comes back equal."""
    row, _ = folded(start())
    assert row.last_channel is None
    assert encoding.loads_row(encoding.dumps(row)) == row


def test_alert_survives_writing():
    """An alert comes back equal, with its evidence."""
    _, (alert,) = folded(score(0, text="get me your supervisor"))
    assert alert.evidence
    assert encoding.loads_raised(f"1700|{encoding.dumps(alert)}") == (1700, alert)


def test_fields_name_facts():
    """Two utterances share no field, one utterance has one, whoever scored it."""
    first, other = score(0, channel=CUSTOMER), score(0, channel=AGENT)
    assert encoding.field_of(first) != encoding.field_of(other)
    assert encoding.field_of(first) == encoding.field_of(score(0, 0.9, "hallo", consumer="b"))
