"""What an operator is given: alert rules, a dashboard and scrape settings that fit the metrics."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from eventing import deadletters, sink, topology
from eventing.metrics import DispatcherMeters
from linewatch.board import app as board_app
from linewatch.decoder.app import app_of
from linewatch.decoder.service import build
from linewatch.decoder.settings import DecoderSettings
from linewatch.gateway.__main__ import Gateway
from linewatch.gateway.playing.pace import Clock
from linewatch.gateway.settings import GatewaySettings
from linewatch.sending.outlet import Outlet
from linewatch.sentiment import app as sentiment_app
from linewatch.sentiment.warmup import Warmup
from linewatch.serving.function import routed
from linewatch.settings import load
from tests.support import fakes
from tests.support.source import ROOT

FOLDER = ROOT / "infra" / "monitoring"
RULES = yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"][0]["rules"]
DASHBOARD = json.loads((FOLDER / "dashboard.json").read_text())
TARGETS = [target for panel in DASHBOARD["panels"] for target in panel["targets"]]
EXPRESSIONS = [rule["expr"] for rule in RULES] + [target["expr"] for target in TARGETS]
ROLES = ("decoder", "sentiment", "board", "gateway", "source", "sink", "deadletters")
#: Prometheus makes it itself.
OWN = {"up"}
_WORD = re.compile(r"[a-z_][a-z0-9_]*")
_LABELS = re.compile(r"\{[^}]*\}|\b(?:by|on) \([^)]*\)|\[[^\]]*\]")
_LABEL = re.compile(r"\{([^}]*)\}|\b(?:by|on) \(([^)]*)\)")
PROMTOOL = shutil.which("promtool") or shutil.which(
    "promtool", path=str(Path(sys.executable).parent)
)
needs_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="promtool is not here: sh infra/install.sh tests/requirements.txt"
)


def _metrics_of(expression):
    """The metrics that an expression names."""
    found = set(_WORD.findall(_LABELS.sub(" ", expression)))
    return {name for name in found if name.startswith(("linewatch_", "process_")) or name in OWN}


def _labels_of(expression):
    """The labels that an expression speaks of."""
    named = set()
    for matched, listed in _LABEL.findall(expression):
        named |= {part.strip() for part in listed.split(",") if part.strip()}
        named |= set(re.findall(r"(\w+)\s*[=!]", matched))
    return named


def _decoder_text():
    given = {"VOSK_MODEL_PATH": "/", "COOKIE_KEYS": "new"}
    service = build(load(DecoderSettings, given), fakes.HashRecognizers())
    return app_of(service).test_client().get("/metrics").text


def _sentiment_text():
    function = sentiment_app.function("s", Warmup(lambda: None), Outlet())
    return routed(function).test_client().get("/metrics").text


def _sources_text():
    meters = DispatcherMeters()
    meters.begin("sentiment")
    meters.show("sentiment", 0, 0)
    return meters.text().decode()


def _deadletters_text():
    receiver = deadletters.create(SimpleNamespace(ping=None), topology.load()).test_client()
    assert receiver.post("/missing", json={"source": "sentiment", "missing": 0}).status_code == 204
    return receiver.get("/metrics").text


@pytest.fixture(scope="module", name="texts")
def _texts():
    """What each role shows at /metrics."""
    return {
        "decoder": _decoder_text(),
        "sentiment": _sentiment_text(),
        "board": board_app.create({}).test_client().get("/metrics").text,
        "gateway": Gateway(load(GatewaySettings, {}), Clock()).metrics.text().decode(),
        "source": _sources_text(),
        "sink": sink.create(SimpleNamespace(ping=None), {"scores": "scores"})
        .test_client()
        .get("/metrics")
        .text,
        "deadletters": _deadletters_text(),
    }


@pytest.fixture(scope="module", name="shown")
def _shown(texts):
    """Every metric that some role shows."""
    return {
        match[1]
        for text in texts.values()
        for match in re.finditer(r"^([a-z_][a-z0-9_]*)[ {]", text, re.MULTILINE)
    }


def _promtool(*arguments, folder=FOLDER):
    return subprocess.run(
        [PROMTOOL, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_metrics_are_really_shown(shown, expression):
    """Every metric of the rules and the dashboard is shown by some role."""
    named = _metrics_of(expression)
    assert named
    assert named - OWN <= shown


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_labels_are_really_shown(texts, expression):
    """Every label of the rules and the dashboard is on a metric, or Prometheus puts it there."""
    every = "\n".join(texts.values())
    given = {"job", "instance"}
    assert all(f'{label}="' in every for label in _labels_of(expression) - given)


def test_reader_sees_metrics():
    """The reader of expressions takes names of metrics and of labels, and no others."""
    expression = 'sum by (le, pod) (rate(linewatch_x_total{reason=~"lost|a"}[5m])) and on (job) up'
    assert _metrics_of(expression) == {"linewatch_x_total", "up"}
    assert _labels_of(expression) == {"le", "pod", "reason", "job"}


@pytest.mark.parametrize("role", ROLES)
def test_roles_count_without_names(texts, role):
    """Every role tells its process, and no label that a call, a line or a word could fill."""
    assert "process_cpu_seconds_total" in texts[role]
    labels = set(re.findall(r'[{,](\w+)="', texts[role]))
    assert labels <= {"le", "reason", "source", "outcome", "sink"}


def test_alerts_say_what_to_do():
    """Every alert has a severity, a summary and a description, and a name of its own."""
    assert len({rule["alert"] for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert rule["annotations"].keys() == {"summary", "description"}


@needs_promtool
def test_rules_are_sound():
    """Prometheus takes the rules."""
    checked = _promtool("check", "rules", "--lint-fatal", "alerts.yaml")
    assert checked.returncode == 0, checked.stdout + checked.stderr


@needs_promtool
def test_alerts_fire_when_due():
    """The alerts fire on the series of a bad day and stay silent on those of a good one."""
    checked = _promtool("test", "rules", "alerts_test.yaml")
    assert checked.returncode == 0, checked.stdout + checked.stderr


@needs_promtool
def test_alert_tests_can_fail(tmp_path):
    """A rule that no longer fires is noticed."""
    for name in ("alerts.yaml", "alerts_test.yaml"):
        shutil.copy(FOLDER / name, tmp_path)
    text = (tmp_path / "alerts.yaml").read_text()
    (tmp_path / "alerts.yaml").write_text(text.replace("lag) > 200", "lag) > 200000"))
    checked = _promtool("test", "rules", "alerts_test.yaml", folder=tmp_path)
    assert checked.returncode == 1
    assert "LinewatchSourceLags" in checked.stdout + checked.stderr


def test_every_alert_is_tested():
    """Each alert is seen to fire and to stay silent."""
    groups = yaml.safe_load((FOLDER / "alerts_test.yaml").read_text())["tests"]
    seen = [case for group in groups for case in group["alert_rule_test"]]
    names = {rule["alert"] for rule in RULES}
    assert names == {case["alertname"] for case in seen if case.get("exp_alerts")}
    assert names == {case["alertname"] for case in seen if not case.get("exp_alerts")}


@needs_promtool
def test_scrape_settings_are_sound(tmp_path):
    """Prometheus takes the scrape settings; Debian's knows no Kubernetes, which is set aside."""
    shutil.copy(FOLDER / "alerts.yaml", tmp_path)
    told = yaml.safe_load((FOLDER / "prometheus.yaml").read_text())
    for job in told["scrape_configs"]:
        job["static_configs"] = [{"targets": [job.pop("kubernetes_sd_configs")[0]["role"]]}]
    (tmp_path / "prometheus.yaml").write_text(yaml.safe_dump(told))
    checked = _promtool("check", "config", "prometheus.yaml", folder=tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@needs_promtool
def test_panels_can_be_asked(tmp_path):
    """Prometheus understands every expression of the dashboard."""
    rules = [
        {"record": f"panel:{number}", "expr": target["expr"].replace("$__rate_interval", "1m")}
        for number, target in enumerate(TARGETS)
    ]
    (tmp_path / "rules.yaml").write_text(
        json.dumps({"groups": [{"name": "dashboard", "rules": rules}]})
    )
    checked = _promtool("check", "rules", "rules.yaml", folder=tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_scraping_finds_every_role():
    """Both ways of scraping ask every role that shows metrics, and only those."""
    monitor = yaml.safe_load((FOLDER / "podmonitor.yaml").read_text())["spec"]
    assert monitor["selector"]["matchExpressions"][0]["values"] == list(ROLES)
    (job,) = yaml.safe_load((FOLDER / "prometheus.yaml").read_text())["scrape_configs"]
    kept = job["relabel_configs"][0]
    assert kept["regex"].split("|") == list(ROLES)
    assert kept["source_labels"] == ["__meta_kubernetes_pod_label_app_kubernetes_io_name"]


def test_scraped_pods_carry_the_label():
    """The pods of every role that shows metrics carry the name by which they are found."""
    manifests = "\n".join(
        path.read_text()
        for folder in ("base", "overlays")
        for path in (ROOT / "infra" / folder).rglob("*.yaml")
    )
    assert all(f"app.kubernetes.io/name: {role}\n" in manifests for role in ROLES)


def test_dashboard_is_one_screen():
    """The panels have ids and titles of their own, lie apart from each other and fit a screen."""
    panels = DASHBOARD["panels"]
    taken = [
        (x, y)
        for panel in panels
        for place in [panel["gridPos"]]
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(taken)) == len(taken)
    assert max(x for x, _ in taken) < 24
    assert max(y for _, y in taken) < 20
    for part in ("id", "title"):
        assert len({panel[part] for panel in panels}) == len(panels)


def test_dashboard_asks_any_prometheus():
    """Every panel asks the data source that the viewer picks, none that one machine knows."""
    (variable,) = DASHBOARD["templating"]["list"]
    assert (variable["name"], variable["query"]) == ("datasource", "prometheus")
    asked = {
        part["datasource"]["uid"]
        for part in [*DASHBOARD["panels"], *TARGETS]
        if "datasource" in part
    }
    assert asked == {"${datasource}"}


@pytest.mark.parametrize(
    "shown",
    [
        "linewatch_line_calls",
        "linewatch_decoder_reply_seconds_bucket",
        "linewatch_source_lag",
        "linewatch_source_dead_letters",
        "linewatch_outbox_records",
        "linewatch_decoder_decode_seconds_sum",
        "linewatch_decoder_forwards_total",
        "linewatch_decoder_adoptions_total",
        "linewatch_decoder_gaps_total",
        "linewatch_sentiment_scores_total",
    ],
)
def test_dashboard_shows(shown):
    """The screen has what an operator looks for first."""
    assert any(shown in _metrics_of(target["expr"]) for target in TARGETS)
