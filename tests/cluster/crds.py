"""The kinds that the box lacks, for as long as an API server has to judge them."""

from __future__ import annotations

import contextlib
import json

import yaml

from tests.cluster.kube import ROOT, run

SCHEMAS = ROOT / "tests" / "schemas" / "knative"
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


def _create(cluster, name):
    # An earlier run's may still be going: the API server takes no object of such a kind.
    going = ("kubectl", "wait", "--for=delete", f"crd/{name}", "--timeout=280s")
    if _is_going(cluster, name):
        run(*going, env=cluster.env, timeout_s=300)
    if name in _found(cluster):
        return False
    crd = json.dumps(_document(name))
    run("kubectl", "create", "-f", "-", env=cluster.env, stdin=crd)
    wait = ("kubectl", "wait", "--for=condition=Established", f"crd/{name}")
    run(*wait, "--timeout=60s", env=cluster.env)
    return True


def _is_going(cluster, name):
    stamp = "jsonpath={.metadata.deletionTimestamp}"
    got = ("kubectl", "get", "crd", name, "--ignore-not-found", "-o", stamp)
    return bool(run(*got, env=cluster.env).strip())


@contextlib.contextmanager
def present(cluster):
    """Give the API server what it lacks, and take it away again."""
    made = [name for name in LACKING if _create(cluster, name)]
    try:
        yield
    finally:
        if made:
            run("kubectl", "delete", "crd", "--wait=false", *made, env=cluster.env)
