"""Linewatch brought onto a cluster: applied in stages, the simulated lines last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from infra.deploy.cluster import Cluster
from infra.deploy.kubectl import Kubectl
from infra.deploy.progress import Progress
from infra.deploy.stages import stages
from infra.manifests.objects import Object, at, every, kubectl_kind, name, title

_DASHBOARD: Final = "dashboard"
_PORT: Final = 8501
_HEALTH: Final = "/_stcore/health"
_SETTINGS: Final = "configmap/linewatch"
_DRY: Final = "--dry-run=server"
#: On every cluster, and without policies of ours.
_ELSEWHERE: Final = "default"


def deploy(cluster: Cluster, objects: Sequence[Object], progress: Progress) -> None:
    """Apply *objects*, each stage once the one before is Ready.

    Raises:
        NotReady: something does not get Ready in time.
    """
    wanted = stages(objects)
    changed = changed_settings(cluster.kubectl, objects)
    progress.say("settings, accounts, policies, the store and the topics")
    cluster.apply(wanted.ground)
    cluster.wait(wanted.ground)
    progress.say("sinks and dashboard")
    cluster.apply(wanted.sinks)
    cluster.wait(wanted.sinks)
    progress.say("bindings, functions and sources")
    cluster.apply(wanted.road)
    # What was Ready may be no more: a binding changes its function.
    cluster.wait(wanted.before_calls)
    count = sum(int(at(each, "spec", "replicas") or 0) for each in wanted.lines)
    progress.say(f"simulated lines: {count}")
    cluster.apply(wanted.lines)
    cluster.wait(wanted.lines)
    progress.say(f"all {len(objects)} objects are Ready")
    if changed:
        progress.say(f"note: {', '.join(changed)} changed: {_roll(cluster.kubectl.namespace)}")


def changed_settings(kubectl: Kubectl, objects: Sequence[Object]) -> list[str]:
    """Return the settings that are there with another value: pods read them as they start."""
    wanted = [each for each in objects if title(each) == _SETTINGS]
    live = kubectl.live(wanted) if wanted else []
    return sorted(
        setting
        for before, after in zip(live, wanted)  # noqa: B905 - Python 3.9 has no strict
        for setting in before["data"].keys() | after["data"].keys()
        if before["data"].get(setting) != after["data"].get(setting)
    )


def _roll(namespace: str) -> str:
    return (
        "pods that ran before keep the old until they are rolled: "
        f"kubectl -n {namespace} rollout restart deployment -l '!serving.knative.dev/service'; "
        "for service in decoder sentiment board; do "
        f"kn service update $service -n {namespace} --annotation-revision "
        "linewatch/rolled=$(date +%s); done"
    )


def dry_run(kubectl: Kubectl, objects: Sequence[Object]) -> str:
    """Have the API server judge *objects*, and change nothing; return what it would do."""
    if kubectl.objects("namespace", kubectl.namespace, "--ignore-not-found"):
        # A Job is made anew, which a dry run cannot show.
        jobs = {title(each) for each in kubectl.live(objects) if kubectl_kind(each) == "job"}
        return kubectl.apply([each for each in objects if title(each) not in jobs], _DRY)
    # In a namespace that is not there nothing can be judged.
    return kubectl.elsewhere(_ELSEWHERE).apply([_moved(each) for each in objects], _DRY)


def _moved(of: Object) -> Object:
    if "namespace" not in of["metadata"]:
        return of
    return {**of, "metadata": {**of["metadata"], "namespace": _ELSEWHERE}}


def dashboard(kubectl: Kubectl, objects: Sequence[Object]) -> str:
    """Return how to open the dashboard: by its Ingress, or by a forwarded port."""
    path = _path(objects)
    for each in kubectl.objects("ingresses.networking.k8s.io"):
        for rule in at(each, "spec", "rules") or ():
            if any(at(found, "name") == _DASHBOARD for found in every(rule, "service")):
                scheme = "https" if at(each, "spec", "tls") else "http"
                return f"dashboard: {scheme}://{rule.get('host') or name(each)}{path}"
    forward = f"kubectl -n {kubectl.namespace} port-forward svc/{_DASHBOARD} {_PORT}:80"
    return f"dashboard: http://127.0.0.1:{_PORT}{path} while this runs: {forward}"


def _path(objects: Sequence[Object]) -> str:
    """Return what stands before each path of the dashboard, as its probes have it."""
    for each in objects:
        if title(each) == f"deployment/{_DASHBOARD}":
            for probe in every(each, "readinessProbe"):
                return str(at(probe, "httpGet", "path") or "").removesuffix(_HEALTH)
    return ""
