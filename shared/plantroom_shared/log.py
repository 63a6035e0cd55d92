"""Structured logs to standard error: a line per event, readable on a terminal, JSON otherwise."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

_PLAIN = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


_BOUND: Final[ContextVar[Mapping[str, Any] | None]] = ContextVar("plantroom_log", default=None)


@contextmanager
def bound(**fields: Any) -> Iterator[None]:
    """Add `fields` to every record of this task, and of tasks it starts, while the block runs."""
    token = _BOUND.set({**(_BOUND.get() or {}), **fields})
    try:
        yield
    finally:
        _BOUND.reset(token)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    own = {key: value for key, value in vars(record).items() if key not in _PLAIN}
    return {**(_BOUND.get() or {}), **own}


def _clean(text: str) -> str:
    """Keep names from the field from breaking a line or colouring a terminal."""
    return "".join(ch if ch.isprintable() else f"\\x{ord(ch):02x}" for ch in text)


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "ts": round(record.created, 3),
            "level": record.levelname.lower(),
            "log": record.name,
            "event": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class _PlainFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = " ".join(f"{key}={_clean(str(value))}" for key, value in _fields(record).items())
        at = self.formatTime(record, "%H:%M:%S")
        line = f"{at} {record.levelname:<7} {_clean(record.getMessage())} {fields}".rstrip()
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def configure(*, verbose: bool = False) -> None:
    """Send every log to standard error; third-party stacks only speak up when something is wrong.

    Fields are given as ``log.info("event", extra={"gateway": ...})``.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(_PlainFormatter() if sys.stderr.isatty() else _JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)  # hex dumps of every dead device
    logging.getLogger("mqtt").setLevel(logging.ERROR)  # aiomqtt warns of every pending publish
    ours = logging.DEBUG if verbose else logging.INFO
    for name in ("plantroom_edge", "plantroom_cloud", "plantroom_shared"):
        logging.getLogger(name).setLevel(ours)
