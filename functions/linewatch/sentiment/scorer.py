"""spaCy, spacytextblob and the lexicon: one utterance in, one score out. No I/O.

The only module that imports spaCy. The same text gives the same score as long as
`VERSION` is the same: a golden file holds what each version is made of.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import sha256
from importlib.metadata import version
from threading import Lock
from typing import Final

import spacy
import spacytextblob.spacytextblob  # noqa: F401 - makes the pipe known to spaCy
from spacy.language import Language
from spacy.matcher import PhraseMatcher
from spacy.tokens import Doc
from spacy.util import filter_spans, registry
from spacy.vocab import Vocab
from textblob import TextBlob
from textblob.en import sentiment, tag
from textblob.en.sentiments import PatternAnalyzer

from linewatch.calls import Channel, Score, Utterance
from linewatch.sentiment import lexicon, mood, nouns
from linewatch.sentiment.mood import Heard, Mood

#: Raise it when a score may come out differently: a package, a phrase, a rule of this package.
#: The board shows the score of the highest version.
VERSION: Final = 1
_PACKAGES: Final = ("spacy", "spacytextblob", "textblob")
_WORD: Final = re.compile(r"\w+(?:'\w+)*|[^\w\s]+")
_PIPE: Final = "spacytextblob"
_TOKENIZER: Final = "linewatch.words.v1"
_BLOB: Final = "linewatch.blob.v1"
_CONFIG: Final = {"nlp": {"tokenizer": {"@tokenizers": _TOKENIZER}}}


def _words_tokenizer() -> Callable[[Language], Callable[[str], Doc]]:
    # A recognizer writes words and blanks: spaCy's own tokenizer would compile
    # 0.1 s worth of patterns for punctuation that never comes.
    def make(nlp: Language) -> Callable[[str], Doc]:
        def tokenize(text: str) -> Doc:
            return _doc(nlp.vocab, words_of(text))

        return tokenize

    return make


class _Analyzer(PatternAnalyzer):  # type: ignore[misc] # textblob has no types
    """TextBlob's own, which compiles a class for each text that it analyzes."""

    def analyze(self, text: str, keep_assessments: bool = False) -> object:  # noqa: FBT001, FBT002 - textblob's hook
        if keep_assessments:
            return super().analyze(text, keep_assessments)
        return self.RETURN_TYPE(*sentiment(text))


def _blobs() -> Callable[[str], TextBlob]:
    return partial(TextBlob, analyzer=_Analyzer())


registry.tokenizers.register(_TOKENIZER, func=_words_tokenizer)
registry.misc.register(_BLOB, func=_blobs)


def words_of(text: str) -> list[str]:
    """Return the words of *text* in lower case, and what stands between them, in order."""
    return _WORD.findall(text.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))


def _doc(vocab: Vocab, words: Sequence[str]) -> Doc:
    return Doc(vocab, words=list(words))


class Scorer:
    """Scores utterances; any thread may call it, one is served at a time.

    A lock costs nothing here, as scoring holds the interpreter anyway. It lets
    spaCy forget the words of each utterance, so that memory does not grow.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._nlp = spacy.blank("en", config=_CONFIG)
        self._nlp.add_pipe(_PIPE, config={"custom_blob": {"@misc": _BLOB}})
        self._phrases = lexicon.load()
        self._matcher = PhraseMatcher(self._nlp.vocab)
        for number, phrase in enumerate(self._phrases):
            self._matcher.add(str(number), [_doc(self._nlp.vocab, phrase.words)])
        self.version = VERSION
        self.made_of = _made_of()

    def score(self, utterance: Utterance, consumer: str) -> Score:
        """Return what is to be said of *utterance*; *consumer* names who scored it."""
        words = words_of(utterance.text)
        with self._lock, self._nlp.memory_zone():
            found = self._mood(words, utterance.key.channel)
            tagged = tag(" ".join(words), tokenize=False) if words else []
        return Score(
            key=utterance.key,
            started_at_ms=utterance.started_at_ms,
            index=utterance.index,
            first_sample=utterance.first_sample,
            start_ms=utterance.start_ms,
            end_ms=utterance.end_ms,
            text=utterance.text,
            polarity=found.polarity,
            subjectivity=found.subjectivity,
            nouns=nouns.useful(tagged),
            consumer=consumer,
            scorer=self.made_of,
            scorer_version=self.version,
            digest=utterance.digest,
        )

    def plain(self, text: str) -> Mood:
        """Return what spacytextblob alone makes of *text*: the bench's peer."""
        with self._lock, self._nlp.memory_zone():
            return self._blob(_doc(self._nlp.vocab, words_of(text))) or Mood(0.0, 0.0)

    def _mood(self, words: Sequence[str], channel: Channel) -> Mood:
        doc = _doc(self._nlp.vocab, words)
        heard = mood.negated(words, self._heard(doc, channel))
        if heard:
            doc = _doc(self._nlp.vocab, mood.silenced(words, heard))
        return mood.blend(heard, self._blob(doc))

    def _heard(self, doc: Doc, channel: Channel) -> list[Heard]:
        spans = self._matcher(doc, as_spans=True)
        worth = {span: self._phrases[int(span.label_)].polarity(channel) for span in spans}
        known = filter_spans(span for span, polarity in worth.items() if polarity is not None)
        return [Heard(span.start, span.end, worth[span] or 0.0) for span in known]

    def _blob(self, doc: Doc) -> Mood | None:
        polarity, subjectivity = self._nlp(doc)._.blob.sentiment
        return Mood(polarity, subjectivity) if polarity or subjectivity else None


def _made_of() -> str:
    parts = [f"{name}={version(name)}" for name in _PACKAGES]
    whole = "\n".join([*parts, f"rules={VERSION}"]).encode() + lexicon.PATH.read_bytes()
    return f"{_PIPE}-{version(_PIPE)}-{sha256(whole).hexdigest()[:8]}"
