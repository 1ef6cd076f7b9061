"""What is said of a call, as its start and as an update."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewatch import events, payloads
from linewatch.calls import CallStart, CallUpdate, Channel
from linewatch.decoder.http.announcements import announcement_of, channels_of
from linewatch.decoder.http.arrival import Arrival
from linewatch.errors import BadRequest
from tests.linewatch.decoder.http.test_intake import JSON
from tests.linewatch.decoder.pods import tried

NOW_MS = 1_767_225_600_000
NOW = "2026-01-01T00:00:00Z"
NAMES = ["call", "line", "agent", "queue", "direction", "started_at", "channels", "at"]


def read(**fields):
    """Read the fields of a call that is announced now."""
    return announcement_of("acme", {"call": "c1", **fields}, Arrival(NOW_MS))


class TestStart:
    """What a new call starts with."""

    def test_whole_start(self):
        """Everything that is known of a call is read."""
        found = read(
            line="line-1", agent="Zo\u00eb", queue="billing", direction="outbound", started_at=NOW
        )
        assert found.start == CallStart(
            "acme", "c1", "line-1", NOW_MS, "Zo\u00eb", "billing", "outbound"
        )

    def test_call_is_enough(self):
        """Only the call's id is needed: it began now, on a line of that name."""
        assert read().start == CallStart("acme", "c1", "c1", NOW_MS)

    def test_null_is_unset(self):
        """Null says nothing, whichever field it stands for."""
        assert read(**dict.fromkeys(NAMES[1:])) == read()

    def test_number_is_its_text(self):
        """A call id or a label that is a number is taken as its text."""
        found = read(call=17_000_000_001_234, line=1001, agent=7.5).start
        assert (found.call, found.line, found.agent) == ("17000000001234", "1001", "7.5")

    @pytest.mark.parametrize(
        ("told", "off_ms"),
        [
            ("1970-01-01T00:00:00Z", -NOW_MS),
            ("0001-01-01T00:00:00Z", -62_135_596_800_000 - NOW_MS),
            ("2025-12-30T23:59:59.999Z", -86_400_001),
            ("2026-01-01T00:00:05.001Z", 5_001),
            ("9999-12-31T23:59:59-23:59", 253_402_387_139_000 - NOW_MS),
        ],
    )
    def test_wrong_clock_is_put_right(self, told, off_ms):
        """A start a day ago, or 5 s ahead, is not believed: the call began now, and it is said."""
        start = read(started_at=told).start
        assert (start.started_at_ms, start.clock_off_ms) == (NOW_MS, off_ms)

    @pytest.mark.parametrize("told", ["2025-12-31T00:00:00Z", "2026-01-01T00:00:05Z"])
    def test_likely_start_is_believed(self, told):
        """A call may be announced a day late, and clocks differ by seconds."""
        start = read(started_at=told).start
        assert (events.timestamp(start.started_at_ms)[:19], start.clock_off_ms) == (told[:19], 0)

    @pytest.mark.parametrize(("name", "value"), [
        ("call", None), ("call", ""), ("call", ".."), ("call", "a\0"), ("call", "x" * 257),
        ("call", True), ("call", ["c1"]), ("line", "a\tb"), ("line", "\u202eabc"), ("line", []),
        ("agent", "x" * 129), ("direction", "up"), ("agent", "\ud800"), ("queue", "a\0b"),
        ("agent", "a\nb"), ("started_at", "noon"), ("started_at", 5), ("at", "soon"),
        ("direction", []), ("agent", True), ("agent", float("nan")),
    ])  # fmt: skip
    def test_wrong_field(self, name, value):
        """A field that is wrong is 400."""
        with pytest.raises(BadRequest):
            read(**{name: value})

    @given(fields=st.dictionaries(st.sampled_from(NAMES), JSON))
    def test_any_fields(self, fields):
        """Whatever the fields hold, both the start and the update can be told, or it is 400."""
        found, error = tried(lambda: read(**fields))
        if error:
            assert error.status == 400
        else:
            assert payloads.read(events.call_started(found.start)) == found.start
            assert payloads.read(events.call_updated(found.update)) == found.update


class TestUpdate:
    """What a call that is known is updated with."""

    def test_only_what_was_said(self):
        """What was not said is left empty, not filled in as in a start."""
        assert read(agent="Bob").update == CallUpdate("acme", "c1", NOW_MS, agent="Bob")
        assert read(line="  ", agent="", queue="\u200b").update.words == {}

    def test_moment_is_the_senders(self):
        """An update is of the moment its sender names, and of now where it names none."""
        dated = read(agent="Bob", at="2025-12-31t23:59:00.5z")
        assert (dated.update.at_ms, dated.is_dated) == (NOW_MS - 59_500, True)
        assert (read().update.at_ms, read().is_dated) == (NOW_MS, False)

    def test_wrong_clock_dates_nothing(self):
        """A moment that cannot be is now, and no date."""
        found = read(agent="Bob", at="1970-01-01T00:00:00Z")
        assert (found.update.at_ms, found.is_dated) == (NOW_MS, False)


@pytest.mark.parametrize(
    ("found", "channels"),
    [
        ([], ()),
        (["agent", "customer", "agent"], (Channel.AGENT, Channel.CUSTOMER)),
        (["ivr", "agent-2"], (Channel("ivr"), Channel("agent-2"))),
    ],
)
def test_channels_once_each(found, channels):
    """Channels are read, each once."""
    assert channels_of({"channels": found}) == channels


@pytest.mark.parametrize(
    "found", ["agent", ["Boss"], [["agent"]], [None], {"agent": 1}, ["a"] * 17]
)
def test_wrong_channels(found):
    """Channels that are none, or too many, are 400."""
    with pytest.raises(BadRequest):
        channels_of({"channels": found})
