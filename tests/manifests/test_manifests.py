"""Holds the check of the manifests to passing what we ship and to seeing what is wrong."""

from __future__ import annotations

import io
import shutil

import pytest
import yaml

from infra import manifests
from infra.manifests import ROOT, Folders, check, check_rendered, faults
from linewatch.errors import SettingsError
from tests.manifests.changed import GONE, one, site, with_changed


@pytest.fixture(name="copied")
def _copied(tmp_path):
    """A copy of all manifests, to break."""
    for folder in ("base", "components", "overlays"):
        shutil.copytree(ROOT / "infra" / folder, tmp_path / "infra" / folder)
    (tmp_path / "eventing").mkdir()
    for file in (ROOT / "eventing").glob("*.yaml"):
        shutil.copy(file, tmp_path / "eventing")
    return tmp_path


def _edit(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def test_ours_pass(copied):
    """The manifests of the project are right, and so is a copy of them anywhere."""
    assert check(ROOT) == []
    assert check(copied) == []


def test_every_file_is_read():
    """Every YAML file is an object that is checked, a kustomization, or a patch it names."""
    folders = ("base", "components", "overlays")
    files = [file for name in folders for file in ROOT.glob(f"infra/{name}/**/*.yaml")]
    listed = [file for file in files if file.name != "kustomization.yaml"]
    read = {each.file for each in Folders().all()}
    patches = {"infra/components/kafka-tls/secrets.yaml"}
    assert {str(file.relative_to(ROOT)) for file in listed} - patches <= read


def test_stray_file_is_seen(copied):
    """A manifest that no kustomization names would never be applied."""
    (copied / "infra/base/stray.yaml").write_text("# x")
    assert check(copied) == ["infra/base/stray.yaml: kustomization.yaml does not name it"]


def test_missing_file_is_seen(copied):
    """A kustomization that names what is not there would stop every apply."""
    (copied / "infra/base/disruption-budgets.yaml").unlink()
    (fault,) = check(copied)
    assert fault == "infra/base/kustomization.yaml: there is no disruption-budgets.yaml"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("name: decoder}", "name: decodr}", "no Service decodr to patch"),
        ("group: serving.knative.dev", "group: serving.knativ.dev", "no Service decoder to patch"),
        ("name: linewatch\n      data", "name: line\n      data", "no ConfigMap line to patch"),
    ],
)
def test_patch_of_nothing_is_seen(copied, old, new, said):
    """A patch that hits no object is passed over by kustomize, and said here."""
    _edit(copied / "infra/overlays/dev/kustomization.yaml", old, new)
    (fault,) = check(copied)
    assert said in fault


def test_unnumbered_event_file_is_seen(copied):
    """The files of the event road are numbered in the order they are applied."""
    folder = copied / "eventing"
    (folder / "300-kafkasinks.yaml").rename(folder / "kafkasinks.yaml")
    _edit(folder / "kustomization.yaml", "300-kafkasinks", "kafkasinks")
    assert check(copied) == ["eventing/kafkasinks.yaml: begin the name with its number"]


@pytest.mark.parametrize(
    ("text", "said"), [("kind: X", "first line must say"), ("# x\nkind: [", "is no YAML")]
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
        (("ServiceAccount", "board"), "metadata/name", "bored", "there is no ServiceAccount board"),
        (
            ("ServiceAccount", "board"),
            "automountServiceAccountToken",
            GONE,
            "set automountServiceAccountToken",
        ),
        (("ConfigMap", "linewatch"), "data/KAFKA_REPLICATION", GONE, "has KAFKA_REPLICATION"),
        (("ConfigMap", "linewatch"), "metadata/name", "other", "no ConfigMap has REDIS_URL"),
        (("Deployment", "gateway"), "spec/template/spec/enableServiceLinks", True, "enableService"),
    ],
)
def test_fault_between_objects_is_seen(which, path, value, said):
    """What one object says of another must be true, and each must keep the rules."""
    found = [*faults(with_changed(one(*which), path, value))]
    assert any(said in each for each in found)


def test_rendered_site_is_checked():
    """What kustomize renders is held to the same rules, and to the network it needs."""
    text = yaml.safe_dump_all([dict(each.body) for each in site()])
    assert check_rendered(text) == []
    less = [dict(each.body) for each in site() if each.name != "names"]
    (fault,) = check_rendered(yaml.safe_dump_all(less))
    assert "everybody may reach 53" in fault


def test_check_speaks(capsys, monkeypatch, copied):
    """The command is silent where all is right; else it names every fault, with status 2."""
    assert manifests.main([]) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(manifests, "ROOT", copied)
    (copied / "infra/base/stray.yaml").write_text("# x")
    assert manifests.main([]) == 2
    assert "stray.yaml" in capsys.readouterr().err
    (copied / "eventing/100-topics.yaml").write_text("# x\n- a")
    assert manifests.main([]) == 2
    assert "100-topics.yaml" in capsys.readouterr().err


def test_rendered_text_comes_in(capsys, monkeypatch):
    """With a dash the command reads what kustomize wrote."""
    monkeypatch.setattr("sys.stdin", io.StringIO("kind: Namespace\napiVersion: v1\n"))
    assert manifests.main(["-"]) == 2
    assert "rendered: Namespace" in capsys.readouterr().err
