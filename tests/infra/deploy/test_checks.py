"""What a cluster must have: each fault is one line that says what to do, and nothing is applied."""

from __future__ import annotations

import os

import pytest

from tests.infra.deploy.played import (
    kafka_sink,
    kafka_source,
    ksvc,
    made,
    node,
    pod,
    redis,
    storage_class,
    template,
)


def fault(played, *arguments):
    """Run it; return the only fault that it told."""
    code, told = played.run(*arguments)
    assert (code, played.applied()) == (1, [])
    (line,) = [each for each in told.splitlines() if each.startswith("FAILED: ")]
    return line.removeprefix("FAILED: ")


def test_kubectl_must_be_there(played, monkeypatch):
    """Without kubectl on PATH it says to install it."""
    monkeypatch.setenv("PATH", os.devnull)
    assert fault(played) == "kubectl is not here: install it and put it on PATH"


def test_cluster_must_answer(played):
    """Where no cluster answers, it says where kubectl was pointed."""
    played.answers = False
    told = fault(played)
    assert told.startswith("no cluster answers (The connection to the server")
    assert told.endswith("see kubectl config current-context")


def test_broken_overlay_is_told(played):
    """What kustomize cannot render is told in its words."""
    played.refuses = {"kustomize": "error: no such file base.yaml"}
    assert fault(played) == "no such file base.yaml"


@pytest.mark.parametrize(
    ("version", "kind", "brings"),
    [
        ("serving.knative.dev/v1", "Service", "Knative Serving"),
        ("sources.knative.dev/v1", "SinkBinding", "Knative Eventing"),
        ("eventing.knative.dev/v1alpha1", "KafkaSink", "Knative Kafka's KafkaSink"),
        ("sources.knative.dev/v1", "KafkaSource", "Knative Kafka's KafkaSource"),
    ],
)
def test_kinds_must_be_served(played, version, kind, brings):
    """A kind that is not served is told with what to install."""
    played.served[version].remove(kind)
    told = fault(played)
    assert told.startswith(f"{kind} of {version} is not served: install {brings}")


def test_group_may_be_unknown(played):
    """Where a whole group is unknown, as before Knative came, that is told the same way."""
    del played.served["serving.knative.dev/v1"]
    assert "install Knative Serving" in fault(played)


def test_older_sources_are_used(played):
    """Where KafkaSource is served as v1beta1 only, the component for that is added, and told."""
    played.served["sources.knative.dev/v1"].remove("KafkaSource")
    played.served["sources.knative.dev/v1beta1"] = ["KafkaSource"]
    _, told = played.run()
    assert "Knative Kafka is older than 1.16: applying KafkaSource as v1beta1" in told
    (made_for_it,) = played.state["kustomized"]
    (component,) = made_for_it["components"]
    assert component.endswith("infra/components/kafka-v1beta1")
    assert not component.startswith("/")


def test_newer_sources_are_kept(played):
    """Where both versions are served, v1 is applied, and nothing is told."""
    played.served["sources.knative.dev/v1beta1"] = ["KafkaSource"]
    code, told = played.run()
    assert (code, "v1beta1" in told, played.state["kustomized"]) == (0, False, [])


def test_claim_wants_default_class(played):
    """A claim without a class wants a default StorageClass; the others are named."""
    played.objects = [node(), storage_class(default="false")]
    told = fault(played)
    assert told.startswith("no StorageClass is the default one (there: fast), so data-redis-0")
    assert told.endswith(
        "kubectl annotate storageclass NAME storageclass.kubernetes.io/is-default-class=true"
    )


def test_claim_may_name_class(played):
    """A claim that names its class wants no default."""
    played.objects = [node()]
    played.rendered = [
        redis(storageClassName="slow") if is_redis(e) else e for e in played.rendered
    ]
    assert played.run()[0] == 0


def is_redis(of):
    """Whether it is the store."""
    return of["metadata"]["name"] == "redis"


def test_bound_claim_is_enough(played):
    """A claim that has its volume already, as at the second run, wants no class."""
    claim = made("v1", "PersistentVolumeClaim", "data-redis-0", status={"phase": "Bound"})
    played.objects = [node(), claim]
    assert played.run()[0] == 0


def broker(**where):
    """A Broker of Knative Kafka's class."""
    config = {"apiVersion": "v1", "kind": "ConfigMap", "name": "kafka-broker-config", **where}
    return made("eventing.knative.dev/v1", "Broker", "linewatch", {"config": config})


def test_broker_wants_its_config(played):
    """A Broker whose ConfigMap is missing is told with what brings it."""
    played.rendered.append(broker(namespace="knative-eventing"))
    told = fault(played)
    assert "needs the ConfigMap kafka-broker-config in knative-eventing: install" in told
    played.objects.append(made("v1", "ConfigMap", "kafka-broker-config", data={}))
    assert played.run()[0] == 0
    asked = [each for each in played.called("get") if "kafka-broker-config" in each["argv"]]
    assert [each["at"] for each in asked] == ["knative-eventing"]


def with_secret(name, key):
    """A function that needs a key of a Secret."""
    ref = {"name": key, "valueFrom": {"secretKeyRef": {"name": name, "key": key}}}
    return ksvc("decoder", container={"env": [ref]})


def secret(name, *keys):
    """A Secret."""
    return made("v1", "Secret", name, data=dict.fromkeys(keys, "eA=="))


def test_secrets_must_be_there(played):
    """A Secret that is named and not brought must be there; its fault is the command for it."""
    played.rendered.append(with_secret("linewatch-redis", "REDIS_URL"))
    assert fault(played) == (
        "Secret linewatch-redis is missing: kubectl -n linewatch create secret generic "
        "linewatch-redis --from-literal=REDIS_URL=rediss://user:password@redis.example.com:6380/0"
    )
    played.objects.append(secret("linewatch-redis", "REDIS_URL"))
    assert played.run()[0] == 0


def test_secret_must_have_keys(played):
    """A Secret that lacks a key that is asked for is told with the key."""
    played.rendered.append(with_secret("mine", "WANTED"))
    played.objects.append(secret("mine", "OTHER"))
    assert fault(played).startswith("Secret mine lacks WANTED: kubectl -n linewatch create")


def test_secrets_of_sinks_count(played):
    """Secrets that volumes, sources and sinks name are asked for as well."""
    auth = {"secret": {"ref": {"name": "of-sink"}}}
    played.rendered.append(kafka_sink("more", auth=auth))
    volumes = [{"name": "tokens", "secret": {"secretName": "of-volume", "items": [{"key": "A"}]}}]
    played.rendered.append(ksvc("decoder", volumes=volumes))
    code, told = played.run()
    assert code == 1
    assert {"Secret of-sink is missing", "Secret of-volume is missing"} <= {
        line.split(": ")[1] for line in told.splitlines() if "FAILED" in line
    }


def test_brought_secret_is_enough(played):
    """A Secret that the overlay itself makes is not asked for, nor is an optional one."""
    played.rendered += [secret("own", "KEY"), with_secret("own", "KEY")]
    ref = {"name": "other", "key": "K", "optional": True}
    env = [{"name": "K", "valueFrom": {"secretKeyRef": ref}}]
    played.rendered.append(ksvc("board", container={"env": env}))
    assert played.run()[0] == 0


def test_no_lines_no_token(played):
    """What has no pod, as the lines in production, needs no Secret."""
    volumes = [{"name": "token", "secret": {"secretName": "linewatch-line"}}]
    spec = {"replicas": 0, "selector": {}, "template": template(volumes=volumes)}
    played.rendered = [e for e in played.rendered if e["metadata"]["name"] != "gateway"]
    played.rendered.append(made("apps/v1", "Deployment", "gateway", spec))
    assert played.run()[0] == 0


def test_room_is_counted(played):
    """Where the pods do not fit it says what they ask for, what is free, and which does not fit."""
    played.objects = [node(cpu="500m"), storage_class()]
    assert fault(played) == (
        "no room: 11 pods ask for 525m CPU and 704 MiB, 500m CPU and 4096 MiB are free on 1 "
        "node(s), and none is left for a pod of gateway (25m CPU and 64 MiB): add a node, lower "
        "the requests in an overlay of your own, or go on with --force"
    )


def test_force_needs_no_room(played):
    """With --force too little room is only noted, any other fault is one all the same."""
    played.objects = [node(cpu="500m"), storage_class()]
    code, told = played.run("--force")
    assert (code, "note: no room: 11 pods" in told) == (0, True)
    played.objects = [node(), storage_class(default="false")]
    assert fault(played, "--force").startswith("no StorageClass")


def test_sidecar_is_counted(played):
    """Each pod of a function has Serving's queue-proxy beside it, as big as the cluster says."""
    played.objects = [node(cpu="525m"), storage_class()]
    assert played.run()[0] == 0
    played.objects = [node(cpu="525m"), storage_class()]
    settings = {"queue-sidecar-cpu-request": "30m"}
    played.objects.append(made("v1", "ConfigMap", "config-deployment", data=settings))
    assert "11 pods ask for 530m CPU" in fault(played)


def test_others_take_room(played):
    """What others' pods ask for is not free; that of the pods to be replaced is."""
    played.objects = [node(cpu="600m"), storage_class(), pod("other", {"app": "other"})]
    assert "500m CPU and 4032 MiB are free" in fault(played)
    played.objects = [node(cpu="600m"), storage_class(), pod("old", {"app": "dashboard"})]
    assert played.run()[0] == 0


def test_tainted_node_has_none(played):
    """A node that takes no pods has no room."""
    played.objects[0] = node(taints=[{"key": "control", "effect": "NoSchedule"}])
    assert "are free on 0 node(s)" in fault(played)


def test_forbidden_check_is_noted(played):
    """Who may not list nodes deploys all the same, and is told what was not checked."""
    played.forbids = ["nodes"]
    code, told = played.run()
    assert code == 0
    assert "note: not checked: Error from server (Forbidden): nodes is forbidden" in told


def test_sink_that_owns_topic(played):
    """A sink of an older version that owns its topic cannot be changed: what to do is told."""
    live = kafka_sink("scores", numPartitions=12, replicationFactor=1)
    played.objects.append(live)
    told = fault(played)
    assert told.startswith("KafkaSink scores of an older version owns its topic")
    assert told.endswith("kubectl -n linewatch delete kafkasink scores")


def test_all_faults_are_told(played):
    """Every fault is told at once, not one a run."""
    played.objects = [node(cpu="100m")]
    played.rendered += [with_secret("mine", "KEY"), kafka_source("two", "v2")]
    _, told = played.run()
    assert sum(line.startswith("FAILED: ") for line in told.splitlines()) == 4
