"""The API as its file describes it: every route, and every answer to whatever is asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from linewatch.decoder import app as module
from linewatch.decoder.app import app_of
from tests.linewatch.decoder.phone_requests import service_of

FILE = Path(module.__file__).with_name("openapi.json")
DESCRIBED = json.loads(FILE.read_text())
AUDIO = "/v1/calls/{call}/channels/{channel}/audio"
ROUTES = sorted(
    (method.upper(), path)
    for path, item in DESCRIBED["paths"].items()
    for method in item
    if method in ("get", "post")
)
#: What takes nothing cannot be asked wrongly.
ASKED = [
    (method, path, mode)
    for method, path in ROUTES
    for mode in schemathesis.GenerationMode
    if mode.is_positive or method == "POST"
]
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]


@schemathesis.serializer(*DESCRIBED["paths"][AUDIO]["post"]["requestBody"]["content"])
def _sent_as_it_is(_, value):
    """Tell schemathesis how audio is sent."""
    return bytes(value) if isinstance(value, bytes) else str(value).encode()


@pytest.fixture(name="app")
def _app(redis_url):
    return app_of(service_of(redis_url))


def test_routes_are_the_files(app):
    """Every route is in the file, and every operation of the file is a route."""
    served = sorted(
        (method, rule.rule.replace("<", "{").replace(">", "}"))
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
    )
    assert served == ROUTES


def test_file_is_served(app):
    """The API tells of itself."""
    reply = app.test_client().get("/openapi.json")
    assert (reply.status_code, reply.json) == (200, DESCRIBED)


@pytest.mark.parametrize(("method", "path", "mode"), ASKED)
def test_answers_conform(app, attacks, method, path, mode):
    """Whatever is asked, valid or not, the answer is one the file describes, and no fault."""
    operation = schemathesis.openapi.from_wsgi("/openapi.json", app)[path][method]
    count = 10 if method == "GET" else max(20, attacks // 10)

    @seed(5)
    @settings(max_examples=count, deadline=None, database=None, suppress_health_check=HealthCheck)
    @given(case=operation.as_strategy(generation_mode=mode))
    def conforms(case):
        case.call_and_validate(checks=CHECKS)

    conforms()
