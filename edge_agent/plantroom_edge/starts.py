"""Starts that failed in a row, and the safe mode that ends them.

An agent that crashes as soon as it starts would crash for ever. After three such starts it leaves
out what can be left out: it polls, stores and reports, and runs no detectors. It goes back to normal
by itself, after an hour without a crash or when its configuration has changed.
"""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path
from typing import Final

import orjson

from plantroom_edge.config import AgentConfig

log = logging.getLogger(__name__)

HEALTHY_AFTER: Final = 30.0
"""Seconds after which a start has not failed."""

LEAVE_AFTER: Final = 3600.0
"""Seconds without a crash after which the safe mode ends."""

MOST_FAILED: Final = 3
"""Failed starts in a row from which on the next one is in safe mode."""

_SIZE: Final = 256
"""Bytes of the file, always the same: it can be written over when the disk is full."""


def config_hash(config: AgentConfig) -> str:
    """Return 16 hex digits that change with every setting."""
    return hashlib.sha256(config.model_dump_json().encode()).hexdigest()[:16]


class Starts:
    """Counts the starts in a row that did not last; kept in a file of the data folder.

    Args:
        file: where; it is made when it is missing.
        config: hash of the present configuration.
    """

    def __init__(self, file: Path, config: str) -> None:
        self._file = file
        self.config = config
        before = _read(file)
        known = before.get("config")
        self.earlier_config = known if isinstance(known, str) else ""
        """Hash of the configuration of the last start; empty if there was none."""
        failed = before.get("failed")
        counts = known == config and isinstance(failed, int) and not isinstance(failed, bool)
        self.failed = max(0, failed) if counts and isinstance(failed, int) else 0
        """Starts in a row with this configuration that failed."""
        self._written = self.failed
        self.safe = self.failed >= MOST_FAILED
        """Whether this start is in safe mode."""

    def begin(self) -> None:
        """A start begins; unless `ended` or `recovered` follows, it has failed."""
        self._write(self.failed + 1)

    def ended(self) -> None:
        """The agent was stopped in order: this start has not failed."""
        self._write(self.failed)

    def recovered(self) -> None:
        """The agent is well: failures before this count no more."""
        self.failed, self.safe = 0, False
        self._write(0)

    def adopt(self, config: str) -> None:
        """The running agent has taken another configuration, whose hash is `config`."""
        self.config = config
        self._write(self._written)

    def _write(self, failed: int) -> None:
        self._written = failed
        document = orjson.dumps({"failed": failed, "config": self.config})
        try:
            handle = os.open(self._file, os.O_WRONLY | os.O_CREAT, 0o600)
            try:
                os.pwrite(handle, document.ljust(_SIZE), 0)
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError as error:
            extra = {"file": str(self._file), "error": str(error)}
            log.warning("failed starts cannot be counted", extra=extra)


def _read(file: Path) -> dict[str, object]:
    try:
        document = orjson.loads(file.read_bytes()[:_SIZE])
    except (OSError, orjson.JSONDecodeError):
        return {}
    return document if isinstance(document, dict) else {}
