"""Everything that can be wrong with a request."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linewatch import events
from linewatch.calls import Chunk, Codec, End, Gap, GapReason
from linewatch.decoder.http import intake
from linewatch.decoder.http.announcements import announcement_of
from linewatch.decoder.http.arrival import Arrival
from linewatch.errors import (
    BadChunk,
    BadEvent,
    BadName,
    BadRequest,
)
from linewatch.step_requests import ChannelRequests
from tests.linewatch.decoder.pods import AGENT, STARTED_AT_MS, tried

NOW_MS = STARTED_AT_MS + 77
HEADERS = {
    "content-type": "audio/PCMU",
    "ce-specversion": "1.0",
    "ce-type": events.AUDIO_CHUNK,
    "ce-sequence": "4",
    "ce-position": "8000",
    "ce-stream": "s1",
    "ce-time": "2026-01-01T00:00:00Z",
}
GAP = {"stream": "s1", "from_seq": 3, "next_seq": 5, "position": 900, "reason": "lost"}
WRONG_NUMBERS = ["", "-1", "1.5", "1e3", " 1", "x", "²", "٣", str(1 << 53), "9" * 5000]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def chunk_of(body=b"\xff" * 4, **headers):
    """Read a chunk with some headers changed; none leaves a header out."""
    changed = {name.replace("_", "-"): value for name, value in headers.items()}
    sent = {k: v for k, v in {**HEADERS, **changed}.items() if v is not None}
    return intake.chunk_of(sent, body)


class TestChunk:
    """A binary event that holds audio."""

    def test_good_chunk(self):
        """Headers and body become a chunk and the call's start."""
        heard = chunk_of(b"\xff\x7f")
        assert heard.chunk == Chunk(4, 8000, "s1", Codec.PCMU, 8000, b"\xff\x7f")
        assert heard.started_at_ms == STARTED_AT_MS

    def test_start_may_be_unknown(self):
        """Without a time the call's start is not known."""
        assert chunk_of(ce_time=None).started_at_ms is None
        assert chunk_of(ce_time="").started_at_ms is None

    @pytest.mark.parametrize("header", ["ce_sequence", "ce_position"])
    @pytest.mark.parametrize("value", [None, *WRONG_NUMBERS])
    def test_bad_numbers(self, header, value):
        """A number that is missing, signed, fractional or from 2^53 on is 400."""
        with pytest.raises(BadChunk, match=header.replace("_", "-")):
            chunk_of(**{header: value})

    def test_highest_numbers(self):
        """Numbers end at 2^53, positions before a week: nobody would read what is told of more."""
        assert chunk_of(ce_sequence=str((1 << 53) - 1)).chunk.seq == (1 << 53) - 1
        week, samples = 7 * 86_400 * 8000, len(chunk_of().chunk.audio)
        assert chunk_of(ce_position=str(week - 1 - samples)).chunk.end_position == week - 1
        for position in (week - samples, week, 6 * week, 1 << 52):
            with pytest.raises(BadChunk, match="week"):
                chunk_of(ce_position=str(position))

    @pytest.mark.parametrize(("header", "value"), [
        ("ce_specversion", None), ("ce_specversion", "0.3"), ("ce_type", None), ("ce_type", "x"),
    ])  # fmt: skip
    def test_no_chunk_event(self, header, value):
        """What is no CloudEvent of the chunk's type is 400."""
        with pytest.raises(BadEvent):
            chunk_of(**{header: value})

    @pytest.mark.parametrize("stream", [None, "", "a b", "-x", "x" * 129, "a|b", "a\0"])
    def test_bad_streams(self, stream):
        """A stream without a proper name is 400."""
        with pytest.raises(BadName, match="stream"):
            chunk_of(ce_stream=stream)

    def test_empty_chunk(self):
        """A chunk without a sample is 400."""
        with pytest.raises(BadChunk, match="empty"):
            chunk_of(b"")

    @pytest.mark.parametrize("kind", ["audio/L16;rate=8000", "audio/x-raw;format=S16LE;rate=8000"])
    def test_half_a_sample(self, kind):
        """An odd number of bytes of 16 bit audio is 400."""
        with pytest.raises(BadChunk, match="3 bytes"):
            chunk_of(b"123", content_type=kind)

    @settings(max_examples=300)
    @given(
        headers=st.dictionaries(
            st.sampled_from(sorted(HEADERS)), st.text(st.characters(codec="latin-1"))
        ),
        body=st.binary(max_size=9),
    )
    def test_any_headers(self, headers, body):
        """Whatever the headers hold, it is a chunk or an error that says what to do."""
        heard, error = tried(intake.chunk_of, {**HEADERS, **headers}, body)
        assert heard.chunk.samples > 0 if heard else 400 <= error.status < 500


class TestMoment:
    """When a call started."""

    @pytest.mark.parametrize(
        "raw",
        ["2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00", "2025-12-31T19:00:00.000-05:00"],
    )
    def test_any_zone(self, raw):
        """A time with any zone is read."""
        assert intake.moment_ms(raw) == STARTED_AT_MS

    @pytest.mark.parametrize("raw", ["yesterday", "2026-01-01T00:00:00", 1_767_225_600, [], True])
    def test_no_time(self, raw):
        """What is no time, or has no zone, is 400."""
        with pytest.raises(BadChunk):
            intake.moment_ms(raw)


class TestJson:
    """Bodies that are JSON objects."""

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{",
            b"[]",
            b"1",
            b"null",
            b'"x"',
            b"\xff",
            b"[" * 100_000,
            b'{"a":' + b"1" * 5000 + b"}",
        ],
        ids=lambda body: body[:4].hex(),
    )
    def test_no_object(self, body):
        """What is no JSON object is 400, however deep or long."""
        with pytest.raises(BadRequest):
            intake.json_object(body)

    @given(body=st.binary())
    def test_any_bytes(self, body):
        """Any bytes are an object or 400."""
        found, error = tried(intake.json_object, body)
        assert isinstance(found, dict) if error is None else error.status == 400

    @pytest.mark.parametrize("read", [
        lambda deep: intake.end_of({"stream": "s1", "seq": deep}),
        lambda deep: intake.end_of({"stream": deep, "seq": 1}),
        lambda deep: intake.gap_of({**GAP, "reason": deep}),
        lambda deep: announcement_of("default", {"call": deep}, Arrival(NOW_MS)),
        lambda deep: announcement_of("default", {"call": "c", "started_at": deep}, Arrival(NOW_MS)),
        lambda deep: announcement_of("default", {"call": "c", "direction": deep}, Arrival(NOW_MS)),
    ])  # fmt: skip
    def test_depth_is_no_trap(self, read):
        """A field nested as deep as JSON may be read is 400 like any other wrong one."""
        deep = []
        for _ in range(100_000):
            deep = [deep]
        try:
            with pytest.raises(BadRequest):
                read(deep)
        finally:
            while deep:  # A list this deep must be taken apart by hand.
                deep = deep.pop()


class TestGap:
    """The body of a gap."""

    def test_good_gap(self):
        """Its five fields become a gap."""
        assert intake.gap_of(GAP) == Gap(3, 5, 900, "s1", GapReason.LOST)

    @pytest.mark.parametrize("name", GAP)
    def test_missing_field(self, name):
        """A field that is missing is 400 and named."""
        with pytest.raises(BadRequest, match=name):
            intake.gap_of({key: value for key, value in GAP.items() if key != name})

    @pytest.mark.parametrize(("name", "value"), [
        ("reason", "undecodable"), ("reason", "LOST"), ("reason", {}), ("next_seq", 3),
        ("next_seq", 2), ("from_seq", True), ("from_seq", 3.0), ("position", 7 * 86_400 * 48_000),
        ("position", -1), ("position", [1]), ("stream", 7), ("next_seq", 1 << 53),
    ])  # fmt: skip
    def test_wrong_field(self, name, value):
        """A field that is wrong is 400; only a decoder may say that audio is undecodable."""
        with pytest.raises(BadRequest):
            intake.gap_of({**GAP, name: value})

    @given(fields=st.dictionaries(st.sampled_from(sorted(GAP)), JSON))
    def test_any_fields(self, fields):
        """Whatever the fields hold, it is a gap or 400."""
        for read in (intake.gap_of, intake.end_of):
            step, error = tried(read, {**GAP, **fields})
            assert step.stream if step else error.status == 400


def test_end_is_a_hangup():
    """An end holds its number and stream; why it ended a sender may not say."""
    read = intake.end_of({"stream": "s1", "seq": "7", "reason": "abandoned"})
    assert read == End(7, "s1")


@pytest.mark.parametrize(("raw", "after"), [("-1", -1), ("0", 0), ("52240", 52_240)])
def test_after_is_a_sample(raw, after):
    """``?after=`` names the last final's first sample, -1 none."""
    assert intake.after_of(raw) == after


@pytest.mark.parametrize("raw", ["", "-2", "x", "1.0", str(1 << 53)])
def test_after_may_be_wrong(raw):
    """Anything else is 400."""
    with pytest.raises(BadChunk, match="after"):
        intake.after_of(raw)


class TestRequestOf:
    """A step written as a request, for a forward."""

    @pytest.mark.parametrize("codec", Codec)
    def test_chunk_and_back(self, codec):
        """A chunk is written as the request it would have come in."""
        step = Chunk(7, 14_000, "s1", codec, 16_000, b"\1\2\3\4")
        written = ChannelRequests(AGENT, "s1", STARTED_AT_MS, name_tenant=True).step(step)
        assert (written.method, written.path) == ("POST", "/v1/calls/c1/channels/agent/audio")
        assert intake.chunk_of(written.headers, written.body) == intake.Heard(step, STARTED_AT_MS)
        assert written.headers["ce-tenant"] == "default"
        timeless = ChannelRequests(AGENT, "s1").step(step)
        assert intake.chunk_of(timeless.headers, timeless.body).started_at_ms is None

    def test_gap_and_end_and_back(self):
        """A gap and an end likewise."""
        gap, end = Gap(3, 5, 900, "s1", GapReason.LOST), End(5, "s1")
        requests = ChannelRequests(AGENT, "s1", name_tenant=True)
        told_gap, told_end = requests.step(gap), requests.step(end)
        assert told_gap.path.endswith("/gap")
        assert intake.gap_of(json.loads(told_gap.body)) == gap
        assert told_end.path.endswith("/end")
        assert intake.end_of(json.loads(told_end.body)) == end
        assert told_end.headers["ce-tenant"] == "default"
