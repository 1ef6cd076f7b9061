"""Which overlay is deployed, and what the command line changes in it."""

from __future__ import annotations

import shutil

import pytest

from infra.deploy import overlay
from infra.deploy.kubectl import CommandFailed, Kubectl
from infra.deploy.overlay import Changes
from infra.manifests.objects import at, name
from linewatch.errors import SettingsError
from tests.infra.deploy.played import deployment

REAL = shutil.which("kubectl")


@pytest.mark.parametrize(
    ("image", "fields"),
    [
        ("a/b", {"newName": "a/b"}),
        ("a/b:1", {"newName": "a/b", "newTag": "1"}),
        ("host:5000/b", {"newName": "host:5000/b"}),
        ("host:5000/b:1", {"newName": "host:5000/b", "newTag": "1"}),
        ("b@sha256:12", {"newName": "b", "digest": "sha256:12"}),
        ("b:1@sha256:12", {"newName": "b", "digest": "sha256:12"}),
    ],
)
def test_image_is_taken_apart(image, fields):
    """An image is a name with a tag or a digest; a registry's port is no tag."""
    assert overlay.image_fields(image) == fields


def test_ours_have_names():
    """An overlay of ours is found by its name, whatever the folder one stands in."""
    assert overlay.find("dev").name == "dev"


def test_unknown_overlay_is_told(played):
    """A name that is none is told with those that are."""
    code, told = played.script("nowhere")
    assert code == 1
    assert "there is no overlay nowhere: name box, box-broker, broker, dev, prod, or a" in told


def test_image_is_changed(played):
    """--image takes the place of the name that the decoder has in the overlay."""
    played.rendered.append({**deployment("decoder"), "apiVersion": "serving.knative.dev/v1"})
    played.rendered[-1]["kind"] = "Service"
    assert played.run("--image", "mine/it:2")[0] == 0
    (made,) = played.state["kustomized"]
    assert made["images"] == [
        {"name": "registry:5000/linewatch", "newName": "mine/it", "newTag": "2"}
    ]


def test_image_of_nothing(played):
    """--image for an overlay without a decoder is told."""
    code, told = played.run("--image", "mine/it:2")
    assert code == 1
    assert "FAILED: --image: the overlay has no Knative Service decoder" in told


def test_namespace_must_be_one(played):
    """An overlay without a namespace is told what to set."""
    played.rendered = [{**each, "metadata": {"name": name(each)}} for each in played.rendered]
    code, told = played.run()
    assert code == 1
    assert "FAILED: set one `namespace:` in the overlay's kustomization: it has none" in told


@pytest.mark.skipif(not REAL, reason="kubectl is not here")
@pytest.mark.parametrize("which", ["dev", "prod", "broker"])
def test_changes_are_rendered(which):
    """The real kustomize renders image and brokers into every object, Redis' image apart."""
    changes = Changes(image="host:5000/mine:2", brokers="a:1, b:2")
    objects = overlay.render(Kubectl(), overlay.find(which), changes)
    assert overlay.namespace_of(objects) == "linewatch"
    images = {
        container["image"]
        for each in objects
        for container in at(each, "spec", "template", "spec", "containers") or ()
    }
    assert {each for each in images if not each.startswith("redis:")} == {"host:5000/mine:2"}
    servers = [at(each, "spec", "bootstrapServers") for each in objects]
    assert [each for each in servers if each not in (None, ["a:1", "b:2"])] == []
    (settings,) = [each for each in objects if is_settings(each)]
    assert settings["data"]["KAFKA_BROKERS"] == "a:1,b:2"


def is_settings(of):
    """Whether it is the ConfigMap of the settings."""
    return (of["kind"], name(of)) == ("ConfigMap", "linewatch")


def test_real_kubectl_refuses(tmp_path):
    """What the real kustomize cannot read is an error with its words."""
    if not REAL:
        pytest.skip("kubectl is not here")
    (tmp_path / "kustomization.yaml").write_text("resources: [missing.yaml]\n")
    with pytest.raises(CommandFailed, match=r"missing\.yaml"):
        overlay.render(Kubectl(), tmp_path, Changes())


def test_settings_error_is_raised():
    """An unknown overlay is a wrong setting."""
    with pytest.raises(SettingsError, match="no overlay nowhere"):
        overlay.find("nowhere")
