"""The road from bytes to the samples a recognizer hears."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linewatch.calls import Codec
from linewatch.decoder.recognition import frontend
from linewatch.decoder.recognition.frontend import A_LAW, MU_LAW, Frontend, pcm, quantum_end
from tests.support import fakes

CODES = bytes(range(256))


@pytest.fixture(name="audioop", scope="module")
def _audioop():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return pytest.importorskip("audioop", reason="gone in Python 3.13")


def heard(samples, rate_hz, first_sample=0, pieces=1):
    """Run *samples* through a frontend in so many pieces and return int16 samples."""
    road = Frontend(first_sample, rate_hz)
    made = b"".join(road.feed(piece) for piece in np.array_split(samples, pieces))
    return np.frombuffer(made + road.feed(samples[:0], last=True), "<i2")


class TestTables:
    """G.711 as two tables."""

    def test_mu_law_equals_audioop(self, audioop):
        """All 256 mu-law codes decode as the standard library's did."""
        assert MU_LAW.astype("<i2").tobytes() == audioop.ulaw2lin(CODES, 2)

    def test_a_law_equals_audioop(self, audioop):
        """All 256 A-law codes decode as the standard library's did."""
        assert A_LAW.astype("<i2").tobytes() == audioop.alaw2lin(CODES, 2)

    @pytest.mark.parametrize(("codec", "code", "sample"), [
        (Codec.PCMU, 0xFF, 0), (Codec.PCMU, 0x00, -32124), (Codec.PCMU, 0x80, 32124),
        (Codec.PCMA, 0xD5, 8), (Codec.PCMA, 0x2A, -32256), (Codec.PCMA, 0xAA, 32256),
    ])  # fmt: skip
    def test_known_codes_decode(self, codec, code, sample):
        """G.711's silence and its loudest codes have the values of the standard."""
        assert pcm(codec, bytes([code])).tolist() == [sample]

    @pytest.mark.parametrize("codec", [Codec.PCMU, Codec.PCMA])
    def test_table_values_survive_encoding(self, codec):
        """Encoding a table's value and decoding it again is the value."""
        table = pcm(codec, CODES)
        assert pcm(codec, fakes.encoded(table, codec)).tolist() == table.tolist()


class TestLinear:
    """Linear samples of both byte orders."""

    def test_l16_is_big_endian(self):
        """L16 has the high byte first."""
        assert pcm(Codec.L16, b"\x01\x02\xff\xfe").tolist() == [258, -2]

    def test_s16le_is_little_endian(self):
        """S16LE has the low byte first."""
        assert pcm(Codec.S16LE, b"\x02\x01\xfe\xff").tolist() == [258, -2]

    @pytest.mark.parametrize("codec", list(Codec))
    def test_no_bytes_no_samples(self, codec):
        """An empty chunk has no samples."""
        assert len(pcm(codec, b"")) == 0


class TestQuanta:
    """Where a quantum ends."""

    @given(first=st.integers(0, 10**9), rate_hz=st.integers(8000, 48000))
    def test_four_quanta_a_second(self, first, rate_hz):
        """Every fourth quantum ends on a whole second, however odd the rate."""
        assert quantum_end(first, 4, rate_hz) == first + rate_hz
        assert quantum_end(first, 400, rate_hz) == first + 100 * rate_hz

    def test_milliseconds_are_whole(self):
        """A sample's time is rounded down to whole milliseconds."""
        assert frontend.milliseconds(12_001, 8000) == 1500


class TestNoise:
    """The noise in the place of dither."""

    def test_noise_fills_silence(self):
        """Digital silence is heard as noise of about 7 LSB."""
        made = heard(fakes.silence(3, 16_000), 16_000)
        assert 6.8 < made.std() < 7.2
        assert abs(made.mean()) < 0.1

    def test_noise_follows_sample_number(self):
        """The noise belongs to the sample's number in the call, not to the utterance."""
        whole = heard(fakes.silence(2, 16_000), 16_000)
        later = heard(fakes.silence(1, 16_000), 16_000, first_sample=16_000)
        assert later.tolist() == whole[16_000:].tolist()

    def test_noise_repeats_after_table(self):
        """After 48,000 samples the table begins again."""
        made = heard(fakes.silence(4, 16_000), 16_000)
        assert made[:16_000].tolist() == made[48_000:].tolist()

    def test_full_scale_is_clipped(self):
        """Noise on top of full scale stays within 16 bits."""
        made = heard(np.full(1600, 32767, np.int16), 16_000)
        assert made.max() == 32767
        assert made.min() > 32700

    def test_fingerprint_names_noise(self, monkeypatch):
        """Another noise table has another fingerprint."""
        before = frontend.fingerprint()
        monkeypatch.setattr(frontend, "_NOISE", frontend._NOISE + 1)
        assert frontend.fingerprint() != before


class TestResampling:
    """Every rate becomes 16 kHz."""

    @pytest.mark.parametrize("rate_hz", [8000, 11_025, 16_000, 22_050, 44_100, 48_000])
    def test_length_becomes_16_khz(self, rate_hz):
        """A second of any rate becomes a second at 16 kHz."""
        assert abs(len(heard(fakes.tone(1, rate_hz), rate_hz, pieces=4)) - 16_000) <= 2

    @pytest.mark.parametrize("rate_hz", [8000, 22_050, 44_100])
    def test_a_tone_stays_a_tone(self, rate_hz):
        """440 Hz stay 440 Hz: resampled and made at 16 kHz differ by the noise only."""
        made = heard(fakes.tone(1, rate_hz), rate_hz, pieces=4)[2000:14_000].astype(float)
        spectrum = np.abs(np.fft.rfft(made * np.hanning(len(made))))
        assert abs(int(spectrum.argmax()) - 440 * len(made) / 16_000) <= 1

    @settings(max_examples=30, deadline=None)
    @given(rate_hz=st.integers(8000, 48_000), first=st.integers(0, 10**7))
    def test_same_samples_same_bytes(self, rate_hz, first):
        """Two frontends that hear the same quanta make the same bytes."""
        samples = fakes.speech(0.6, rate_hz)
        assert (
            heard(samples, rate_hz, first, 3).tolist() == heard(samples, rate_hz, first, 3).tolist()
        )
