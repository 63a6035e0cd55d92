"""Every fault of docs/faults.md, small: `./plantroom faults` runs the same cases with larger counts."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from support.fault_catalog import CASES, Setting
from support.fault_report import table


@pytest.mark.faults
@pytest.mark.parametrize("name", sorted(CASES))
def test_fault(name: str, tmp_path: Path) -> None:
    """Every figure that does not depend on how busy the machine is keeps its limit."""
    chosen = CASES[name]
    seed = int(os.environ.get("PLANTROOM_SEED", random.SystemRandom().randrange(10**6)))
    print(f"seed {seed}: ./plantroom faults --tier small --only {name} --seed {seed}")
    figures = chosen.run(Setting(chosen.small, seed, tmp_path))
    print(table(figures))
    assert figures
    assert not [each for each in figures if not each.holds and not each.timing]
