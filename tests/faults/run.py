"""``./plantroom faults``: runs the fault cases of a tier, prints their figures, and says what failed.

Every case runs in a process of its own with its own folder and log. A run that was cut short is taken
up again with ``--resume FOLDER``: what is done stays done.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import time
import traceback
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "deploy")]

from demo.processes import dying_with_parent  # noqa: E402 -- the path is only known now
from support.fault_catalog import CASES, Case, Setting  # noqa: E402
from support.fault_report import Figure, table  # noqa: E402

PATIENCE = {"pr": 600.0, "full": 4 * 3600.0}
"""Seconds after which a case is taken for stuck."""


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {text}", file=sys.stderr, flush=True)


def parse(arguments: list[str]) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(prog="./plantroom faults", description=__doc__)
    parser.add_argument("--tier", choices=("pr", "full"), default="pr")
    parser.add_argument("--seed", type=int, help="repeats a run; random where none is given")
    parser.add_argument("--only", action="append", metavar="NAME", help="one case; can be repeated")
    parser.add_argument("--count", "--executions", type=int, help="instead of the tier's count")
    parser.add_argument("--jobs", type=int, help="cases at a time (default: 4 for pr, 1 for full)")
    parser.add_argument(
        "--busy", action="store_true", help="the machine has other work: do not judge times"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="the figures for a machine")
    parser.add_argument("--resume", type=Path, metavar="FOLDER", help="go on with a run's folder")
    parser.add_argument("--list", action="store_true", help="say which cases there are")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    for name in options.only or ():
        if name not in CASES:
            parser.error(f"there is no case {name!r}; known: {', '.join(sorted(CASES))}")
    return options


@dataclass(slots=True)
class Running:
    """A case in its process."""

    case: Case
    folder: Path
    process: subprocess.Popen[bytes]
    began: float


class Runner:
    """Runs the chosen cases, at most so many at a time; those that measure time run alone."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
        folder = options.resume or (
            ROOT / ".plantroom" / time.strftime(f"faults-{options.tier}-%m%d-%H%M%S")
        )
        self.folder = Path(folder).resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.seed = self._remembered(seed)
        self.figures: list[Figure] = []
        self.crashed: dict[str, str] = {}
        chosen = [CASES[name] for name in options.only] if options.only else list(CASES.values())
        self._waiting = [each for each in chosen if not self._is_done(each)]
        self._running: list[Running] = []

    def _remembered(self, seed: int) -> int:
        """Return the seed of the run in the folder, if there is one already."""
        note = self.folder / "seed"
        if note.exists() and self._options.seed is None:
            return int(note.read_text())
        note.write_text(str(seed))
        return seed

    def _is_done(self, each: Case) -> bool:
        file = self.folder / each.name / "figures.json"
        if not file.exists():
            return False
        self.figures += self._read(file)
        return True

    def _read(self, file: Path) -> list[Figure]:
        """Return the figures of a case, without a limit where that says more of the machine."""
        figures = read_figures(file)
        if not self._options.busy:
            return figures
        return [replace(each, limit=None) if each.timing else each for each in figures]

    def run(self) -> int:
        """Run everything; return the exit code."""
        jobs = self._options.jobs or (1 if self._options.tier == "full" else 4)
        _say(f"seed {self.seed}, {len(self._waiting)} cases, logs in {self.folder}")
        try:
            while self._waiting or self._running:
                self._start(jobs)
                self._reap()
                time.sleep(0.1)
        finally:
            for running in self._running:
                running.process.kill()
        return self._report()

    def _start(self, jobs: int) -> None:
        while self._waiting and len(self._running) < jobs:
            shared = [each for each in self._waiting if not each.alone]
            if not shared and self._running:
                return
            if self._running and self._running[0].case.alone:
                return
            following = (shared or self._waiting)[0]
            self._waiting.remove(following)
            self._running.append(self._launch(following))

    def _launch(self, each: Case) -> Running:
        folder = self.folder / each.name
        folder.mkdir(parents=True, exist_ok=True)
        count = self._options.count or each.count(self._options.tier)
        _say(f"{each.name}: begins ({count:,})")
        command = [sys.executable, __file__, "--one", each.name, "--count", str(count)]
        command += ["--seed", str(self.seed), "--resume", str(folder)]
        with (folder / "log").open("ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=dying_with_parent(),  # noqa: PLW1509 -- no threads are running
            )
        return Running(each, folder, process, time.monotonic())

    def _reap(self) -> None:
        for running in list(self._running):
            code = running.process.poll()
            if code is None:
                if time.monotonic() - running.began > PATIENCE[self._options.tier]:
                    running.process.kill()
                continue
            self._running.remove(running)
            name, file = running.case.name, running.folder / "figures.json"
            took = time.monotonic() - running.began
            if not file.exists():
                why = _last_line(running.folder / "log")
                self.crashed[name] = why
                _say(f"{name}: BROKE OFF after {took:.0f} s, code {code}: {why}")
                continue
            figures = self._read(file)
            self.figures += figures
            verdict = "ok" if all(each.holds for each in figures) else "FAILED"
            if verdict == "ok":  # what a failure is looked for in takes much room
                shutil.rmtree(running.folder / "work", ignore_errors=True)
            _say(f"{name}: {verdict} in {took:.0f} s")

    def _report(self) -> int:
        print(table(self.figures))
        for name, why in self.crashed.items():
            print(f"{name}: broke off: {why}; see {self.folder / name / 'log'}")
        if self._options.json:
            document: dict[str, Any] = {
                "tier": self._options.tier,
                "seed": self.seed,
                "broke_off": [*self.crashed],
                "figures": [each.document() for each in self.figures],
            }
            self._options.json.write_text(json.dumps(document, indent=1))
        bad = len(self.crashed) + sum(not each.holds for each in self.figures)
        print(f"\nseed {self.seed}: {'all limits kept' if not bad else f'{bad} FAILED'}")
        return 1 if bad else 0


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "no word")


def read_figures(file: Path) -> list[Figure]:
    """Return the figures that a case has left."""
    known = json.loads(file.read_text())
    return [Figure(**{k: v for k, v in each.items() if k != "verdict"}) for each in known]


def run_one(options: argparse.Namespace) -> int:
    """Run one case here and leave its figures in its folder."""
    folder: Path = options.resume
    work = folder / "work"
    work.mkdir(exist_ok=True)
    print(f"{options.one}: count {options.count}, seed {options.seed}", flush=True)
    setting = Setting(options.count, options.seed, work, say=lambda text: print(text, flush=True))
    try:
        figures = list(CASES[options.one].run(setting))
    except Exception:  # noqa: BLE001 -- told in the log; the parent sees that there are no figures
        traceback.print_exc()
        return 1
    draft = folder / "figures.part"
    draft.write_text(json.dumps([each.document() for each in figures], indent=1))
    draft.replace(folder / "figures.json")
    print(table(figures), flush=True)
    return 0


def main(arguments: list[str]) -> int:
    """Run the command line."""
    options = parse(arguments)
    os.environ["PATH"] = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
    if options.list:
        for each in CASES.values():
            print(f"{each.name:22} faults {each.faults:10} pr {each.pr:>9,} full {each.full:>11,}")
        return 0
    if options.one:
        return run_one(options)
    return Runner(options).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
