"""Every fault of docs/faults.md, small: `./plantroom faults` runs the same cases with larger counts."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from faults.run import read_figures
from support.fault_catalog import CASES
from support.fault_report import table

RUN = Path(__file__).with_name("run.py")
LIMIT = 300


@pytest.mark.faults
@pytest.mark.parametrize("name", sorted(CASES))
def test_fault(name: str, tmp_path: Path) -> None:
    """Every figure that does not depend on how busy the machine is keeps its limit.

    A case has a process of its own: it starts and kills others, and some change SQLite from below.
    """
    seed = os.environ.get("PLANTROOM_SEED", str(random.SystemRandom().randrange(10**6)))
    print(f"seed {seed}: ./plantroom faults --tier small --only {name} --seed {seed}")
    count = str(CASES[name].small)
    command = [sys.executable, str(RUN), "--one", name, "--count", count, "--seed", seed]
    done = subprocess.run(
        [*command, "--resume", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    figures = read_figures(tmp_path / "figures.json")
    print(table(figures))
    assert any(each.limit is not None for each in figures), "nothing was judged"
    assert not [each for each in figures if not each.holds and not each.timing]
