"""The sentiment function over HTTP: what it takes, refuses and passes on."""

from __future__ import annotations

import io
import json
import logging
import threading

import hypothesis
import pytest
from cloudevents.core.bindings import http
from hypothesis import given, settings
from hypothesis import strategies as st

from linewatch import events, payloads
from linewatch.calls import CallEnd, EndReason
from linewatch.errors import SinkUnavailable
from linewatch.sending.outlet import Outlet
from linewatch.sentiment import app
from linewatch.sentiment.warmup import Warmup
from linewatch.serving.function import BODY_LIMIT_BYTES
from linewatch.tracing.spans import traceparent_of
from tests.support.tracer import ListTracer

_ENDED = CallEnd("acme", "call-7", 0, 1, EndReason.HANGUP, 1, 1, 0)
REPLY = Outlet(is_reply=True)
_STRUCTURED = "application/cloudevents+json"
_BATCH = "application/cloudevents-batch+json"


class ListSink:
    """Keeps the scores it is sent, each read back through the contract."""

    def __init__(self):
        self.scores = []
        self.is_away = False

    def send(self, scored):
        """See `Sink`."""
        if self.is_away:
            raise SinkUnavailable("the sink is away")
        headers, body = events.to_http(scored)
        assert all(len(value) < 4096 for value in headers.values())
        self.scores.append(payloads.read(events.from_http(headers, body)))


@pytest.fixture(name="sink")
def _sink():
    """A sink that remembers."""
    return ListSink()


@pytest.fixture(name="client")
def _client(scorer, sink):
    """A client of the function with a warm scorer."""
    return app.routed(
        app.function("night-shift", Warmup(lambda: scorer), Outlet(sink))
    ).test_client()


@pytest.fixture(scope="session", name="any_client")
def _any_client(scorer):
    """A client for thousands of bodies; its sink checks each score."""
    return app.routed(app.function("", Warmup(lambda: scorer), Outlet(ListSink()))).test_client()


def _post(client, told):
    headers, body = events.to_http(told)
    return client.post("/", headers=headers, data=body)


def _assert_problem(answer, status, slug):
    assert answer.status_code == status
    assert answer.content_type == "application/problem+json"
    assert answer.json["type"] == f"urn:linewatch:problem:{slug}"
    assert answer.headers["kne-reason"] == slug


def test_binary_event_is_scored(client, sink, said):
    """An utterance in binary mode is scored, sent on and answered with an empty 204."""
    answer = _post(client, events.utterance_final(said("i want to cancel my contract")))
    assert (answer.status_code, answer.data, answer.content_length) == (204, b"", None)
    (score,) = sink.scores
    assert (score.polarity, score.consumer) == (-0.5, "night-shift")
    assert (score.key.call, score.first_sample, score.digest) == ("call-7", 48_000, "digest-1")


def test_structured_event_is_scored(client, sink, said):
    """The same utterance in structured mode gives the same score."""
    told = events.utterance_final(said("i want to cancel my contract"))
    message = http.to_structured_event(told)
    answer = client.post("/", headers=message.headers, data=message.body)
    assert answer.status_code == 204
    assert _post(client, told).status_code == 204
    assert sink.scores[0] == sink.scores[1]


def test_repeat_gives_equal_bytes(scorer, said):
    """A redelivered event is scored into the same bytes, so consumers may upsert."""
    client = app.routed(app.function("s", Warmup(lambda: scorer), REPLY)).test_client()
    told = events.utterance_final(said("my router is broken"))
    first, second = _post(client, told), _post(client, told)
    assert first.data == second.data
    assert first.headers["ce-id"] == second.headers["ce-id"] == "48000-scored-s-1"


def test_reply_mode_answers_event(scorer, said):
    """In reply mode the answer is 200 and a scored event in binary mode."""
    client = app.routed(app.function("s", Warmup(lambda: scorer), REPLY)).test_client()
    answer = _post(client, events.utterance_final(said("thank you so much")))
    assert (answer.status_code, answer.content_length) == (200, len(answer.data))
    told = events.from_http(dict(answer.headers), answer.data)
    assert told.get_type() == events.UTTERANCE_SCORED
    assert payloads.read(told).polarity == 0.5


def test_score_is_a_span(scorer, said):
    """A score is a span under that of the event it came from; a refused event is none."""
    tracer = ListTracer()
    function = app.function("s", Warmup(lambda: scorer), REPLY, tracer=tracer)
    client = app.routed(function).test_client()
    told = events.utterance_final(said("my card number is 4111"))
    answer = _post(client, told)
    assert _post(client, events.call_ended(_ENDED)).status_code == 400
    expected = ("score", answer.headers["ce-traceparent"], traceparent_of(told))
    assert tracer.told == [expected]
    assert "4111" not in repr(tracer.spans)
    assert "call-7" not in repr(tracer.spans)


def test_unknown_extensions_are_dropped(scorer, said):
    """What a KafkaSource adds to an event is not passed on."""
    client = app.routed(app.function("s", Warmup(lambda: scorer), REPLY)).test_client()
    headers, body = events.to_http(events.utterance_final(said("my bill")))
    added = {"ce-knativekafkaoffset": "12", "ce-knativekafkapartition": "3", "Prefer": "reply"}
    answer = client.post("/", headers=headers | added, data=body)
    assert answer.status_code == 200
    assert not [name for name, _ in answer.headers if "kafka" in name.lower()]
    assert answer.headers["ce-partitionkey"] == "call-7"


@pytest.mark.parametrize("text", ["", "   "])
def test_nothing_said_sends_nothing(client, sink, said, text):
    """An utterance without words is accepted and not scored."""
    assert _post(client, events.utterance_final(said(text))).status_code == 204
    assert sink.scores == []


def test_neutral_score_is_sent(client, sink, said):
    """A neutral utterance is exactly 0 and is sent like any other."""
    _post(client, events.utterance_final(said("my name is on the account")))
    assert [score.polarity for score in sink.scores] == [0.0]


def test_other_type_is_refused(client):
    """An event of another type is poison, and the reason says what to send."""
    ended = CallEnd("acme", "call-7", 0, 9, EndReason.HANGUP, 1, 1, 0)
    answer = _post(client, events.call_ended(ended))
    _assert_problem(answer, 400, "bad-event")
    assert events.UTTERANCE_FINAL in answer.json["detail"]


def test_broken_data_is_unprocessable(client, said):
    """A body that is no JSON, or breaks the schema, is 422."""
    headers, _ = events.to_http(events.utterance_final(said("hello")))
    for body in (b"{bad", b"[]", b"{}", b"", b'{"tenant": "a", "call": "/", "channel": "agent"}'):
        _assert_problem(client.post("/", headers=headers, data=body), 422, "unprocessable")


def test_plain_request_is_refused(client):
    """A POST that is no CloudEvent is 400."""
    _assert_problem(client.post("/", json={"text": "hello"}), 400, "bad-event")


def test_batch_is_refused(client, said):
    """A batch is 400: Knative delivers one event at a time."""
    message = http.to_structured_event(events.utterance_final(said("hello")))
    answer = client.post("/", data=b"[" + message.body + b"]", content_type=_BATCH)
    _assert_problem(answer, 400, "bad-event")


def test_large_body_is_refused(client, said):
    """A body above 1 MiB is 413."""
    headers, _ = events.to_http(events.utterance_final(said("hello")))
    answer = client.post("/", headers=headers, data=b"x" * (BODY_LIMIT_BYTES + 1))
    _assert_problem(answer, 413, "too-large")
    answer = client.post("/", headers=headers, data=b"x" * BODY_LIMIT_BYTES)
    _assert_problem(answer, 422, "unprocessable")


def test_longest_text_is_scored(client, sink, said):
    """A text of the largest size is scored; one more character is refused."""
    text = ("cancel my account " * 2000)[: app.TEXT_LIMIT]
    assert _post(client, events.utterance_final(said(text))).status_code == 204
    answer = _post(client, events.utterance_final(said(text + "x")))
    _assert_problem(answer, 422, "unprocessable")
    assert len(sink.scores) == 1


def test_body_without_length_is_limited(client, said):
    """A chunked body that goes on after 1 MiB is 413 and not read, though no length told it."""
    headers, body = events.to_http(events.utterance_final(said("hello")))
    stream = io.BytesIO(body + b" " * 3 * BODY_LIMIT_BYTES)
    answer = client.post(
        "/", headers=headers, input_stream=stream, environ_base={"wsgi.input_terminated": True}
    )
    _assert_problem(answer, 413, "too-large")
    assert stream.tell() < 2 * BODY_LIMIT_BYTES


_NO_MOMENTS = ["2026-01-01T00:00:00", "2026-01-01", "yesterday", "T", "0001-01-01T00:00:00+23:59"]


@pytest.mark.parametrize("moment", _NO_MOMENTS)
def test_impossible_time_is_refused(client, said, moment):
    """A time that names no moment is poison, not a crash."""
    headers, body = events.to_http(events.utterance_final(said("hello")))
    answer = client.post("/", headers=headers | {"ce-time": moment}, data=body)
    assert answer.status_code in {400, 422}


@pytest.mark.parametrize("depth", [1_000, 200_000])
def test_deep_json_is_refused(client, said, depth):
    """JSON nested beyond reason is poison, not a crash."""
    headers, _ = events.to_http(events.utterance_final(said("hello")))
    body = b"[" * depth + b"]" * depth
    assert client.post("/", headers=headers, data=body).status_code in {400, 422}
    answer = client.post("/", data=body, content_type=_STRUCTURED)
    assert answer.status_code in {400, 422}


@pytest.mark.parametrize("text", ["\N{ANGRY FACE} " * 500, "nul \0 in it", "\r\n\t", "ﬁ ½ İ ß"])
def test_strange_text_is_scored(client, said, text):
    """Emoji, NUL, line ends and odd letters are text like any other."""
    assert _post(client, events.utterance_final(said(text))).status_code == 204


def test_half_a_character_is_refused(client, said):
    """A lone surrogate is no text: no store behind this one could write it."""
    headers, body = events.to_http(events.utterance_final(said("half \ud83d")))
    _assert_problem(client.post("/", headers=headers, data=body), 422, "unprocessable")


def test_long_digest_is_refused(client, said):
    """A digest that fits no header is refused, not sent to the sink."""
    headers, body = events.to_http(events.utterance_final(said("hello")))
    headers["ce-modeldigest"] = "d" * 257
    _assert_problem(client.post("/", headers=headers, data=body), 422, "unprocessable")


def test_absent_sink_is_503(client, sink, said):
    """While the sink is away the source is told to retry; then the score arrives once."""
    told = events.utterance_final(said("hello"))
    sink.is_away = True
    answer = _post(client, told)
    _assert_problem(answer, 503, "sink-unavailable")
    assert answer.headers["Retry-After"] == "1"
    sink.is_away = False
    assert _post(client, told).status_code == 204
    assert len(sink.scores) == 1


def test_own_fault_is_a_problem(caplog, sink, said):
    """A fault of ours is a 500 problem; neither answer nor log repeat what was said."""
    function = app.function("", Warmup(lambda: {}["card number 4111"]), Outlet(sink))
    answer = _post(app.routed(function).test_client(), events.utterance_final(said("4111")))
    _assert_problem(answer, 500, "internal-error")
    assert "4111" not in answer.text + caplog.text
    assert "KeyError" in caplog.text


def test_unknown_route_is_problem(client):
    """An unknown path is 404 and a wrong method 405, as problem JSON."""
    _assert_problem(client.get("/nowhere"), 404, "not-found")
    answer = client.get("/")
    _assert_problem(answer, 405, "method-not-allowed")
    assert answer.headers["Allow"] == "OPTIONS, POST"


def test_readiness_waits_for_scorer(scorer, sink, said):
    """Alive at once, ready once the scorer is, and an early event is held until then."""
    go = threading.Event()
    function = app.function("s", Warmup(lambda: scorer if go.wait(60) else None), Outlet(sink))
    client = app.routed(function).test_client()
    assert client.get("/health/liveness").status_code == 200
    assert client.get("/health/readiness").status_code == 503
    threading.Timer(0.05, go.set).start()
    assert _post(client, events.utterance_final(said("hello"))).status_code == 204
    assert client.get("/health/readiness").status_code == 200


def test_mode_is_logged(caplog, scorer):
    """The start says where scores go."""
    with caplog.at_level(logging.INFO):
        app.create({"K_SINK": "http://127.0.0.1:9/scores"}, lambda: scorer)
        app.create({"REPLY": "true"}, lambda: scorer)
    assert caplog.messages == [
        "scores go to K_SINK http://127.0.0.1:9/scores",
        "scores go to the reply: REPLY is set",
    ]


@pytest.mark.parametrize("text", ["my bill", "", "x" * 2_000_000])
def test_no_outlet_takes_nothing(caplog, scorer, said, text):
    """With neither K_SINK nor REPLY no event is taken."""
    with caplog.at_level(logging.INFO):
        client = app.create({}, lambda: scorer).test_client()
    answer = _post(client, events.utterance_final(said(text)))
    _assert_problem(answer, 503, "sink-unavailable")
    assert answer.headers["Retry-After"] == "1"
    assert "SinkBinding" in answer.json["detail"]
    _assert_problem(client.get("/health/readiness"), 503, "sink-unavailable")
    assert client.get("/health/liveness").status_code == 200
    assert "linewatch_sentiment_scores_total 0.0" in client.get("/metrics").text
    assert len(caplog.messages) == 1


def test_words_are_never_logged(caplog, client, sink, said):
    """Neither a score nor a failure writes what was said to the log."""
    with caplog.at_level(logging.DEBUG):
        _post(client, events.utterance_final(said("my secret number")))
        sink.is_away = True
        _post(client, events.utterance_final(said("my secret number")))
    assert "secret" not in caplog.text


def test_wrong_setting_stops_start(capsys):
    """A wrong setting ends the start with one line that names it."""
    with pytest.raises(SystemExit) as stopped:
        app.create({"K_SINK": "scores", "SINK_TIMEOUT_S": "soon"})
    assert stopped.value.code == 4
    (line,) = capsys.readouterr().err.splitlines()
    assert "K_SINK" in line
    assert "SINK_TIMEOUT_S" in line


_HEADER = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=20)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
_TIME = _HEADER | st.sampled_from(
    ["2026-01-01", "2026-01-01T00:00:00", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59Z"]
)
_DATA = {
    "tenant": "acme",
    "call": "call-7",
    "channel": "agent",
    "index": 1,
    "first_sample": 1,
    "start_ms": 1,
    "end_ms": 2,
    "text": "hello",
    "words": [],
}
_ANY_DATA = st.builds(
    lambda changes, gone: {k: v for k, v in (_DATA | changes).items() if k != gone},
    st.dictionaries(st.sampled_from(list(_DATA)), _JSON | st.integers(10**15, 10**40), max_size=2),
    st.sampled_from([*_DATA, "", "", ""]),
)


def _mostly(valid, odd):
    return st.tuples(st.integers(0, 7), odd).map(lambda drawn: drawn[1] if drawn[0] == 5 else valid)


_ATTRIBUTES = {
    "specversion": _mostly("1.0", st.sampled_from(["0.3", "2"]) | _JSON),
    "type": _mostly(events.UTTERANCE_FINAL, _JSON),
    "source": _mostly("/x", _JSON),
    "id": _mostly("1-final", _JSON),
    "time": _mostly("2026-01-01T00:00:00Z", _TIME | _JSON),
}
_EXTENSIONS = {
    "datacontenttype": _mostly("application/json", _JSON),
    "modeldigest": _mostly("d", _JSON),
    "sequence": _mostly("1", _JSON),
    "dataschema": _mostly("/schema", _JSON),
}
_ANY_BODY = _ANY_DATA.map(lambda data: json.dumps(data).encode()) | st.binary(max_size=60)
_HEADERS = {
    "ce-specversion": _mostly("1.0", _HEADER),
    "ce-type": _mostly(events.UTTERANCE_FINAL, _HEADER),
    "ce-source": _mostly("/x", _HEADER),
    "ce-id": _mostly("1-final", _HEADER),
    "ce-time": _mostly("2026-01-01T00:00:00Z", _TIME),
}
_MORE_HEADERS = {
    "ce-modeldigest": _HEADER,
    "ce-dataschema": _mostly("/schema", _HEADER),
    "ce-subject": _mostly("call-7", _HEADER),
}
_ODD_NAMES = _mostly({}, st.dictionaries(st.sampled_from(["ce-a-b", "ce-ü", "ce-"]), _HEADER))
_fuzz = settings(max_examples=200, deadline=None)


def _assert_not_5xx(answer):
    hypothesis.event(f"status {answer.status_code}")
    assert answer.status_code in {204, 400, 413, 422}
    if answer.status_code != 204:
        assert answer.content_type == "application/problem+json"


@_fuzz
@given(
    headers=st.builds(
        dict.__or__, st.fixed_dictionaries(_HEADERS, optional=_MORE_HEADERS), _ODD_NAMES
    ),
    gone=st.sampled_from([*([""] * 15), *_HEADERS]),
    body=_mostly(json.dumps(_DATA).encode(), _ANY_BODY),
    content_type=_mostly("application/json", st.sampled_from(["text/plain", "", "x; y=ü"])),
)
def test_no_binary_event_gives_5xx(any_client, headers, gone, body, content_type):
    """Whatever the attributes and the body: scored, or refused with a reason."""
    headers.pop(gone, None)
    answer = any_client.post("/", headers=headers, data=body, content_type=content_type)
    _assert_not_5xx(answer)


@_fuzz
@given(
    attributes=st.fixed_dictionaries(_ATTRIBUTES, optional=_EXTENSIONS),
    gone=st.sampled_from([*([""] * 15), *_ATTRIBUTES]),
    data=_mostly(_DATA, _ANY_DATA | _JSON),
    garbage=st.none() | st.none() | st.none() | st.binary(max_size=40),
)
def test_no_structured_event_gives_5xx(any_client, attributes, gone, data, garbage):
    """Whatever stands in the JSON: scored, or refused with a reason."""
    attributes.pop(gone, None)
    body = json.dumps({**attributes, "data": data}).encode() if garbage is None else garbage
    _assert_not_5xx(any_client.post("/", data=body, content_type=_STRUCTURED))


@_fuzz
@given(items=_JSON | st.lists(st.fixed_dictionaries({}, optional=_ATTRIBUTES), max_size=3))
def test_no_batch_gives_5xx(any_client, items):
    """Whatever the batch, also one that claims to be a single event: refused."""
    body = json.dumps(items).encode()
    for content_type in (_BATCH, _STRUCTURED):
        answer = any_client.post("/", data=body, content_type=content_type)
        assert answer.status_code in {400, 422}
