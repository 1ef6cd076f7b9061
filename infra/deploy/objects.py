"""Objects of Kubernetes as JSON has them, rendered or live."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

Object = Mapping[str, Any]
SERVICE_LABEL: Final = "serving.knative.dev/service"
_MIN_SCALE: Final = "autoscaling.knative.dev/min-scale"
_JOB: Final = "job-name"
_SOURCE: Final = "sources.knative.dev/containerSource"


def at(of: Any, *path: str) -> Any:  # noqa: ANN401 - whatever lies there
    """Return what *path* leads to in *of*, None where it leads nowhere."""
    for step in path:
        of = of.get(step) if isinstance(of, Mapping) else None
    return of


def name(of: Object) -> str:
    """Return its name."""
    return str(at(of, "metadata", "name"))


def group(of: Object) -> str:
    """Return the group of its API; "" is Kubernetes' own."""
    found, slash, _ = str(of.get("apiVersion", "")).partition("/")
    return found if slash else ""


def kind(of: Object) -> str:
    """Return its kind in small letters; a Service of Knative is a ksvc."""
    found = str(of.get("kind", "")).lower()
    return "ksvc" if found == "service" and is_knative(of) else found


def is_knative(of: Object) -> bool:
    """Tell whether a controller of Knative looks after it."""
    return group(of).endswith("knative.dev")


def title(of: Object) -> str:
    """Return what kubectl would call it; no two of a namespace agree."""
    return f"{kind(of)}/{name(of)}"


def template(of: Object) -> Object | None:
    """Return the template of the pods it makes, if it makes any."""
    path = ("jobTemplate", "spec", "template") if kind(of) == "cronjob" else ("template",)
    found = at(of, "spec", *path)
    return found if at(found, "spec", "containers") else None


def pod_count(of: Object) -> int:
    """Return how many pods it has at least while it works; a function at zero has to wake."""
    if kind(of) == "ksvc":
        return max(1, int(at(template(of), "metadata", "annotations", _MIN_SCALE) or 0))
    wanted = at(of, "spec", "replicas")
    return 1 if wanted is None else int(wanted)


def owns(of: Object, pod: Object) -> bool:
    """Tell whether *pod* is one of those that *of* makes."""
    labels = at(pod, "metadata", "labels") or {}
    what = kind(of)
    if what in {"ksvc", "job", "containersource"}:
        label = {"ksvc": SERVICE_LABEL, "job": _JOB, "containersource": _SOURCE}[what]
        return bool(labels.get(label) == name(of))
    if what == "cronjob":
        return str(labels.get(_JOB, "")).startswith(f"{name(of)}-")
    selector = at(of, "spec", "selector", "matchLabels") or {}
    return bool(selector) and selector.items() <= labels.items()


def every(of: Any, key: str) -> Iterator[Any]:  # noqa: ANN401 - whatever lies there
    """Return all that is called *key* in *of*, however deep."""
    if isinstance(of, Mapping):
        for its_name, value in of.items():
            if its_name == key:
                yield value
            yield from every(value, key)
    elif isinstance(of, list):
        for value in of:
            yield from every(value, key)
