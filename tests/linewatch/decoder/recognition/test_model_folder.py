"""The prepared folder, and the digest that stands in every event."""

import os

import pytest

from linewatch.decoder.recognition import frontend, lengths, model_folder
from linewatch.decoder.recognition.model_folder import HASHES, Layout
from linewatch.errors import SettingsError


@pytest.fixture(name="folder")
def _folder(tmp_path):
    """A small stand-in of a prepared model."""
    files = {
        "conf/mfcc.conf": "--num-ceps=40\n--dither=0\n",
        "conf/model.conf": "--max-active=1500\n",
        "graph/HCLG.fst": "graph",
        "am/final.mdl": "net",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def digest(folder):
    """The digest of *folder* now."""
    return model_folder.read(folder).digest


class TestDigest:
    """What the digest depends on."""

    def test_digest_is_stable(self, folder):
        """Reading twice gives the same 32 hex digits."""
        assert digest(folder) == digest(folder)
        assert len(bytes.fromhex(digest(folder))) == 16

    @pytest.mark.parametrize(
        "name", ["conf/mfcc.conf", "conf/model.conf", "graph/HCLG.fst", "am/final.mdl"]
    )
    def test_every_file_counts(self, folder, name):
        """One more byte in any file makes another digest."""
        before = digest(folder)
        with (folder / name).open("a") as file:
            file.write("\n")
        assert digest(folder) != before

    def test_new_files_count(self, folder):
        """Another file, even an empty one, makes another digest."""
        before = digest(folder)
        (folder / "graph" / "words.txt").touch()
        assert digest(folder) != before

    def test_kernels_count(self, folder, monkeypatch):
        """Other BLAS kernels make another digest, and the profile names them."""
        monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
        haswell = digest(folder)
        assert "Haswell" in model_folder.read(folder).profile["kernels"]
        monkeypatch.setenv("OPENBLAS_CORETYPE", "SkylakeX")
        assert digest(folder) != haswell
        monkeypatch.delenv("OPENBLAS_CORETYPE")
        assert "unpinned" in model_folder.read(folder).profile["kernels"]

    def test_allocator_counts(self, folder, monkeypatch):
        """Another allocator makes another digest."""
        before = digest(folder)
        monkeypatch.setattr(model_folder, "_allocator", lambda: "another")
        assert digest(folder) != before

    def test_noise_and_resampler_count(self, folder, monkeypatch):
        """Another frontend makes another digest."""
        before = digest(folder)
        monkeypatch.setattr(frontend, "fingerprint", lambda: "another")
        assert digest(folder) != before

    def test_gate_counts(self, folder, monkeypatch):
        """Another gate makes another digest: it decides where utterances begin."""
        before = digest(folder)
        monkeypatch.setattr(model_folder.gate, "fingerprint", lambda: "another")
        assert digest(folder) != before

    @pytest.mark.parametrize(
        "name", ["RULES", "PRE_ROLL_MS", "IDLE_FRAMES", "UTTERANCE_MS", "TAIL_MS"]
    )
    def test_edges_count(self, folder, monkeypatch, name):
        """Other rules, or another length of what passes an edge, make another digest."""
        before = digest(folder)
        monkeypatch.setattr(lengths, name, 7)
        assert digest(folder) != before

    def test_folder_name_does_not_count(self, folder):
        """The same files under another name have the same digest."""
        before = digest(folder)
        assert digest(folder.rename(folder.with_name("moved"))) == before


class TestHashes:
    """Hashes that are kept between starts."""

    def test_kept_hashes_are_believed(self, folder):
        """A file with the size and time that were kept is not read again."""
        found = model_folder.hashes(folder)
        name = "am/final.mdl"
        kept = {**found, name: (*found[name][:2], "kept")}
        model_folder.keep_hashes(folder / HASHES, kept)
        again = model_folder.hashes(folder, model_folder.kept_hashes(folder / HASHES))
        assert again == kept

    def test_changed_file_is_read(self, folder):
        """A file with another time is read again."""
        model_folder.keep_hashes(folder / HASHES, model_folder.hashes(folder))
        before = digest(folder)
        (folder / "am" / "final.mdl").write_text("NET")
        os.utime(folder / "am" / "final.mdl", ns=(1, 1))
        assert digest(folder) != before

    @pytest.mark.parametrize("text", ["", "{", "[1]", '{"a": 1}', '{"a": [1, "x", 2]}', "null"])
    def test_broken_hashes_are_ignored(self, folder, text):
        """Kept hashes that cannot be read cost time, nothing else."""
        before = digest(folder)
        (folder / HASHES).write_text(text)
        assert digest(folder) == before


class TestChecks:
    """Which folders are refused, and what is told of the others."""

    @pytest.mark.parametrize("text", ["", "--dither=1\n", "--dither=0.5\n", "#--dither=0\n"])
    def test_dither_is_refused(self, folder, text):
        """A conf that leaves Kaldi's random dither on stops the start."""
        (folder / "conf" / "mfcc.conf").write_text(text)
        with pytest.raises(SettingsError, match="--dither=0"):
            model_folder.read(folder)

    def test_empty_folder_is_refused(self, tmp_path):
        """A folder without a model is told so."""
        with pytest.raises(SettingsError, match="no Vosk model"):
            model_folder.read(tmp_path)

    def test_older_layout_is_found(self, tmp_path):
        """A model of the older kind has everything at the top."""
        (tmp_path / "mfcc.conf").write_text("--dither=0\n")
        (tmp_path / "HCLG.fst").touch()
        assert Layout.of(tmp_path).is_static
        assert model_folder.read(tmp_path).profile["graph"] == "static"

    @pytest.mark.parametrize(("options", "profile"), [
        ("", "live"), ("--frames-per-chunk=51\n", "dense"), ("--frames-per-chunk=20\n", "live"),
    ])  # fmt: skip
    def test_profile_follows_conf(self, folder, options, profile):
        """The profile's name is read from the conf, so it cannot be wrong."""
        (folder / "conf" / "model.conf").write_text(options)
        assert model_folder.read(folder).profile["profile"] == profile

    def test_lazy_graph_is_told(self, folder):
        """Without HCLG.fst the profile says that the shipped graph runs."""
        (folder / "graph" / "HCLG.fst").unlink()
        assert model_folder.read(folder).profile["graph"] == "shipped"
