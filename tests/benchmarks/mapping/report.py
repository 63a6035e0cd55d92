"""The results as a table for people and as one JSON object for machines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from benchmarks.mapping.judge import PLAIN, REWRITTEN, Result, Results
from benchmarks.mapping.speed import Speed

_COLUMNS: Final = {
    "points": "points",
    "fine": "fine",
    "lenient": "lenient",
    "top50": "top50",
    "macro_f1": "mF1",
    "pair_f1": "pairF1",
    "exact": "exact",
    "equip_class": "eqclass",
    "ece": "ECE",
    "coverage": "cov95",
    "answered": "answered",
    "after20": "after20",
}
_MEANING: Final = """\
fine: share of labelled points with the right Brick class. lenient: half for a class above or below it.
top50, mF1: accuracy and macro-F1 over the 50 most common coarse classes, the others as one.
pairF1, exact: points of one equipment found together; equipment found exactly. eqclass: its Brick class.
ECE: calibration error. cov95: share of the points with a confidence that 95 % precision covers.
answered: points that got a class. after20: top50 after 20 answers to the mapper's own questions.
"""
_GOALS: Final = {
    "fine": 0.75,
    "top50": 0.88,
    "pair_f1": 0.97,
    "exact": 0.95,
    "equip_class": 0.97,
    "ece": 0.03,
    "coverage": 0.70,
    "after20": 0.95,
}


def as_json(results: Results, speeds: Mapping[str, Sequence[Speed]]) -> dict[str, Any]:
    """Return everything, by mapper and kind of names."""
    return {
        "results": {
            name: {
                kind: {
                    "buildings": {b: asdict(scores) for b, scores in result.scores.items()},
                    "mean": result.means(),
                    "pooled": result.pooled(),
                }
                for kind, result in kinds.items()
            }
            for name, kinds in results.items()
        },
        "goals": _GOALS,
        "speed": {name: [asdict(speed) for speed in own] for name, own in speeds.items()},
    }


def as_text(results: Results, speeds: Mapping[str, Sequence[Speed]]) -> str:
    """Return a table per mapper and kind of names, the means side by side, and the speed."""
    lines = [_MEANING]
    for name, kinds in results.items():
        for kind, result in kinds.items():
            lines += [*_buildings(f"{name}, {kind} names", result), ""]
    lines += ["mean over buildings", _header("")]
    for name, kinds in results.items():
        lines += [_line(f"{name}, {kind}", result.means()) for kind, result in kinds.items()]
        lines.append(_line("  rewritten less plain", _difference(kinds)))
    lines += [_line("goal", _GOALS), ""]
    lines += _speeds(speeds)
    return "\n".join(lines)


def _buildings(title: str, result: Result) -> Iterator[str]:
    yield title
    if not result.scores:
        yield "  not judged: there are no other buildings to train on; give some with --train"
        return
    yield _header("building")
    for building, scores in result.scores.items():
        yield _line(building, asdict(scores))
    yield _line("mean", result.means())
    yield _line("all points together", result.pooled())


def _header(title: str) -> str:
    return f"{title:<26}" + "".join(f"{name:>9}" for name in _COLUMNS.values())


def _line(title: str, values: Mapping[str, float | None]) -> str:
    return f"{title[:26]:<26}" + "".join(f"{_cell(key, values.get(key)):>9}" for key in _COLUMNS)


def _cell(key: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if key == "points" else f"{value:.3f}"


def _difference(kinds: Mapping[str, Result]) -> dict[str, float | None]:
    plain, other = kinds[PLAIN].means(), kinds[REWRITTEN].means()
    both = {key: (plain[key], other[key]) for key in _COLUMNS if key != "points"}
    return {
        key: after - before
        for key, (before, after) in both.items()
        if before is not None and after is not None
    }


def _speeds(speeds: Mapping[str, Sequence[Speed]]) -> Iterator[str]:
    if not speeds:
        return
    yield "speed on made-up names, one in five a new template (vocabulary read, models trained before)"
    yield f"{'':<26}{'points':>9}{'seconds':>9}{'CPU s':>9}{'points/s':>10}{'peak MB':>9}"
    for name, own in speeds.items():
        for item in own:
            yield (
                f"{name:<26}{item.points:>9}{item.seconds:>9.3f}{item.cpu_seconds:>9.3f}"
                f"{item.points / item.seconds:>10.0f}{item.peak_mb:>9.0f}"
            )
