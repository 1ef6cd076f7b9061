"""What we ask of every pod beyond its schema: restricted, bounded, probed, as Knative wants it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from infra.manifests.manifest import Manifest
from infra.manifests.objects import Object, part

_AUTOSCALING: Final = "autoscaling.knative.dev/"
#: It holds calls: fewer pods than one, or a door that picks pods at random, would hurt them.
_STATEFUL: Final = "decoder"
#: The queue-proxy drains for 30 s, then the app needs some to stop.
_GRACE_S: Final = 60
#: A restricted pod may mount no more than these; a claim of a StatefulSet is no volume here.
_VOLUMES: Final = {"configMap", "secret", "emptyDir", "persistentVolumeClaim"}
#: Their pods end by themselves: nothing asks whether they are alive.
_ENDING: Final = {"Job", "CronJob"}
_SECRET: Final = re.compile(r"TOKEN|PASSWORD|COOKIE_KEY|SECRET")
#: Names a file that holds the secret: it is read again when the Secret changes.
_IN_FILE: Final = "_FILE"
_RESTRICTED: Final = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def faults(manifest: Manifest) -> Iterator[str]:
    """Say which rule *manifest* breaks, if it makes pods."""
    if manifest.pod is None:
        return
    found = [*_pod_faults(manifest.pod)]
    for container in manifest.containers:
        found += _container_faults(container)
        found += _secret_faults(manifest.pod, container)
    for container in () if manifest.kind in _ENDING else manifest.pod["containers"]:
        found += _probe_faults(container)
    if manifest.is_ksvc:
        found += _ksvc_faults(manifest)
    if manifest.is_ksvc and manifest.role == _STATEFUL:
        found += _stateful_faults(manifest)
    if not manifest.role:
        found.append("its pods have no label app.kubernetes.io/name: no NetworkPolicy finds them")
    yield from (f"{manifest}: {each}" for each in found)


def _pod_faults(pod: Object) -> Iterator[str]:
    if not pod.get("serviceAccountName"):
        yield "name a serviceAccountName of its own"
    if pod.get("automountServiceAccountToken") is not False:
        yield "set automountServiceAccountToken: false"
    if pod.get("enableServiceLinks") is not False:
        yield "set enableServiceLinks: false"
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(name):
            yield f"{name} is not restricted"
    for volume in pod.get("volumes", ()):
        if not _VOLUMES & volume.keys():
            yield f"volume {volume['name']}: a restricted pod may not mount it"
        if "emptyDir" in volume and not part(volume, "emptyDir").get("sizeLimit"):
            yield f"volume {volume['name']}: set emptyDir.sizeLimit"


def _container_faults(container: Object) -> Iterator[str]:
    security = part(container, "securityContext")
    for name, wanted in _RESTRICTED.items():
        if security.get(name) != wanted:
            yield f"securityContext.{name} must be {wanted}"
    if not security.get("runAsUser"):
        yield "securityContext.runAsUser must name a user that is not root"
    resources = part(container, "resources")
    for kind in ("requests", "limits"):
        missing = {"cpu", "memory"} - part(resources, kind).keys()
        if missing:
            yield f"resources.{kind}: set {', '.join(sorted(missing))}"
    if container.get("imagePullPolicy") != "IfNotPresent":
        yield "set imagePullPolicy: IfNotPresent"


def _secret_faults(pod: Object, container: Object) -> Iterator[str]:
    secrets = {each["name"] for each in pod.get("volumes", ()) if "secret" in each}
    mounts = container.get("volumeMounts", ())
    places = tuple(f"{each['mountPath']}/" for each in mounts if each["name"] in secrets)
    for each in container.get("env", ()):
        if not _SECRET.search(each["name"]) or "value" not in each:
            continue
        if not each["name"].endswith(_IN_FILE):
            yield f"{each['name']} belongs in a Secret"
        elif not each["value"].startswith(places):
            yield f"{each['name']} must lie in a Secret that is mounted"


def _probe_faults(container: Object) -> Iterator[str]:
    for probe in ("readinessProbe", "livenessProbe"):
        if not container.get(probe):
            yield f"set {probe}"


def _ksvc_faults(manifest: Manifest) -> Iterator[str]:
    """Say what Knative's webhook refuses, or its default would hurt."""
    spec = part(manifest.template, "spec")
    if _scaling(part(manifest.metadata, "annotations")):
        yield "autoscaling annotations belong on the template"
    if not _scaling(_annotations(manifest)):
        yield "say how it scales on the template"
    if not spec.get("containerConcurrency"):
        yield "containerConcurrency must be above 0: without it nothing presses back"
    if int(spec.get("timeoutSeconds") or 0) < _GRACE_S:
        yield f"timeoutSeconds must be {_GRACE_S} at least: it is the grace on SIGTERM too"
    for name in ("initContainers", "securityContext", "affinity", "nodeSelector", "tolerations"):
        if name in spec:
            yield f"{name} is off in Knative"
    variables = [each for one in manifest.containers for each in one.get("env", ())]
    for each in variables:
        if "fieldRef" in part(each, "valueFrom"):
            yield f"{each['name']}: the Downward API is off in Knative"


def _stateful_faults(manifest: Manifest) -> Iterator[str]:
    scaling = _scaling(_annotations(manifest))
    if int(scaling.get("min-scale", 0)) < 1:
        yield "min-scale must be 1 at least: it holds calls"
    for name, wanted in (("target-burst-capacity", "0"), ("metric", "rps")):
        if scaling.get(name) != wanted:
            yield f'{name} must be "{wanted}"'
    if not scaling.get("scale-down-delay"):
        yield "set scale-down-delay: each pod that leaves moves its calls"


def _scaling(annotations: Object) -> dict[str, str]:
    return {
        name.removeprefix(_AUTOSCALING): str(text)
        for name, text in annotations.items()
        if name.startswith(_AUTOSCALING)
    }


def _annotations(manifest: Manifest) -> Object:
    return part(manifest.template, "metadata", "annotations")
