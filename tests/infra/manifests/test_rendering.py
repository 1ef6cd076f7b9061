"""Holds every overlay, as a real kustomize renders it, to all rules."""

from __future__ import annotations

import pytest

from infra.manifests import checks
from tests.infra.manifests.rendering import BUILD_S, OVERLAYS, command_or_skip, rendered

pytestmark = pytest.mark.timeout(BUILD_S)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_overlay_keeps_rules(overlay):
    """What is applied keeps every rule: its names resolve, its policies fit its topology."""
    assert [*checks.faults(rendered(overlay))] == []


@pytest.mark.parametrize("overlay", ["dev", "broker", "prod"])
def test_overlay_reads_kafka(overlay):
    """The overlays for Knative Kafka have sources and sinks, so that the rules hold something."""
    kinds = [each.kind for each in rendered(overlay)]
    assert kinds.count("KafkaSource") >= 2
    assert kinds.count("KafkaSink") >= 2


def test_missing_tool_is_no_pass(tmp_path):
    """Without a kustomize the tests skip and say what to install, and in CI they fail."""
    with pytest.raises(pytest.skip.Exception, match="install kubectl"):
        command_or_skip({"PATH": "", "KUSTOMIZE": ""}, tmp_path / "none")
    with pytest.raises(pytest.fail.Exception, match=r"CI must render.*install kubectl"):
        command_or_skip({"PATH": "", "CI": "true"}, tmp_path / "none")
