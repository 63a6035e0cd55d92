"""What a SunSpec device may say of itself: odd, short, lying, changed; and what comes of it."""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plantroom_edge.drivers.modbus import sunspec_models
from plantroom_edge.drivers.modbus.pdu import Fault
from plantroom_edge.drivers.modbus.sunspec import MAX_MODELS, Block, Explored, Trouble, explore
from plantroom_edge.drivers.modbus.sunspec_profile import MAX_REGISTERS, profile_of
from plantroom_edge.drivers.modbus.sunspec_unit import CHECK_SECONDS
from plantroom_shared.errors import ConfigError
from plantroom_shared.registers import Space
from simulators.modbus_scripted import Request, scripted
from support import sunspec_device
from support.modbus_bus import SteppedClock, bus, groups_of, read
from support.modbus_image import Image

DEVICE = {"name": "one", "unit": 1, "profile": "sunspec"}
END = [0xFFFF, 0]


def device(*words: int, base: int = 40000) -> Image:
    """Return a device with these words behind its marker."""
    return {"holding": dict(enumerate([0x5375, 0x6E53, *words], base))}


def asking(image: Image) -> tuple[Callable[[int, int], Any], list[int]]:
    """Return a way to read an image, and the addresses that were asked for."""
    asked: list[int] = []
    table = image["holding"]

    async def ask(start: int, count: int) -> bytes | Fault:
        asked.append(start)
        words = [table.get(start + place) for place in range(count)]
        if None in words:
            return Fault("exception-2", 2)
        return struct.pack(f">{count}H", *(word or 0 for word in words))

    return ask, asked


@pytest.mark.parametrize("base", [40000, 50000, 0])
async def test_the_marker_is_found_where_it_may_be(base: int) -> None:
    """All three places of the marker are tried."""
    models = [sunspec_device.model(1), sunspec_device.model(101)]
    ask, _ = asking(sunspec_device.image(models, base))
    found = await explore(ask)
    assert (found.base, [block.number for block in found.blocks]) == (base, [1, 101])
    assert found.notes == ()


async def test_a_device_without_the_marker_is_told() -> None:
    """Another device at the address is missing, with the reason, and has no points."""
    async with (
        scripted(lambda request: request.answer({"holding": {40000: 1, 40001: 2}})) as server,
        bus(server.port, DEVICE) as driver,
    ):
        inventory = await driver.discover()
    assert inventory.points == ()
    assert inventory.groups == ()
    (missing,) = inventory.missing
    assert "is no SunSpec device: there is no marker at 40000, 50000, 0" in missing


async def test_a_silent_device_is_explored_when_it_answers() -> None:
    """A device that is off at the start is missing, and has its points at a later look."""
    image = sunspec_device.image([sunspec_device.model(1), sunspec_device.model(103)])
    state = {"on": False}

    def script(request: Request) -> bytes:
        return request.answer(image) if state["on"] else b""

    async with scripted(script) as server, bus(server.port, DEVICE, timeout=0.1) as driver:
        inventory = await driver.discover()
        assert "no answer (timeout)" in inventory.missing[0]
        assert [one.model for one in inventory.devices] == ["not explored yet"]
        state["on"] = True
        inventory = await driver.discover()
    assert inventory.missing == ()
    assert len(inventory.points) > 30


@pytest.mark.parametrize(
    ("words", "blocks", "note"),
    [
        ([64999, 3, 1, 2, 3, *END], [64999], ""),
        ([1, 65535], [], "says it is 65535 registers long"),
        ([101, 2, 0, 0, 0, 0], [101], "ends at 40006 with a number 0"),
        ([101, 1, 7], [101], "breaks off at 40005"),
        ([101, 1, 7, 0xFFFF], [101], ""),
        ([64999, 0] * 600, [64999] * MAX_MODELS, f"only the first {MAX_MODELS} models"),
    ],
)
async def test_a_chain_is_believed_as_far_as_it_goes(
    words: list[int], blocks: list[int], note: str
) -> None:
    """Lying lengths, broken and endless chains end the walk; what came before them stays."""
    ask, asked = asking(device(*words))
    found = await explore(ask)
    assert [block.number for block in found.blocks] == blocks
    assert note in " ".join(found.notes)
    assert bool(note) == bool(found.notes)
    assert len(asked) <= MAX_MODELS + 5


async def test_a_chain_does_not_run_over_the_last_address() -> None:
    """A chain that ends exactly behind the last address is not read from 0 again."""
    room = 65536 - 50000 - 2
    image = device(64999, room - 2, *[9] * (room - 2), base=50000)
    ask, asked = asking(image)
    found = await explore(ask)
    assert found.notes == ("the chain of models has no end before 65536",)
    assert max(asked) < 65536


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 65535), max_size=60), st.sampled_from([1, 103, 160, 705, 803, 708]))
async def test_any_words_are_explored(words: list[int], number: int) -> None:
    """Whatever stands behind the marker, the walk ends, and the profile stays within the models."""
    ask, _ = asking(device(number, min(len(words), 55), *words, *END))
    try:
        found = await explore(ask)
        profile, _ = profile_of(found)
    except (Trouble, ValueError):
        return
    ends = max(block.end for block in found.blocks)
    assert all(register.address + register.words <= ends for register in profile.registers)
    assert len(profile.registers) <= MAX_REGISTERS


async def test_a_short_reply_is_no_word_of_the_device() -> None:
    """A reply of the wrong length is trouble, not the end of the chain."""

    async def ask(_start: int, _count: int) -> bytes:
        return b"\0"

    with pytest.raises(Trouble, match="short-reply"):
        await explore(ask)


async def test_a_nameplate_that_is_refused_is_none() -> None:
    """A device whose model 1 cannot be read at once is explored all the same."""
    image = sunspec_device.image([sunspec_device.model(1), sunspec_device.model(103)])
    ask, _ = asking(image)

    async def refusing(start: int, count: int) -> bytes | Fault:
        return Fault("exception-3", 3) if count > 60 else await ask(start, count)

    found = await explore(refusing)
    assert found.common.model == ""
    assert profile_of(found)[0].model == "models 1, 103"


async def test_counts_that_are_refused_follow_from_the_length() -> None:
    """Where the count of a group cannot be read, as many are there as fit."""
    models = [sunspec_device.model(1), sunspec_device.model(803)]
    ask, _ = asking(sunspec_device.image(models))

    async def refusing(start: int, count: int) -> bytes | Fault:
        return Fault("exception-3", 3) if count == 1 else await ask(start, count)

    profile, _ = profile_of(await explore(refusing))
    assert {"803.1.StrSoC", "803.2.StrSoC"} <= set(profile.by_id)
    assert "803.3.StrSoC" not in profile.by_id


@pytest.mark.parametrize(
    ("block", "has", "lacks", "note"),
    [
        (Block(103, 40002, 20), "103.VAr", "103.St", "model 103 is only 20 registers long"),
        (Block(1, 40002, 65), "1.SN", "1.Pad", ""),
        (Block(803, 40002, 58, (("NStr", 9),)), "803.1.StrA", "803.2.StrA", "NStr is 9, but"),
        (Block(803, 40002, 90, (("NStr", 1),)), "803.1.StrA", "803.2.StrA", ""),
        (Block(803, 40002, 90, (("NStr", 65535),)), "803.2.StrA", "803.3.StrA", ""),
        (Block(705, 40002, 90, (("NCrv", 2), ("NPt", 65535))), "705.2.ActPt", "705.1.1.V", ""),
        (Block(160, 40002, 8 + 45), "160.2.DCW", "160.3.DCW", ""),
    ],
)
def test_a_model_is_read_as_far_as_it_goes(block: Block, has: str, lacks: str, note: str) -> None:
    """A model that is shorter or longer than its definition, or lies about its groups."""
    profile, notes = profile_of(Explored(40000, (block,)))
    assert has in profile.by_id
    assert lacks not in profile.by_id
    assert (note in " ".join(notes)) if note else (notes == ())


def test_models_of_one_number_are_told_apart() -> None:
    """The second model 103 of a device has ids of its own."""
    blocks = (Block(103, 40002, 50), Block(103, 40054, 50))
    profile, _ = profile_of(Explored(40000, blocks))
    assert profile.by_id["103.W"].address + 52 == profile.by_id["103-2.W"].address


def test_a_device_too_large_is_read_in_part() -> None:
    """What goes beyond the registers of a profile is left out by whole models, and said."""
    blocks = tuple(Block(805, 40002 + 5002 * n, 5000) for n in range(4))
    profile, notes = profile_of(Explored(40000, blocks))
    assert "805.1.CellV" in profile.by_id
    assert "805-2.1.CellV" not in profile.by_id
    assert [note[:25] for note in notes] == [f"model 805-{n} is left out: "[:25] for n in (2, 3, 4)]


def test_a_vendors_own_model_is_told() -> None:
    """A model that nobody has published is skipped, and said."""
    found = Explored(40000, (Block(103, 40002, 50), Block(64999, 40054, 12)))
    assert profile_of(found)[1] == ("model 64999 at 40054 is the vendor's own: not read",)
    with pytest.raises(ValueError, match="none of its models is known"):
        profile_of(Explored(40000, (Block(64999, 40002, 12),)))


async def test_a_device_of_unknown_models_is_missing() -> None:
    """A device without anything to read is missing with the reason."""
    async with (
        scripted(lambda request: request.answer(device(64999, 1, 5, *END))) as server,
        bus(server.port, DEVICE) as driver,
    ):
        inventory = await driver.discover()
    assert "is a SunSpec device without anything to read" in inventory.missing[0]


async def test_what_is_not_implemented_is_no_value() -> None:
    """The sentinel of each type is read as missing; an accumulator of 0 is a value."""
    image = device(103, 50, *([0x8000, 0xFFFF] * 25), *END)
    table = image["holding"]
    table |= dict.fromkeys(range(40004, 40008), 0xFFFF)  # A and its phases
    table |= {40016: 0x8000, 40017: 0}  # W, W_SF
    table |= {40026: 0, 40027: 0, 40028: 0}  # WH, WH_SF
    table |= {40040: 0xFFFF}  # St
    table |= {40042: 0x8000, 40043: 0}  # Evt1: the highest bit says it is not there
    async with (
        scripted(lambda request: request.answer(image)) as server,
        bus(server.port, DEVICE) as driver,
    ):
        got = await read(driver, await groups_of(driver, "one"))
    for name in ("A", "AphA", "W", "St", "Evt1"):
        assert got.reasons[f"103.{name}"] == "not-available"
    assert got.good["103.WH"] == 0
    assert got.reasons["103.DCW"] in {"not-available", "bad-scale-factor"}


def test_writable_points_have_the_limits_of_the_model() -> None:
    """A definition knows what may be written; the profile says so where its format can."""
    controls = sunspec_models.model(123)
    assert controls is not None
    rights = {point.name: point.writable for point in controls.points}
    assert rights["WMaxLimPct"]
    assert not rights["L"]


async def test_a_device_that_came_back_changed_is_read_in_the_new_way(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """After an update that moved everything no value comes from an old address; it is told once."""
    before = [sunspec_device.model(1, seed=1), sunspec_device.model(103, seed=1)]
    after = [sunspec_device.model(1, seed=1), sunspec_device.model(120, seed=1)]
    after.append(sunspec_device.model(103, seed=2))
    state: dict[str, Any] = {"image": sunspec_device.image([*before, sunspec_device.model(122)])}

    def script(request: Request) -> bytes:
        return request.answer(state["image"]) if state["image"] else b""

    clock = SteppedClock()
    async with (
        scripted(script) as server,
        bus(server.port, DEVICE, clock=clock, timeout=0.2) as driver,
    ):
        groups = await groups_of(driver, "one")
        first = await read(driver, groups)
        state["image"] = {}
        gone = await read(driver, groups)
        state["image"] = sunspec_device.image(after)
        with caplog.at_level(logging.WARNING):
            second = await read(driver, groups)
            await read(driver, groups)
        inventory = await driver.discover()
    assert not gone.alive
    shown = sunspec_device.shown(before[1])
    assert {key: value for key, value in first.values.items() if key in shown} == _near(shown)
    shown = sunspec_device.shown(after[2])
    assert {key: value for key, value in second.good.items() if key in shown} == _near(shown)
    lost = {key for key in first.values if key.startswith("122.")}
    assert {second.reasons[key] for key in lost} == {"no-such-point"}
    warnings = [one.message for one in caplog.records if one.levelno >= logging.WARNING]
    assert warnings == ["the models of a SunSpec device have changed: it is read in the new way"]
    added = {key for group in inventory.groups for key in group.points} - set(_keys(groups))
    assert {key.split(":")[2].split(".")[0] for key in added} == {"120"}


async def test_a_silent_device_costs_one_request_a_poll() -> None:
    """Whether a dead device came back is asked with the request that a poll costs anyway."""
    image = sunspec_device.image([sunspec_device.model(1), sunspec_device.model(103)])
    state: dict[str, Any] = {"image": image}

    def script(request: Request) -> bytes:
        return request.answer(state["image"]) if state["image"] else b""

    async with scripted(script) as server, bus(server.port, DEVICE, timeout=0.1) as driver:
        group = (await groups_of(driver, "one"))[0]
        state["image"] = {}
        assert not (await driver.read(group)).alive
        server.asked()
        poll = await driver.read(group)
        assert server.asked() == [(40000, 2)]
        state["image"] = {"holding": dict.fromkeys(range(51000), 7)}
        other = await driver.read(group)
        state["image"] = image
        assert (await driver.read(group)).quality == {}
    assert {reason for _, reason in poll.quality.values()} == {"timeout"}
    assert not other.alive
    assert {reason for _, reason in other.quality.values()} == {"other-device"}


async def test_a_poll_under_way_while_the_device_is_found_changed_is_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was read from the old places is not taken for what is there now."""
    images = [
        sunspec_device.image([sunspec_device.model(1), *map(sunspec_device.model, numbers)])
        for numbers in ((103,), (122, 103))
    ]
    state: dict[str, Any] = {"image": images[0]}
    clock = SteppedClock()
    async with (
        scripted(lambda request: request.answer(state["image"])) as server,
        bus(server.port, DEVICE, clock=clock) as driver,
    ):
        group = (await groups_of(driver, "one"))[0]
        state["image"] = images[1]
        ask, asked = driver._connection.ask, []

        async def meanwhile(unit: int, space: Space, start: int, count: int) -> bytes | Fault:
            asked.append(start)
            if len(asked) == 1:
                await driver.discover()
            return await ask(unit, space, start, count)

        monkeypatch.setattr(driver._connection, "ask", meanwhile)
        dropped, after = await driver.read(group), await driver.read(group)
    assert {reason for _, reason in dropped.quality.values()} == {"other-device"}
    assert not dropped.alive
    assert after.quality == {}


async def test_an_unnoticed_change_is_seen_in_time() -> None:
    """A device that was swapped between two polls is looked at again after ten minutes, not before."""
    images = [
        sunspec_device.image([sunspec_device.model(1), sunspec_device.model(number)])
        for number in (101, 103)
    ]
    state = {"image": images[0]}
    clock = SteppedClock()
    async with (
        scripted(lambda request: request.answer(state["image"])) as server,
        bus(server.port, DEVICE, clock=clock) as driver,
    ):
        groups = await groups_of(driver, "one")
        state["image"] = images[1]
        server.asked()
        assert (await read(driver, groups)).good
        assert (40000, 2) not in server.asked()
        clock.seconds += CHECK_SECONDS + 1
        got = await read(driver, groups)
    assert set(got.reasons.values()) == {"no-such-point"}
    assert {key for key in got.good if key.startswith("101")} == set()


def test_without_the_definitions_the_configuration_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A gateway without the package is told at the start, not at the first poll."""

    def absent(_name: str) -> Any:
        raise ModuleNotFoundError

    monkeypatch.setattr("importlib.resources.files", absent)
    with pytest.raises(ConfigError, match="install the package pysunspec2"):
        sunspec_models.check_installed()


def _near(shown: dict[str, Any]) -> dict[str, Any]:
    return {
        key: pytest.approx(value, rel=1e-9) if isinstance(value, float) else value
        for key, value in shown.items()
    }


def _keys(groups: Any) -> list[str]:
    return [key for group in groups for key in group.points]


async def test_nothing_is_written_where_the_device_has_changed() -> None:
    """Before a write the device is looked at: what it no longer has is refused, unwritten."""
    controls = sunspec_device.model(123)
    images = [
        sunspec_device.image([sunspec_device.model(1), *models])
        for models in ([controls], [sunspec_device.model(122)])
    ]
    state: dict[str, Any] = {"image": images[0]}

    def script(request: Request) -> bytes:
        return request.answer(state["image"]) if state["image"] else b""

    async with scripted(script) as server, bus(server.port, DEVICE, timeout=0.1) as driver:
        await driver.discover()
        point = "modbus:one:123.Conn"
        assert (await driver.held(point, None))[1] == ""
        state["image"] = {}
        silent = await driver.write(point, 1, None)
        state["image"] = images[1]
        gone = await driver.write(point, 1, None)
    assert (silent.ok, silent.reason, silent.reached) == (False, "timeout", False)
    assert (gone.ok, gone.reason, gone.reached) == (False, "no-such-point", False)
    assert {request.function for request in server.requests} == {3}


async def test_what_is_not_read_stands_in_the_advice() -> None:
    """A vendor's own model is named where a person looks for what could be better."""
    image = device(103, 50, *[1] * 50, 64999, 1, 5, *END)
    async with (
        scripted(lambda request: request.answer(image)) as server,
        bus(server.port, DEVICE) as driver,
    ):
        await driver.discover()
        (figures,) = driver.figures()
    assert "unit 1: model 64999 at 40054 is the vendor's own: not read" in figures.advice
