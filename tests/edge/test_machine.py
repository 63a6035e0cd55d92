"""What the agent costs its gateway, from the kernel's files."""

from __future__ import annotations

import os
import time
from pathlib import Path

from plantroom_edge.machine import Machine


def kernel(folder: Path, *degrees: str) -> Machine:
    """Return a machine whose files are those of `folder`."""
    (folder / "io").write_text("rchar: 1\nread_bytes: 5\nwrite_bytes: 4096\ncancelled: 0\n")
    (folder / "statm").write_text("9000 2500 700 1 0 3000 0\n")
    for number, text in enumerate(degrees):
        zone = folder / f"thermal_zone{number}"
        zone.mkdir()
        (zone / "temp").write_text(text)
    return Machine(folder, folder)


def test_the_hottest_believable_zone_counts(tmp_path: Path) -> None:
    """Zones that are off, broken or not connected say nothing; the hottest of the others counts."""
    machine = kernel(tmp_path, "41500\n", "rubbish", "-274000\n", "62250\n", "999999999\n", "")
    assert machine.look(0.0)["temperature_c"] == 62.25


def test_memory_and_disk_are_the_kernels_own_account(tmp_path: Path) -> None:
    """Pages become bytes; what was written is as it stands."""
    figures = kernel(tmp_path).look(0.0)
    assert figures["resident_bytes"] == 2500 * os.sysconf("SC_PAGE_SIZE")
    assert figures["written_bytes"] == 4096
    assert "temperature_c" not in figures


def test_the_share_of_the_processor_is_that_of_the_last_looks(tmp_path: Path) -> None:
    """Work between two looks is a share of the time between them; the first look knows none."""
    machine = kernel(tmp_path)
    first = machine.look(100.0)
    assert "cpu_percent" not in first
    until = time.process_time() + 0.05
    while time.process_time() < until:
        pass
    second = machine.look(102.0)
    spent = second["cpu_seconds"] - first["cpu_seconds"]
    assert spent >= 0.04
    assert abs(second["cpu_percent"] - 100 * spent / 2) < 0.2
    for now in range(103, 300):
        last = machine.look(float(now))
    assert last["cpu_percent"] < second["cpu_percent"]


def test_where_the_kernel_tells_nothing_only_the_processor_is_known(tmp_path: Path) -> None:
    """Missing and half files are no figures, and no error."""
    assert set(Machine(tmp_path / "none", tmp_path).look(0.0)) == {"cpu_seconds"}
    (tmp_path / "io").write_text("rchar: 1\n")
    (tmp_path / "statm").write_text("9000")
    assert set(Machine(tmp_path, tmp_path).look(0.0)) == {"cpu_seconds"}


def test_a_real_gateway_tells(tmp_path: Path) -> None:
    """This process has memory, and it has been working."""
    figures = Machine(zones=tmp_path).look(0.0)
    assert figures["resident_bytes"] > 1_000_000
    assert figures["cpu_seconds"] > 0
