"""Records to be exchanged: with everything that the formats must hold, and of all classes there are."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import strategies as st

from plantroom_cloud.exchange.record import (
    RELATIONS,
    SOURCES,
    STATES,
    Content,
    PointMeaning,
    SiteAbout,
    equipment_of,
)
from plantroom_shared.mapping.classes import equip_classes, point_classes
from plantroom_shared.units import known_units

SITE = SiteAbout("tower-one", "Tower One", "Europe/Berlin")
HOSTILE = (
    '"> . <urn:x> a <urn:y> . #',
    "=HYPERLINK(0)",
    "@SUM(A1)",
    "'quoted",
    "'=1+1",
    'a "b", c; d\n\re',
    "m:",
    "r:admin x",
    "n:5",
    "back\\slash \\u0041",
    "[red]markup[/red]",
    "Lüftung 送风温度 \U0001f525",
    "-1",
    "\ttab ",
    " ",
    "{}",
    "\x1b[2J\x7f\x01",
)
"""Names that each mean something to some format."""


def arrange(
    points: Iterable[PointMeaning],
    relations: dict[str, tuple[str, str]] | None = None,
    silent: dict[str, str] | None = None,
) -> Content:
    """Return a record of these points, by equipment as exports have them."""
    rows = sorted(points, key=lambda point: (point.equipment, point.gateway, point.key))
    return Content(SITE, equipment_of(rows, relations or {}, silent or {}), rows)


def small() -> Content:
    """Return a site with an air handler that feeds two boxes, one part, and hostile names."""
    points = [
        PointMeaning(
            "gw-1", "bacnet:1001:analog-input:1", "bacnet:1001", "AHU1.SAT", "Supply temp",
            "degrees-celsius", "analog-input", (), False, "AHU 1", "Air_Handling_Unit",
            "Supply_Air_Temperature_Sensor", "EnOS_HVAC_AHU", "AHU_raw_supply_air_temp", 0.97,
            "offline", "accepted",
        ),
        PointMeaning(
            "gw-1", "bacnet:1001:binary-output:2", "bacnet:1001", "AHU1.SF.CMD", "", "",
            "binary-output", ("off", "on"), True, "AHU 1", "Air_Handling_Unit", "Fan_Command",
            "", "", 0.4, "llm", "proposed",
        ),
        PointMeaning(
            "gw-1", "modbus:meter:kwh", "modbus:meter", "Zähler", "", "kWh", "", (), None,
            "Meter/1", "Electrical_Meter", "Electric_Energy_Sensor", "", "", 0.99, "person",
            "accepted",
        ),
        PointMeaning("gw-1", "bacnet:7:multi-state-value:3", "bacnet:7", "Mode", "", "", "multi-state-value",
                     ("a", "b", "c,d"), None, "", "", "", "", "", None, "offline", "proposed"),
        PointMeaning("gw-1", "bacnet:7:analog-value:4", "bacnet:7", "X4", "", "%", "", (), None,
                     "VAV 1", "Variable_Air_Volume_Box", "Damper_Position_Sensor", "", "", 0.8, "offline",
                     "rejected"),
        PointMeaning("gw-1", "bacnet:7:analog-value:5", "bacnet:7", "X5", "", "°C", "", (), None,
                     "VAV 1", "Fan_Coil_Unit", "Zone_Air_Temperature_Sensor", "", "", 0.8, "offline",
                     "accepted"),
        PointMeaning("gw-1", "bacnet:7:analog-value:6", "bacnet:7", "X6", "", "°C", "", (), None,
                     "VAV 1", "Variable_Air_Volume_Box", "Target_Zone_Air_Temperature_Setpoint", "", "", 0.8,
                     "rule", "accepted"),
    ]  # fmt: skip
    points += [
        PointMeaning(f"gw {name}", f"k{n} {name}", name, name, name, name, name, (name, name, "z"),
                     None, f"E {name}", "", "", "", "", None, "profile", "accepted")
        for n, name in enumerate(HOSTILE)
    ]  # fmt: skip
    relations = {
        "VAV 1": ("AHU 1", "feeds"),
        "AHU 1": ("Plant", "part-of"),
        "Meter/1": ("AHU 1", "part-of"),
        "E m:": ("Chiller 9", "feeds"),
    }
    return arrange(points, relations, {"Chiller 9": "Chiller", "Spare": "Boiler"})


def everything() -> Content:
    """Return a site with every live class of points and of equipment, and every unit, once or more."""
    classes, kinds = sorted(point_classes()), sorted(equip_classes())
    units = [unit.symbol for unit in known_units()]
    points = [
        PointMeaning(
            "gw-1", f"bacnet:{n}:analog-value:1", f"bacnet:{n}", f"P{n}", "",
            units[n % len(units)], "analog-value", (), None, f"E{n % len(kinds)}",
            kinds[n % len(kinds)], name, "", "", 0.9, "offline", "accepted",
        )
        for n, name in enumerate(classes)
    ]  # fmt: skip
    relations = {f"E{n}": (f"E{n * 7 // 10}", RELATIONS[n % 2]) for n in range(1, len(kinds))}
    return arrange(points, relations)


_TEXT = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12
) | st.sampled_from(HOSTILE)
_KEYS = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=8
)
_POINT = st.builds(
    PointMeaning,
    gateway=st.sampled_from(["gw-1", "gw 2", ""]),
    key=_KEYS,
    device=_TEXT,
    name=_TEXT,
    description=_TEXT,
    unit=st.sampled_from(["°C", "kW", "degrees-celsius", "nonsense", ""]) | _TEXT,
    object_type=st.sampled_from(["", "analog-input", "binary-value", "multi-state-input"]),
    states=st.lists(_TEXT, max_size=3).map(tuple),
    writable=st.sampled_from([None, True, False]),
    equipment=st.sampled_from(["", "AHU 1", "VAV\n2", "=E"]) | _TEXT,
    equip_class=st.sampled_from(
        ["", "Air_Handling_Unit", "Chiller", "AHU", "Equipment", "No_Such_Class"]
    ),
    point_class=st.sampled_from(
        [
            "",
            "Discharge_Air_Temperature_Sensor",
            "Point",
            "PM2.5_Sensor",
            "Core_Temperature_Sensor",
            "No_Such_Class",
        ]
    ),
    model_id=st.sampled_from(["", "EnOS_HVAC_AHU", "Own_Model"]),
    model_point=st.sampled_from(["", "AHU_raw_supply_air_temp", "x"]),
    confidence=st.none() | st.floats(0, 1),
    source=st.sampled_from(["", *SOURCES]),
    state=st.sampled_from(["", *STATES]),
)


@st.composite
def records(draw: st.DrawFn) -> Content:
    """Return any record: points with keys of their own, relations between any equipment."""
    points = draw(st.lists(_POINT, max_size=6, unique_by=lambda p: (p.gateway, p.key)))
    keys = sorted({point.equipment for point in points if point.equipment})
    relations = {}
    for key in keys:
        parent = draw(st.sampled_from(["", *keys, "Above"]))
        if parent and parent != key:
            relations[key] = (parent, draw(st.sampled_from(RELATIONS)))
    return arrange(points, relations, draw(st.sampled_from([{}, {"Spare": "Boiler"}])))
