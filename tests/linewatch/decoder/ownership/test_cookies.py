"""The cookie that hints, and the pass between pods."""

import time

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from linewatch.decoder.ownership.cookies import COOKIE_AGE_S, Cookies, Hint, Passes
from linewatch.errors import Forbidden
from tests.linewatch.decoder.pods import tried

HINT = Hint("acme", "call-1", "0123456789ab")
COOKIES = Cookies(("new", "old"))
PASSES = Passes(("new", "old"))
GOOD = COOKIES.sign(HINT)


def accepted(raw):
    """Tell whether a cookie is read as the good one."""
    try:
        return COOKIES.read(raw) == HINT
    except Forbidden:
        return False


class TestCookies:
    """The cookie that hints."""

    def test_signed_is_read(self):
        """What was signed is read, and no address stands in it."""
        assert COOKIES.read(GOOD) == HINT

    def test_old_key_still_reads(self):
        """After a rotation cookies of the key before are still good, older ones are not."""
        assert COOKIES.read(Cookies(("old",)).sign(HINT)) == HINT
        assert Cookies(("newer", "new")).read(GOOD) == HINT
        with pytest.raises(Forbidden):
            Cookies(("newest", "newer")).read(GOOD)

    def test_first_key_signs(self):
        """New cookies are signed with the first key."""
        assert Cookies(("new",)).read(GOOD) == HINT
        with pytest.raises(Forbidden):
            Cookies(("old",)).read(GOOD)

    @pytest.mark.parametrize(
        ("age_s", "read"), [(COOKIE_AGE_S - 60, HINT), (COOKIE_AGE_S + 60, None)]
    )
    def test_old_cookie_is_none(self, monkeypatch, age_s, read):
        """A cookie hints for an hour; then it is as if there were none."""
        cookie, later = COOKIES.sign(HINT), time.time() + age_s
        monkeypatch.setattr(COOKIES, "_clock_s", lambda: later)
        assert COOKIES.read(cookie) == read

    @settings(max_examples=300)
    @given(at=st.integers(0, len(GOOD) - 1), letter=st.characters())
    def test_altered_is_forged(self, at, letter):
        """A cookie with any letter changed is forged."""
        altered = GOOD[:at] + letter + GOOD[at + 1 :]
        assume(altered != GOOD)
        if at == len(GOOD) - 1 and accepted(altered):
            return  # The last letter of a signature carries bits that nobody reads.
        with pytest.raises(Forbidden):
            COOKIES.read(altered)

    @settings(max_examples=300)
    @given(raw=st.text(max_size=90))
    def test_anything_is_forged(self, raw):
        """Any text that was not signed here is forged, and nothing else goes wrong."""
        with pytest.raises(Forbidden):
            COOKIES.read(raw)

    def test_pass_is_no_cookie(self):
        """What pods sign for each other is no cookie, and no cookie is a pass."""
        with pytest.raises(Forbidden):
            COOKIES.read(PASSES.sign("pod-a"))
        with pytest.raises(Forbidden):
            PASSES.read(GOOD)


class TestPasses:
    """The pass that one pod gives another."""

    def test_names_whom_it_means(self):
        """A pass names the pod that is meant, with the key before the rotation too."""
        assert PASSES.read(PASSES.sign("pod-a")) == "pod-a"
        assert PASSES.read(Passes(("old",)).sign("pod-a")) == "pod-a"

    @settings(max_examples=200)
    @given(raw=st.text(st.characters(codec="latin-1"), max_size=60))
    def test_phones_cannot_forward(self, raw):
        """A header nobody signed is refused."""
        with pytest.raises(Forbidden):
            PASSES.read(raw)


@given(st.data())
def test_mutated_cookie_names_nobody(data):
    """A cookie with any character changed, cut or added is refused or tells what was signed."""
    cookies = Cookies(("one", "two"))
    hint = Hint("acme", "c1", "pod-a")
    signed = cookies.sign(hint)
    at = data.draw(st.integers(0, len(signed) - 1))
    piece = data.draw(st.text(st.characters(codec="latin-1"), max_size=3))
    found, error = tried(cookies.read, signed[:at] + piece + signed[at + 1 :])
    assert found == hint if error is None else error.status == 403


@pytest.mark.parametrize("pod", ["169.254.169.254", "http://127.0.0.1:1", "pod-b", "../pod-b"])
def test_foreign_secret_names_nobody(pod):
    """Neither a cookie nor a forward that another secret signed is believed."""
    forged = ("not ours",)
    for read, raw in (
        (Cookies(("ours",)).read, Cookies(forged).sign(Hint("acme", "c1", pod))),
        (Passes(("ours",)).read, Passes(forged).sign(pod)),
        (Passes(("ours",)).read, Cookies(("ours",)).sign(Hint("acme", "c1", pod))),
    ):
        assert tried(read, raw)[1].status == 403
