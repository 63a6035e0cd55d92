"""Saying that a process serves: a line in the log, and a file for whoever started it."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)


def forget(file: Path | None) -> None:
    """Remove what an earlier start left behind."""
    if file is not None:
        file.unlink(missing_ok=True)


def announce(what: str, file: Path | None, **facts: Any) -> None:
    """Say that `what` serves, with `facts` such as its address; write them to `file` as JSON."""
    log.info("%s serves", what, extra=facts)
    if file is not None:
        draft = file.with_name(f".{file.name}.{os.getpid()}")
        draft.write_text(json.dumps({"part": what, "pid": os.getpid(), **facts}) + "\n")
        draft.replace(file)
