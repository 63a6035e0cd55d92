"""``./plantroom faults``: its words, its table, its exit code, and going on where it was cut short."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

from support.fault_report import Figure, percentile, table

RUN = Path(__file__).with_name("run.py")


def faults(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(RUN), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **env},
    )


def test_a_run_leaves_figures_and_is_not_repeated(tmp_path: Path) -> None:
    """The table is printed, the JSON written; a second run in the folder has nothing left to do."""
    out = tmp_path / "figures.json"
    options = ("--only", "power-cut", "--count", "20", "--resume", str(tmp_path / "run"))
    done = faults(*options, "--seed", "5", "--json", str(out))
    assert done.returncode == 0, done.stderr
    assert "3 power cut" in done.stdout
    assert "seed 5: all limits kept" in done.stdout
    document = json.loads(out.read_text())
    assert document["seed"] == 5
    assert {each["verdict"] for each in document["figures"]} == {"ok"}
    assert [each["runs"] for each in document["figures"][:2]] == [20, 20]
    again = faults(*options)
    assert again.returncode == 0
    assert "0 cases" in again.stderr
    assert again.stdout == done.stdout


def test_a_limit_that_is_not_kept_fails_the_run(tmp_path: Path) -> None:
    """A figure over its limit, and a case without figures, are failures with a name."""
    kept = Figure("1 test", "lost", 10, 0)
    broken = Figure("1 test", "lost", 10, 1)
    for name, figures in (("power-cut", [kept, broken]), ("poison", [kept])):
        (tmp_path / name).mkdir()
        document = json.dumps([each.document() for each in figures])
        (tmp_path / name / "figures.json").write_text(document)
    done = faults("--resume", str(tmp_path), "--seed", "1", "--only", "power-cut")
    assert done.returncode == 1
    assert "FAILED" in done.stdout
    assert faults("--resume", str(tmp_path), "--only", "poison").returncode == 0
    (tmp_path / "quota").mkdir()
    (tmp_path / "quota" / "work").touch()  # where the case wants its folder
    broke_off = faults("--resume", str(tmp_path), "--only", "quota")
    assert broke_off.returncode == 1
    assert "quota: broke off" in broke_off.stdout


def test_a_missing_program_fails_the_run(tmp_path: Path) -> None:
    """Nothing is left out in silence: the case fails with the command that installs what it needs."""
    done = faults("--resume", str(tmp_path), "--only", "syscalls", PATH=str(tmp_path))
    assert done.returncode == 1
    assert "syscalls: broke off: RuntimeError: strace is missing: sudo apt-get" in done.stdout


def test_an_unknown_case_names_those_there_are() -> None:
    """A typo exits with 2 and teaches."""
    done = faults("--only", "power-cuts")
    assert done.returncode == 2
    assert "power-cut" in done.stderr
    listed = faults("--list").stdout
    assert all(name in listed for name in ("kills-sqlite", "power-cut", "fuzz", "fleet"))


def test_figures_and_percentiles() -> None:
    """Limits hold from either side; what has no limit is only told."""
    assert Figure("f", "w", 1, 2, 2).holds
    assert not Figure("f", "w", 1, 2.1, 2).holds
    assert Figure("f", "w", 1, 2, 2, least=True).holds
    assert not Figure("f", "w", 1, 1.9, 2, least=True).holds
    assert Figure("f", "w", 1, 9, None).verdict == "told"
    assert not Figure("f", "w", 1, math.nan, 2).holds
    assert percentile([3, 1, 2], 0.5) == 2
    assert percentile(list(range(1, 101)), 0.99) == 99
    assert math.isnan(percentile([], 0.5))
    text = table([Figure("f", "w", 1000, 2.5, 3, unit="s"), Figure("f", "w", 1, 1, None)])
    assert "1,000  2.50 s    ≤ 3  ok" in text
