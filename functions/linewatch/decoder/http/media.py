"""Which codec and rate a content type names."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from linewatch.calls import Codec
from linewatch.errors import BadChunk, UnsupportedMedia

LOWEST_HZ: Final = 8_000
HIGHEST_HZ: Final = 48_000
_TELEPHONE_HZ: Final = 8_000
_MOST_DIGITS: Final = 16
_TYPES_REMEMBERED: Final = 256
_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_TYPE: Final = re.compile(rf"\s*(audio/{_WORD})\s*(?=[;,]|$)", re.IGNORECASE)
#: Separators may be commas and a value may tell its type: so GStreamer writes its caps.
_PARAMETER: Final = re.compile(
    rf"[;,]\s*(?:({_WORD})\s*(?:=\s*(?:\((?:int|string)\)\s*)?"
    rf"(?:\"((?:[^\"\\]|\\.)*)\"|((?:{_WORD})?)))?\s*)?(?=[;,]|$)"
)
_G711: Final = {
    "audio/basic": Codec.PCMU,
    **dict.fromkeys(
        ("audio/pcmu", "audio/mulaw", "audio/x-mulaw", "audio/ulaw", "audio/x-ulaw"), Codec.PCMU
    ),
    **dict.fromkeys(("audio/pcma", "audio/alaw", "audio/x-alaw", "audio/x-alaw-basic"), Codec.PCMA),
}
_ENDIANS: Final = {"S16LE": Codec.S16LE, "S16BE": Codec.L16}
#: L16 is big-endian by RFC 2586, but for senders that say otherwise.
_L16: Final = {"": Codec.L16, "big-endian": Codec.L16, "little-endian": Codec.S16LE}
_MEDIA: Final = (
    "send audio/L16;rate=..., audio/x-raw;format=S16LE;rate=..., audio/PCMU or audio/PCMA"
)


@lru_cache(maxsize=_TYPES_REMEMBERED)
def media_type(content_type: str) -> tuple[Codec, int]:
    """Return codec and rate in Hz.

    Raises:
        UnsupportedMedia: no type we read, or parameters that are none.
        BadChunk: a rate that is no number, or out of bounds.
    """
    kind, parameters = _parsed(content_type)
    rate = parameters.get("rate", "")
    if parameters.get("channels", "1") != "1":
        raise UnsupportedMedia("send each speaker as a channel of its own: channels=1")
    if kind == "audio/l16":
        return _l16(parameters.get("endianness", "")), _rate_hz(rate)
    if kind == "audio/x-raw":
        return _raw(parameters.get("format", "")), _rate_hz(rate)
    if kind == "audio/basic" and rate not in {"", str(_TELEPHONE_HZ)}:
        raise BadChunk(f"the rate of audio/basic is {_TELEPHONE_HZ} Hz: send audio/PCMU;rate=...")
    if kind in _G711:
        return _G711[kind], _rate_hz(rate or str(_TELEPHONE_HZ))
    raise _unsupported(content_type)


def _parsed(content_type: str) -> tuple[str, dict[str, str]]:
    """Return type and parameters; names, which have no case, in lower case."""
    kind = _TYPE.match(content_type)
    if not kind:
        raise _unsupported(content_type)
    at, parameters = kind.end(), dict[str, str]()
    while at < len(content_type):
        found = _PARAMETER.match(content_type, at)
        if not found:
            raise _unsupported(content_type)
        at = found.end()
        name, quoted, plain = (part or "" for part in found.groups())
        value = re.sub(r"\\(.)", r"\1", quoted) or plain
        if parameters.setdefault(name.lower(), value) != value:
            raise UnsupportedMedia(f"the content type names two values of {name[:20]}: send one")
    return kind[1].lower(), parameters


def _unsupported(content_type: str) -> UnsupportedMedia:
    return UnsupportedMedia(f"content type {content_type[:80]!r} is not supported: {_MEDIA}")


def _l16(endianness: str) -> Codec:
    codec = _L16.get(endianness.lower())
    if codec is None:
        raise UnsupportedMedia("audio/L16 needs endianness=big-endian or little-endian, or none")
    return codec


def _raw(form: str) -> Codec:
    codec = _ENDIANS.get(form.upper())
    if codec is None:
        raise UnsupportedMedia("audio/x-raw needs format=S16LE or format=S16BE")
    return codec


def _rate_hz(raw: str) -> int:
    number = int(raw) if raw.isascii() and raw.isdigit() and len(raw) <= _MOST_DIGITS else 0
    if not LOWEST_HZ <= number <= HIGHEST_HZ:
        raise BadChunk(f"rate must be {LOWEST_HZ} to {HIGHEST_HZ} Hz, not {raw[:20] or 'left out'}")
    return number
