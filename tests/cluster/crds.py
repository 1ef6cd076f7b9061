"""The kinds that the box lacks, for as long as an API server has to judge them."""

from __future__ import annotations

import contextlib
import json

import yaml

from tests.cluster.kube import ROOT, run

SCHEMAS = ROOT.parent / "shared" / "schemas" / "knative"
#: Not on the box: published in no registry.
LACKING = ("kafkasources.sources.knative.dev", "kafkasinks.eventing.knative.dev")


def _found(cluster):
    told = run("kubectl", "get", "crds", "-o", "name", env=cluster.env).split()
    return {each.partition("/")[2] for each in told}


def _document(name):
    for path in sorted(SCHEMAS.rglob("*.y*ml")):
        for document in yaml.safe_load_all(path.read_text()):
            if document and document.get("metadata", {}).get("name") == name:
                # Its webhooks are not here to convert or to judge.
                document["spec"].pop("conversion", None)
                return document
    raise AssertionError(f"{name} is not in {SCHEMAS.name}")


@contextlib.contextmanager
def present(cluster):
    """Give the API server what it lacks, and take it away again."""
    lacking = [name for name in LACKING if name not in _found(cluster)]
    try:
        for name in lacking:
            crd = json.dumps(_document(name))
            run("kubectl", "create", "-f", "-", env=cluster.env, stdin=crd)
            wait = ("kubectl", "wait", "--for=condition=Established", f"crd/{name}")
            run(*wait, "--timeout=60s", env=cluster.env)
        yield
    finally:
        if lacking:
            run("kubectl", "delete", "crd", *lacking, env=cluster.env)
