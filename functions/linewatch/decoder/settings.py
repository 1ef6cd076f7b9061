"""What a decoder is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from linewatch.eventlog.settings import KafkaSettings
from linewatch.settings import (
    REDIS_URL,
    bind_host,
    file,
    number,
    path,
    setting,
    some_names,
    tokens,
    url,
    whole,
)


@dataclass(frozen=True, slots=True)
class DecoderSettings(KafkaSettings):
    """What a decoder needs."""

    model_path: Path = setting(
        "VOSK_MODEL_PATH", path, None, "the prepared model: run `python -m infra.model`"
    )
    redis_url: str = setting(
        "REDIS_URL", url("redis", "rediss", "unix"), REDIS_URL, "where sessions are kept"
    )
    bind: str = setting("BIND", bind_host, "127.0.0.1", "the address to listen on")
    port: int = setting("PORT", whole(1, 65535), "8080", "the port to listen on")
    address: str = setting("POD_ADDRESS", url("http"), "", "how other decoders reach this one")
    tokens: Mapping[str, str] = setting("TOKENS", tokens, "", "who may send; none = loopback only")
    tokens_file: str = setting(
        "TOKENS_FILE", file, "", "the same in a file that is read again when it changes"
    )
    cookie_keys: tuple[str, ...] = setting(
        "COOKIE_KEYS", some_names, None, "secrets that sign cookies: the first signs, all verify"
    )
    threads: int = setting("THREADS", whole(4, 256), "16", "requests served at once")
    decoders: int = setting("DECODE_THREADS", whole(1, 256), "2", "decodes at once: the cores")
    capacity: int = setting("CAPACITY", whole(1, 100_000), "60", "channels this pod takes")
    outbox_limit: int = setting(
        "OUTBOX_LIMIT", whole(1, 10_000_000), "100000", "records that may wait for the event log"
    )
    idle_s: float = setting("IDLE_S", number(1, 3600), "30", "a silent channel is parked then")
    abandon_s: float = setting(
        "ABANDON_S", number(1, 86400), "300", "a call to which nobody comes back is given up then"
    )
    paused_s: float = setting("PAUSED_S", number(1, 86400), "3600", "a paused call likewise")
    start_believed_s: int = setting(
        "START_BELIEVED_S",
        whole(60, 10_000_000_000),
        "86400",
        "a call that says it started earlier than so long ago started when it came",
    )
    deadline_s: float = setting(
        "DECODE_DEADLINE_S", number(0.1, 60), "5", "of one decode, for each second of a long chunk"
    )
    keep_undecodable: int = setting(
        "KEEP_UNDECODABLE", whole(0, 10_000), "0", "pieces of audio kept that killed a decoder"
    )
