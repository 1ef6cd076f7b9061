"""When something does not get Ready, the one condition that is wrong is told, with what to do."""

from __future__ import annotations

import pytest

from tests.infra.deploy.played import deployment, ksvc, not_ready, pod, template

WAITS = {"readyReplicas": 0, "updatedReplicas": 0}
JOB = {"job-name": "topics"}
RUNS = ({"state": {"running": {}}, "ready": False}, 0)


def waiting(reason, message="", count=0):
    """A container that cannot run."""
    return {"state": {"waiting": {"reason": reason, "message": message}}, "ready": False}, count


def crashed(code=1, count=3):
    """A container that ended badly and waits for its next start."""
    ended = {"terminated": {"exitCode": code, "reason": "Error"}}
    state = {"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": ended}
    return {**state, "ready": False}, count


def verdict(played):
    """Run until the time is up; return the verdict's two lines."""
    code, told = played.run("--timeout", "30s")
    assert code == 1
    lines = told.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("FAILED: "))
    assert len(lines) == at + 2
    return lines[at].removeprefix("FAILED: "), lines[at + 1].removeprefix("  -> ")


def test_failed_job_ends_at_once(played):
    """A Job that tries no more is not waited for: the last line of its pod's log is told."""
    failed = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}
    played.fates["job/topics"] = [{"conditions": [failed]}]
    played.objects.append(pod("topics-x", JOB, states=[crashed()]))
    played.logs["topics-x"] = "no broker at kafka:9092"
    told, mend = verdict(played)
    assert played.time.now_s == 0
    assert told == (
        "job/topics: pod topics-x: Error with status 1, 3 restarts; its log ends: "
        "no broker at kafka:9092"
    )
    assert mend == "mend what its log says"


def test_failed_job_without_pod(played):
    """Where its pod is gone, the Job's own reason is told."""
    failed = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}
    played.fates["job/topics"] = [{"conditions": [failed]}]
    told, mend = verdict(played)
    assert told == "job/topics: BackoffLimitExceeded"
    assert "KAFKA_BROKERS must be reachable" in mend


def test_log_before_restart(played):
    """A container that just started again has said nothing: what it said before is told."""
    played.fates["job/topics"] = [{"conditions": []}]
    played.objects.append(pod("topics-x", JOB, states=[crashed()]))
    played.logs["topics-x/previous"] = "no broker answers"
    assert verdict(played)[0].endswith("its log ends: no broker answers")


def test_running_job_is_no_trouble(played):
    """A Job's pod that still runs is no fault: the Job itself is named."""
    played.fates["job/topics"] = [{"conditions": []}]
    played.objects.append(pod("topics-x", JOB, states=[RUNS]))
    assert verdict(played)[0] == "job/topics: runs"


@pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff", "InvalidImageName"])
def test_image_is_named(played, reason):
    """An image that cannot be pulled is told before all that follows from it."""
    played.fates["statefulset/redis"] = [WAITS]
    played.fates["job/topics"] = [{"conditions": []}]
    played.objects += [
        pod("topics-x", JOB, states=[crashed()]),
        pod("redis-0", {"app": "redis"}, states=[waiting(reason, "not found")]),
    ]
    told, mend = verdict(played)
    assert told == f"statefulset/redis: pod redis-0: {reason}: not found"
    assert mend == "push the image, or name one that the nodes can pull: --image NAME:TAG"


def test_unknown_image_of_function(played):
    """An image that Serving finds in no registry is told before the functions' other troubles."""
    said = 'Unable to fetch image "x": not found'
    played.fates["kafkasource/sentiment"] = [not_ready("SinkMissing")]
    played.fates["ksvc/sentiment"] = [not_ready("RevisionMissing", said)]
    told, mend = verdict(played)
    assert told == f"ksvc/sentiment: RevisionMissing: {said}"
    assert mend.startswith("push the image")


def test_missing_key_is_named(played):
    """A pod that waits for a Secret is told with the Secret."""
    played.fates["deployment/dashboard"] = [WAITS]
    said = 'secret "linewatch" not found'
    state = waiting("CreateContainerConfigError", said)
    played.objects.append(pod("dashboard-1", {"app": "dashboard"}, states=[state]))
    told, mend = verdict(played)
    assert told.endswith(f"pod dashboard-1: CreateContainerConfigError: {said}")
    assert mend == "make the Secret, ConfigMap or key that it names"


def test_unscheduled_pod_is_named(played):
    """A pod that no node takes is told with the scheduler's words."""
    played.fates["deployment/dashboard"] = [WAITS]
    said = "0/1 nodes are available: 1 Insufficient cpu."
    labels = {"app": "dashboard"}
    played.objects.append(pod("dashboard-1", labels, placed="False", message=said))
    told, mend = verdict(played)
    assert told == f"deployment/dashboard: pod dashboard-1: {said}"
    assert mend == "add a node, or lower the requests in an overlay of your own"


def test_silent_pod_is_named(played):
    """A pod that runs and never gets ready is told with the last line of its log."""
    played.fates["deployment/dashboard"] = [WAITS]
    played.objects.append(pod("dashboard-1", {"app": "dashboard"}, states=[RUNS]))
    played.logs["dashboard-1"] = "Redis does not answer"
    assert verdict(played)[0].endswith("is not ready; its log ends: Redis does not answer")


def test_sink_before_what_follows(played):
    """A sink that is not Ready is told before the source and the binding that follow from it."""
    later = not_ready("SinkMissing", "no address")
    played.fates["kafkasink/scores"] = [
        {"conditions": [ready()]},
        not_ready("TopicNotPresent", "x"),
    ]
    played.fates["kafkasource/sentiment"] = [later]
    played.fates["sinkbinding/sentiment"] = [later]
    played.fates["ksvc/sentiment"] = [later]
    told, mend = verdict(played)
    assert told == "kafkasink/scores: TopicNotPresent: x"
    assert mend == "see that its topic is there and KAFKA_BROKERS is right (--brokers)"


def ready():
    """The condition of what is Ready."""
    return {"type": "Ready", "status": "True"}


def test_older_pods_are_no_trouble(played):
    """Only pods made like the youngest are looked at: those of before are to go anyway."""
    played.fates["deployment/dashboard"] = [WAITS]
    labels = {"app": "dashboard", "pod-template-hash": "1"}
    old = pod("old", labels, states=[waiting("ErrImagePull")], made_at="2026-01-01T00:00:00Z")
    labels = {"app": "dashboard", "pod-template-hash": "2"}
    new = pod("new", labels, states=[crashed(137)], made_at="2026-01-02T00:00:00Z")
    played.objects += [new, old]
    assert "pod new: Error with status 137" in verdict(played)[0]


def test_away_server_is_waited_for(played):
    """An API server that is away all the time is the condition, at the end of the time."""
    played.rendered = [each for each in played.rendered if each["kind"] != "ConfigMap"]
    played.forbids = ["--ignore-not-found"]
    code, told = played.run("--timeout", "10s")
    assert code == 1
    assert played.time.now_s > 10
    assert "Forbidden" in told.splitlines()[-1]


def test_unnamed_kind_is_told(played):
    """A kind that is not of the application's own is told too."""
    played.served["x.knative.dev/v1"] = ["Thing"]
    played.rendered.append({**ksvc("it"), "apiVersion": "x.knative.dev/v1", "kind": "Thing"})
    played.rendered[-1]["spec"] = {"template": template()}
    played.fates["thing/it"] = [not_ready("Broken")]
    assert verdict(played)[0] == "thing/it: Broken"


def test_replicas_are_counted(played):
    """Of a Deployment it says how many of its pods are ready, and how many still have to end."""
    played.rendered.append(deployment("two", 2))
    played.fates["deployment/two"] = [{"replicas": 3, "updatedReplicas": 2, "readyReplicas": 2}]
    assert verdict(played)[0] == "deployment/two: 2 of 2 pods ready, 1 of before still there"
