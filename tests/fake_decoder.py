"""A whole decoder on a fake recognizer, for gunicorn: ``fake_decoder:create()``.

``FAKE`` picks the recognizer: ``hash``, ``crash`` or ``hang`` (on poisoned audio).
"""

from __future__ import annotations

import os

from fakes import HashRecognizers, PoisonedRecognizers

from linewatch.decoder.app import app_of
from linewatch.decoder.service import build
from linewatch.settings import DecoderSettings, load


def create():
    """See `linewatch.decoder.app.create`."""
    kind = os.environ.get("FAKE", "hash")
    recognizers = HashRecognizers() if kind == "hash" else PoisonedRecognizers(kind)
    service = build(load(DecoderSettings, os.environ), recognizers)
    service.start()
    return app_of(service)
