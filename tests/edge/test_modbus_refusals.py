"""What a device refuses: found, learned, cut around, and forgotten when it no longer holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulators.modbus_scripted import Request, scripted
from support.modbus_bus import SteppedClock, bus, groups_of, read, write_profile
from support.modbus_image import Image

WIDE = [{"id": f"r{address}", "address": address} for address in range(100)]
TABLE: Image = {"holding": {address: 5 * address for address in range(100)}}
SHOWN = {f"r{address}": 5 * address for address in range(100)}


def _without(*holes: int) -> Image:
    return {"holding": {at: word for at, word in TABLE["holding"].items() if at not in holes}}


@pytest.mark.parametrize("code", [2, 3, 4])
@pytest.mark.parametrize("holes", [(40,), (0, 99), (10, 11, 12, 77)])
async def test_a_refused_register_costs_only_its_own_point(
    tmp_path: Path, holes: tuple[int, ...], code: int
) -> None:
    """From the first read on, exactly the refused points are bad and no other value shifts."""
    refused = {f"r{hole}": f"exception-{code}" for hole in holes}

    def script(request: Request) -> bytes:
        if set(holes) & set(request.addresses):
            return request.refuse(code)
        return request.answer(TABLE)

    async with (
        scripted(script) as server,
        bus(server.port, write_profile(tmp_path, WIDE)) as driver,
    ):
        groups = await groups_of(driver, "bench")
        for _ in range(3):
            shown = await read(driver, groups)
            if shown.reasons == refused:
                break
        server.asked()
        again = await read(driver, groups)
        asked = server.asked()
    assert again.reasons == refused
    assert again.good == {one: value for one, value in SHOWN.items() if one not in refused}
    assert again.alive
    # What is known to be refused is neither asked for nor read along.
    assert not {at for start, count in asked for at in range(start, start + count)} & set(holes)
    assert len(asked) <= len(holes) + 1


async def test_one_refused_register_is_found_within_one_read(tmp_path: Path) -> None:
    """A single hole is found by halves while the very first read is under way."""
    async with (
        scripted(lambda request: request.answer(_without(63))) as server,
        bus(server.port, write_profile(tmp_path, WIDE)) as driver,
    ):
        groups = await groups_of(driver, "bench")
        shown = await read(driver, groups)
    assert shown.reasons == {"r63": "exception-2"}
    assert shown.good == {one: value for one, value in SHOWN.items() if one != "r63"}


async def test_a_hole_between_points_is_cut_around(tmp_path: Path) -> None:
    """Where only the gap between two points is refused, both are good and read apart from then on."""
    registers = [{"id": f"r{at}", "address": at} for at in (0, 1, 2, 6, 7, 8)]
    async with (
        scripted(lambda request: request.answer(_without(4))) as server,
        bus(server.port, write_profile(tmp_path, registers)) as driver,
    ):
        groups = await groups_of(driver, "bench")
        first = await read(driver, groups)
        server.asked()
        second = await read(driver, groups)
        asked = server.asked()
    assert first.reasons == second.reasons == {}
    assert second.values == {f"r{at}": 5 * at for at in (0, 1, 2, 6, 7, 8)}
    assert sorted(asked) == [(0, 3), (6, 3)]


async def test_a_hole_is_asked_for_again_and_heals(tmp_path: Path) -> None:
    """A refused register is tried again after a rest, ever more rarely, and is good once it answers."""
    clock, image = SteppedClock(), _without(63)
    async with (
        scripted(lambda request: request.answer(image)) as server,
        bus(server.port, write_profile(tmp_path, WIDE), clock=clock) as driver,
    ):
        groups = await groups_of(driver, "bench")
        await read(driver, groups)
        tries = []
        for _ in range(40):
            clock.seconds += 10
            server.asked()
            assert (await read(driver, groups)).reasons == {"r63": "exception-2"}
            tries.append((63, 1) in server.asked())
        image = TABLE
        clock.seconds += 300
        healed = await read(driver, groups)
        server.asked()
        joined = await read(driver, groups)
        asked = server.asked()
    assert 2 <= sum(tries) <= 5
    assert healed.good == joined.good == SHOWN
    assert asked == [(0, 100)]


async def test_a_cut_is_forgotten_after_an_hour(tmp_path: Path) -> None:
    """Blocks that were read apart because of a passing refusal become one again."""
    clock, passing = SteppedClock(), True
    registers = [{"id": f"r{at}", "address": at} for at in (0, 3)]

    def script(request: Request) -> bytes:
        if passing and request.count > 1:
            return request.refuse(4)
        return request.answer(TABLE)

    async with (
        scripted(script) as server,
        bus(server.port, write_profile(tmp_path, registers), clock=clock) as driver,
    ):
        groups = await groups_of(driver, "bench")
        assert (await read(driver, groups)).reasons == {}
        passing = False
        server.asked()
        await read(driver, groups)
        assert sorted(server.asked()) == [(0, 1), (3, 1)]
        clock.seconds += 3601
        assert (await read(driver, groups)).reasons == {}
        assert server.asked() == [(0, 4)]


async def test_a_device_that_refuses_everything_teaches_nothing(tmp_path: Path) -> None:
    """A device that is not ready is not taken apart at every read, and is whole once it is ready."""
    clock, ready = SteppedClock(), False

    def script(request: Request) -> bytes:
        return request.answer(TABLE) if ready else request.refuse(4)

    async with (
        scripted(script) as server,
        bus(server.port, write_profile(tmp_path, WIDE), clock=clock) as driver,
    ):
        groups = await groups_of(driver, "bench")
        shown = await read(driver, groups)
        server.asked()
        await read(driver, groups)
        assert server.asked() == [(0, 100)]
        ready = True
        good = await read(driver, groups)
        assert server.asked() == [(0, 100)]
    assert shown.alive
    assert set(shown.reasons.values()) == {"exception-4"}
    assert good.good == SHOWN


@pytest.mark.parametrize("code", [1, 5, 6])
async def test_a_refusal_that_is_about_no_address_is_not_taken_apart(
    tmp_path: Path, code: int
) -> None:
    """An unknown function or a busy device makes the block bad, and nothing is asked twice."""
    async with (
        scripted(lambda request: request.refuse(code)) as server,
        bus(server.port, write_profile(tmp_path, WIDE)) as driver,
    ):
        groups = await groups_of(driver, "bench")
        server.asked()
        shown = await read(driver, groups)
    assert server.asked() == [(0, 100)]
    assert shown.alive
    assert shown.reasons == dict.fromkeys(SHOWN, f"exception-{code}")


async def test_a_group_of_nothing_but_holes_still_shows_life(tmp_path: Path) -> None:
    """Where all points of a group are refused, one of them is asked for at every read."""
    registers = [{"id": "good", "address": 0}, {"id": "rare", "address": 50, "interval": 60}]
    async with (
        scripted(lambda request: request.answer(_without(50))) as server,
        bus(server.port, write_profile(tmp_path, registers)) as driver,
    ):
        groups = await groups_of(driver, "bench")
        await read(driver, groups)
        server.asked()
        shown = await read(driver, groups[1:])
    assert server.asked() == [(50, 1)]
    assert shown.alive
    assert shown.reasons == {"rare": "exception-2"}
