"""``./plantroom bench mapping --data FOLDER``: how well and how fast points get their meaning.

FOLDER holds labelled point lists as CSV files: columns building, point_name and point_type (a Brick
class; empty where it is not known), and dataset, description, units, object_type, equip_id, equip_class
where there are any. Each building is judged by mappers that have not seen its labels, under its own
names and under rewritten ones, beside two baselines of the same run.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, cast

from benchmarks.mapping import dictionary, mappers, tfidf
from benchmarks.mapping.judge import Make, judge
from benchmarks.mapping.labelled import Labelled, choose, read
from benchmarks.mapping.report import as_json, as_text
from benchmarks.mapping.speed import SIZES, Speed, SpeedError, measure
from plantroom_shared.errors import ConfigError

OURS: Final = "plantroom"
_NOTES: Final = 10
"""Odd rows that are named; the others are counted."""


def main(argv: Sequence[str]) -> int:
    """Judge, and print the table; 2 where a file or an option is wrong."""
    options = _options(argv)
    try:
        return _run(options)
    except (ConfigError, SpeedError) as error:
        print(f"plantroom: {error}", file=sys.stderr)
        return 2


def _options(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./plantroom bench mapping",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--data", type=Path, required=True, metavar="FOLDER", help="the lists to judge by")
    add("--json", action="store_true", help="print one JSON object")
    add("--only", action="append", default=[], metavar="BUILDING", help="may be given repeatedly")
    add(
        "--train",
        type=Path,
        metavar="FOLDER",
        help="lists to train on; without it each building is judged by what the others teach",
    )
    add("--seed", type=int, default=1, help="of the rewritten names")
    add("--no-baselines", action="store_true", help="only judge our own mapper")
    add("--no-speed", action="store_true", help="leave the speed out")
    add(
        "--sizes",
        default=",".join(map(str, SIZES)),
        metavar="N,N",
        help="points to measure speed with",
    )
    add(
        "--also",
        action="append",
        default=[],
        metavar="MODULE:FUNCTION",
        help="judge one more: FUNCTION(rows of other sites) returns a mapper",
    )
    return parser.parse_args(argv)


def _run(options: argparse.Namespace) -> int:
    started = time.perf_counter()
    notes: list[str] = []
    sizes = _sizes(options.sizes)
    buildings = read(options.data, notes)
    training = read(options.train, notes, "--train") if options.train else None
    chosen = choose(buildings, options.only)
    makers = _makers(options)
    results = judge(buildings, chosen, makers, training=training, seed=options.seed, tell=_progress)
    speeds: dict[str, list[Speed]] = {}
    if not options.no_speed:
        lessons = options.train or options.data
        rows = [row for own in (training or buildings).values() for row in own]
        speeds = _speeds(makers, sizes, lessons if tfidf.can_learn(rows) else None)
    _progress("")
    _say(notes)
    lasted = time.perf_counter() - started
    if options.json:
        about = {"data": str(options.data), "seed": options.seed, "notes": notes}
        print(json.dumps({**about, "seconds": lasted, **as_json(results, speeds)}))
    else:
        print(as_text(results, speeds))
        print(f"\n{len(chosen)} buildings in {lasted:.0f} s")
    return 0


def _sizes(text: str) -> list[int]:
    try:
        sizes = sorted({int(part) for part in text.split(",")})
    except ValueError:
        sizes = []
    if not sizes or sizes[0] < 1:
        fix = "give numbers of points: --sizes 1000,10000"
        msg = f"{text!r} are no sizes"
        raise ConfigError(msg, key="--sizes", fix=fix)
    return sizes


def _makers(options: argparse.Namespace) -> dict[str, Make]:
    makers: dict[str, Make] = {OURS: mappers.plantroom}
    for name in options.also:
        makers[name] = _trained(_load(name))
    if not options.no_baselines:
        makers["dictionary"] = _trained(dictionary.train)
        makers["tfidf"] = _tfidf()
    return makers


def _trained(train: mappers.Train) -> Make:
    """Train once as long as the lessons are the same: with --train they mostly are."""
    last: list[tuple[Sequence[Labelled], mappers.Mapper]] = []

    def make(_: str, rows: Sequence[Labelled]) -> mappers.Mapper:
        if not last or last[0][0] != rows:
            last[:] = [(rows, train(rows))]
        return last[0][1]

    return make


def _tfidf() -> Make:
    make = _trained(tfidf.train)
    return lambda building, rows: make(building, rows) if tfidf.can_learn(rows) else None


def _load(name: str) -> mappers.Train:
    module, _, function = name.partition(":")
    try:
        return cast("mappers.Train", getattr(importlib.import_module(module), function))
    except (ImportError, AttributeError, ValueError) as error:
        fix = "give a module that can be imported and a function in it: --also package.module:train"
        msg = f"{name!r} cannot be loaded ({error})"
        raise ConfigError(msg, key="--also", fix=fix) from error


def _speeds(
    makers: dict[str, Make], sizes: Sequence[int], lessons: Path | None
) -> dict[str, list[Speed]]:
    """Measure those that can be started in a process of their own by name."""
    found: dict[str, list[Speed]] = {}
    for name in makers:
        if name in {OURS, "dictionary"}:
            _progress(f"speed: {name}")
            found[name] = measure(name, sizes)
        elif name == "tfidf" and lessons is not None:
            _progress(f"speed: {name}")
            found[name] = measure(name, sizes, lessons)
    return found


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def _say(notes: Sequence[str]) -> None:
    for note in notes[:_NOTES]:
        print(f"plantroom: {note}", file=sys.stderr)
    if len(notes) > _NOTES:
        print(f"plantroom: and {len(notes) - _NOTES} more rows like these", file=sys.stderr)
