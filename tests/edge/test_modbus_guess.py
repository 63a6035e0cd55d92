"""Which profile a device is of: what speaks for one, what against, and when to abstain."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plantroom_edge.drivers.modbus import scanning
from plantroom_edge.drivers.modbus.guess import Seen, judge, names_model, names_vendor
from plantroom_edge.drivers.modbus.guess_choice import choose
from plantroom_edge.drivers.modbus.guess_tells import Tells, tells
from plantroom_shared.profiles import Profile, load_profile
from support.modbus_image import Image, write
from support.modbus_plausible import plausible

EM24, SDM630, PM5560 = "meter/carlo-gavazzi-em24", "meter/eastron-sdm630", "meter/schneider-pm5560"
KNOWN = scanning._known_profiles()


def known(name: str) -> Tells:
    """Return what tells a device of a shipped profile."""
    return next(one for one in KNOWN if one.name == name)


def seen(image: Image, **identity: str) -> Seen:
    """Return a device of which everything has been read."""
    words = {space: dict(table) for space, table in image.items()}
    return Seen(words, identity=identity)  # type: ignore[arg-type] # spaces, as text


def profile(*registers: dict[str, Any], model: str = "Bench B-1000", **more: Any) -> Tells:
    """Return what tells a device of a test's own profile."""
    head = {"profile": 1, "vendor": "Acme Works", "model": model, "source": "this test"} | more
    rows = [{"name": row["id"]} | row for row in registers]
    return tells("test/bench", Profile.model_validate(head | {"registers": rows}))


def test_what_tells_a_meter() -> None:
    """Nameplates, voltages, the frequency and the powers with their sum are found by themselves."""
    for name, total in (
        (EM24, "active-power"),
        (SDM630, "active-power"),
        (PM5560, "active-power-total"),
    ):
        meter = known(name)
        assert len(meter.voltages) == 6
        assert len(meter.frequency) == 1
        assert len(meter.powers) == 4
        assert meter.powers[-1].id == total
    assert {"meter-model", "manufacturer"} <= {register.id for register in known(PM5560).texts}
    assert known("inverter/sunspec-103").expected


def test_a_scale_factor_is_heeded() -> None:
    """What is looked at is the value, not the raw number; the factor is read with it."""
    bench = profile(
        {"id": "volts", "address": 0, "sf": "sf", "unit": "V", "point_class": "Voltage_Sensor"},
        {"id": "sf", "address": 1, "type": "int16", "hidden": True},
    )
    assert [register.id for register in bench.factors(bench.voltages)] == ["sf"]
    right = judge(bench, seen({"holding": {0: 2301, 1: 0xFFFF}}))
    wrong = judge(bench, seen({"holding": {0: 2301, 1: 0}}))
    assert right.confidence > 0.15 > wrong.confidence
    assert "but holding 0 would be 2301 V" in wrong.evidence


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        ({"voltage": 0}, "but there is no voltage"),
        ({"voltage": 7000}, "V"),
        ({"frequency": 0}, "Hz"),
        ({"frequency": 500}, "Hz"),
        ({"active-power": 999}, "is not the sum of its phases"),
        ({"power-factor": 7}, "would be"),
    ],
)
def test_what_makes_no_sense_speaks_against(fault: dict[str, float], line: str) -> None:
    """Voltage, frequency, sums and ranges that no meter shows lower the confidence below enough."""
    image = plausible(load_profile(EM24))
    good = judge(known(EM24), seen(image)).confidence
    ((key, value),) = fault.items()
    for register in load_profile(EM24).registers:
        if key == register.id or (key in register.id and key == "voltage"):
            write(image, register, round(value / register.scale))
    verdict = judge(known(EM24), seen(image))
    assert verdict.confidence < 0.5 < good
    assert any(one.startswith("but ") and line in one for one in verdict.evidence)


def test_a_device_of_zeros_is_nothing() -> None:
    """A device that answers 0 everywhere fits no profile enough."""
    zeros = {space: dict.fromkeys(range(41000), 0) for space in ("holding", "input")}
    best, evidence = choose([judge(one, seen(zeros)) for one in KNOWN], seen(zeros))
    assert best is None
    assert "too little speaks for any profile" in evidence[0]


def test_a_fixed_register_rules_out() -> None:
    """A register that must hold a value and holds another is no device of that model."""
    bench = profile({"id": "id", "address": 0, "expect": 5560}, {"id": "x", "address": 1})
    assert judge(bench, seen({"holding": {0: 5560, 1: 0}})).confidence > 0.85
    verdict = judge(bench, seen({"holding": {0: 5561, 1: 0}}))
    assert verdict.confidence == 0
    assert verdict.evidence[0] == "but holding 0 reads 5561, not 5560"
    assert judge(bench, seen({})).confidence == 0


def test_a_small_fixed_register_is_weak_evidence() -> None:
    """A 1 is found in many devices."""
    bench = profile({"id": "id", "address": 0, "expect": 1})
    assert judge(bench, seen({"holding": {0: 1}})).confidence < 0.5


def test_a_nameplate_of_another_speaks_against() -> None:
    """A text that names neither vendor nor model, or none, lowers the confidence."""
    image = plausible(load_profile(PM5560))
    sure = judge(known(PM5560), seen(image)).confidence
    for text in ("Other Inc", ""):
        for register in known(PM5560).texts:
            for place in range(register.words):
                image["holding"][register.address + place] = 0
            write(image, register, text)
        verdict = judge(known(PM5560), seen(image))
        assert verdict.confidence < 0.5 < sure
        assert any("Other Inc" in line or "nameplate is empty" in line for line in verdict.evidence)


def test_the_identification_speaks_for_and_against() -> None:
    """A product that names the model is sure; another vendor's makes it unlikely."""
    image = plausible(load_profile(EM24))
    plain = judge(known(EM24), seen(image)).confidence
    named = judge(known(EM24), seen(image, vendor="CARLO GAVAZZI", product="EM24-DIN AV9"))
    other = judge(known(EM24), seen(image, vendor="Siemens", product="PAC3200"))
    assert named.confidence > 0.9 > plain > 0.5 > other.confidence
    assert "but its vendor is 'Siemens', not Carlo Gavazzi" in other.evidence


def test_what_is_refused_speaks_against() -> None:
    """A profile whose registers the device has not is not proposed."""
    device = seen({})
    device.refused.append(("holding", 0, 2))
    verdict = judge(known(EM24), device)
    assert verdict.confidence == 0
    assert verdict.evidence == ["but holding 0 is refused"]
    assert device.refuses("holding", 0, 10)
    assert not device.refuses("holding", 1, 10)
    assert not device.refuses("input", 0, 10)


def test_a_float_that_is_none_speaks_against() -> None:
    """Integers read as floats become numbers that no device shows."""
    image = {"input": dict.fromkeys(range(400), 0) | {0: 0, 1: 1}}
    verdict = judge(known(SDM630), seen(image))
    assert "but input 0 is no number" in verdict.evidence


def test_nothing_known_is_nothing_proposed() -> None:
    """Without a profile, or without one that is possible, there is nothing to say."""
    assert choose([], Seen()) == (None, ("no known profile fits",))


@pytest.mark.parametrize(
    ("text", "model", "named"),
    [
        ("PM5560", "PowerLogic PM5560", True),
        ("METSEPM5560", "PowerLogic PM5560", True),
        ("pm-5560", "PowerLogic PM5560", True),
        ("PM5561", "PowerLogic PM5560", False),
        ("EM24 DIN", "EM24-E1", True),
        ("EM24-E1", "EM24-E1", True),
        ("", "EM24-E1", False),
        ("Meter", "Smart Meter 3", False),
    ],
)
def test_a_text_names_a_model(text: str, model: str, named: bool) -> None:
    """A word of letters and digits names the model; a bare word or number does not."""
    assert names_model(text, model) == named


def test_a_text_names_a_vendor() -> None:
    """The first word of the vendor is enough, if it is one."""
    assert names_vendor("SCHNEIDER", "Schneider Electric")
    assert not names_vendor("Electric", "Schneider Electric")
    assert not names_vendor("a b", "a b")
    assert not names_vendor("x", " ")


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 65535), min_size=200, max_size=200), st.sampled_from(KNOWN))
def test_any_words_are_judged(words: list[int], one: Tells) -> None:
    """Whatever a device shows, the confidence is between 0 and 1."""
    lowest = min((register.address for register in one.first), default=0)
    image = {space: dict(enumerate(words, lowest)) for space in ("holding", "input")}
    assert 0 <= judge(one, seen(image)).confidence <= 1


def test_what_a_profile_says_of_itself_decides() -> None:
    """A profile's own marks, a text or a number, make sure or rule out."""
    bench = profile(
        {"id": "type", "address": 0},
        {"id": "plate", "address": 1, "type": "string", "length": 2},
        identify={
            "registers": [{"id": "type", "values": [340, 341]}, {"id": "plate", "text": "AB*"}]
        },
    )
    assert [register.id for register in bench.first[:2]] == ["type", "plate"]
    right = judge(bench, seen({"holding": {0: 341, 1: 0x4142, 2: 0x3132}}))
    wrong = judge(bench, seen({"holding": {0: 342, 1: 0x4142, 2: 0x3132}}))
    other = judge(bench, seen({"holding": {0: 341, 1: 0x5858, 2: 0}}))
    assert right.confidence > 0.95
    assert {"holding 0 reads 341", "holding 1 reads 'AB12'"} <= set(right.evidence)
    assert max(wrong.confidence, other.confidence) < 0.2


@pytest.mark.parametrize(
    ("asked", "identity", "least", "most"),
    [
        ({"vendor": "acme*", "product": "b-1*"}, {"vendor": "ACME", "product": "B-17"}, 0.9, 1),
        ({"vendor": "acme*"}, {"vendor": "ACME", "product": "other"}, 0.3, 0.5),
        ({"product": "b-1*"}, {"vendor": "Other", "product": "C-9"}, 0, 0.1),
        ({"product": "b-1*"}, {}, 0, 0.1),
    ],
)
def test_a_profile_knows_what_its_devices_call_themselves(
    asked: dict[str, str], identity: dict[str, str], least: float, most: float
) -> None:
    """The profile's patterns for function 43 are heeded before its names."""
    bench = profile({"id": "x", "address": 0}, identify={"device_id": asked})
    verdict = judge(bench, seen({"holding": {0: 1}}, **identity))
    assert least <= verdict.confidence <= most
