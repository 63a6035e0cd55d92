"""Which names mean one machine: grammars of many buildings, learned from their names alone."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.mapping.labelled import Labelled
from benchmarks.mapping.rewritten import rewrite
from plantroom_shared.mapping import MappedPoint, map_points
from plantroom_shared.mapping.grammar import level_separator, single_numbers, site_prefix
from plantroom_shared.mapping.names import clean, fold
from plantroom_shared.model import Device, Point
from support.namingschemes import schemes

SCHEMES = schemes()
ANY_SCHEME = st.sampled_from(sorted(SCHEMES))


def mapped(names: Sequence[str]) -> list[MappedPoint]:
    """Map the names of one list."""
    return map_points([Point(key=str(n), device="d", name=name) for n, name in enumerate(names)])


def partition(groups: Sequence[str]) -> set[frozenset[int]]:
    """Return which points are together, whatever their group is called; without one, each alone."""
    found: dict[str, set[int]] = defaultdict(set)
    for index, group in enumerate(groups):
        found[group or f"alone {index}"].add(index)
    return {frozenset(own) for own in found.values()}


def equipment(*names: str) -> dict[str, str]:
    """Return name → its equipment."""
    return {name: item.equipment for name, item in zip(names, mapped(names), strict=True)}


def below(codes: Sequence[object], points: Sequence[str], form: str = "{} {}") -> list[str]:
    """Return a name for every code and point."""
    return [form.format(code, point) for code in codes for point in points]


@pytest.mark.parametrize("scheme", sorted(SCHEMES))
def test_every_naming_scheme_is_understood(scheme: str) -> None:
    """Names of one machine are together and alone; where a word says what it is, so does the class."""
    rows = SCHEMES[scheme]
    found = mapped([row.name for row in rows])
    assert partition([i.equipment for i in found]) == partition([row.machine for row in rows])
    for row, item in zip(rows, found, strict=True):
        assert item.equip_class == row.equip_class or not row.equip_class, row.name


@settings(max_examples=60, deadline=None)
@given(ANY_SCHEME, st.integers(0, 10_000))
def test_other_numbers_separators_case_and_prefix_change_no_partition(
    scheme: str, seed: int
) -> None:
    """A building whose names are rewritten by one rule has the same machines."""
    rows = SCHEMES[scheme]
    other = rewrite([Labelled(scheme, row.name) for row in rows], seed)
    found = mapped([row.name for row in other])
    assert partition([i.equipment for i in found]) == partition([row.machine for row in rows])


@settings(max_examples=60, deadline=None)
@given(ANY_SCHEME, st.randoms(use_true_random=False))
def test_renaming_numbers_renames_equipment_and_nothing_else(scheme: str, chance: Random) -> None:
    """Other numbers of the same length: every key changes by the same rule, classes and parents stay."""
    names = [row.name for row in SCHEMES[scheme]]
    runs = sorted({run for name in names for run in fold(clean(name))[1]})
    instead: dict[str, str] = {}
    for length in {len(run) for run in runs}:
        own = [run for run in runs if len(run) == length]
        pool = [f"{n:0{length}}" for n in range(10**length if length < 4 else 5000)]
        instead.update(zip(own, chance.sample(pool, len(own)), strict=True))

    def renamed(text: str) -> str:
        template, numbers = fold(text)
        parts = iter(instead[number] for number in numbers)
        return re.sub("#", lambda _: next(parts), template)

    before, after = mapped(names), mapped([renamed(clean(name)) for name in names])
    assert [renamed(item.equipment) for item in before] == [item.equipment for item in after]
    assert [renamed(item.parent) for item in before] == [item.parent for item in after]
    said = [(item.equip_class, item.relation, item.point_class) for item in before]
    assert said == [(item.equip_class, item.relation, item.point_class) for item in after]


@settings(max_examples=40, deadline=None)
@given(ANY_SCHEME, st.randoms(use_true_random=False))
def test_the_order_of_points_does_not_matter(scheme: str, chance: Random) -> None:
    """The same names in another order have the same equipment, class and parent."""
    names = [row.name for row in SCHEMES[scheme]]
    shuffled = chance.sample(names, len(names))

    def said(own: list[str]) -> dict[str, tuple[str, str, str]]:
        found = zip(own, mapped(own), strict=True)
        return {name: (i.equipment, i.equip_class, i.parent) for name, i in found}

    assert said(names) == said(shuffled)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.text(alphabet="AHUV 12#_.-/é空1号:", max_size=24), max_size=14))
def test_any_names_get_keys_that_occur_in_them(names: list[str]) -> None:
    """Whatever a name is, its equipment is a stretch of some name of the list."""
    joined = " | ".join(clean(name).replace("#", " ") for name in names)
    for item in mapped(names):
        assert item.equipment in joined


def test_one_number_may_have_several_parts() -> None:
    """The parts of a code belong together, whatever stands between them."""
    for joint in "-_. /":
        names = below([f"3{joint}12", f"3{joint}13", f"4{joint}12"], ["Temp", "Flow"], "VAV {}:{}")
        assert len(set(equipment(*names).values())) == 3


def test_a_second_number_is_a_point_where_most_names_have_one() -> None:
    """`TK3_384_TEMP` is a point of `TK3`, whose other names have no second number."""
    names = below(("TK3", "TK4"), ("SAT", "CFM", "ALM", "384_TEMP"), "{}_{}")
    assert set(equipment(*names).values()) == {"TK3", "TK4"}
    assert single_numbers({fold(name)[0]: 1 for name in names}) == {"tk"}


def test_a_branch_is_a_machine_where_its_code_has_the_same_points_already() -> None:
    """`RM101_MIX` beside `RM101` is another; the PID of `HX1` is its own."""
    names = [
        *below(("RM101", "RM102", "RM101_MIX"), ("Temp", "Setpoint", "Humidity"), "P.Z.{}.{}"),
        *below(("HX1", "HX2"), ("SP", "ISO", "ES"), "P.Z.{}.{}"),
        "P.Z.HX1-PID.Gain",
    ]
    found = equipment(*names)
    assert set(found.values()) == {"RM101", "RM102", "RM101_MIX", "HX1", "HX2"}
    assert found["P.Z.HX1-PID.Gain"] == "HX1"


def test_namesakes_below_two_paths_are_two_but_a_machine_on_two_branches_is_one() -> None:
    """The same points twice: two machines, told apart by their path; different points: one."""
    points = ("SAT", "RAT", "SF-S")
    two = equipment(*below(("North.AHU1", "South.AHU1"), points, "{}.{}"))
    assert set(two.values()) == {"North.AHU1", "South.AHU1"}
    one = equipment("Sys.CHWP1.Run", "Sys.CHWP2.Run", "VFD.CHWP1.Hz", "VFD.CHWP2.Hz", "Sys.T.Oa")
    assert set(one.values()) >= {"CHWP1", "CHWP2"}


def test_words_tell_machines_apart_where_no_number_does() -> None:
    """`AHU East` and `AHU West`, `Chiller A` and `Chiller B`; but `Supply` is no label."""
    labelled = below(("AHU-East", "AHU-West", "Chiller A", "Chiller B"), ("kW", "Run Hours"))
    assert set(equipment(*labelled).values()) == {"AHU-East", "AHU-West", "Chiller A", "Chiller B"}
    plain = below(("AHU Supply", "AHU Return"), ("Temp", "Humidity"))
    assert set(equipment(*plain).values()) == {"AHU"}


def test_words_about_points_name_no_machines_unless_that_explains_the_names() -> None:
    """`Stage 1 Status` is a point; thirty names of five numbered loops are five machines."""
    few = equipment("Stage 1 Status", "Stage 2 Status", "Valve 1 Pos", "Valve 2 Pos")
    assert set(few.values()) == {""}
    many = below(range(1, 6), ("Temp", "Setpoint", "Flow", "Alarm", "Pos", "Mode"), "Loop {}:{}")
    assert set(equipment(*many).values()) == {f"Loop {n}" for n in range(1, 6)}


def test_a_device_keeps_names_that_only_number_its_points() -> None:
    """Behind a controller of its own `DI1` and `Stage 2` are points; codes with points of their own are machines."""
    devices = [Device(key=key, name=f"AHU-{key}", protocol="bacnet") for key in "12"]
    names = ["DI1 Alarm", "DI2 Run", "AI3 Temp", "Stage 1 Status", "Stage 2 Status"]
    points = [Point(key=key + name, device=key, name=name) for key in "12" for name in names]
    found = map_points(points, devices)
    assert [item.equipment for item in found] == ["AHU-1"] * 5 + ["AHU-2"] * 5
    codes = below(("QZ1", "QZ2", "QZ3", "QZ4"), ("Temp", "Flow", "Run", "Mode"))
    found = map_points([Point(key=name, device="1", name=name) for name in codes], devices)
    assert {item.equipment for item in found} == {"QZ1", "QZ2", "QZ3", "QZ4"}


def test_a_loop_has_its_bare_pumps_and_loose_points() -> None:
    """Below `CHW`, `Pump1` is a part of the loop, and so is the demand that names no machine."""
    names = [
        *below(("AHU01", "AHU02"), ("Supply Air Temp", "Mixed Air Temp", "CCV"), "x.AHU.{}.{}"),
        *below(
            ("Supply Temp", "Return Temp", "Flow", "Pump1_Speed", "Pump2_Speed"),
            ("",),
            "x.CHW.{}{}",
        ),
        "Annex_ChilledWater_Demand",
    ]
    found = equipment(*names)
    assert {found[name] for name in names[6:]} == {"CHW"}
    own = below(("P1", "P2"), ("Run", "Trip", "Spd"), "x.HWP-SYS.{}.{}")
    assert len(set(equipment(*own).values())) == 2


def test_parents_are_named_with_evidence() -> None:
    """A room below a unit is fed by it; without a path the only air handler feeds the boxes."""
    rooms = below(("AHU1.RM5", "AHU1.RM6", "AHU2.RM9"), ("Zone Temp", "Zone Damper"), "b.Z.{}.{}")
    units = below(("AHU1", "AHU2"), ("Mixed Air Temp", "Supply Air Temp"), "b.A.{}.{}")
    found = mapped([*rooms, *units])
    fed = [(item.equipment, item.parent, item.relation) for item in found[:6:2]]
    assert fed == [("RM5", "AHU1", "feeds"), ("RM6", "AHU1", "feeds"), ("RM9", "AHU2", "feeds")]
    assert "AHU1 stands before it in 2 names" in found[0].evidence
    assert {item.parent for item in found[6:]} == {""}
    lone = mapped([*below(("VAV-1", "VAV-2"), ("ZN-T",)), "AHU-1 SAT"])
    assert [(item.parent, item.relation) for item in lone] == [("AHU-1", "feeds")] * 2 + [("", "")]
    assert "AHU-1 is the only air handler" in lone[0].evidence
    part = mapped(below(("CH-1 EF-1", "CH-1 EF-2"), ("Spd",)))
    assert {item.equipment for item in part} == {"CH-1"}


def test_a_unit_is_one_where_its_code_is_once_given_short() -> None:
    """`AH-1` beside the single `AH1-1` is the same unit, and the loose fans are its own."""
    names = [
        "AH-1 DASP",
        *below(("AH1-1",), ("SAT", "RAT", "OAD")),
        *below(("SF1", "RF2"), ("Spd",)),
    ]
    assert set(equipment(*names).values()) == {"AH1-1"}


@pytest.mark.parametrize(
    ("points", "equip_class"),
    [
        (("SAT", "CCV", "SF_SPD", "OAT"), "Air_Handling_Unit"),
        (("ZN-T", "DMPR-POS", "Flow"), "Variable_Air_Volume_Box"),
        (("ZN-T", "Fan", "CHW Valve"), "Fan_Coil_Unit"),
        (("ZN-T", "Airflow"), "Variable_Air_Volume_Box"),
        (("kWh", "Voltage", "Power Factor"), "Electrical_Meter"),
        (("Firing Rate", "Status"), "Boiler"),
        (("Evaporator Pressure", "Status"), "Chiller"),
        (("Alpha", "Beta"), ""),
    ],
)
def test_what_an_unknown_word_is_shows_in_its_points(
    points: tuple[str, ...], equip_class: str
) -> None:
    """Machines of one unknown word are of one kind, one with few points like the others."""
    names = [*below(("QZ1", "QZ2", "QZ3"), points), f"QZ4 {points[0]}"]
    assert {item.equip_class for item in mapped(names)} == {equip_class}


def test_words_that_describe_a_room_are_not_about_its_points() -> None:
    """`VAV Room 11 Project/Airflow` is an air flow, with and without what the room is for."""
    rooms = ("VAV Room 11 Project", "VAV Room 12", "VAV Room 13")
    found = mapped(below(rooms, ("Airflow", "Zone Temp", "Schedule"), "North/{}/{}"))
    assert len({item.equipment for item in found}) == 3
    assert [i.point_class for i in found[:3]] == [i.point_class for i in found[3:6]]


def test_a_heading_says_what_unknown_codes_are() -> None:
    """`AC2` below `AHU` is an air handler."""
    found = mapped(below(("AC2", "AC3"), ("Temp", "Mode", "Alarm"), "b.AHU.{}.{}"))
    assert {item.equip_class for item in found} == {"Air_Handling_Unit"}
    assert len({item.equipment for item in found}) == 2


def test_a_bare_pump_is_what_its_path_is_about() -> None:
    """A pump of a hot water plant pumps hot water; the plant contains it and the boilers."""
    names = below(
        ("Boiler 1", "Boiler 2", "Pump 1", "Pump 2"), ("Status", "Hours"), "HW Plant {} {}"
    )
    found = mapped([*names, "HW Plant Supply Temp", "HW Plant DP"])
    assert {(i.equipment, i.equip_class, i.parent, i.relation) for i in found[4:8]} == {
        (f"Pump {n}", "Hot_Water_Pump", "HW Plant", "part-of") for n in (1, 2)
    }
    assert {i.equip_class for i in found[8:]} == {"Hot_Water_System"}
    assert {i.equip_class for i in mapped(below(("Pump 1", "Pump 2"), ("Run",)))} == {"Pump"}


def test_a_numbered_loop_is_equipment_and_contains_what_stands_below_it() -> None:
    """`CHW1` names a chilled water circuit; its pumps are machines of their own."""
    names = [
        *below(("CHW1", "CHW2"), ("SupTemp", "RetTemp"), "X.{}_{}"),
        *below(("CHW1.CHP1", "CHW2.CHP2"), ("Run", "Hz"), "X.{}_{}"),
    ]
    found = mapped(names)
    assert [item.equipment for item in found[::2]] == ["CHW1", "CHW2", "CHP1", "CHP2"]
    assert [item.parent for item in found[::2]] == ["", "", "CHW1", "CHW2"]
    assert {item.equip_class for item in found[:4]} == {"Chiller"}


def test_a_machine_below_a_loop_is_a_part_of_it() -> None:
    """`CHW.CT1` is a tower with points of its own; the status of `CH1` is the loop's."""
    names = [
        *below(("SupTemp", "RetTemp", "Flow", "DP", "CH1STATUS", "CH2STATUS"), ("",), "x.CHW.{}{}"),
        *below(("CT1", "CT2"), ("FanSpeed", "Leaving Temp", "Vibration"), "x.CHW.{}.{}"),
        *below(("AHU01", "AHU02"), ("SAT", "RAT", "OAD", "SF", "RF"), "x.AHU.{}.{}"),
    ]
    found = mapped(names)
    assert {item.equipment for item in found[:6]} == {"CHW"}
    assert {(i.equipment, i.parent, i.relation) for i in found[6:12]} == {
        ("CT1", "CHW", "part-of"),
        ("CT2", "CHW", "part-of"),
    }


def test_equipment_of_a_tree_may_have_no_number() -> None:
    """In a tree a level that names equipment is it; a word inside another level is not."""
    names = below(
        ("Roof/AHU", "Cellar/Boiler", "Cellar/Chiller Valves"),
        ("Temp", "Run", "Mode"),
        "Mill/{}/{}",
    )
    found = equipment(*names)
    assert {found[n] for n in names[:3]} == {"AHU"}
    assert {found[n] for n in names[3:6]} == {"Boiler"}
    assert {mapped(names)[n].equip_class for n in range(6)} == {"Air_Handling_Unit", "Boiler"}


def test_a_description_or_a_device_tells_what_a_name_does_not() -> None:
    """Equipment that only the description, or only the device's model, names."""
    points = [Point(key="a", device="d", name="QX", description="Boiler flow temperature")]
    assert map_points(points)[0].equip_class == "Boiler"
    box = Device(key="d", name="ctl", protocol="bacnet", model="VAV-U")
    assert map_points(points, [box])[0].equip_class == "Variable_Air_Volume_Box"
    plain = Device(key="d", name="ctl", protocol="bacnet")
    assert map_points(points, [plain])[0].equip_class == "Boiler"
    nothing = [Point(key="a", device="d", name="QX", description="qwx zzz")]
    assert map_points(nothing, [plain])[0].equip_class == ""


def test_what_all_names_begin_with_is_the_site() -> None:
    """Words and constant numbers are stripped; a word whose number changes, or of the plant, is not."""
    tail = [f"AHU{n}.SAT" for n in range(9)]
    for head in ("HQ.", "Campus West ", "T2_", "bldg7-", "CMU/SCSC Gates/"):
        assert site_prefix([head + name for name in tail]) == head
    assert site_prefix([f"S-1-{n}:TEMP" for n in range(9)]) == ""
    assert site_prefix(tail) == ""
    assert site_prefix(["HQ.A"] * 3) == ""


def test_levels_and_words_have_different_separators() -> None:
    """What separates levels is told from what separates words, whichever characters they are."""
    points = ("Zone Air Temp", "Zone Air Flow", "Damper Command", "Reheat Valve")
    for level, word in ("._", "_.", "- ", "/-"):
        names = below(
            ("RM#", "AHU#"), [p.replace(" ", word) for p in points], f"Z{level}{{}}{level}{{}}"
        )
        assert level_separator(names) == level
    assert level_separator([f"VAV # {point}" for point in points]) == ""
    assert level_separator([]) == ""
