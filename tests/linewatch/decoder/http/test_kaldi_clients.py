"""``POST /decode`` as the original demo's clients send it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linewatch.calls import Chunk, Codec, Gap, GapReason
from linewatch.decoder.http import kaldi_clients
from linewatch.decoder.recognition.session import Checkpoint
from linewatch.decoder.store.answers import Stored
from linewatch.errors import BadRequest
from linewatch.names import checked_name
from tests.linewatch.decoder.pods import tried

GOOD = {"audio": [0, -32768, 32767], "sample_rate": 8000, "do_finalize": False, "id": "phone"}


def stored(next_seq=3, next_position=900):
    """Return a session that took some steps."""
    return Stored(1, "decode", next_seq, next_position, 8000, 0, 0, 0, "", Checkpoint())


class TestAsked:
    """What a client may ask."""

    def test_samples_are_read(self):
        """Samples become 16 bit audio, little end first."""
        request = kaldi_clients.request_of(GOOD)
        assert (request.name, request.rate_hz, request.finalize) == ("phone", 8000, False)
        assert np.frombuffer(request.audio, "<i2").tolist() == GOOD["audio"]

    def test_null_rate_is_16k(self):
        """A rate of null is 16 kHz; an id may be a number."""
        request = kaldi_clients.request_of({**GOOD, "sample_rate": None, "id": 7})
        assert (request.rate_hz, request.name) == (16_000, "7")

    @pytest.mark.parametrize("name", ["broker", "topic", "callback"])
    def test_hosts_are_refused(self, name):
        """A client may not say where results go, whatever the value."""
        for value in ("evil:9092", None, ""):
            with pytest.raises(BadRequest, match=name):
                kaldi_clients.request_of({**GOOD, name: value})

    @pytest.mark.parametrize("name", GOOD)
    def test_missing_key(self, name):
        """A key that is missing is named."""
        with pytest.raises(BadRequest, match=name):
            kaldi_clients.request_of({key: value for key, value in GOOD.items() if key != name})

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("audio", "AAAA"),
            ("audio", None),
            ("audio", [0.5]),
            ("audio", [True]),
            ("audio", [[1]]),
            ("audio", [32768]),
            ("audio", [-32769]),
            ("audio", [10**400]),
            ("sample_rate", 0),
            ("sample_rate", 192_000),
            ("sample_rate", "8000"),
            ("sample_rate", True),
            ("sample_rate", 8000.0),
            ("do_finalize", 1),
            ("do_finalize", None),
            ("id", None),
            ("id", []),
            ("id", 1.5),
        ],
    )
    def test_wrong_key(self, name, value):
        """A key that is wrong is 400."""
        with pytest.raises(BadRequest, match=name):
            kaldi_clients.request_of({**GOOD, name: value})

    @settings(max_examples=150)
    @given(
        audio=st.lists(st.integers() | st.floats() | st.none()),
        name=st.text(st.characters()) | st.integers(),
    )
    def test_any_body(self, audio, name):
        """Whatever is request, it is read or 400, and every id makes a call's name."""
        request, error = tried(kaldi_clients.request_of, {**GOOD, "audio": audio, "id": name})
        assert checked_name("call", kaldi_clients.call_for(str(name), 5))
        if error:
            assert error.status == 400
        else:
            assert len(request.audio) == 2 * len(audio)


class TestSteps:
    """What a request becomes."""

    def test_numbered_after_the_last(self):
        """Audio goes on where the session is, an end of utterance is a gap of no length."""
        chunk, gap = kaldi_clients.steps_for(
            kaldi_clients.request_of({**GOOD, "do_finalize": True}), stored()
        )
        assert chunk == Chunk(3, 900, "decode", Codec.S16LE, 8000, chunk.audio)
        assert gap == Gap(4, 5, 903, "decode", GapReason.DISCARDED)

    def test_new_client_begins(self):
        """A client that is new begins at 0."""
        (chunk,) = kaldi_clients.steps_for(kaldi_clients.request_of(GOOD), None)
        assert (chunk.seq, chunk.position) == (0, 0)

    @pytest.mark.parametrize("finalize", [True, False])
    def test_nothing_to_do(self, finalize):
        """Without audio a new client asks for nothing at all."""
        request = kaldi_clients.request_of({**GOOD, "audio": [], "do_finalize": finalize})
        assert kaldi_clients.steps_for(request, None) == []
        assert len(kaldi_clients.steps_for(request, stored())) == finalize

    def test_no_pause_is_claimed(self):
        """The flush is no pause: a client that goes away is given up like any other."""
        steps = kaldi_clients.steps_for(
            kaldi_clients.request_of({**GOOD, "do_finalize": True}), stored()
        )
        assert steps[-1].reason is not GapReason.PAUSED


def test_ids_name_calls():
    """A client's id and the time name a call; two clients never share one."""
    names = {
        kaldi_clients.call_for(name, now_ms) for name in ("a", "b", "\ud800") for now_ms in (1, 2)
    }
    assert len(names) == 6


class TestAnswer:
    """What the original demo's clients read."""

    def test_partial_is_unsure(self):
        """While somebody speaks the words so far are told, without confidence."""
        assert kaldi_clients.answer([], "good mor", final=False) == {
            "hstr": "good mor",
            "confidence": 0.0,
        }

    def test_final_is_averaged(self):
        """A final holds all words and the mean of their confidence."""
        finals = [
            {"text": "good morning", "words": [{"confidence": 1.0}, {"confidence": 0.5}]},
            {"text": "yes", "words": [{"confidence": 0.6}]},
        ]
        assert kaldi_clients.answer(finals, "", final=True) == {
            "hstr": "good morning yes",
            "confidence": 0.7,
        }

    def test_nothing_was_said(self):
        """Silence is an empty text."""
        assert kaldi_clients.answer([], "", final=True) == {"hstr": "", "confidence": 0.0}
