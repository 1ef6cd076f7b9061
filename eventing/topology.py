"""The topology: the KafkaSources, KafkaSinks and SinkBindings of the manifests, as frozen values.

`read` refuses what the API server would accept and production would regret:
``python -m eventing.topology`` is the manifest check of ``make check``. A source tries
for 5 minutes of back-off (24 retries, linear by 1 s), then posts the event to the Service
of the dead letters, which writes the topic itself and shares no pod with the KafkaSinks.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from linewatch.errors import SettingsError
from linewatch.eventlog.protocol import DeadLetters
from linewatch.events import PARTITIONS

FOLDER: Final = Path(__file__).parent
_DURATION = re.compile(r"PT(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?")
_DEFAULT_TIMEOUT_S: Final = 600.0
_KIND_OF_TOPICS: Final = "ConfigMap"
_KIND_OF_SOURCE: Final = "KafkaSource"
_KIND_OF_SINK: Final = "KafkaSink"
_KIND_OF_BINDING: Final = "SinkBinding"
#: Set to "nothing" on the KafkaSource of a function that publishes no events: it needs no sink.
PUBLISHES: Final = "linewatch/publishes"
_NOTHING: Final = "nothing"
#: What makes the folder a base of kustomize; it describes no part of the road.
_NO_MANIFEST: Final = "kustomization.yaml"
_SERVING: Final = "serving.knative.dev/v1"
_Manifest = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Delivery:
    """How often and how long a source tries, and where it puts what it could not deliver."""

    retries: int
    exponential: bool
    backoff_s: float
    timeout_s: float
    dead_letter_topic: str

    def delay_s(self, attempt: int) -> float:
        """Return the wait before retry *attempt*, the first being 1."""
        return self.backoff_s * (2**attempt if self.exponential else attempt)


@dataclass(frozen=True, slots=True)
class Source:
    """One KafkaSource: a topic, delivered to a Service by a consumer group."""

    name: str
    namespace: str
    topic: str
    group: str
    service: str
    delivery: Delivery
    publishes: bool = True

    @property
    def dead_letters(self) -> DeadLetters:
        """What could not be delivered, and the group whose offsets say how far it was replayed."""
        return DeadLetters(self.delivery.dead_letter_topic, f"replay-{self.name}")

    @property
    def missing_group(self) -> str:
        """The group whose offsets say up to where nothing is missing."""
        return f"missing-{self.name}"


@dataclass(frozen=True, slots=True)
class Topology:
    """Everything the manifests say.

    *sinks* maps a KafkaSink to its topic, *bindings* a function to the sink it publishes to;
    a function that publishes nothing is bound to none.
    """

    topics: Mapping[str, int]
    sources: tuple[Source, ...]
    sinks: Mapping[str, str]
    bindings: Mapping[str, str]

    def groups(self, topic: str) -> tuple[str, ...]:
        """Return the consumer groups that read *topic*."""
        return tuple(source.group for source in self.sources if source.topic == topic)

    @property
    def functions(self) -> tuple[str, ...]:
        """The functions that sources deliver to, each once, in the order of the sources."""
        return tuple(dict.fromkeys(source.service for source in self.sources))

    @property
    def dead_letters(self) -> tuple[str, ...]:
        """The topics in which sources leave what they could not deliver."""
        return tuple(source.delivery.dead_letter_topic for source in self.sources)

    def source(self, name: str) -> Source:
        """Return the source called *name*.

        Raises:
            SettingsError: no source has that name; says which there are.
        """
        for source in self.sources:
            if source.name == name:
                return source
        known = ", ".join(source.name for source in self.sources)
        raise SettingsError(f"there is no source {name!r}: use one of {known}")


class _Refused(Exception):
    """Why one manifest is not taken."""


def load(folder: Path = FOLDER) -> Topology:
    """Read the manifests of *folder*.

    Raises:
        SettingsError: names every manifest that is refused, each with the reason.
    """
    files = sorted(file for file in folder.glob("*.yaml") if file.name != _NO_MANIFEST)
    if not files:
        raise SettingsError(f"there are no manifests in {folder}: set MANIFESTS to their folder")
    return read([manifest for file in files for manifest in _parse(file)])


def read(manifests: list[_Manifest]) -> Topology:
    """Make a topology of parsed *manifests*.

    Raises:
        SettingsError: names every manifest that is refused, each with the reason.
    """
    wrong: list[str] = []
    topics: dict[str, int] = {}
    sinks: dict[str, str] = {}
    sources: list[Source] = []
    bindings: dict[str, str] = {}
    by_kind = sorted(manifests, key=lambda each: _ORDER.get(each.get("kind", ""), -1))
    for manifest in by_kind:
        kind, name = manifest.get("kind", "?"), _name(manifest)
        try:
            if kind == _KIND_OF_TOPICS:
                topics.update(_topics(manifest))
            elif kind == _KIND_OF_SINK:
                sinks[name] = _sink_topic(manifest, topics, sinks)
            elif kind == _KIND_OF_SOURCE:
                sources.append(_source(manifest, topics, sources))
            elif kind == _KIND_OF_BINDING:
                bindings.update(_binding(manifest, sinks, bindings))
            else:
                raise _Refused("this kind is not allowed: use topics, sources, sinks and bindings")  # noqa: TRY301 - one place collects the reasons
        except (_Refused, ValueError, TypeError) as reason:
            wrong.append(f"{kind} {name}: {reason}")
    wrong += [] if wrong else _unbound(sources, sinks, bindings)
    if wrong:
        raise SettingsError("; ".join(wrong))
    return Topology(topics, tuple(sources), sinks, bindings)


_ORDER: Final = {_KIND_OF_TOPICS: 0, _KIND_OF_SINK: 1, _KIND_OF_SOURCE: 2, _KIND_OF_BINDING: 3}


def duration_s(text: str) -> float:
    """Return the seconds of an ISO 8601 duration such as ``PT0.5S``.

    Raises:
        ValueError: it is not one.
    """
    found = _DURATION.fullmatch(text)
    if not found or not any(found.groups()):
        raise ValueError(f"{text!r} must be an ISO 8601 duration such as PT0.5S")
    hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return hours * 3600 + minutes * 60 + seconds


def _parse(file: Path) -> Iterator[_Manifest]:
    text = file.read_text()
    if not re.match(r"# \S", text):
        raise SettingsError(f"{file.name}: the first line must say what the manifest is for")
    try:
        documents = [each for each in yaml.safe_load_all(text) if each is not None]
    except yaml.YAMLError as error:
        raise SettingsError(f"{file.name} is not valid YAML: {error}") from error
    if not all(_is_manifest(each) for each in documents):
        raise SettingsError(f"{file.name}: each document must be one object with kind and metadata")
    yield from documents


def _is_manifest(document: object) -> bool:
    return (
        isinstance(document, dict)
        and isinstance(document.get("kind"), str)
        and isinstance(document.get("metadata"), dict)
    )


def _name(manifest: _Manifest) -> str:
    return str(_part(manifest, "metadata").get("name") or "without a name")


def _part(of: _Manifest, name: str) -> _Manifest:
    found = of.get(name) or {}
    if not isinstance(found, Mapping):
        raise _Refused(f"{name} must be an object")
    return found


def _topics(manifest: _Manifest) -> dict[str, int]:
    topics = {name: int(count) for name, count in _part(manifest, "data").items()}
    other = sorted(name for name, count in topics.items() if count != PARTITIONS)
    if other:
        raise _Refused(f"{', '.join(other)} must have {PARTITIONS} partitions, as the outbox has")
    return topics


def _sink_topic(manifest: _Manifest, topics: _Manifest, sinks: _Manifest) -> str:
    spec = _part(manifest, "spec")
    topic = str(spec.get("topic"))
    if _name(manifest) in sinks:
        raise _Refused("the name is used twice: choose another")
    if topic not in topics:
        raise _Refused(f"topic {topic} is not in 100-topics.yaml")
    owning = [each for each in ("numPartitions", "replicationFactor") if each in spec]
    if owning:
        raise _Refused(f"leave out {' and '.join(owning)}: with them the sink owns its topic")
    if spec.get("contentMode", "binary") != "binary":
        raise _Refused("contentMode must be binary: structured records do not keep their bytes")
    return topic


def _binding(manifest: _Manifest, sinks: _Manifest, bindings: Mapping[str, str]) -> dict[str, str]:
    spec = _part(manifest, "spec")
    function = _reference({"ref": spec.get("subject")}, "subject", "Service")
    if _part(spec, "subject").get("apiVersion") != _SERVING:
        raise _Refused(f"subject must be a Service of {_SERVING}, not one of Kubernetes'")
    sink = _reference(_part(spec, "sink"), "sink", _KIND_OF_SINK)
    if sink not in sinks:
        raise _Refused(f"unknown sink {sink}: no KafkaSink has that name")
    if function in bindings:
        raise _Refused(f"{function} has a second SinkBinding: keep one")
    return {function: sink}


def _unbound(
    sources: list[Source], sinks: Mapping[str, str], bindings: Mapping[str, str]
) -> list[str]:
    """Say which function has nowhere to publish, and which sink nobody writes to."""
    functions = {source.service for source in sources}
    publishers = {source.service for source in sources if source.publishes}
    silent = {source.service for source in sources if not source.publishes}
    written = set(bindings.values())
    return [
        *(
            f"Service {each}: no SinkBinding; bind it to a KafkaSink, or say {PUBLISHES}: "
            f"{_NOTHING} on its KafkaSources"
            for each in sorted(publishers - bindings.keys())
        ),
        *(
            f"Service {each}: its KafkaSource says {PUBLISHES}: {_NOTHING}, but a SinkBinding "
            "names it; leave one of them out"
            for each in sorted(silent & bindings.keys())
        ),
        *(
            f"SinkBinding of {each}: no such function"
            for each in sorted(bindings.keys() - functions)
        ),
        *(f"KafkaSink {each}: nobody writes to it" for each in sorted(sinks.keys() - written)),
    ]


def _source(manifest: _Manifest, topics: _Manifest, others: list[Source]) -> Source:
    spec = _part(manifest, "spec")
    _check_ordering(spec)
    source = Source(
        name=_name(manifest),
        namespace=str(_part(manifest, "metadata").get("namespace", "default")),
        topic=_one_topic(spec, topics),
        group=_group(spec),
        service=_reference(_part(spec, "sink"), "sink", "Service"),
        delivery=_delivery(_part(spec, "delivery"), topics),
        publishes=_publishes(_part(_part(manifest, "metadata"), "annotations")),
    )
    for other in others:
        if source.name == other.name:
            raise _Refused("the name is used twice: choose another")
        if (source.topic, source.group) == (other.topic, other.group):
            raise _Refused(
                f"{other.name} reads {source.topic} in the same consumerGroup: give each its own"
            )
        if source.delivery.dead_letter_topic == other.delivery.dead_letter_topic:
            raise _Refused(f"{other.name} has the same dead-letter topic: give each its own")
    return source


def _one_topic(spec: _Manifest, topics: _Manifest) -> str:
    named = spec.get("topics") or []
    if len(named) != 1:
        raise _Refused("name exactly one topic: dead letters are replayed to it")
    if named[0] not in topics:
        raise _Refused(f"topic {named[0]} is not in 100-topics.yaml")
    return str(named[0])


def _group(spec: _Manifest) -> str:
    if spec.get("initialOffset") != "earliest":
        raise _Refused("initialOffset must be earliest: else events before Ready are lost")
    if not spec.get("consumerGroup"):
        raise _Refused("set consumerGroup: a random one reads everything again or loses it")
    return str(spec["consumerGroup"])


def _publishes(annotations: _Manifest) -> bool:
    value = annotations.get(PUBLISHES)
    if value not in {None, _NOTHING}:
        raise _Refused(f"annotation {PUBLISHES} must be {_NOTHING!r} or left out, not {value!r}")
    return value is None


def _check_ordering(spec: _Manifest) -> None:
    found = spec.get("ordering", "ordered, the default")
    if found != "unordered":
        raise _Refused(
            f"ordering must be unordered, it is {found}: ordered delivers one event of a "
            "partition at a time, and our functions need no order"
        )


def _reference(part: _Manifest, where: str, kind: str) -> str:
    ref = _part(part, "ref")
    if ref.get("kind") != kind or not ref.get("name"):
        raise _Refused(f"{where} must be a ref to a {kind}, it is {ref.get('kind', 'none')}")
    return str(ref["name"])


def _delivery(spec: _Manifest, topics: _Manifest) -> Delivery:
    if not spec.get("deadLetterSink"):
        raise _Refused("set delivery.deadLetterSink: else an undeliverable event is lost")
    retries = spec.get("retry") or 0
    if not isinstance(retries, int) or retries < 1:
        raise _Refused(f"retry must be 1 or more, not {retries!r}")
    if spec.get("backoffPolicy") not in {"exponential", "linear"}:
        raise _Refused("set delivery.backoffPolicy to exponential or linear")
    dead = _dead_letter_topic(_part(spec, "deadLetterSink"), topics)
    try:
        backoff_s = duration_s(str(spec.get("backoffDelay")))
        timeout_s = duration_s(spec["timeout"]) if "timeout" in spec else _DEFAULT_TIMEOUT_S
    except ValueError as error:
        raise _Refused(f"delivery: {error}") from error
    if not timeout_s:
        raise _Refused("delivery.timeout must be more than 0: set it or leave it out")
    exponential = spec["backoffPolicy"] == "exponential"
    return Delivery(retries, exponential, backoff_s, timeout_s, dead)


def _dead_letter_topic(sink: _Manifest, topics: _Manifest) -> str:
    ref = _part(sink, "ref")
    if ref.get("kind") == _KIND_OF_SINK:
        raise _Refused(
            "deadLetterSink must not be a KafkaSink: functions publish through the same pod, "
            "and one outage would lose score and dead letter; name the Service deadletters"
        )
    _reference(sink, "deadLetterSink", "Service")
    if ref.get("apiVersion") != "v1":
        raise _Refused(
            "deadLetterSink must be a Service of v1, not a function: that may be down itself"
        )
    uri = str(sink.get("uri") or "")
    topic = uri.removeprefix("/")
    if uri == topic or topic not in topics:
        raise _Refused(f"deadLetterSink.uri must be /TOPIC of 100-topics.yaml, it is {uri!r}")
    return topic


def main() -> int:
    """Check the manifests; print what is wrong or what they say; return the exit status."""
    try:
        topology = load()
    except SettingsError as error:
        sys.stderr.write(f"{error.detail}\n")
        return 2
    for source in topology.sources:
        sink = topology.bindings.get(source.service, _NOTHING)
        road = f"{source.topic} -> {source.name} (unordered) -> {source.service} -> {sink}"
        sys.stdout.write(f"{road}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
