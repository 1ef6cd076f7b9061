#!/bin/sh
# Stage what the image is made of, or make the image.
#   sh infra/image/build.sh stage FOLDER    FOLDER becomes the build's context, ./Containerfile at its top
#   sh infra/image/build.sh build NAME:TAG  by $BUILDER (podman, docker or box), else the first there is
# The model goes along where it was prepared here (`make model`); else the build fetches and prepares it.
set -eu
cd "$(dirname "$0")/../.."
box=../shared/box/box
lock=${TMPDIR:-/tmp}/linewatch-image.lock

say() { echo "image: $*" >&2; }

# Files of the work tree, ignored ones left out, with their modes and times.
stage() {
    mkdir -p "$1"
    git ls-files -z --cached --others --exclude-standard -- functions eventing streamlit_app \
        .streamlit infra pyproject.toml requirements.txt |
        xargs -0 sh -c 'for file; do [ ! -e "$file" ] || printf "%s\0" "$file"; done' sh |
        tar -c --null --no-recursion -T - | tar -x -C "$1"
    cp -p infra/image/Containerfile "$1/Containerfile"
    model=$(prepared_model) || return 0
    mkdir "$1/model"
    cp -rl "$model" "$1/model/" 2>/dev/null || cp -rp "$model" "$1/model/"
}

prepared_model() {
    [ -x .venv/bin/python ] || return 1
    home=${LINEWATCH_HOME:-$HOME/.cache/linewatch}
    [ -n "$(find "$home/prepared" -name HCLG.fst 2>/dev/null)" ] || return 1
    PYTHONPATH=functions:. .venv/bin/python -m infra.model
}

builder() {
    for each in podman docker; do
        if command -v "$each" >/dev/null && "$each" info >/dev/null 2>&1; then echo "$each" && return; fi
    done
    if [ -x "$box" ]; then echo box && return; fi
    say "there is neither podman nor a running docker here"
    return 1
}

build() {
    by=${BUILDER:-$(builder)}
    context=$(mktemp -d)
    trap 'rm -rf "$context"' EXIT
    trap 'exit 130' INT TERM
    stage "$context"
    case $by in
    # The box packs one image at a time.
    box) flock "$lock" "$box" build "$context" "$1" ;;
    *) "$by" build -f "$context/Containerfile" -t "$1" "$context" ;;
    esac
    say "made $1 by $by"
}

case ${1:-} in
stage) stage "${2:?which folder?}" ;;
build) build "${2:?which name:tag?}" ;;
*)
    sed -n '2,/^set/s/^# //p' "$0" >&2
    exit 2
    ;;
esac
