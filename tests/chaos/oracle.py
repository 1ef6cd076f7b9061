"""What calls must publish: the fold of their audio, computed beside every decoder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

from linewatch.calls import CallEnd, CallStart, Channel, ChannelKey, Chunk, Codec, End, EndReason
from linewatch.decoder.recognition.session import Session
from linewatch.decoder.store.answers import final_of
from linewatch.events import call_ended, call_started, to_record, utterance_final
from tests.support.decoders import STARTED_AT_MS
from tests.support.fakes import HashRecognizers, encoded, two_speakers

RATE_HZ = 8000
CHUNK_BYTES = 2000
_ANY = "any"


@dataclass(frozen=True, slots=True)
class Script:
    """What is said in one call: *seed* draws it, for *duration_s* and a little more."""

    seed: int
    duration_s: float

    def audio(self):
        """Return channel -> mu-law bytes."""
        return _audio(self)


@dataclass(frozen=True, slots=True)
class Truth:
    """What one call must publish, topic -> (source, id) -> record, and tell its caller."""

    records: dict
    finals: dict


@cache
def _audio(script):
    sides = two_speakers(script.duration_s, seed=script.seed)
    return {channel: encoded(samples, Codec.PCMU) for channel, samples in sides.items()}


@cache
def _folded(script, channel):
    """Return the number of chunks, the utterances and the length in samples of a channel."""
    key = ChannelKey("default", _ANY, channel)
    audio = script.audio()[channel]
    session = Session(key, STARTED_AT_MS, RATE_HZ, HashRecognizers())
    pieces = range(0, len(audio), CHUNK_BYTES)
    steps = [
        Chunk(seq, at, _ANY, Codec.PCMU, RATE_HZ, audio[at : at + CHUNK_BYTES])
        for seq, at in enumerate(pieces)
    ]
    edges = [edge for step in (*steps, End(len(steps), _ANY)) for edge in session.accept(step)]
    assert not any(edge.missing for edge in edges)
    return len(steps), tuple(e.utterance for e in edges if e.utterance), session.next_position


def start_of(call):
    """Return how the line announces *call*."""
    return CallStart("default", call, call, STARTED_AT_MS)


def truth_of(call, script):
    """Return what *call*, which plays *script* whole, must have published."""
    finals, chunks, said, longest = {}, 0, [], 0
    for channel in script.audio():
        count, utterances, length = _folded(script, channel)
        key = ChannelKey("default", call, Channel(channel))
        mine = [replace(utterance, key=key) for utterance in utterances]
        finals[channel] = [final_of(utterance) for utterance in mine]
        chunks, longest = chunks + count, max(longest, length)
        said += mine
    end = CallEnd(
        "default",
        call,
        STARTED_AT_MS,
        STARTED_AT_MS + longest * 1000 // RATE_HZ,
        EndReason.HANGUP,
        chunks,
        len(said),
        0,
    )
    events = [call_started(start_of(call)), *map(utterance_final, said), call_ended(end)]
    return Truth(_by_topic(events), finals)


def _by_topic(events):
    records = {"calls": {}, "utterances": {}}
    for event in events:
        record = to_record(event)
        fields = {name.encode(): _bytes(value) for name, value in record.fields().items()}
        name = (fields[b"ce_source"], fields[b"ce_id"])
        records[record.topic][name] = tuple(sorted(fields.items()))
    return records


def _bytes(value):
    return value if isinstance(value, bytes) else str(value).encode()
