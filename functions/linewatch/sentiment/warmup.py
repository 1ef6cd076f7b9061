"""Loading the scorer while the port is already open.

From zero to the first score the imports are what takes time. They run in a
thread of their own, so the process answers at once and says "not ready".
"""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from time import perf_counter
from types import ModuleType
from typing import TYPE_CHECKING, Final

from linewatch.calls import Channel, ChannelKey, Utterance
from linewatch.errors import Unavailable

if TYPE_CHECKING:
    from linewatch.sentiment.scorer import Scorer

#: How long an event is held for a scorer that is still being loaded.
HOLD_S: Final = 25.0
_SAMPLE: Final = Utterance(
    ChannelKey("default", "warm-up", Channel.CUSTOMER), 0, 0, 0, 0, 0, "the router is not good"
)

log = logging.getLogger(__name__)


class Warmup:
    """A scorer that is being loaded, in a thread that starts now."""

    def __init__(self, load: Callable[[], Scorer]) -> None:
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="warmup")
        self._scorer: Future[Scorer] = thread.submit(load)
        thread.shutdown(wait=False)

    @property
    def is_ready(self) -> bool:
        """Whether `scorer` returns at once."""
        return self._scorer.done() and self._scorer.exception() is None

    def scorer(self, hold_s: float = HOLD_S) -> Scorer:
        """Return the scorer, waiting for it up to *hold_s*.

        Raises:
            Unavailable: it is not loaded by then, or cannot be.
        """
        try:
            return self._scorer.result(hold_s)
        except TimeoutError:
            raise Unavailable("the scorer is still being loaded: send the event again") from None
        except ImportError as error:
            raise Unavailable(f"the scorer cannot be loaded: {error}") from error


def load() -> Scorer:
    """Import and build the scorer, and score once: TextBlob reads its word lists at first use."""
    began_s = perf_counter()
    with _uncollected():
        with _set_aside("spacy.cli.info", "info"):
            from linewatch.sentiment.scorer import Scorer  # noqa: PLC0415 - the slow import
        imported_s = perf_counter()
        scorer = Scorer()
        scorer.score(_SAMPLE, "")
    log.info(
        "scorer version %d (%s) warm: imports %d ms, word lists %d ms",
        scorer.version,
        scorer.made_of,
        (imported_s - began_s) * 1000,
        (perf_counter() - imported_s) * 1000,
    )
    return scorer


@contextmanager
def _uncollected() -> Iterator[None]:
    # 1,000 modules make objects that all stay: looking for garbage among them
    # is a tenth of the start, and each later collection would look again.
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def _set_aside(module: str, name: str) -> Iterator[None]:
    # ``import spacy`` reads spacy.cli.info for the function ``spacy.info``, and
    # with it typer, weasel, httpx and rich: a third of spaCy's import, which
    # serves nobody here. While spaCy is imported a stand-in offers that one
    # name; afterwards it is gone, and the real module can be imported as ever.
    if module in sys.modules:
        yield
        return
    stand_in = ModuleType(module)
    setattr(stand_in, name, None)
    sys.modules[module] = stand_in
    try:
        yield
    finally:
        del sys.modules[module]
