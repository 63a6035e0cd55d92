"""How a point is sampled and who says so, for a person."""

from __future__ import annotations

from typing import Any

from plantroom_edge.sampling.bands import WORTH
from plantroom_edge.sampling.gate import Band
from plantroom_edge.sampling.totals import Counting

_HINTED = frozenset({"profile", "device"})


def explain(band: Band | None, counting: Counting | None) -> dict[str, Any]:
    """Return how a point is sampled, as plain values; distances in the unit it is stored in."""
    return {"deadband": _deadband(band), "counter": _counter(counting)}


def _deadband(band: Band | None) -> dict[str, Any] | None:
    if band is None:
        return None
    said = WORTH if band.origin in _HINTED else 1.0
    return {
        "absolute": float(f"{band.absolute / said:.6g}"),
        "percent": float(f"{band.share / said * 100:.6g}"),
        "heartbeat": band.heartbeat,
        "by": band.origin,
    }


def _counter(counting: Counting | None) -> dict[str, Any] | None:
    if counting is None:
        return None
    rule = counting.rule
    raw = rule.modulus if rule else None
    return {
        "by": "rule" if rule else "profile",
        "modulus": raw,
        "rollover": counting.rollover if raw is None else None,
    }


def words(told: dict[str, Any], unit: str) -> tuple[str, str]:
    """Return what `explain` has told, as a deadband and as a counter, in few words."""
    band, counter = told["deadband"], told["counter"]
    return _band_words(band, unit), _counter_words(counter, unit)


def _band_words(band: dict[str, Any] | None, unit: str) -> str:
    if band is None:
        return "every poll"
    width = f"{band['absolute']:g} {unit}".rstrip() if band["absolute"] else ""
    width = width or (f"{band['percent']:g} %" if band["percent"] else "any change")
    return f"{width} (by {band['by']}), or {band['heartbeat']:g} s"


def _counter_words(counter: dict[str, Any] | None, unit: str) -> str:
    if counter is None:
        return ""
    if counter["modulus"] is not None:
        return f"0 again at {counter['modulus']} raw (by rule)"
    if counter["rollover"] is not None:
        return f"0 again at {counter['rollover']:.15g} {unit}".rstrip() + " (by profile)"
    return f"never 0 again (by {counter['by']})"
