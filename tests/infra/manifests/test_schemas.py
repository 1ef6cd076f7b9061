"""Holds every manifest to its schema, and the check to seeing what is wrong."""

from __future__ import annotations

import re

import pytest

from tests.infra.manifests.changed import BROKER, changed, one, site
from tests.infra.manifests.rendering import BUILD_S, OVERLAYS, rendered
from tests.infra.manifests.schemas import Schemas, closed
from tests.support.source import ROOT

pytestmark = pytest.mark.timeout(BUILD_S)


@pytest.fixture(scope="module", name="schemas")
def _schemas():
    return Schemas(ROOT / "tests" / "schemas" / "knative")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_built_in_kinds_fit(overlay):
    """Every object of Kubernetes' own kinds fits its schema, with no field it does not name."""
    assert [fault for each in rendered(overlay) for fault in Schemas().faults(each)] == []


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_knative_kinds_fit(schemas, overlay):
    """Every object of Knative's kinds fits its definition, with no field it does not name."""
    assert [fault for each in rendered(overlay) for fault in schemas.faults(each)] == []


def test_knative_kinds_are_there():
    """The overlays together have every kind of Knative that the road is made of."""
    kinds = {each.kind for overlay in OVERLAYS for each in rendered(overlay)}
    assert {"Trigger", "KafkaSource", "ContainerSource", "SinkBinding"} <= kinds


@pytest.mark.parametrize(
    ("which", "path", "value", "said"),
    [
        (("Deployment", "gateway"), "spec/replica", 1, "replica"),
        (("Deployment", "gateway"), "spec/replicas", "many", "spec.replicas"),
        (("Deployment", "gateway"), "kind", "Deploiment", "no such kind"),
        (("NetworkPolicy", "redis"), "spec/ingres", [], "ingres"),
        (("ksvc", "decoder"), "spec/template/spec/timeoutSecond", 9, "timeoutSecond"),
        (("ksvc", "decoder"), "apiVersion", "serving.knative.dev/v9", r"not served \(v1\)"),
        (("ksvc", "decoder"), "kind", "Servise", r"not served \(none\)"),
        (("KafkaSource", "sentiment"), "spec/initialOffest", "earliest", "initialOffest"),
        (("KafkaSink", "scores"), "spec/topic", 7, "7 is not of type"),
        (("SinkBinding", "board"), "spec/sink/reff", {}, "reff"),
    ],
)
def test_fault_is_seen(schemas, which, path, value, said):
    """A misspelt field, a wrong value and an unknown kind are each named with their file."""
    manifest = changed(one(*which), path, value)
    (fault,) = schemas.faults(manifest)
    assert fault.startswith(str(manifest))
    assert re.search(said, fault)


def test_broker_is_checked(schemas):
    """A misspelt filter of a Trigger is seen: it would take every event."""
    trigger = one("Trigger", "sentiment", site(BROKER))
    (fault,) = schemas.faults(changed(trigger, "spec/filter/attribute", {"type": "x"}))
    assert "attribute" in fault


def test_built_in_kinds_need_nothing():
    """Without Knative's definitions its kinds pass, and Kubernetes' own are checked still."""
    schemas = Schemas()
    assert not [*schemas.faults(changed(one("ksvc", "decoder"), "spec/odd", 1))]
    assert [*schemas.faults(changed(one("Service", "redis"), "spec/odd", 1))]


def test_open_objects_stay_open():
    """An object that keeps unknown fields, or types them, is not closed."""
    keeps = {"properties": {}, "x-kubernetes-preserve-unknown-fields": True}
    typed = {"properties": {}, "additionalProperties": {"type": "string"}}
    assert closed({"properties": {"a": keeps, "b": typed}}) == {
        "properties": {"a": keeps, "b": typed},
        "additionalProperties": False,
    }
