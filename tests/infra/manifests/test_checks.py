"""Holds the check of the manifests to passing what we ship and to seeing what is wrong."""

from __future__ import annotations

import io

import pytest
import yaml

from infra.manifests import checks
from infra.manifests.checks import check, check_rendered, faults
from infra.manifests.folders import ROOT, Folders
from linewatch.errors import SettingsError
from tests.infra.manifests.changed import GONE, one, with_changed
from tests.infra.manifests.rendering import BUILD_S, rendered

pytestmark = pytest.mark.timeout(BUILD_S)


def _edit(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def test_ours_pass(copied, by):
    """The manifests of the project are right, and so is a copy of them anywhere."""
    assert check(ROOT, by) == []
    assert check(copied, by) == []


def test_stray_file_is_seen(copied, by):
    """A manifest that no kustomization names would never be applied."""
    (copied / "infra/base/stray.yaml").write_text("# x")
    assert check(copied, by) == ["infra/base/stray.yaml: kustomization.yaml does not name it"]


def test_refused_overlay_is_named(copied, by):
    """An overlay that kustomize refuses is a fault of that overlay; the others are held to all."""
    (copied / "infra/overlays/prod/kustomization.yaml").write_text("# x\nresources: [lost.yaml]")
    (fault,) = check(copied, by)
    assert fault.startswith(str(copied / "infra/overlays/prod"))
    assert "lost.yaml" in fault


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("name: decoder}", "name: decodr}", "no Service decodr to patch"),
        ("group: serving.knative.dev", "group: serving.knativ.dev", "no Service decoder to patch"),
        (
            "name: linewatch\n      data",
            "name: line\n      data",
            "ConfigMap.v1.[noGrp]/line.[noNs]",
        ),
    ],
)
def test_patch_of_nothing_is_seen(copied, by, old, new, said):
    """A patch that hits no object is a fault, also where kustomize passes it over."""
    _edit(copied / "infra/overlays/dev/kustomization.yaml", old, new)
    assert any(said in each for each in check(copied, by))


def test_unnumbered_event_file_is_seen(copied, by):
    """The files of the event road are numbered in the order they are applied."""
    folder = copied / "eventing"
    (folder / "300-kafkasinks.yaml").rename(folder / "kafkasinks.yaml")
    _edit(folder / "kustomization.yaml", "300-kafkasinks", "kafkasinks")
    assert check(copied, by) == ["eventing/kafkasinks.yaml: begin the name with its number"]


@pytest.mark.parametrize(
    ("text", "said"), [("kind: X", "first line must say"), ("# x\nkind: [", "is not valid YAML")]
)
def test_bad_kustomization_is_named(copied, text, said):
    """A kustomization that cannot be read, or says nothing of itself, is named."""
    (copied / "infra/base/kustomization.yaml").write_text(text)
    with pytest.raises(SettingsError, match=f"infra/base/kustomization.yaml.*{said}"):
        Folders(copied)


@pytest.mark.parametrize(
    ("which", "path", "value", "said"),
    [
        (("Namespace", "linewatch"), "metadata/labels", {}, "restricted Pod Security Standard"),
        (
            ("ServiceAccount", "board"),
            "automountServiceAccountToken",
            GONE,
            "set automountServiceAccountToken",
        ),
        (("Deployment", "gateway"), "spec/template/spec/enableServiceLinks", True, "enableService"),
        (("ServiceAccount", "board"), "metadata/name", "bored", "there is no ServiceAccount board"),
        (("KafkaSource", "sentiment"), "spec/bootstrapServers", ["x"], "bootstrapServers are"),
        (("NetworkPolicy", "names"), "spec/podSelector", {"a": "b"}, "everybody may reach 53"),
    ],
)
def test_every_check_is_made(which, path, value, said):
    """What is rendered is held to the rules of pods, of guards, of names and of the network."""
    found = rendered("dev")
    assert any(
        said in each for each in faults(with_changed(one(*which, found), path, value, found))
    )


@pytest.mark.parametrize("namespace", ["kube-system", ""])
def test_names_are_answered_anywhere(namespace):
    """Port 53 may be open to the pods of a namespace, or to any address, as a node's cache has."""
    found = rendered("dev")
    peer = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}
    rule = {"ports": [{"port": 53, "protocol": "UDP"}]} | ({"to": [peer]} if namespace else {})
    names = one("NetworkPolicy", "names", found)
    assert [*faults(with_changed(names, "spec/egress", [rule], found))] == []


def test_rendered_text_is_checked():
    """What was rendered elsewhere is held to the same rules."""
    text = yaml.safe_dump_all([dict(each.body) for each in rendered("dev")])
    assert check_rendered(text) == []
    less = [dict(each.body) for each in rendered("dev") if each.name != "names"]
    (fault,) = check_rendered(yaml.safe_dump_all(less))
    assert "everybody may reach 53" in fault


def test_check_speaks(capsys, monkeypatch, copied):
    """The command is silent where all is right; else it names every fault, with status 2."""
    assert checks.main([]) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(checks, "ROOT", copied)
    (copied / "infra/base/stray.yaml").write_text("# x")
    assert checks.main([]) == 2
    assert "stray.yaml" in capsys.readouterr().err
    (copied / "eventing/100-topics.yaml").write_text("# x\n- a")
    assert checks.main([]) == 2
    assert "100-topics.yaml" in capsys.readouterr().err


def test_rendered_text_comes_in(capsys, monkeypatch):
    """With a dash the command reads what kustomize wrote."""
    monkeypatch.setattr("sys.stdin", io.StringIO("kind: Namespace\napiVersion: v1\n"))
    assert checks.main(["-"]) == 2
    assert "rendered: Namespace" in capsys.readouterr().err
