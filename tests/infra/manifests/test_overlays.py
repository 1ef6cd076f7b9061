"""Holds what the overlays promise beyond their schemas; the cluster tests apply them."""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from eventing import topology
from eventing.delivery.deliverer import IN_FLIGHT
from eventing.reconciliation import report
from infra.manifests import checks, kustomize
from infra.manifests.checks import ROOT
from infra.manifests.manifest import parse
from linewatch import events
from linewatch.settings import token_digest, tokens
from tests.infra.manifests.changed import BOX, BROKER, one, site
from tests.infra.manifests.rendering import BUILD_S, command, rendered

pytestmark = pytest.mark.timeout(BUILD_S)

_OVERLAYS = sorted(path.parent.name for path in ROOT.glob("infra/overlays/*/kustomization.yaml"))

#: Knative's default of target-utilization-percentage.
_UTILISATION = 0.7


def _kustomization(folder):
    return yaml.safe_load((ROOT / folder / "kustomization.yaml").read_text())


def _literals(name):
    listed = _kustomization(Path("infra/components/dev-tokens"))["secretGenerator"]
    (found,) = [each["literals"] for each in listed if each["name"] == name]
    return dict(literal.split("=", 1) for literal in found)


def test_overlays_are_the_designs():
    """There is an overlay a use: a small cluster, production, the broker, and the box."""
    assert _OVERLAYS == ["box", "box-broker", "broker", "dev", "prod"]


def test_dashboard_path_moves_probes(tmp_path):
    """An overlay with DASHBOARD_PATH and the transformer has its probes below that path."""
    setting = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "linewatch"}}
    patch = yaml.safe_dump({**setting, "data": {"DASHBOARD_PATH": "/calls/board"}})
    mine = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": "linewatch",
        "resources": [os.path.relpath(ROOT / "infra/overlays/dev", tmp_path)],
        "transformers": [os.path.relpath(ROOT / "infra/components/dashboard-path", tmp_path)],
        "patches": [{"patch": patch}],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(mine))
    found = parse(kustomize.render(tmp_path, command()), "mine")

    assert [*checks.faults(found)] == []
    (container,) = one("Deployment", "dashboard", found).containers
    probes = {container[each]["httpGet"]["path"] for each in ("readinessProbe", "livenessProbe")}
    assert probes == {"/calls/board/_stcore/health"}
    (path,) = [
        each for each in container["env"] if each["name"] == "STREAMLIT_SERVER_BASE_URL_PATH"
    ]
    assert path["valueFrom"]["configMapKeyRef"] == {"name": "linewatch", "key": "DASHBOARD_PATH"}


def test_dev_token_is_the_lines():
    """The decoders know the token that the simulated lines of dev and box send."""
    token = _literals("linewatch-line")["TOKEN"]
    assert tokens(_literals("linewatch")["TOKENS"]) == {token_digest(token): "default"}
    assert token.startswith("dev-only")


def test_box_sources_are_the_manifests():
    """On the box each KafkaSource has a ContainerSource that delivers to the same function."""
    ours = [each for each in site(BOX) if each.kind == "ContainerSource"]
    told = {each.name: each.spec["sink"]["ref"]["name"] for each in ours}
    assert told == {source.name: source.service for source in topology.load().sources}
    for each in ours:
        (container,) = each.containers
        assert container["args"] == ["dispatcher"]
        assert {"name": "SOURCE", "value": each.name} in container["env"]


def test_box_sinks_are_the_manifests():
    """On the box each function is bound to the path of our sink that its KafkaSink names."""
    bound = {
        each.name: each.spec["sink"]["uri"]
        for each in rendered("box")
        if each.kind == "SinkBinding"
    }
    assert bound == {name: f"/{sink}" for name, sink in topology.load().bindings.items()}


def test_box_makes_topics_first():
    """Where our sink is Ready, the topics are there."""
    (first,) = one("Deployment", "sink", site(BOX)).pod["initContainers"]
    assert first["args"] == ["topics"]


def _triggers():
    return [each for each in site(BROKER) if each.kind == "Trigger"]


def _types(trigger):
    spec = trigger.spec
    if "filter" in spec:
        return {spec["filter"]["attributes"]["type"]}
    return {each["exact"]["type"] for each in spec["filters"][0]["any"]}


def test_every_trigger_filters_types():
    """Each Trigger takes types of the contract by their exact name."""
    for trigger in _triggers():
        assert _types(trigger) <= events.TOPICS.keys()


def test_broker_feeds_each_function():
    """Through the broker each function gets the types that its topics would bring."""
    got = {}
    for trigger in _triggers():
        if trigger.spec["subscriber"]["ref"]["kind"] == "Service":
            got.setdefault(trigger.spec["subscriber"]["ref"]["name"], set()).update(_types(trigger))
    wanted = {}
    for source in topology.load().sources:
        of_topic = {kind for kind, topic in events.TOPICS.items() if topic == source.topic}
        wanted.setdefault(source.service, set()).update(of_topic)
    assert got == wanted


def test_replies_cannot_go_round():
    """A score is the only reply, and no Trigger gives a score to who makes scores."""
    takers = {
        trigger.spec["subscriber"]["ref"]["name"]
        for trigger in _triggers()
        if events.UTTERANCE_SCORED in _types(trigger)
    }
    assert "sentiment" not in takers
    assert takers == {"board", "scores"}


def _is_source(manifest):
    return manifest.kind == "KafkaSource"


def test_triggers_deliver_as_sources_do():
    """A Trigger retries and gives up as a KafkaSource does, into a dead letter of the road."""
    letters = [each.spec["delivery"]["deadLetterSink"] for each in site() if _is_source(each)]
    source = one("KafkaSource", "sentiment").spec["delivery"]
    for trigger in _triggers():
        delivery = dict(trigger.spec["delivery"])
        assert delivery.pop("deadLetterSink") in letters
        assert delivery == {k: v for k, v in source.items() if k != "deadLetterSink"}


@pytest.mark.parametrize("overlay", ["broker", "box-broker"])
def test_sentiment_replies_to_the_broker(overlay):
    """Under a broker the sentiment function is bound to no sink, and is told that it may reply."""
    found = rendered(overlay)
    assert [each.name for each in found if each.kind == "SinkBinding"] == ["board"]
    (container,) = one("ksvc", "sentiment", found).containers
    assert {"name": "REPLY", "value": "true"} in container["env"]


def test_dead_letters_are_never_away():
    """A rollout keeps the receiver of dead letters until the next one is ready."""
    spec = one("Deployment", "deadletters").spec
    assert spec["replicas"] == 1
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}


def test_dead_letters_have_a_receiver():
    """Every dead letter's Service is in the base and leads to the pods of the receiver."""
    service = one("Service", "deadletters")
    assert service.spec["ports"][0]["port"] == 80
    deployment = one("Deployment", "deadletters")
    assert service.spec["selector"] == deployment.template["metadata"]["labels"]
    for each in [*site(), *site(BROKER)]:
        if "deadLetterSink" in each.spec.get("delivery", {}):
            ref = each.spec["delivery"]["deadLetterSink"]["ref"]
            assert ref == {"apiVersion": "v1", "kind": "Service", "name": service.name}


def test_missing_reports_to_the_receiver():
    """The comparison tells its result where the receiver of dead letters takes it."""
    (container,) = one("CronJob", "missing").containers
    url = urlsplit(container["args"][container["args"].index("--report") + 1])
    assert (url.hostname, url.path) == (one("Service", "deadletters").name, report.PATH)
    assert "--deliver" in container["args"]
    assert one("CronJob", "missing").spec["concurrencyPolicy"] == "Forbid"


def test_broker_gives_answers_time():
    """Behind a Broker an utterance is missing only when its Trigger must have given it up."""
    patch = next(
        each["patch"]
        for each in _kustomization(BROKER)["patches"]
        if each["target"] == {"kind": "CronJob", "name": "missing"}
    )
    ((_, _, age_s),) = [each["value"].partition("=") for each in yaml.safe_load(patch)]
    delivery = topology.load().source("sentiment").delivery
    tries = range(1, delivery.retries + 1)
    longest_s = (len(tries) + 1) * delivery.timeout_s + sum(map(delivery.delay_s, tries))
    assert longest_s < int(age_s)


def test_gateway_calls_the_decoder():
    """The simulated lines call the decoder by its name in the cluster, a replica a line."""
    (container,) = one("Deployment", "gateway").containers
    told = {each["name"]: each.get("value") for each in container["env"]}
    assert re.fullmatch(r"http://decoder\.linewatch\.svc\.cluster\.local", told["HOST"])
    assert told["LINES"] == "1"


def test_functions_outwait_their_sources():
    """A function's request may last as long as a source waits for its answer."""
    longest_s = max(source.delivery.timeout_s for source in topology.load().sources)
    for name in ("sentiment", "board"):
        assert one("ksvc", name).template["spec"]["timeoutSeconds"] > longest_s


def test_backlog_needs_one_pod():
    """What the sources of a function have under way makes Knative start no second pod."""
    sources = Counter(source.service for source in topology.load().sources)
    for name, count in sources.items():
        template = one("ksvc", name).template
        target = int(template["metadata"]["annotations"]["autoscaling.knative.dev/target"])
        assert target * _UTILISATION > IN_FLIGHT * count
        assert template["spec"]["containerConcurrency"] == target


def test_redis_keeps_what_it_took():
    """Redis writes down what it acknowledged, evicts nothing, and has room to rewrite its log."""
    (container,) = one("StatefulSet", "redis").containers
    told = dict(zip(container["args"][::2], container["args"][1::2], strict=True))
    assert told["--appendonly"] == "yes"
    assert told["--maxmemory-policy"] == "noeviction"
    assert (told["--maxmemory"], container["resources"]["limits"]["memory"]) == ("512mb", "1Gi")


def test_cron_jobs_get_the_same_secrets():
    """A CronJob is told of Kafka what the other roles are, where its pods lie."""
    folder = ROOT / "infra/components/kafka-tls"
    told, deeper = (
        yaml.safe_load((folder / name).read_text())
        for name in ("secrets.yaml", "cron-secrets.yaml")
    )
    for each in told:
        each["path"] = f"/spec/jobTemplate{each['path']}"
    assert deeper == told
