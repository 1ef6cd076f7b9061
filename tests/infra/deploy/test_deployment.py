"""The deployment from the first check to the dashboard's address, against a played cluster."""

from __future__ import annotations

from infra.manifests.objects import title
from tests.infra.deploy.played import deployment, made, not_ready

LINES = "deployment/gateway"
OTHER = {"KAFKA_BROKERS": "other:9092"}


def test_applies_in_stages(played):
    """The ground comes first, then the sinks, then bindings before functions, the lines last."""
    code, told = played.run()
    assert code == 0, told
    ground, sinks, road, lines = played.applied()
    assert ground[0] == "namespace/linewatch"
    assert {"configmap/linewatch", "statefulset/redis", "job/topics"} < set(ground)
    assert set(sinks) == {"kafkasink/scores", "deployment/dashboard"}
    assert road[0] == "sinkbinding/sentiment"
    assert set(road[1:]) == {"kafkasource/sentiment", "ksvc/sentiment"}
    assert lines == [LINES]


def test_ends_with_address(played):
    """At the end it says how to open the dashboard."""
    _, told = played.run()
    assert told.splitlines()[-1] == (
        "dashboard: http://127.0.0.1:8501 while this runs: "
        "kubectl -n linewatch port-forward svc/dashboard 8501:80"
    )


def test_ingress_is_address(played):
    """Where an Ingress leads to the dashboard, its host is the address."""
    backend = {"service": {"name": "dashboard", "port": {"number": 80}}}
    rule = {"host": "calls.example.com", "http": {"paths": [{"backend": backend}]}}
    spec = {"tls": [{}], "rules": [rule]}
    played.objects.append(made("networking.k8s.io/v1", "Ingress", "it", spec))
    assert played.run()[1].splitlines()[-1] == "dashboard: https://calls.example.com"


def test_address_ends_with_path(played):
    """Where the dashboard is served under a path, the address ends with it."""
    (board,) = [each for each in played.rendered if title(each) == "deployment/dashboard"]
    probe = {"httpGet": {"path": "/board/_stcore/health", "port": "http"}}
    board["spec"]["template"] = {"spec": {"containers": [{"readinessProbe": probe}]}}
    assert "dashboard: http://127.0.0.1:8501/board while" in played.run()[1]

    backend = {"service": {"name": "dashboard", "port": {"number": 80}}}
    rule = {"host": "calls.example.com", "http": {"paths": [{"backend": backend}]}}
    played.objects.append(made("networking.k8s.io/v1", "Ingress", "it", {"rules": [rule]}))
    assert played.run()[1].splitlines()[-1] == "dashboard: http://calls.example.com/board"


def test_next_stage_waits(played):
    """Nothing that needs the topics is applied before their Job has completed."""
    played.fates["job/topics"] = [{"conditions": []}, {"conditions": []}]
    code, told = played.run("--timeout", "20s")
    assert code == 1
    assert len(played.applied()) == 1
    assert "waiting for job/topics (runs)" in told


def test_lines_wait_for_all(played):
    """The simulated lines start only once everything else is Ready, and say what was waited for."""
    fate = not_ready("Deploying", "one moment")
    played.fates["ksvc/sentiment"] = [fate, fate, {"conditions": [ready()]}]
    code, told = played.run()
    assert code == 0
    verbs = [each["argv"][0] for each in played.state["calls"]]
    last, but_one = [at for at, verb in enumerate(verbs) if verb == "apply"][:-3:-1]
    assert verbs[but_one:last].count("get") >= 3
    assert "waiting for ksvc/sentiment (Deploying: one moment)" in told
    assert played.applied()[-1] == [LINES]


def test_running_lines_are_left(played):
    """Lines that run already are touched by nothing but the last stage."""
    played.run()
    played.run()
    touching = [each["argv"][0] for each in played.state["calls"] if LINES in each["objects"]]
    assert touching == ["annotate", "apply", "get"]
    assert played.applied()[-1] == [LINES]


def test_second_run_makes_job_anew(played):
    """The Job of the topics cannot be changed: it is deleted first, so a second run succeeds."""
    assert played.run()[0] == 0
    assert played.run()[0] == 0
    gone = [each["argv"] for each in played.called("delete")]
    assert gone == [["delete", "--ignore-not-found", "job/topics"]]


def test_ended_job_may_vanish(played):
    """A Job that was seen complete may be gone while something else is still waited for."""
    played.fates["job/topics"] = [{"conditions": [complete()]}, {"conditions": []}]
    played.fates["statefulset/redis"] = [{"readyReplicas": 0}, {"readyReplicas": 1}]
    assert played.run("--timeout", "60s")[0] == 0


def test_old_generation_is_not_ready(played):
    """A function that is Ready only as it was before the change is not Ready."""
    played.fates["ksvc/sentiment"] = [{"observedGeneration": 0}]
    code, told = played.run("--timeout", "10s")
    assert code == 1
    assert "ksvc/sentiment: no controller has looked at it yet" in told


def test_changed_settings_are_told(played):
    """Where a setting has another value than before, it says how pods that run get it."""
    assert "note: " not in played.run()[1]
    assert "note: " not in played.run()[1]
    played.rendered = [
        {**each, "data": OTHER} if is_settings(each) else each for each in played.rendered
    ]
    code, told = played.run()
    assert code == 0
    assert "note: KAFKA_BROKERS changed: pods that ran before keep the old" in told


def is_settings(of):
    """Whether it is the ConfigMap of the settings."""
    return (of["kind"], of["metadata"]["name"]) == ("ConfigMap", "linewatch")


def test_lines_may_be_none(played):
    """An overlay without lines is deployed too."""
    played.rendered = [each for each in played.rendered if each["metadata"]["name"] != "gateway"]
    assert played.run()[0] == 0


def test_dry_run_changes_nothing(played):
    """A dry run asks the API server about every object and leaves nothing behind."""
    before = played.titles()
    code, told = played.run("--dry-run")
    assert code == 0, told
    assert played.titles() == before
    (call,) = played.called("apply")
    assert "--dry-run=server" in call["argv"]
    assert len(call["objects"]) == len(played.rendered)
    assert told.splitlines()[-1] == "nothing was changed"


def test_dry_run_without_namespace(played):
    """Where the namespace is not there yet the objects are judged in another."""
    played.run("--dry-run")
    (call,) = played.called("apply")
    assert call["at"] == "default"


def test_dry_run_over_job(played):
    """Where the Job is there, which a dry run cannot make anew, the others are judged."""
    played.run()
    code, told = played.run("--dry-run")
    assert code == 0, told
    (call,) = played.called("apply")
    assert (call["at"], "job/topics" in call["objects"]) == ("linewatch", False)


def test_slow_webhook_is_tried_again(played):
    """Where a webhook does not answer, applying is tried three times in all."""
    played.refuses = {"apply": "Internal error occurred: failed calling webhook: no endpoints"}
    code, told = played.run()
    assert (code, len(played.called("apply"))) == (1, 3)
    assert told.splitlines()[-1].startswith("FAILED: Internal error occurred")


def test_refusal_is_one_line(played):
    """What the API server refuses is told at once, in its words."""
    played.refuses = {"apply": "error: denied the request: bad field"}
    code, told = played.run()
    assert (code, len(played.called("apply"))) == (1, 1)
    assert told.splitlines()[-1] == "FAILED: denied the request: bad field"


def test_script_runs_it(played):
    """The script is the same command, from any folder, and by the overlay's path."""
    code, told = played.script(str(played.overlay))
    assert code == 0, told
    assert "port-forward svc/dashboard" in told


def test_script_wants_python(played):
    """Without a Python that is new enough the script says so in one line."""
    code, told = played.script("dev", PYTHON="no-such-python")
    assert code == 1
    assert told == (
        "deploy: no-such-python is missing or older than 3.9: install Python, or set PYTHON\n"
    )


def ready():
    """The condition of what is Ready."""
    return {"type": "Ready", "status": "True"}


def complete():
    """The condition of a Job that is done."""
    return {"type": "Complete", "status": "True"}


def test_interrupt_says_to_repeat(played, monkeypatch):
    """Ctrl-C ends it with one line and the usual status."""
    monkeypatch.setattr(played.time, "sleep", interrupt)
    played.rendered.append(deployment("slow"))
    played.fates["deployment/slow"] = [{"readyReplicas": 0}]
    code, told = played.run()
    assert (code, told.splitlines()[-1]) == (130, "interrupted: run the same command again")


def interrupt(_):
    """Press Ctrl-C."""
    raise KeyboardInterrupt
