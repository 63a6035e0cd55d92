"""The ledger: values that prove which point they are and which read of it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyModbusTCP.client import ModbusClient

from demo.site.__main__ import parse
from demo.site.ledger import POINTS, TURN, Counter, ledger_parse, ledger_value
from demo.site.ledger_site import DEVICE, INSTANCE, PROFILE, ledger_device, ledger_entries
from demo.site.manifest import agent_config
from plantroom_edge.drivers import drivers
from plantroom_shared.profiles import load_profile
from plantroom_shared.registers import decode
from support.site_bacnet import PRESENT_VALUE, RawClient
from support.site_process import SECONDS, SiteProcess, running_site

POINTS_SERVED = 60

indices = st.integers(0, POINTS - 1)
reads = st.integers(0, 10 * TURN)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SiteProcess]:
    """A ledger site with few points."""
    folder = tmp_path_factory.mktemp("ledger")
    with running_site(folder, "--ledger", "--ledger-points", str(POINTS_SERVED)) as running:
        yield running


@given(indices, reads)
def test_ledger_value_comes_back(index: int, n: int) -> None:
    """A float32 holds every ledger value exactly, and parsing it gives the point and the read."""
    value = ledger_value(index, n)
    (served,) = struct.unpack(">f", struct.pack(">f", value))
    assert served == value
    assert ledger_parse(served) == (index, n % TURN)


@given(indices, reads, indices, reads)
def test_no_two_points_share_a_value(one: int, n: int, other: int, m: int) -> None:
    """Equal values mean the same point and, within a turn, the same read."""
    same = ledger_value(one, n) == ledger_value(other, m)
    assert same == (one == other and n % TURN == m % TURN)


@pytest.mark.parametrize("value", [-1.0, 0.5, float(POINTS * TURN), 1e12])
def test_other_values_are_refused(value: float) -> None:
    """What no point could have shown is no ledger value."""
    with pytest.raises(ValueError, match="no value of the ledger"):
        ledger_parse(value)


@pytest.mark.parametrize(("index", "n"), [(-1, 0), (POINTS, 0), (0, -1)])
def test_points_outside_the_ledger_are_refused(index: int, n: int) -> None:
    """There are so many points and reads count up from 0."""
    with pytest.raises(ValueError, match="reads count from 0"):
        ledger_value(index, n)


def test_counter_counts_each_point_alone() -> None:
    """Serving one point moves its own count and no other."""
    counter = Counter(2)
    served = [ledger_parse(counter.serve(index)) for index in (0, 1, 1, 0, 1)]
    assert served == [(0, 0), (1, 0), (1, 1), (0, 1), (1, 2)]


@pytest.mark.parametrize("points", [1, POINTS + 1])
def test_impossible_sizes_are_refused(points: int, capsys: pytest.CaptureFixture[str]) -> None:
    """A site too small or too large ends with a sentence that names the bounds."""
    with pytest.raises(SystemExit):
        parse(["--manifest", "x", "--ledger-points", str(points)])
    assert f"2 to {POINTS} points" in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--start", "25:00"], ["--start", "x"], ["--speed", "-1"]])
def test_bad_options_are_refused(option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A time or a speed that is none ends with a sentence that says how to write it."""
    with pytest.raises(SystemExit):
        parse(["--manifest", "x", *option])
    error = capsys.readouterr().err
    assert "09:00" in error or "above 0" in error


def test_largest_site_fits_its_ledger() -> None:
    """With as many points as values can tell apart, keys and indices are still unique."""
    entries = ledger_entries(POINTS)
    assert [entry.index for entry in entries] == list(range(POINTS))
    assert len({entry.key for entry in entries}) == POINTS


def test_modbus_points_come_in_several_layouts() -> None:
    """The unit mixes types, both register spaces and all four word orders."""
    registers = ledger_device(40).profile.registers
    assert {row.order for row in registers} == {"ABCD", "CDAB", "BADC", "DCBA"}
    assert {row.space for row in registers} == {"holding", "input"}
    assert len({row.type for row in registers}) >= 6


def test_manifest_lists_the_ledger(site: SiteProcess) -> None:
    """It gives the index of every point, and a profile by which an agent can read them."""
    ledger = site.manifest["ledger"]
    assert sorted(ledger.values()) == list(range(POINTS_SERVED))
    (bus,) = [one for one in agent_config(site.manifest)["buses"] if one["driver"] == "modbus"]
    config = drivers.get("modbus").config.model_validate(bus)
    folder = Path(bus["devices"][0]["profile_dir"])
    profile = load_profile(PROFILE, folder)
    assert {f"modbus:{DEVICE}:{row.id}" for row in profile.points} < set(ledger)
    assert config.name == DEVICE


def test_bacnet_reads_count(site: SiteProcess) -> None:
    """Each read of a present value, alone or among others, is that point's next entry."""
    with RawClient(site.bacnet(INSTANCE)) as client:
        first, second = ("analog-value", 1), ("analog-value", 2)
        served = [client.read(first, PRESENT_VALUE)]
        both = client.read_many([(first, [PRESENT_VALUE]), (second, [PRESENT_VALUE])])
        served += [one[PRESENT_VALUE] for one in both]
        served.append(client.read(first, PRESENT_VALUE))
    ledger = site.manifest["ledger"]
    one = ledger[f"bacnet:{INSTANCE}:analog-value:1"]
    two = ledger[f"bacnet:{INSTANCE}:analog-value:2"]
    assert [ledger_parse(value) for value in served] == [(one, 0), (one, 1), (two, 0), (one, 2)]


def test_modbus_blocks_count_each_point_once(site: SiteProcess) -> None:
    """A block serves every point in it once; one that is cut by its edge keeps its count."""
    port, unit = site.modbus(DEVICE)
    client = ModbusClient("127.0.0.1", port, unit, auto_open=True, timeout=SECONDS)
    device = ledger_device(POINTS_SERVED - POINTS_SERVED // 3)
    rows = sorted(
        (row for row in device.profile.registers if row.space == "holding"),
        key=lambda row: row.address,
    )[:12]
    end = rows[-1].address + rows[-1].words

    def block(first: int, count: int) -> dict[str, tuple[int, int]]:
        words = client.read_holding_registers(first, count)
        assert words is not None, client.last_except
        found = {}
        for row in rows:
            at = row.address - first
            if at >= 0 and at + row.words <= count:
                value = decode(words[at : at + row.words], row.type, row.order)
                assert isinstance(value, float | int)
                found[row.id] = ledger_parse(value)
        return found

    reads = [block(0, end), block(0, end), block(1, end - 1), block(0, end)]
    client.close()
    ledger = site.manifest["ledger"]
    for row in rows:
        index = ledger[f"modbus:{DEVICE}:{row.id}"]
        counts = [0, 1, 2, 3] if row.address else [0, 1, 2]
        assert [read[row.id] for read in reads if row.id in read] == [(index, n) for n in counts]
