"""The installer: done once, safe to interrupt, and clear about what is missing."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess

import pytest

from tests.infra.standins import ROOT
from tests.support.waiting import eventually

PYTHON = """#!/bin/sh
echo "$*" >>"$CALLS"
case "$*" in
*"pip install"*) eval "${PIP:-true}" ;;
*"venv --clear"*) mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
*"import sys, ensurepip"*) eval "${FITS:-true}" ;;
esac
"""
CHECKED = "--require-hashes --only-binary :all: --no-binary srt"
PROGRAMS = {
    "python3.11": PYTHON,
    "python3": "#!/bin/sh\nexit 1\n",
    "python3.12": "#!/bin/sh\nexit 1\n",
    "id": '#!/bin/sh\necho "${ID:-0}"\n',
    "apt-get": '#!/bin/sh\necho "apt-get $*" >>"$CALLS"\nexit "${APT:-0}"\n',
    "dpkg-query": '#!/bin/sh\n[ "${MISSING:-}" = "$4" ] || echo install ok installed\n',
}


class Place:
    """A copy of the installer among programs that only note how they are called."""

    def __init__(self, folder):
        self.folder = folder
        self.calls = folder / "calls"
        for name in ("infra", "tests", "programs"):
            (folder / name).mkdir()
        for name in ("functions", "eventing", "streamlit_app"):
            (folder / name).mkdir()
        shutil.copy(ROOT / "infra" / "install.sh", folder / "infra")
        for lock in ("requirements.txt", "tests/requirements.txt"):
            (folder / lock).write_text(f"{lock}\n")
        for name, text in PROGRAMS.items():
            program = folder / "programs" / name
            program.write_text(text)
            program.chmod(0o755)

    def start(self, lock="requirements.txt", **env):
        """Start the installer and return it."""
        return subprocess.Popen(
            ["sh", "infra/install.sh", lock],
            cwd=self.folder,
            env={
                "PATH": f"{self.folder / 'programs'}:/usr/bin:/bin",
                "CALLS": str(self.calls),
                "PYTHON": str(self.folder / "programs" / "python3.11"),
                **env,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, lock="requirements.txt", **env):
        """Run the installer to its end: (exit code, what it said, what it called)."""
        self.calls.write_text("")
        installer = self.start(lock, **env)
        said, _ = installer.communicate(timeout=60)
        return installer.returncode, said, self.calls.read_text()


@pytest.fixture(name="place")
def _place(tmp_path):
    return Place(tmp_path)


def test_second_run_does_nothing(place):
    """Once installed, the next run calls nothing and says nothing."""
    code, said, calls = place.run()
    assert (code, said.splitlines()[-1]) == (0, "install: done")
    assert f"pip install --quiet --compile {CHECKED} -r requirements.txt" in calls
    assert place.run() == (0, "", "")


def test_new_lock_installs_again(place):
    """Another lock installs into the same environment, which is not made anew."""
    place.run()
    (place.folder / "requirements.txt").write_text("other\n")
    code, _, calls = place.run()
    assert code == 0
    assert "pip install" in calls
    assert "venv --clear" not in calls


def test_tests_lock_serves_both(place):
    """What the tests installed is enough to run, not the other way round."""
    place.run("tests/requirements.txt")
    assert place.run() == (0, "", "")
    place.run()
    (place.folder / ".venv" / "installed-tests-requirements.txt").unlink()
    assert "pip install" in place.run("tests/requirements.txt")[2]


def test_stamp_is_locks_digest(place):
    """The stamp is the digest of the lock, so that any change of it is seen."""
    place.run()
    stamp = (place.folder / ".venv" / "installed-requirements.txt").read_text().strip()
    assert stamp == hashlib.sha256(b"requirements.txt\n").hexdigest()


def test_root_installs_packages(place):
    """Root gets the missing Debian package, and only that."""
    code, said, calls = place.run(MISSING="libfst-tools")
    assert code == 0
    assert "installing Debian packages: libfst-tools" in said
    waits = "-o DPkg::Lock::Timeout=180"
    assert f"apt-get {waits} install -y -qq --no-install-recommends libfst-tools\n" in calls


def test_browser_is_for_tests(place):
    """Chromium is asked for by the tests only."""
    assert "chromium" not in place.run(MISSING="chromium")[1]
    assert "chromium" in place.run("tests/requirements.txt", MISSING="chromium")[1]


def test_others_are_told_packages(place):
    """Who is not root is told which packages are missing, and the installation goes on."""
    code, said, calls = place.run(MISSING="libjemalloc2", ID="1000")
    assert code == 0
    assert "as root: apt-get install libjemalloc2" in said
    assert "apt-get" not in calls


def test_failed_apt_goes_on(place):
    """Without the network apt fails; what does not need it is installed all the same."""
    code, said, _ = place.run(MISSING="libfst-tools", APT="100")
    assert (code, "apt-get failed: going on without libfst-tools" in said) == (0, True)


def test_failed_pip_leaves_no_stamp(place):
    """Where pip gives up the installation fails, and the next run tries again in place."""
    code, said, _ = place.run(PIP="false")
    assert (code, said.splitlines()[-1]) == (1, "install: pip could not install requirements.txt")
    code, _, calls = place.run()
    assert (code, "pip install" in calls, "venv --clear" in calls) == (0, True, False)


def test_unfit_python_is_told(place):
    """Without a Python 3.11 or 3.12 that has venv the start says what to install."""
    for name in ("python3", "python3.11", "python3.12"):
        (place.folder / "programs" / name).write_text("#!/bin/sh\nexit 1\n")
    shutil.copy(place.folder / "infra" / "install.sh", place.folder / "copy")
    script = (place.folder / "copy").read_text().replace("/usr/bin/python3", "no-python")
    (place.folder / "infra" / "install.sh").write_text(script)
    code, said, _ = place.run()
    assert code == 1
    assert "apt-get install python3-venv, or set PYTHON" in said


def _package(folder):
    """Build a Debian package that holds a promtool."""
    tree = folder / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    facts = {"Package": "prometheus", "Version": "1", "Architecture": "all"}
    facts |= {"Maintainer": "tests <tests@localhost>", "Description": "a stand-in"}
    (tree / "DEBIAN" / "control").write_text("".join(f"{k}: {v}\n" for k, v in facts.items()))
    (tree / "usr" / "bin").mkdir(parents=True)
    (tree / "usr" / "bin" / "promtool").write_text("#!/bin/sh\necho checked\n")
    (tree / "usr" / "bin" / "promtool").chmod(0o755)
    made = folder / "prometheus_1_all.deb"
    subprocess.run(["dpkg-deb", "--build", str(tree), str(made)], check=True, capture_output=True)
    return made


@pytest.mark.skipif(
    bool(shutil.which("promtool", path="/usr/bin:/bin")) or not shutil.which("dpkg-deb"),
    reason="this machine has a promtool, or is no Debian",
)
def test_promtool_is_for_tests(place):
    """The tests get promtool alone out of its package, which is not installed; running does not."""
    made = _package(place.folder)
    text = f'#!/bin/sh\necho "apt-get $*" >>"$CALLS"\n[ "$1" != download ] || cp {made} .\n'
    (place.folder / "programs" / "apt-get").write_text(text)
    assert "promtool" not in place.run()[1]
    code, said, calls = place.run("tests/requirements.txt")
    assert (code, said.splitlines()[-1]) == (0, "install: done")
    assert "apt-get install" not in calls
    promtool = place.folder / ".venv" / "bin" / "promtool"
    assert subprocess.check_output([promtool], text=True) == "checked\n"
    assert not (place.folder / ".linewatch" / "promtool").exists()


@pytest.mark.skipif(
    bool(shutil.which("promtool", path="/usr/bin:/bin")), reason="this machine has a promtool"
)
def test_missing_promtool_goes_on(place):
    """Where promtool cannot be fetched that is said, and the rest is installed."""
    code, said, _ = place.run("tests/requirements.txt", APT="100")
    assert code == 0
    assert "promtool could not be fetched" in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_interrupted_starts_anew(place, number):
    """An installation cut off in the middle of pip is thrown away by the next."""
    place.calls.write_text("")
    installer = place.start(PIP="sleep 20")
    eventually(lambda: "pip install" in place.calls.read_text())
    os.killpg(installer.pid, number)
    said, _ = installer.communicate(timeout=60)
    assert installer.returncode in {130, -number}
    assert "done" not in said
    code, said, calls = place.run()
    assert code == 0
    assert "the last installation was interrupted: starting anew" in said
    assert "venv --clear .venv" in calls


def test_two_at_once_install_once(place):
    """Of two installations at the same time the second waits and then has nothing to do."""
    place.calls.write_text("")
    both = [place.start(PIP="sleep 0.5") for _ in range(2)]
    codes = [installer.wait(timeout=60) for installer in both]
    for installer in both:
        installer.stdout.close()
    assert codes == [0, 0]
    assert place.calls.read_text().count("pip install") == 1


def test_settings_do_not_leak(place):
    """A PYTHONPATH or PYTHONDONTWRITEBYTECODE of the caller reaches neither pip nor compileall."""
    code, said, _ = place.run(PIP="env", PYTHONPATH="functions", PYTHONDONTWRITEBYTECODE="1")
    assert code == 0
    assert "PIP=env" in said
    assert "PYTHONPATH" not in said
    assert "PYTHONDONTWRITEBYTECODE" not in said
