"""Profiles of one family: which is proposed, and when nothing is."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plantroom_edge.drivers import Candidate, ScanRequest
from plantroom_edge.drivers.modbus import scanning
from plantroom_edge.drivers.modbus.guess import ENOUGH, Seen, Verdict, judge
from plantroom_edge.drivers.modbus.guess_choice import (
    SOUND,
    choose,
    leading,
    makes_sense,
    tally,
    worth_a_look,
)
from plantroom_edge.drivers.modbus.guess_kin import contradiction, quarrel, related
from plantroom_edge.drivers.modbus.guess_tells import Tells, tells
from plantroom_edge.drivers.modbus.scan_unit import MAX_READS, MORE_READS
from plantroom_shared.clock import SystemClock
from plantroom_shared.profiles import Profile, load_profile
from support.modbus_image import Image
from support.modbus_plant import Plant, standing
from support.modbus_plausible import plausible

SDM630, SDM54 = "meter/eastron-sdm630", "meter/eastron-sdm54"
KNOWN = {one.name: one for one in scanning._known_profiles()}


def seen(image: Image) -> Seen:
    """Return a device of which everything has been read."""
    return Seen({space: dict(table) for space, table in image.items()})  # type: ignore[misc] # spaces, as text


def of(*rows: dict[str, Any], name: str = "test/bench") -> Tells:
    """Return what tells a device of a test's own profile."""
    head = {"profile": 1, "vendor": "Acme Works", "model": "Bench B-1000", "source": "this test"}
    registers = [{"name": row["id"]} | row for row in rows]
    return tells(name, Profile.model_validate(head | {"registers": registers}))


def points(count: int, first: int = 0, **more: Any) -> list[dict[str, Any]]:
    """Return registers one after the other."""
    return [{"id": f"p{at}", "address": at} | more for at in range(first, first + count)]


def as_good(*candidates: Tells, doubt: float = 0.3) -> list[Verdict]:
    """Return verdicts that are as good as each other."""
    return [Verdict(one, doubt, evidence=["it looks like it"]) for one in candidates]


def changed(name: str, key: str, value: Any, register: str = "l1-current") -> Tells:
    """Return a twin of a shipped profile that reads one register in another way."""
    profile = load_profile(name)
    rows = [
        one.model_copy(update={key: value}) if one.id == register else one
        for one in profile.registers
    ]
    return tells("test/other", profile.model_copy(update={"registers": tuple(rows)}))


# ---------------------------------------------------------------- a family


def test_of_a_family_the_one_that_the_device_bears_out_is_proposed() -> None:
    """The device answers all points of one: it is proposed, less surely, the sibling named."""
    device = seen(plausible(load_profile(SDM630)))
    verdicts = [judge(KNOWN[name], device) for name in (SDM54, SDM630)]
    assert worth_a_look(leading(verdicts))
    best, evidence = choose(verdicts, device)
    assert best is not None
    assert best.tells.name == SDM630
    assert ENOUGH <= best.confidence < verdicts[1].confidence
    total = len(load_profile(SDM630).points)
    assert evidence[0] == f"{total} of {total} points answer plausibly"
    assert evidence[1].startswith("but it may be a sibling")
    assert f"{SDM54} (" in evidence[1]
    assert set(verdicts[1].evidence) < set(evidence)


def test_the_larger_one_is_proposed_where_all_of_it_answers() -> None:
    """A sibling that leaves points out fits as well, and would lose them."""
    small, large = of(*points(20), name="test/a"), of(*points(30), name="test/b")
    device = seen({"holding": dict.fromkeys(range(30), 7)})
    best, evidence = choose(as_good(small, large), device)
    assert best is not None
    assert best.tells is large
    assert "test/a (20 of 20)" in evidence[1]


@pytest.mark.parametrize("rest", [{}, dict.fromkeys(range(20, 30), 0)])
def test_the_smaller_one_is_proposed_where_the_rest_says_nothing(rest: dict[int, int]) -> None:
    """Points that are refused, or are 0 like any gap, are none that the device has."""
    small, large = of(*points(20), name="test/b"), of(*points(30), name="test/a")
    device = seen({"holding": dict.fromkeys(range(20), 7) | rest})
    best, _ = choose(as_good(large, small), device)
    assert best is not None
    assert best.tells is small


def test_siblings_that_answer_alike_are_not_told_apart() -> None:
    """Twins, or siblings that differ by a point or two, are named, and none is proposed."""
    device = seen({"holding": dict.fromkeys(range(60), 7)})
    one = of(*points(59), name="test/a")
    for other in (of(*points(59), name="test/b"), of(*points(60), name="test/b")):
        best, evidence = choose(as_good(one, other), device)
        assert best is None
        assert "read what they share alike" in evidence[0]
        assert "test/a (59 of 59)" in evidence[0]
        assert "test/b (" in evidence[0]
        assert evidence[1] == "its nameplate says which it is"


def test_more_points_and_fewer_right_ones_are_not_weighed_against_each_other() -> None:
    """One has more that answers, the other less that does not: that decides nothing."""
    small, large = of(*points(30), name="test/a"), of(*points(55), name="test/b")
    device = seen({"holding": dict.fromkeys(range(50), 7)})
    assert choose(as_good(small, large), device)[0] is None


@pytest.mark.parametrize("answering", [range(25), range(40)])
def test_a_device_that_bears_none_out_is_of_another_model(answering: range) -> None:
    """Where too many points of every one of them do not answer, nothing is proposed."""
    one, other = of(*points(60), name="test/a"), of(*points(80), name="test/b")
    best, evidence = choose(as_good(one, other), seen({"holding": dict.fromkeys(answering, 7)}))
    assert best is None
    assert evidence[1] == "too few points make sense"


def test_a_device_at_rest_bears_none_out() -> None:
    """Where most points are 0, what answers is too little to tell siblings apart."""
    one, other = of(*points(40), name="test/a"), of(*points(60), name="test/b")
    device = seen({"holding": dict.fromkeys(range(60), 0) | dict.fromkeys(range(12), 7)})
    assert choose(as_good(one, other), device)[0] is None


def test_a_sibling_of_which_too_little_speaks_is_not_proposed() -> None:
    """All points that answer do not make up for what spoke against a profile."""
    small, large = of(*points(20), name="test/a"), of(*points(30), name="test/b")
    verdicts = as_good(small, doubt=0.45) + as_good(large, doubt=0.52)
    best, evidence = choose(verdicts, seen({"holding": dict.fromkeys(range(30), 7)}))
    assert best is None
    assert "test/b (30 of 30), test/a (20 of 20)" in evidence[0]


# ---------------------------------------------------------------- no family


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("type", "int32"),
        ("order", "CDAB"),
        ("scale", 0.1),
        ("offset", 1.0),
        ("unit", "kA"),
        ("point_class", "Voltage_Sensor"),
    ],
)
def test_rivals_that_contradict_each_other_are_not_proposed(key: str, value: Any) -> None:
    """One register that two read in different ways is enough to propose neither, and is named."""
    device = seen(plausible(load_profile(SDM630)))
    rivals = as_good(KNOWN[SDM630], changed(SDM630, key, value))
    assert not worth_a_look(leading(rivals))
    best, evidence = choose(rivals, device)
    assert best is None
    assert "fit as well as each other" in evidence[0]
    assert evidence[1].startswith("input 6 is Phase 1 current [")
    assert f"by {SDM630}" in evidence[1]


def test_another_meaning_is_a_contradiction() -> None:
    """Bought and sold energy are both kWh: the name and the id tell them apart."""
    bought = {"id": "import", "name": "Import", "address": 3, "unit": "kWh"}
    sold = {"id": "export", "name": "Export", "address": 3, "unit": "kWh"}
    renamed = bought | {"id": "energy-import"}
    rest = points(3)
    here, there = of(*rest, bought).profile, of(*rest, sold).profile
    found = contradiction(here, there)
    assert found is not None
    assert [one.id for one in found] == ["import", "export"]
    assert contradiction(here, of(*rest, renamed).profile) is None


def test_another_scale_factor_or_other_texts_are_a_contradiction() -> None:
    """The factor counts by where it is, not by what it is called; states by what they say."""

    def scaled(at: int) -> Profile:
        factor = {"id": "sf", "address": at, "type": "int16", "hidden": True}
        return of({"id": "x", "address": 0, "sf": "sf"}, factor).profile

    def stated(text: str) -> Profile:
        return of({"id": "x", "address": 0, "states": {1: text}}).profile

    assert contradiction(scaled(5), scaled(6)) is not None
    assert contradiction(scaled(5), scaled(5)) is None
    assert contradiction(stated("on"), stated("off")) is not None
    assert contradiction(stated("on"), of({"id": "x", "address": 0}).profile) is None


def test_bits_of_a_word_that_only_one_knows_are_no_contradiction() -> None:
    """A profile may say more about a word; two that each say something else contradict."""
    word = {"id": "status", "address": 0}
    alarm = {"id": "alarm", "address": 0, "type": "bool", "bit": 3}
    plain, more = of(word).profile, of(word, alarm).profile
    assert contradiction(plain, more) is None
    assert contradiction(of(alarm).profile, plain) is not None


def test_half_of_a_value_is_a_contradiction() -> None:
    """A register in the middle of another's value is not read alike."""
    wide = of({"id": "x", "address": 4, "type": "float32"}).profile
    assert contradiction(wide, of({"id": "x", "address": 5}).profile) is not None
    assert contradiction(wide, of({"id": "x", "address": 5, "space": "input"}).profile) is None


def test_profiles_that_share_little_are_no_family() -> None:
    """Who reads other registers contradicts nobody, and may still be wrong."""
    one, other = of(*points(20), name="test/a"), of(*points(20, first=15), name="test/b")
    assert contradiction(one.profile, other.profile) is None
    assert not related(one.profile, other.profile)
    device = seen({"holding": dict.fromkeys(range(40), 7)})
    best, evidence = choose(as_good(one, other), device)
    assert best is None
    assert evidence[1] == "test/a and test/b share too few registers"


# ---------------------------------------------------------------- what makes sense


@pytest.mark.parametrize(
    ("row", "words", "sense"),
    [
        ({}, [], False),
        ({}, [0], None),
        ({}, [5], True),
        ({"sentinel": [0x8000]}, [0x8000], None),
        ({"range": [0, 10]}, [11], False),
        ({"states": {1: "on"}}, [1], True),
        ({"states": {1: "on"}}, [2], False),
        ({"type": "bitfield16", "states": {1: "on"}}, [2], True),
        ({"type": "bool", "bit": 0}, [1], True),
        ({"type": "bool", "bit": 0}, [2], None),
        ({"type": "string"}, [0x4142], True),
        ({"type": "string"}, [0], None),
        ({"type": "float32"}, [0x7FC0, 0], None),
        ({"type": "float32"}, [0x7F80, 0], False),
        ({"type": "float32"}, [0, 1], False),
        ({"type": "float32"}, [0x7F00, 0], False),
        ({"type": "float32"}, [0x3F80, 0], True),
        ({"unit": "V", "point_class": "Voltage_Sensor"}, [230], True),
        ({"unit": "V", "point_class": "Voltage_Sensor"}, [7], False),
        ({"unit": "Hz", "point_class": "Frequency_Sensor"}, [50], True),
        ({"unit": "Hz", "point_class": "Frequency_Sensor"}, [500], False),
    ],
)
def test_what_makes_sense(row: dict[str, Any], words: list[int], sense: bool | None) -> None:
    """A value that may be speaks for a profile, 0 or nothing for none, all else against it."""
    bench = of({"id": "x", "address": 0} | row)
    device = seen({"holding": dict(enumerate(words))})
    assert makes_sense(bench.profile.by_id["x"], device, bench) is sense


# ---------------------------------------------------------------- whatever comes

PROFILES = sorted(KNOWN)
WORDS = [*range(2, 60), 0, 0, 0, 1, 65535]
"""Mostly plausible; 65535 is out of range, and where 1 stands nothing answers."""


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(PROFILES), st.sampled_from(PROFILES))
def test_contradiction_goes_both_ways(one: str, other: str) -> None:
    """Whether two shipped profiles are a family does not depend on who is asked first."""
    a, b = KNOWN[one].profile, KNOWN[other].profile
    assert (contradiction(a, b) is None) == (contradiction(b, a) is None)
    assert related(a, a)
    assert contradiction(a, a) is None
    assert bool(quarrel([(one, a), (other, b)])) == bool(quarrel([(other, b), (one, a)]))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(PROFILES), st.integers(0, 1 << 32), st.data())
def test_what_leaves_points_out_contradicts_nobody(name: str, seed: int, data: Any) -> None:
    """A part of a profile agrees with all of it; with one unit changed it does not."""
    whole = KNOWN[name].profile
    rng = random.Random(seed)
    factors = {one.sf for one in whole.registers if one.sf}
    kept = [one for one in whole.registers if one.id in factors or rng.random() < 0.6]
    if not kept:
        kept = list(whole.registers[:1])
    part = whole.model_copy(update={"registers": tuple(kept)})
    assert contradiction(whole, part) is None
    place = data.draw(st.integers(0, len(kept) - 1))
    # Where several registers share a word, the other ones may be the same still.
    kept[place] = kept[place].model_copy(update={"unit": "nobody's"})
    other = whole.model_copy(update={"registers": tuple(kept)})
    assert contradiction(other, whole) is not None or _shares_its_word(whole, kept[place].id)


def _shares_its_word(profile: Profile, name: str) -> bool:
    mine = profile.by_id[name]
    taken = range(mine.address, mine.address + mine.words)
    return any(
        one.id != name and one.space == mine.space and at in taken
        for one in profile.registers
        for at in range(one.address, one.address + one.words)
    )


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.sampled_from(WORDS), min_size=60, max_size=60),
    st.lists(st.integers(1, 60), min_size=2, max_size=4),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_whatever_a_device_shows_no_guess_is_bold(
    words: list[int], sizes: list[int], contradicts: bool, rng: random.Random
) -> None:
    """What is proposed of rivals is borne out and no contradiction, in whatever order they come."""
    rivals = [
        of(*points(size, range=[0, 1000]), name=f"test/{at}") for at, size in enumerate(sizes)
    ]
    if contradicts:
        rivals.append(of(*points(sizes[0], unit="A"), name="test/other"))
    device = seen({"holding": {at: word for at, word in enumerate(words) if word != 1}})
    verdicts = as_good(*rivals)
    best, evidence = choose(verdicts, device)
    rng.shuffle(verdicts)
    again, _ = choose(verdicts, device)
    assert (best and best.tells.name) == (again and again.tells.name)
    if best is None:
        return
    counted = tally(best, device)
    assert not contradicts
    assert counted.share >= SOUND
    assert ENOUGH <= best.confidence < verdicts[0].confidence
    assert all(one.tells.name in evidence[1] for one in verdicts if one.tells is not best.tells)


# ---------------------------------------------------------------- on the bus


async def scan(plant: Plant, folder: Path, *more: str) -> str:
    """Run the command against a plant; return what it prints."""
    command = (sys.executable, "-m", "plantroom_edge", "scan", "--rate", "2000", *more)
    target = ("--modbus", f"127.0.0.1:{plant.port}", "--units", "1")
    wide = {**os.environ, "COLUMNS": "400"}
    async with asyncio.timeout(60):
        child = await asyncio.create_subprocess_exec(
            *command, *target, cwd=folder, env=wide, stdout=asyncio.subprocess.PIPE
        )
        out, _ = await child.communicate()
    assert child.returncode == 0
    return out.decode()


async def test_a_scan_tells_the_siblings_to_people_and_programs(tmp_path: Path) -> None:
    """The JSON and the terminal name what is proposed, how sure, and what else it may be."""
    plant = Plant({1: plausible(load_profile(SDM630))}, any_unit=True)
    async with standing(plant):
        document = json.loads(await scan(plant, tmp_path, "--json"))
        asked = len(plant.pdus)
        shown = await scan(plant, tmp_path)
    (found,) = document["devices"]
    assert found["profile"] == SDM630
    assert f"{SDM54} (" in found["evidence"][1]
    assert asked <= MAX_READS + MORE_READS
    for words in (SDM630, SDM54, f"{found['confidence']:.0%}", "may be a sibling"):
        assert words in shown


async def found_on(plant: Plant) -> Candidate:
    """Return what a scan makes of a plant's only unit."""
    request = ScanRequest((f"127.0.0.1:{plant.port}",), rate=5000, units=(1,))
    async with asyncio.timeout(30), aclosing(scanning.scan(request, SystemClock())) as events:
        (found,) = [event async for event in events if isinstance(event, Candidate)]
    return found


async def test_what_it_calls_itself_comes_after_the_siblings() -> None:
    """A person sees three lines of evidence: the siblings are one of them."""
    identity = {0: b"Eastron", 1: b"Meter", 2: b"1.8"}
    plant = Plant({1: plausible(load_profile(SDM630))}, identity=identity)
    async with standing(plant):
        found = await found_on(plant)
    assert found.profile == SDM630
    assert f"{SDM54} (" in "".join(found.evidence[:3])
    assert "vendor is 'Eastron'" in found.evidence


async def test_looking_closer_costs_no_more_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many points siblings have that are refused, the reads are counted; none is proposed."""
    image = plausible(load_profile(SDM630))
    profile = load_profile(SDM630)
    scattered = [
        profile.by_id["charge"].model_copy(update={"id": f"x{at}", "address": 1000 + 20 * at})
        for at in range(250)
    ]
    registers = (*profile.registers, *scattered)
    large = tells("test/large", profile.model_copy(update={"registers": registers}))
    larger = tells("test/larger", large.profile)
    monkeypatch.setattr(scanning, "_known_profiles", lambda: (large, larger))
    plant = Plant({1: image})
    async with standing(plant):
        found = await found_on(plant)
    assert found.profile == ""
    assert "too few points make sense" in found.evidence
    assert MORE_READS <= len(plant.pdus) <= MAX_READS + MORE_READS
