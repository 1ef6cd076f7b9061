"""The image's layer of the model: the same words as outside, and ready without reading it all."""

from __future__ import annotations

import subprocess

import pytest

from infra.image import model_layer
from infra.model import preparation
from linewatch.decoder.recognition import model_folder
from linewatch.decoder.recognition.model_folder import HASHES
from linewatch.errors import SettingsError

NAME = "vosk-model-of-a-test"
_FILES = {
    "am/final.mdl": "weights",
    "conf/mfcc.conf": "--sample-frequency=16000\n--dither=0",
    "conf/model.conf": "--beam=10\n--max-active=1500",
    "graph/HCLG.fst": "graph",
    "graph/words.txt": "words",
}


@pytest.fixture(name="prepared")
def _prepared(tmp_path):
    """A prepared model, small and no more than a test needs."""
    folder = tmp_path / NAME
    for name, text in _FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    model_folder.keep_hashes(folder / HASHES, model_folder.hashes(folder))
    return folder


@pytest.fixture(name="layer")
def _layer(prepared, tmp_path):
    """What is made of it."""
    model_layer.lay_out(prepared, tmp_path / "layer", {"A": "1"})
    return tmp_path / "layer"


def _digests(folder):
    return {name: entry[2] for name, entry in model_folder.hashes(folder).items()}


def test_live_model_is_same(layer, prepared):
    """The image's model has the files of the one outside, so the same words come of it."""
    assert _digests(layer / "models" / "live" / NAME) == _digests(prepared)


def test_every_profile_is_there(layer):
    """Each profile has a folder of its own, under the model's name."""
    found = {path.parent.name for path in (layer / "models").glob(f"*/{NAME}")}
    assert found == set(preparation.PROFILES)


def test_dense_differs_by_conf(layer, prepared):
    """Another profile differs by its conf alone and takes no second graph's room."""
    dense = layer / "models" / "dense" / NAME
    changed = {
        name for name, digest in _digests(dense).items() if digest != _digests(prepared)[name]
    }
    assert changed == {"conf/model.conf"}
    assert "--frames-per-chunk=51" in (dense / "conf" / "model.conf").read_text().split()
    assert (dense / "graph" / "HCLG.fst").is_symlink()


def test_live_keeps_its_conf(layer):
    """The live model's conf is not written to through the other profile's links."""
    conf = layer / "models" / "live" / NAME / "conf" / "model.conf"
    assert conf.read_text() == _FILES["conf/model.conf"]


@pytest.mark.parametrize("profile", ["live", "dense"])
def test_hashes_need_no_reading(layer, profile, monkeypatch):
    """The kept hashes hold for the files' sizes and times: nothing is hashed at a start."""
    folder = layer / "models" / profile / NAME
    expected = _digests(folder)
    monkeypatch.setattr(model_folder, "file_hash", lambda path: f"read again: {path}")
    kept = model_folder.hashes(folder, model_folder.kept_hashes(folder / HASHES))
    assert {name: entry[2] for name, entry in kept.items()} == expected


def test_times_are_whole_seconds(layer):
    """A layer keeps whole seconds only, so that finer times would not be found again."""
    times = {path.stat().st_mtime_ns for path in (layer / "models").rglob("*/*") if path.is_file()}
    kept = {path.stat().st_mtime_ns for path in (layer / "models").rglob(HASHES)}
    assert {time % 1_000_000_000 for time in times - kept} == {0}


def test_links_lead_inside(layer, tmp_path):
    """The links hold wherever the layer ends up."""
    layer.rename(tmp_path / "elsewhere")
    for link in (tmp_path / "elsewhere").rglob("*"):
        assert link.exists()
        assert not link.is_symlink() or not link.readlink().is_absolute()


def test_shell_reads_environment(prepared, tmp_path):
    """A shell that reads decoder.env exports the same values, whatever they hold."""
    odd = "a b'c\"$d"
    model_layer.lay_out(prepared, tmp_path / "layer", {"ODD": odd})
    said = subprocess.check_output(
        ["/bin/sh", "-c", '. "$0" && env', tmp_path / "layer" / "decoder.env"], text=True
    )
    assert f"ODD={odd}" in said.splitlines()


def test_slow_graph_is_refused(prepared, tmp_path):
    """An image without the static graph is not made: nobody would see the warning."""
    (prepared / "graph" / "HCLG.fst").unlink()
    with pytest.raises(SettingsError, match="static graph"):
        model_layer.lay_out(prepared, tmp_path / "layer", {})


def test_command_makes_layer(prepared, tmp_path, monkeypatch):
    """The command takes the prepared model and this machine's allocator and kernels."""
    monkeypatch.setattr(preparation, "prepare", lambda: prepared)
    monkeypatch.setattr(preparation, "decoder_env", lambda: {"OPENBLAS_CORETYPE": "Haswell"})
    assert model_layer.main([str(tmp_path / "layer")]) == 0
    written = (tmp_path / "layer" / "decoder.env").read_text()
    assert written == "export OPENBLAS_CORETYPE=Haswell\n"


def test_no_model_is_told(tmp_path, monkeypatch, capsys):
    """Without a model the build ends with its one clear line."""

    def nothing():
        raise SettingsError("no model: every road is closed")

    monkeypatch.setattr(preparation, "prepare", nothing)
    assert model_layer.main([str(tmp_path)]) == 2
    assert capsys.readouterr().err == "no model: every road is closed\n"
