"""A whole decoder on a fake recognizer, for gunicorn: ``tests.support.fake_decoder:create()``.

``FAKE`` picks the recognizer: ``hash``, ``crash`` or ``hang`` (on poisoned audio); with
``SAID`` it hears those words. ``SETTLED`` is how many looks it waits before it gives calls to a
decoder that joins. Spans go where the environment says.
"""

from __future__ import annotations

import logging
import os

from linewatch.decoder.app import app_of
from linewatch.decoder.ownership import placing
from linewatch.decoder.service import build
from linewatch.decoder.settings import DecoderSettings
from linewatch.settings import load
from linewatch.tracing.choice import TracingSettings, tracer
from tests.support.fakes import HashRecognizers, PoisonedRecognizers, SayingRecognizers


def create():
    """See `linewatch.decoder.app.create`."""
    kind = os.environ.get("FAKE", "hash")
    recognizers = HashRecognizers() if kind == "hash" else PoisonedRecognizers(kind)
    if os.environ.get("SAID"):
        logging.basicConfig(level=logging.INFO)
        recognizers = SayingRecognizers(os.environ["SAID"])
    placing.SETTLED = int(os.environ.get("SETTLED", placing.SETTLED))
    told = tracer(load(TracingSettings, os.environ), "linewatch-decoder")
    service = build(load(DecoderSettings, os.environ), recognizers, told)
    service.start()
    return app_of(service)
