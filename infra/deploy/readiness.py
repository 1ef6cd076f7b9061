"""Whether an object does what it is for; a controller that has not looked yet says nothing."""

from __future__ import annotations

from typing import Final

from infra.manifests.objects import Object, at, group, kubectl_kind

#: How the API groups end whose objects Knative's controllers look after.
_KNATIVE: Final = "knative.dev"
ABSENT: Final = "is not there"
UNSEEN: Final = "no controller has looked at it yet"


def lack(wanted: Object, live: Object | None) -> str:
    """Return what *wanted* still waits for, given what is there of it; "" when it is Ready."""
    if live is None:
        return ABSENT
    what = kubectl_kind(wanted)
    if what == "job":
        return _job_lack(live)
    if what in {"deployment", "statefulset"}:
        return UNSEEN if not _is_seen(live) else _replicas_lack(live)
    if group(wanted).endswith(_KNATIVE):
        return UNSEEN if not _is_seen(live) else _condition_lack(live)
    return ""


def _is_seen(live: Object) -> bool:
    """Tell whether the status speaks of what is wanted now, not of an earlier generation."""
    return bool(at(live, "status", "observedGeneration") == at(live, "metadata", "generation"))


def condition(live: Object | None, kind_of: str) -> Object:
    """Return one of its conditions, empty where it has none such."""
    found = at(live, "status", "conditions") or ()
    return next((each for each in found if each.get("type") == kind_of), {})


def words(of: Object) -> str:
    """Return a condition's reason and message on one line."""
    parts = (" ".join(str(of.get(each) or "").split()) for each in ("reason", "message"))
    return ": ".join(filter(None, parts))


def has_failed(live: Object) -> bool:
    """Tell whether it is a Job that tries no more."""
    return condition(live, "Failed").get("status") == "True"


def _condition_lack(live: Object) -> str:
    ready = condition(live, "Ready")
    return "" if ready.get("status") == "True" else words(ready) or "is not Ready"


def _job_lack(live: Object) -> str:
    if condition(live, "Complete").get("status") == "True":
        return ""
    return words(condition(live, "Failed")) or "runs"


def _replicas_lack(live: Object) -> str:
    asked = at(live, "spec", "replicas")
    wanted = 1 if asked is None else int(asked)
    status = at(live, "status") or {}
    there, updated, ready = (
        int(status.get(each) or 0) for each in ("replicas", "updatedReplicas", "readyReplicas")
    )
    if (there, updated, ready) == (wanted, wanted, wanted):
        return ""
    return f"{min(updated, ready)} of {wanted} pods ready" + _ending(there - wanted)


def _ending(more: int) -> str:
    return f", {more} of before still there" if more > 0 else ""
