"""What an agent says of itself, made up: for metrics and what is made of them."""

from __future__ import annotations

from typing import Any

NOW = 1_790_000_000_000_000


def device(*, alive: bool = True, **more: int) -> dict[str, Any]:
    """Return what it says of a device."""
    figures = {"polls": 10, "overruns": 1, "last_good_us": NOW, "points": 5}
    return {"alive": alive, "failures": 0} | figures | more


def said(**more: Any) -> dict[str, Any]:
    """Return what a healthy agent says of itself."""
    return {
        "at_us": NOW,
        "gateway": "gw-tower-0001",
        "samples_per_second": 12.5,
        "connected": True,
        "certificate": {"until": NOW / 1e6 + 86_400, "fault": ""},
        "sync": {"connected": True, "clock_skew_us": 2500, "last_ack_age": 1.5},
        "safe_mode": False,
        "buffer": {
            "accepted": {"tel": 900, "evt": 3},
            "held": {"tel": 40, "evt": 0},
            "lost": {"quota_tel": 7},
            "disk_bytes": 8_000_000,
            "limit_bytes": 64_000_000,
            "room_bytes": 50_000_000,
            "oldest_us": NOW - 5_000_000,
            "full_since_us": None,
            "giving_up": "",
        },
        "buffer_problem": "",
        "autonomy_hours": 2.0,
        "buses": {
            "roof": {
                "counters": {"polls": 500, "overruns": 2, "samples": 4000},
                "missing": ["unit 9"],
                "poll_ms": {"p50": 4.0, "p95": 20.0},
                "devices": {"modbus:a": device(), "modbus:b": device(alive=False, polls=3)},
            }
        },
        "tasks": {"sync": {"failing": False, "restarts": 2, "error": "gone"}},
        "counters": {"restarts": 2},
        "machine": {"cpu_seconds": 9.5, "resident_bytes": 60_000_000, "written_bytes": 4096},
    } | more
