"""What the agent says of itself: written every second while it runs, readable when it does not."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import orjson

from plantroom_edge import buffer_account as account
from plantroom_edge.config import AgentConfig
from plantroom_shared import ranges
from plantroom_shared.errors import Unavailable


def write(file: Path, document: dict[str, Any]) -> None:
    """Replace `file` by `document` at once: a reader sees the old one or the new one, whole."""
    draft = file.with_name(f"{file.name}.new")
    draft.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2, default=str))
    draft.replace(file)


def read(file: Path) -> dict[str, Any]:
    """Return what the agent last wrote; empty if there is nothing readable."""
    try:
        document = orjson.loads(file.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}
    return document if isinstance(document, dict) else {}


def is_running(document: dict[str, Any]) -> bool:
    """Say whether the process that wrote `document` still runs."""
    pid = document.get("pid")
    if not isinstance(pid, int) or pid <= 0 or document.get("stopped"):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def books(file: Path) -> dict[str, Any]:
    """Return the account of a buffer, read from its file alone, whether its agent runs or not.

    Raises:
        Unavailable: there is no buffer, or it cannot be read.
    """
    with account.reading(file) as db:
        db.execute("BEGIN")  # one moment for all that follows
        stats = account.stats(db)
        epochs = [
            {
                "epoch": holding.ep,
                "accepted": holding.accepted,
                "held": holding.held,
                "held_rows": {key: ranges.count(value) for key, value in holding.held.items()},
            }
            for holding in account.holdings(db)
        ]
    return {
        "accepted": stats.accepted["tel"],
        "on_edge": stats.held["tel"],
        "findings_accepted": stats.accepted["evt"],
        "findings_on_edge": stats.held["evt"],
        "lost": stats.lost,
        "frames": stats.frames,
        "used_bytes": stats.used_bytes,
        "frames_corrupt": stats.frames_corrupt,
        "epochs": epochs,
    }


def report(config: AgentConfig) -> dict[str, Any]:
    """Return all that is known of an agent: its last words, and its buffer as it is now."""
    said = read(config.status_file)
    try:
        now = books(config.buffer_file)
    except Unavailable as error:
        now = {
            "accepted": 0,
            "on_edge": 0,
            "findings_accepted": 0,
            "findings_on_edge": 0,
            "epochs": [],
            "problem": str(error),
        }
    running = is_running(said)
    return {
        "gateway": config.gateway,
        "site": config.site,
        "running": running,
        **now,
        "agent": said if running else {**said, "connected": False},
    }
