"""Fault 21: rubbish for every decoder. Where atheris is installed coverage guides it; else chance does."""

from __future__ import annotations

import importlib.util
import os
import random
import re
import resource
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Final

from fuzz.targets import TARGETS
from support.fault_case import Setting, case
from support.fault_report import Figure

_LIMIT: Final = 64 * 1024
"""Bytes that an input may grow to."""

_WORTH_A_PROCESS: Final = 1_000_000
"""Executions from which on starting a process for each target pays."""

TOKENS: Final = (
    b"null", b"true", b"-1", b"0", b"1e400", b"NaN", b"9223372036854775808", b"-0.0", b"{}", b"[]",
    b'""', b'"\\u0000"', b'"\\ud800"', b"[" * 40, b'{"a":' * 40, b"\xff", b"\x00", b"1.5", b'"tel"',
    b"1767225600000000", b"18446744073709551616", b'"x"', b",", b":", b"]", b"}", b"\x80\x80\x80\x80",
)  # fmt: skip


@dataclass(slots=True)
class Outcome:
    """What one target came to."""

    target: str
    executions: int = 0
    seconds: float = 0.0
    peak_mb: float = 0.0
    crashed: int = 0
    crashes: list[str] = field(default_factory=list)
    """Input (hex, cut) and the end of the traceback."""


def mutate(data: bytes, dice: random.Random, others: Sequence[bytes]) -> bytes:
    """Return `data` with one to four small changes."""
    out = bytearray(data)
    for _ in range(dice.choice((1, 1, 2, 4))):
        at = dice.randrange(len(out) + 1)
        match dice.randrange(8):
            case 0 if out:
                out[at % len(out)] ^= 1 << dice.randrange(8)
            case 1 if out:
                out[at % len(out)] = dice.choice((0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)))
            case 2:
                out[at:at] = dice.choice(TOKENS)
            case 3:
                del out[at : at + dice.randrange(1, 9)]
            case 4:
                end = at + dice.randrange(1, 33)
                out[at:at] = out[at:end]
            case 5:
                _replace_number(out, dice)
            case 6:
                other = dice.choice(others)
                cut = dice.randrange(len(other) + 1)
                out[at:] = other[cut:]
            case _:
                del out[at:]
    return bytes(out[:_LIMIT])


_NUMBER: Final = re.compile(rb"-?\d+(?:\.\d+)?|\"[^\"]*\"")


def _replace_number(out: bytearray, dice: random.Random) -> None:
    """Put another token in the place of a number or text of the JSON."""
    found = list(_NUMBER.finditer(out))
    if found:
        one = dice.choice(found)
        out[one.start() : one.end()] = dice.choice(TOKENS)


def fuzz(name: str, executions: int, seed: int) -> Outcome:
    """Run a target on so many mutated inputs."""
    target, dice = TARGETS[name], random.Random(f"{seed} {name}")
    outcome, began = Outcome(name), time.monotonic()
    pool = list(target.seeds)
    for number in range(executions):
        data = mutate(dice.choice(pool), dice, target.seeds)
        try:
            target.run(data)
        except Exception:  # noqa: BLE001 -- every one is a finding
            outcome.crashed += 1
            if len(outcome.crashes) < 5:
                outcome.crashes.append(f"{data[:400].hex()}\n{traceback.format_exc(limit=-4)}")
        # Changes pile up: now and then a mutated input becomes one to start from.
        if number % 50 == 0 and len(data) < 4096:
            pool[len(target.seeds) :] = [*pool[len(target.seeds) :], data][-64:]
    outcome.executions = executions
    outcome.seconds = time.monotonic() - began
    outcome.peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return outcome


def guided(name: str, executions: int, seed: int, folder: Path) -> Outcome:
    """Run a target under atheris in a process of its own."""
    outcome, began = Outcome(name), time.monotonic()
    corpus = folder / f"corpus-{name}"
    corpus.mkdir(parents=True, exist_ok=True)
    script = Path(__file__).resolve().parents[1] / "fuzz" / "guided.py"
    command = [sys.executable, str(script), name, str(corpus), f"-runs={executions}"]
    command += [
        f"-seed={seed % 2**31 + 1}",
        "-max_len=4096",
        "-rss_limit_mb=2048",
        "-print_final_stats=1",
    ]
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, cwd=corpus
    )
    (folder / f"{name}.log").write_text(done.stderr)
    outcome.executions = _stat(done.stderr, "number_of_executed_units")
    outcome.peak_mb = _stat(done.stderr, "peak_rss_mb")
    outcome.seconds = time.monotonic() - began
    if done.returncode:
        outcome.crashed = 1
        outcome.crashes.append(done.stdout[-2000:] + done.stderr[-2000:])
    return outcome


def _stat(log: str, name: str) -> int:
    found = re.search(rf"stat::{name}:\s*(\d+)", log)
    return int(found.group(1)) if found else 0


def _run(name: str, executions: int, seed: int, folder: str, use_coverage: bool) -> Outcome:
    if use_coverage:
        return guided(name, executions, seed, Path(folder))
    return fuzz(name, executions, seed)


def _outcomes(setting: Setting, each: int, use_coverage: bool) -> Iterator[Outcome]:
    """Run every target: few executions here, many in two processes at a time."""
    if setting.count < _WORTH_A_PROCESS:
        for name in TARGETS:
            yield fuzz(name, each, setting.seed)
        return
    # Spawned, not forked: each process then shows its own memory only.
    with ProcessPoolExecutor(2, mp_context=get_context("spawn"), max_tasks_per_child=1) as workers:
        running = [
            workers.submit(_run, name, each, setting.seed, str(setting.folder), use_coverage)
            for name in TARGETS
        ]
        for future in running:
            yield future.result()


@case("fuzz", faults="21", pr=300_000, full=10_000_000)
def fuzz_all(setting: Setting) -> Sequence[Figure]:
    """Share `count` executions among the targets; two processes at a time."""
    use_coverage = (
        importlib.util.find_spec("atheris") is not None and setting.count >= _WORTH_A_PROCESS
    )
    engine = "atheris" if use_coverage else "chance"
    each = -(-setting.count // len(TARGETS))
    began = time.monotonic()
    figures: list[Figure] = []
    total = crashes = 0
    for outcome in _outcomes(setting, each, use_coverage):
        total, crashes = total + outcome.executions, crashes + outcome.crashed
        rate = outcome.executions / max(0.001, outcome.seconds)
        setting.say(
            f"{outcome.target}: {outcome.executions:,} executions, {rate:,.0f} a second,"
            f" {outcome.peak_mb:.0f} MB, {outcome.crashed} crashes"
        )
        for text in outcome.crashes:
            setting.say(text)
        what = f"{outcome.target}: executions a second"
        figures.append(Figure("21 fuzz", what, outcome.executions, rate, None))
    took = time.monotonic() - began
    return [
        *figures,
        Figure(
            "21 fuzz",
            f"executions, by {engine}",
            len(TARGETS),
            total,
            setting.count,
            least=True,
            seed=setting.seed,
        ),
        Figure("21 fuzz", "executions a second, all targets", total, total / took, None),
        Figure("21 fuzz", "it ran for", total, took, None, unit="s"),
        Figure(
            "21 fuzz", "exceptions that no decoder documents", total, crashes, seed=setting.seed
        ),
    ]
