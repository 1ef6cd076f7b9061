"""The way past Flask."""

from __future__ import annotations

import pytest
from werkzeug.test import Client
from werkzeug.wrappers import Response

from linewatch.serving.fast_lane import FastLane


@pytest.mark.parametrize(("path", "said"), [("/mine", "lane"), ("/", "flask")])
def test_lane_takes_its_own(path, said):
    """A request of the lane is answered there, any other by the application behind it."""

    def answer(environ):
        return Response("lane") if environ["PATH_INFO"] == "/mine" else None

    assert Client(FastLane(answer, Response("flask"))).get(path).text == said
