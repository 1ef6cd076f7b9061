"""Linewatch on the cluster: its image, made once for the same files, and its overlay, Ready."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path

import yaml

from tests.cluster.kube import BOX, NAMESPACE, ROOT, run

NAME = "dev.local/linewatch"
#: What the image is made of; anything else may change without a new one.
PARTS = (
    *("functions", "eventing", "streamlit_app", ".streamlit", "pyproject.toml"),
    *("requirements.txt", "infra"),
    *(f":!infra/{each}" for each in ("base", "components", "cluster_demos", "overlays")),
    *(":!infra/deploy", ":!infra/deploy.sh"),
)
READY_S = 420


def tag():
    """Return a tag that is the same for the same files."""
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *PARTS)
    digest = hashlib.sha256()
    for name in sorted(filter(None, listed.split("\0"))):
        if (ROOT / name).is_file():
            digest.update(f"{name}\0".encode() + (ROOT / name).read_bytes())
    return digest.hexdigest()[:12]


def image(cluster):
    """Return the image's name; on the box it is built and loaded where it is not there yet."""
    if not cluster.is_box:
        return os.environ["IMAGE"]
    name = f"{NAME}:{tag()}"
    loaded = run("bash", "-c", f'eval "$("{BOX}" env)"; ctr images ls -q').split()
    if name not in loaded:
        builder = {**cluster.env, "BUILDER": "box"}
        short = name.removeprefix("dev.local/")
        run("sh", "infra/image/build.sh", "build", short, env=builder, timeout_s=2400)
    return name


def deploy(cluster, overlay, name):
    """Bring an overlay with image *name* onto the cluster as a user does; all is Ready then."""
    command = ("sh", "infra/deploy.sh", overlay, "--image", name, "--timeout", f"{READY_S}s")
    print(run(*command, env=cluster.env, timeout_s=READY_S + 120))  # noqa: T201 - for `pytest -s`


def render(cluster, overlay):
    """Return the documents of an overlay as kubectl renders it."""
    folder = ROOT / "infra" / "overlays" / overlay
    rendered = run("kubectl", "kustomize", folder, env=cluster.env)
    return [document for document in yaml.safe_load_all(rendered) if document]


def _moved(document, namespace):
    metadata = document["metadata"]
    if document["kind"] == "Namespace":
        metadata = {**metadata, "name": namespace}
    elif metadata.get("namespace") == NAMESPACE:
        metadata = {**metadata, "namespace": namespace}
    return {**document, "metadata": metadata}


def dry_run(cluster, documents, namespace):
    """Have the API server judge every document, in an empty namespace, and write none of them."""
    moved = [_moved(each, namespace) for each in documents]
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": moved})
    command = ("kubectl", "apply", "--dry-run=server", "-f", "-")
    return run(*command, env=cluster.env, stdin=text)


def kafka(cluster, what):
    """Stop or start the broker of the box."""
    assert cluster.is_box, "only the box's own broker may be stopped"
    done = subprocess.run([BOX, "kafka", what], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-300:]


def is_deployed(cluster):
    """Tell whether the namespace is there."""
    found = run("kubectl", "get", "namespaces", "-o", "name", env=cluster.env)
    return f"namespace/{NAMESPACE}" in found.split()


def overlays():
    """Return the names of all overlays."""
    return sorted(each.name for each in Path(ROOT / "infra" / "overlays").iterdir())
