"""Waiting for a fact, as every test does it."""

import threading

import pytest

from tests.support.waiting import TooLong, eventually


def test_first_true_answer_is_returned():
    """The fact is asked again until it answers something true, and that is returned."""
    answers = iter([None, 0, [], "here", "later"])
    assert eventually(lambda: next(answers), every_s=0) == "here"
    assert next(answers) == "later"


def test_failure_shows_lambdas_source():
    """A fact that does not come fails the test, which shows what was waited for."""
    lights = []
    with pytest.raises(AssertionError, match=r"not within 0 s: .*lambda: len\(lights\) > 2"):
        eventually(lambda: len(lights) > 2, 0)


def test_failure_names_what():
    """A fact may be given a name, and one without source is shown as it is."""
    with pytest.raises(TooLong, match="not within 0 s: the sun rises"):
        eventually(lambda: False, 0, what="the sun rises")
    with pytest.raises(TooLong, match="built-in method locked"):
        eventually(threading.Lock().locked, 0)


def test_own_failure_passes():
    """A fact that fails by itself ends the waiting."""

    def broken():
        raise AssertionError("the process ended")

    with pytest.raises(AssertionError, match="the process ended") as caught:
        eventually(broken)
    assert not isinstance(caught.value, TooLong)
