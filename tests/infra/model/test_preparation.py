"""The prepared folder: laid out once, whole or not at all, by one process at a time."""

import shutil
import subprocess
import sys
import threading

import pytest

from infra.model import download, graph, preparation
from linewatch.decoder.recognition import model_folder
from linewatch.errors import SettingsError
from tests.infra.model.test_graph import const_fst


@pytest.fixture(name="shipped")
def _shipped(tmp_path):
    """A model as Vosk ships it, very small, with README and licence."""
    folder = tmp_path / "my-model"
    files = {
        "conf/mfcc.conf": "--num-ceps=40\n--dither=1\n",
        "conf/model.conf": "--beam=10.0\n--max-active=3000",
        "graph/HCLr.fst": "left",
        "graph/Gr.fst": "right",
        "graph/disambig_tid.int": "7\n",
        "graph/phones/word_boundary.int": "1 nonword\n",
        "am/final.mdl": "net",
        "README.md": "read me",
        "LICENSE.Apache-2.0": "licence",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture(name="env")
def _env(tmp_path, shipped):
    return {"VOSK_MODEL_PATH": str(shipped), "LINEWATCH_HOME": str(tmp_path / "home")}


@pytest.fixture(name="builds")
def _builds(monkeypatch):
    """Replace the composition by a small file; counts how often it was asked for."""
    made = []

    def build(halves, target, known, progress):
        made.append(halves)
        (target / "HCLG.fst").write_bytes(const_fst(1, 1))
        (target / "words.txt").write_text("a 1\n")

    monkeypatch.setattr(graph, "check", lambda halves: None)
    monkeypatch.setattr(graph, "build", build)
    return made


@pytest.fixture(name="no_tools")
def _no_tools(monkeypatch):
    def check(halves):
        raise graph.GraphUnavailable("run `apt-get install`")

    monkeypatch.setattr(graph, "check", check)


def files(folder):
    """The names of all files in *folder*."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


class TestLayout:
    """What the prepared folder holds."""

    def test_static_graph_replaces_halves(self, env, builds):
        """The prepared folder has the static graph and words in the place of the halves."""
        folder = preparation.prepare(env=env, say=pytest.fail)
        assert files(folder) == {
            "conf/mfcc.conf", "conf/model.conf", "graph/HCLG.fst", "graph/words.txt",
            "graph/disambig_tid.int", "graph/phones/word_boundary.int", "am/final.mdl",
            model_folder.HASHES,
        }  # fmt: skip
        assert folder.name == "my-model"

    def test_conf_is_rewritten(self, env, builds, shipped):
        """Dither and the profile's options replace what was there; the shipped conf stays."""
        folder = preparation.prepare(env=env)
        assert (folder / "conf" / "mfcc.conf").read_text() == "--num-ceps=40\n--dither=0"
        assert (folder / "conf" / "model.conf").read_text() == "--beam=10.0\n--max-active=1500"
        assert "--dither=1" in (shipped / "conf" / "mfcc.conf").read_text()

    def test_prepared_folder_may_be_used(self, env, builds):
        """The decoder accepts the folder, and its hashes need not be read again."""
        folder = preparation.prepare(env=env)
        assert model_folder.read(folder).profile["graph"] == "static"
        kept = model_folder.kept_hashes(folder / model_folder.HASHES)
        assert kept == model_folder.hashes(folder)

    def test_without_tools_halves_stay(self, env, no_tools):
        """Where the graph cannot be built the shipped one stays, and a line says why."""
        said = []
        folder = preparation.prepare(env=env, say=said.append)
        assert {"graph/HCLr.fst", "graph/Gr.fst"} <= files(folder)
        assert "apt-get install" in said[0]
        assert len(said) == 1

    def test_failed_build_falls_back(self, env, builds, monkeypatch):
        """A build that fails half-way falls back to the shipped graph and says why."""

        def build(halves, target, known, progress):
            (target / "HCLG.fst").touch()
            raise graph.GraphUnavailable("fstcompose failed")

        monkeypatch.setattr(graph, "build", build)
        said = []
        folder = preparation.prepare(env=env, say=said.append)
        assert "graph/HCLG.fst" not in files(folder)
        assert "fstcompose failed" in said[0]

    def test_static_model_is_kept(self, env, builds, shipped):
        """A model that ships a static graph keeps it; nothing is built."""
        (shipped / "graph" / "HCLG.fst").write_text("graph")
        folder = preparation.prepare(env=env)
        assert (folder / "graph" / "HCLG.fst").read_text() == "graph"
        assert builds == []

    def test_older_layout_is_prepared(self, env, builds, tmp_path):
        """A model of the older kind, all at the top, is prepared too."""
        old = tmp_path / "old"
        old.mkdir()
        for name in ("mfcc.conf", "final.mdl", "HCLr.fst", "Gr.fst", "disambig_tid.int"):
            (old / name).write_text("--num-ceps=40\n")
        folder = preparation.prepare(env={**env, "VOSK_MODEL_PATH": str(old)})
        assert "--dither=0" in (folder / "mfcc.conf").read_text()
        assert (folder / "HCLG.fst").is_file()


class TestCache:
    """When a folder is made, and when it is only found."""

    def test_second_time_builds_nothing(self, env, builds):
        """The same inputs lead to the same folder without another build."""
        assert preparation.prepare(env=env) == preparation.prepare(env=env)
        assert len(builds) == 1

    def test_changed_model_is_prepared_anew(self, env, builds, shipped):
        """Another net is another folder."""
        before = preparation.prepare(env=env)
        (shipped / "am" / "final.mdl").write_text("another net")
        assert preparation.prepare(env=env) != before

    def test_profiles_have_folders(self, env, builds):
        """Each profile has a folder and a digest of its own."""
        live, dense = preparation.prepare(env=env), preparation.prepare("dense", env=env)
        assert "--frames-per-chunk=51" in (dense / "conf" / "model.conf").read_text()
        assert model_folder.read(live).digest != model_folder.read(dense).digest
        assert model_folder.read(dense).profile["profile"] == "dense"

    def test_prepared_path_is_taken(self, env, builds):
        """VOSK_MODEL_PATH may name a prepared folder: it is taken as it is."""
        folder = preparation.prepare(env=env)
        assert preparation.prepare(env={**env, "VOSK_MODEL_PATH": str(folder)}) == folder
        assert len(builds) == 1

    def test_equal_models_share_a_folder(self, env, builds, shipped, tmp_path):
        """The same model in two places has one prepared folder, built once."""
        twin = tmp_path / "twin" / "my-model"
        shutil.copytree(shipped, twin)
        first = preparation.prepare(env=env)
        assert preparation.prepare(env={**env, "VOSK_MODEL_PATH": str(twin)}) == first
        assert len(builds) == 1

    def test_damaged_folder_is_laid_anew(self, env, builds):
        """A prepared file that was changed is found out and made again."""
        folder = preparation.prepare(env=env)
        (folder / "graph" / "words.txt").write_text("b 1\n")
        assert (preparation.prepare(env=env) / "graph" / "words.txt").read_text() == "a 1\n"

    def test_moved_model_is_found_again(self, env, builds, shipped):
        """A model that moved away is as good at its new place."""
        preparation.prepare(env=env)
        moved = shipped.rename(shipped.parent / "attic")
        (shipped.parent / "elsewhere").mkdir()
        again = moved.rename(shipped.parent / "elsewhere" / "my-model")
        folder = preparation.prepare(env={**env, "VOSK_MODEL_PATH": str(again)})
        assert (folder / "am" / "final.mdl").read_text() == "net"

    def test_interrupt_leaves_nothing(self, env, builds, monkeypatch, tmp_path):
        """Ctrl-C during the build leaves no half folder, and the next start builds again."""

        def build(*_):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(graph, "build", build)
            with pytest.raises(KeyboardInterrupt):
                preparation.prepare(env=env)
        assert list((tmp_path / "home" / "prepared").iterdir()) == []
        assert preparation.prepare(env=env).is_dir()

    def test_killed_build_is_cleaned(self, env, builds, tmp_path):
        """What a killed process left is removed by the next."""
        left = tmp_path / "home" / "prepared" / ".0123-4567"
        left.mkdir(parents=True)
        preparation.prepare(env=env)
        assert not left.exists()

    def test_builders_wait_for_each_other(self, env, builds):
        """Eight starts at once build one graph and get the same folder."""
        folders = []
        starts = [
            threading.Thread(target=lambda: folders.append(preparation.prepare(env=env, say=len)))
            for _ in range(8)
        ]
        for start in starts:
            start.start()
        for start in starts:
            start.join()
        assert len(folders) == 8
        assert len(set(folders)) == len(builds) == 1


class TestSource:
    """Which model is prepared."""

    def test_english_model_is_verified(self, env, builds, tmp_path):
        """A folder with the English model's name but other files stops the start."""
        wrong = tmp_path / download.NAME
        wrong.mkdir()
        with pytest.raises(SettingsError, match=r"am/final\.mdl"):
            preparation.prepare(env={**env, "VOSK_MODEL_PATH": str(wrong)})

    def test_model_is_fetched_once(self, env, builds, monkeypatch, tmp_path):
        """Without VOSK_MODEL_PATH the model is fetched into the home, verified, and kept."""
        fetched = []

        def fetch(target, say):
            fetched.append(target)
            (target / "conf").mkdir(parents=True)
            (target / "conf" / "mfcc.conf").touch()
            for name in ("HCLr.fst", "Gr.fst", "disambig_tid.int"):
                (target / "graph").mkdir(exist_ok=True)
                (target / "graph" / name).touch()

        monkeypatch.setattr(download, "fetch", fetch)
        monkeypatch.setattr(download, "wrong_files", lambda folder: [])
        del env["VOSK_MODEL_PATH"]
        assert preparation.prepare(env=env) == preparation.prepare(env=env)
        assert fetched == [tmp_path / "home" / "models" / download.NAME]

    def test_shipped_model_is_untouched(self, env, builds, shipped):
        """What is asked for as shipped is the model itself, before and after it is prepared."""
        before = files(shipped)
        assert preparation.shipped(env) == shipped
        assert preparation.prepare(env=env) != preparation.shipped(env)
        assert files(preparation.shipped(env)) == before

    def test_prepared_folder_is_not_shipped(self, env, builds):
        """A folder that was prepared is refused as the model as shipped."""
        folder = preparation.prepare(env=env)
        with pytest.raises(SettingsError, match="prepared already"):
            preparation.shipped({**env, "VOSK_MODEL_PATH": str(folder)})

    def test_unknown_profile_is_refused(self, env):
        """A profile that does not exist is refused with those that do."""
        with pytest.raises(SettingsError, match="live, dense"):
            preparation.prepare("fast", env=env)

    def test_missing_folder_is_refused(self, env, tmp_path):
        """A VOSK_MODEL_PATH without a model is refused in one line."""
        with pytest.raises(SettingsError, match="no Vosk model"):
            preparation.prepare(env={**env, "VOSK_MODEL_PATH": str(tmp_path / "nothing")})


class TestCommand:
    """The command and the environment of a decoder."""

    def test_folder_is_printed(self, env, builds, monkeypatch, capsys):
        """The command prints the folder, and only that, on stdout."""
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        assert preparation.main([]) == 0
        assert capsys.readouterr().out == f"{preparation.prepare(env=env)}\n"

    def test_wrong_path_exits_2(self, tmp_path):
        """A wrong setting ends the command with one line and exit code 2."""
        ended = subprocess.run(
            [sys.executable, "-m", "infra.model"],
            env={"VOSK_MODEL_PATH": str(tmp_path), "LINEWATCH_HOME": str(tmp_path / "h"),
                 "PYTHONPATH": "functions:."},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ended.returncode == 2
        assert len(ended.stderr.splitlines()) == 1

    def test_decoder_env_pins_kernels(self):
        """A decoder's environment pins kernels, threads and the installed allocator."""
        pinned = preparation.decoder_env()
        assert pinned["OPENBLAS_NUM_THREADS"] == "1"
        assert pinned.get("OPENBLAS_CORETYPE", "Haswell") == "Haswell"
        assert pinned.get("LD_PRELOAD", "libjemalloc.so.2").endswith("libjemalloc.so.2")
