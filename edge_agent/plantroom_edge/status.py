"""What the agent says of itself: written every second while it runs, readable when it does not."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import orjson

from plantroom_edge import buffer_account as account
from plantroom_edge import certificate
from plantroom_edge.config import AgentConfig
from plantroom_shared import ranges
from plantroom_shared.clock import SystemClock
from plantroom_shared.errors import Unavailable
from plantroom_shared.wire import STREAMS


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
        "streams": {
            stream: {
                "accepted": stats.accepted[stream],
                "on_edge": stats.held[stream],
                "retained": stats.retained[stream],
            }
            for stream in STREAMS
        },
        "waiting_for_clock": stats.waiting,
        "lost": stats.lost,
        "used_bytes": stats.used_bytes,
        "oldest_unsent_us": stats.oldest_us,
        "frames_corrupt": stats.frames_corrupt,
        "epochs": epochs,
    }


def report(config: AgentConfig) -> dict[str, Any]:
    """Return all that is known of an agent: its last words, and its buffer as it is now."""
    said = read(config.status_file)
    try:
        now = books(config.buffer_file)
    except Unavailable as error:
        now = _NOTHING | {"problem": str(error)}
    running = is_running(said)
    buffer = said.get("buffer") if isinstance(said.get("buffer"), dict) else {}
    oldest = now["oldest_unsent_us"]
    return {
        "gateway": config.gateway,
        "site": config.site,
        "running": running,
        **now,
        "lag_s": None if oldest is None else round(max(0, _now_us() - oldest) / 1e6, 1),
        "limit_bytes": config.buffer.limit_mb * 1024 * 1024,
        "flash_budget_bytes": config.buffer.flash_mb_per_day * 1_000_000,
        "certificate": certificate.describe(config.cloud, _now_us()),
        **(_said(said, buffer or {}) if running else _UNSAID),
        "agent": said if running else {**said, "connected": False},
    }


_NOTHING: Final[dict[str, Any]] = {
    "accepted": 0,
    "on_edge": 0,
    "findings_accepted": 0,
    "findings_on_edge": 0,
    "streams": {},
    "lost": {},
    "oldest_unsent_us": None,
    "epochs": [],
}

_UNSAID: Final[dict[str, Any]] = {
    "safe_mode": None,
    "autonomy_hours": None,
    "giving_up": None,
    "full_since_us": None,
    "disk_bytes": None,
    "flash_bytes_per_day": None,
    "last_confirmed_s": None,
}
"""What only a running agent knows."""


def _said(said: dict[str, Any], buffer: dict[str, Any]) -> dict[str, Any]:
    """Return what matters most of an agent's own words."""
    sync = said.get("sync")
    return {
        "safe_mode": said.get("safe_mode"),
        "autonomy_hours": said.get("autonomy_hours"),
        "giving_up": buffer.get("giving_up"),
        "full_since_us": buffer.get("full_since_us"),
        "disk_bytes": buffer.get("disk_bytes"),
        "flash_bytes_per_day": said.get("flash_bytes_per_day"),
        "last_confirmed_s": sync.get("last_ack_age") if isinstance(sync, dict) else None,
    }


def _now_us() -> int:
    return SystemClock().now_us()
