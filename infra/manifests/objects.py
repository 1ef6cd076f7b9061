"""Objects of Kubernetes as JSON has them: rendered, live or from a file.

The deploy runs without our virtual environment: this module needs Python 3.9 and no library.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

_SERVING: Final = "serving.knative.dev"
_CRON: Final = "CronJob"
#: What makes pods, of spec.template; a CronJob makes Jobs, of spec.jobTemplate.
_WORKLOADS: Final = {"Deployment", "StatefulSet", "Job", _CRON, "ContainerSource"}
Object = Mapping[str, Any]


def at(of: Any, *path: str) -> Any:  # noqa: ANN401 - whatever lies there
    """Return what *path* leads to in *of*, None where it leads nowhere."""
    for step in path:
        of = of.get(step) if isinstance(of, Mapping) else None
    return of


def part(of: Object, *path: str) -> Object:
    """Return the object that *path* leads to in *of*, empty where there is none."""
    found = at(of, *path)
    return found if isinstance(found, Mapping) else {}


def every(of: Any, key: str) -> Iterator[Any]:  # noqa: ANN401 - whatever lies there
    """Yield all that is called *key* in *of*, however deep."""
    if isinstance(of, Mapping):
        for its_name, value in of.items():
            if its_name == key:
                yield value
            yield from every(value, key)
    elif isinstance(of, list):
        for value in of:
            yield from every(value, key)


def name(of: Object) -> str:
    """Return its name."""
    return str(at(of, "metadata", "name") or "")


def group(of: Object) -> str:
    """Return the group of its API; "" is Kubernetes' own."""
    found, slash, _ = str(of.get("apiVersion", "")).partition("/")
    return found if slash else ""


def is_ksvc(of: Object) -> bool:
    """Tell whether it is a Service of Knative."""
    return (of.get("kind"), group(of)) == ("Service", _SERVING)


def kubectl_kind(of: Object) -> str:
    """Return its kind as kubectl calls it: in small letters; a Service of Knative is a ksvc."""
    return "ksvc" if is_ksvc(of) else str(of.get("kind", "")).lower()


def title(of: Object) -> str:
    """Return what kubectl would call it; no two of a namespace agree."""
    return f"{kubectl_kind(of)}/{name(of)}"


def template(of: Object) -> Object | None:
    """Return the template of the pods it makes, None if it makes none."""
    kind = of.get("kind")
    if not is_ksvc(of) and kind not in _WORKLOADS:
        return None
    path = ("jobTemplate", "spec", "template") if kind == _CRON else ("template",)
    return part(of, "spec", *path)
