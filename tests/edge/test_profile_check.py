"""What `profile check` finds doubtful, and what it says that reading costs."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from plantroom_edge.profile_check import Round, doubts, rounds
from plantroom_shared.profiles import AnyProfile, list_profiles, parse_any_profile, profile_file


def _profile(*registers: dict[str, Any], **more: Any) -> AnyProfile:
    head = {"profile": 1, "vendor": "V", "model": "M", "source": "S", "equip_class": "Equipment"}
    named = [{"id": f"r{n}", "name": "R", "address": 0} | one for n, one in enumerate(registers)]
    text = yaml.safe_dump(head | {"registers": named} | more)
    return parse_any_profile(text.encode(), "x")


def _told(profile: AnyProfile) -> list[tuple[tuple[str | int, ...], str]]:
    return [(doubt.place, f"{doubt.what}; {doubt.fix}") for doubt in doubts(profile)]


@pytest.mark.parametrize(
    ("keys", "place", "what"),
    [
        ({"unit": "furlong"}, "unit", "the unit 'furlong' is unknown"),
        ({"point_class": "Teapot"}, "point_class", "no point class 'Teapot'"),
        ({"enos": "A/B"}, "enos", "no thing model is known to have 'A/B'"),
        ({"write": {"min": 0}}, "write", "may be written without a limit"),
        ({"address": 40001}, "address", "subtract 40001 from each"),
        ({"address": 30001, "space": "input"}, "address", "subtract 30001 from each"),
    ],
)
def test_what_is_mostly_a_mistake(keys: dict[str, Any], place: str, what: str) -> None:
    """Each doubt names the key and what to do."""
    ((where, text),) = _told(_profile(keys))
    assert where == ("registers", 0, place)
    assert what in text


def test_a_quantity_has_a_unit() -> None:
    """Scaled and floating-point values do; codes, states, factors and hidden ones need none."""
    profile = _profile(
        {"scale": 0.1},
        {"type": "float32", "address": 2},
        {"address": 4},
        {"address": 5, "scale": 2, "states": {0: "A"}},
        {"address": 6, "type": "float32", "point_class": "Power_Factor_Sensor"},
        {"address": 8, "scale": 2, "hidden": True},
    )
    assert [place for place, _ in _told(profile)] == [("registers", 0), ("registers", 1)]


def test_registers_do_not_overlap() -> None:
    """But bits of one register may, and what is in another space."""
    profile = _profile(
        {"type": "uint32"},
        {"address": 1},
        {"address": 1, "space": "input"},
        {"address": 0, "type": "bool", "bit": 1},
        {"address": 5, "bits": [0, 3]},
        {"address": 5, "bits": [4, 7]},
    )
    ((place, text),) = _told(profile)
    assert place == ("registers", 1, "address")
    assert "r1 at 1 overlaps r0 at 0" in text


def test_a_device_has_a_class() -> None:
    """Without one the mapper must guess what it is."""
    assert [what for _, what in _told(_profile({}, equip_class=""))] == [
        "there is none; name the Brick class of the device"
    ]
    ((place, what),) = _told(_profile({}, equip_class="Teapot"))
    assert place == ("equip_class",)
    assert "no equipment class 'Teapot'" in what


def test_sunspec_is_no_mistake() -> None:
    """SunSpec devices do have registers from 40000 on."""
    assert _told(_profile({"address": 40000}, {"address": 40001})) == []


def test_a_round_costs_requests_registers_and_bytes() -> None:
    """The plan is that of the driver: what is near is read along, scale factors included."""
    profile = _profile(
        {"unit": "V", "sf": "r1"},
        {"address": 3, "type": "int16", "hidden": True},
        {"address": 100, "interval": 60},
        limits={"gap": 8},
    )
    # A request has 12 bytes, an answer 9 and two for each register.
    assert rounds(profile) == [Round(5, 1, 1, 4, 12 + 9 + 8), Round(60, 1, 1, 1, 12 + 9 + 2)]


@pytest.mark.parametrize("name", list_profiles())
def test_the_profiles_of_the_product_raise_no_doubt_but_units(name: str) -> None:
    """Nothing overlaps, nothing counts from 40001, and what may be written has limits."""
    path = profile_file(name)
    profile = parse_any_profile(path.read_bytes(), str(path))
    assert [doubt for doubt in doubts(profile) if "without a unit" not in doubt.what] == []
    assert sum(one.requests for one in rounds(profile)) >= 1
