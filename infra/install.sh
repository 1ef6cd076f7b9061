#!/bin/sh
# Install what Linewatch needs: Debian packages, a virtual environment, the locked requirements.
#   sh infra/install.sh [requirements.txt | tests/requirements.txt]
# Done once, it only compares the lock with the stamp it left. It may be interrupted at any time.
set -eu
cd "$(dirname "$0")/.."
lock=${1:-requirements.txt}
unset PYTHONDONTWRITEBYTECODE PYTHONPATH PYTHONHOME
export PIP_DISABLE_PIP_VERSION_CHECK=1

say() { echo "install: $*" >&2; }
stamp_of() { echo ".venv/installed-$(echo "$1" | tr / -)"; }
digest_of() { sha256sum "$1" | cut -d ' ' -f 1; }
is_done() {
    [ "$(cat "$(stamp_of "$1")" 2>/dev/null)" = "$(digest_of "$1")" ] && [ -x .venv/bin/python ]
}

# The tests' lock holds everything that running needs.
is_done "$lock" && exit 0
if [ "$lock" = requirements.txt ] && is_done tests/requirements.txt; then exit 0; fi

packages="python3-venv libjemalloc2 libfst-tools libfst22-plugins-base"
if [ "$lock" = tests/requirements.txt ]; then
    # The tests' Kafka runs on Java, and Maven fetches its jars.
    packages="$packages chromium openjdk-17-jre-headless maven"
fi

missing_packages() {
    for package in $packages; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok installed' ||
            echo "$package"
    done
}

install_packages() {
    if ! command -v dpkg-query >/dev/null; then
        say "this is no Debian: see that you have what $packages hold"
        return
    fi
    missing=$(missing_packages | tr '\n' ' ')
    [ -z "$missing" ] && return
    if [ "$(id -u)" != 0 ]; then
        say "missing Debian packages, slower without; as root: apt-get install $missing"
        return
    fi
    say "installing Debian packages: $missing"
    export DEBIAN_FRONTEND=noninteractive
    # Another apt may be at work, as right after a machine starts: its lists are as good as ours.
    apt-get update -qq >&2 || true
    # shellcheck disable=SC2086 # a list of words
    apt-get -o DPkg::Lock::Timeout=180 install -y -qq --no-install-recommends $missing >&2 ||
        say "apt-get failed: going on without $missing"
}

# What there is to run: 3.11 is what the lock was made for, 3.12 works too.
find_python() {
    for candidate in ${PYTHON:-} python3.11 python3 /usr/bin/python3 python3.12; do
        "$candidate" -c 'import sys, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' \
            2>/dev/null && echo "$candidate" && return
    done
    say "no Python 3.11 or 3.12 with its venv module: apt-get install python3-venv, or set PYTHON"
    return 1
}

make_environment() {
    if [ -e "$unfinished" ]; then
        say "the last installation was interrupted: starting anew"
    elif .venv/bin/python -m pip --version >/dev/null 2>&1; then
        return
    fi
    python=$(find_python) || exit 1
    : >"$unfinished"
    "$python" -m venv --clear .venv
}

install_requirements() {
    say "installing $lock: some minutes the first time"
    : >"$unfinished"
    # Wheels run no code as they are installed; srt, which vosk asks for, is published as source only.
    if ! .venv/bin/python -m pip install --quiet --compile --require-hashes \
        --only-binary :all: --no-binary srt -r "$lock" >&2; then
        # Pip gave up by itself, as it does offline: what was there before is still whole.
        rm -f "$unfinished"
        say "pip could not install $lock"
        exit 1
    fi
    .venv/bin/python -m compileall -q functions eventing infra streamlit_app
}

# Checks the alert rules. Debian's package of it would start a server and bring 90 MB of pages along.
fetch_promtool() {
    if [ "$lock" != tests/requirements.txt ] || command -v promtool >/dev/null; then return; fi
    [ -x .venv/bin/promtool ] && return
    say "fetching promtool"
    rm -rf .linewatch/promtool && mkdir .linewatch/promtool
    (cd .linewatch/promtool && download_prometheus && dpkg-deb --fsys-tarfile prometheus_*.deb |
        tar -x ./usr/bin/promtool && mv usr/bin/promtool ../../.venv/bin/) >/dev/null 2>&1 ||
        say "promtool could not be fetched: the alert rules are not tested without it"
    rm -rf .linewatch/promtool
}

# Whose lists of packages are missing may fetch them as root.
download_prometheus() {
    apt-get download -qq prometheus || { apt-get update -qq && apt-get download -qq prometheus; }
}

trap 'say interrupted; exit 130' INT TERM HUP
mkdir -p -m 700 .linewatch
unfinished=.linewatch/installing
if command -v flock >/dev/null; then exec 9>.linewatch/install.lock && flock 9; fi
is_done "$lock" && exit 0
install_packages
make_environment
install_requirements
rm -f "$unfinished"
fetch_promtool
digest_of "$lock" >"$(stamp_of "$lock")"
say "done"
