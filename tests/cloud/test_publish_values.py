"""Values, plans, device keys and messages: the pure parts of publishing."""

from __future__ import annotations

import math
import re
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plantroom_cloud.publishing.enos import models
from plantroom_cloud.publishing.enos.equipment import device_key, zone
from plantroom_cloud.publishing.enos.messages import Posted, chunks, messages
from plantroom_cloud.publishing.plan import Mapped, MappingRow, make_plan
from plantroom_shared.errors import Rejected
from plantroom_shared.mapping.conversion import ModelValue, Source, conversion_of
from plantroom_shared.mapping.things import ModelPoint, is_raw
from plantroom_shared.model import Value


def to_model(value: Value, source: Source, target: ModelPoint) -> ModelValue:
    return conversion_of(source, target)(value)


DOUBLE = ModelPoint("AHU_raw_supply_air_temp", "DOUBLE", "°C", "AI")
ENERGY = ModelPoint("CH_raw_energy_active_total", "DOUBLE", "Wh", "PI")
STATE = ModelPoint("CH_raw_status", "INT", "", "DI")
WHOLE = ModelPoint("X_raw_speed", "INT", "%", "AI")


@pytest.mark.parametrize(
    ("value", "unit", "target", "expected"),
    [
        (59.0, "degrees-fahrenheit", DOUBLE, 15.0),
        (15, "degrees-celsius", DOUBLE, 15.0),
        (15.5, "", DOUBLE, 15.5),
        (15.5, "no-units", DOUBLE, 15.5),
        ("15.5", "°C", DOUBLE, 15.5),
        (True, "", DOUBLE, 1.0),
        (2.0, "kilowatt-hours", ENERGY, 2000.0),
        (1.0, "", STATE, 1),
        (True, "", STATE, 1),
        ("inactive", "", STATE, 0),
        ("ACTIVE", "", STATE, 1),
        ("3", "", STATE, 3),
        (55.4, "percent", WHOLE, 55),
        (1, "", ModelPoint("b", "BOOL"), True),
        ("off", "", ModelPoint("b", "BOOL"), False),
        (7, "", ModelPoint("s", "STRING"), "7"),
        ("eco", "", ModelPoint("e", "ENUM"), "eco"),
        (2, "", ModelPoint("e", "ENUM"), 2),
    ],
)
def test_values_become_what_the_model_takes(
    value: Value, unit: str, target: ModelPoint, expected: Any
) -> None:
    """Units are the model's, binaries are 0 and 1, integers are whole."""
    made = to_model(value, Source(unit), target)
    assert type(made) is type(expected)
    assert made == pytest.approx(expected)


@pytest.mark.parametrize(
    ("states", "object_type", "text", "expected"),
    [
        (("Stop", "Run"), "binary-input", "Run", 1),
        (("Off", "Auto", "On"), "multi-state-input", "auto", 2),
    ],
)
def test_state_texts_are_numbers(
    states: tuple[str, ...], object_type: str, text: str, expected: int
) -> None:
    """A binary counts its states from 0, a BACnet multi-state from 1."""
    assert to_model(text, Source("", states, object_type), STATE) == expected


@pytest.mark.parametrize(
    ("value", "unit", "target", "reason"),
    [
        (1.0, "kilowatts", DOUBLE, "unit"),
        (1.0, "furlongs", DOUBLE, "unit"),
        (math.nan, "", DOUBLE, "value"),
        (math.inf, "", STATE, "value"),
        (None, "", DOUBLE, "value"),
        (None, "", ModelPoint("s", "STRING"), "value"),
        ("warm", "", DOUBLE, "value"),
        ("nan", "", STATE, "value"),
        (0.5, "", STATE, "value"),
        (2**31, "", STATE, "value"),
        (10**400, "", DOUBLE, "value"),
        (1e300, "percent", WHOLE, "value"),
        ("x" * 1025, "", ModelPoint("s", "STRING"), "value"),
        ("x" * 33, "", ModelPoint("e", "ENUM"), "value"),
        (1, "", ModelPoint("a", "ARRAY"), "type"),
    ],
)
def test_values_that_cannot_be_sent(
    value: Value, unit: str, target: ModelPoint, reason: str
) -> None:
    """What EnOS would refuse is told apart before it is sent."""
    with pytest.raises(Rejected) as caught:
        to_model(value, Source(unit), target)
    assert caught.value.reason == reason


@given(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=40)),
    st.sampled_from(["", "kW", "°C", "percent", "?"]),
    st.sampled_from(
        [DOUBLE, ENERGY, STATE, WHOLE, ModelPoint("b", "BOOL"), ModelPoint("s", "STRING")]
    ),
)
def test_every_value_is_sent_rightly_or_rejected(
    value: Value, unit: str, target: ModelPoint
) -> None:
    """Nothing from a bus makes a type EnOS would refuse, and nothing crashes."""
    try:
        made = to_model(value, Source(unit), target)
    except Rejected:
        return
    kinds: dict[str, type] = {"DOUBLE": float, "INT": int, "BOOL": bool, "STRING": str}
    assert type(made) is kinds[target.data_type]
    assert not isinstance(made, float) or math.isfinite(made)


def test_only_what_a_site_measures_is_raw() -> None:
    """Computed, optimised and written points are EnOS's own."""
    assert is_raw("AHU_raw_status")
    assert is_raw("METER.ActivePW")
    assert is_raw("BS.Soc")
    for name in ("CH_cal_x", "AHU_write_fan_speed", "AHU_ai_opt_x", "EQUIP_stat_device_on_off"):
        assert not is_raw(name)
    assert models.published_point("EnOS_HVAC_AHU", "AHU_write_on_off_command") is None
    assert models.published_point("none", "AHU_raw_status") is None


def test_types_follow_from_what_is_public() -> None:
    """States are Int DI, measurements Double, units those of the model."""
    status = models.model_point("EnOS_HVAC_CH", "CH_raw_status")
    energy = models.model_point("EnOS_HVAC_CH", "CH_raw_energy_active_total")
    assert status is not None
    assert energy is not None
    assert (status.data_type, status.signal_type) == ("INT", "DI")
    assert (energy.data_type, energy.unit, energy.signal_type) == ("DOUBLE", "Wh", "PI")


# ------------------------------------------------------------ device keys


@given(st.text(min_size=1, max_size=30), st.text(min_size=1, max_size=90))
def test_device_keys_keep_to_the_charset(site: str, equipment: str) -> None:
    """Whatever equipment is called, its key is 4 to 64 characters EnOS allows, and the same again."""
    key = device_key(site, equipment)
    assert re.fullmatch(r"[A-Za-z0-9\-_.:]{4,64}", key)
    assert key == device_key(site, equipment)


def test_different_equipment_has_different_keys() -> None:
    """Names that look alike once cleaned still differ; a plain name stays readable."""
    assert device_key("tower", "AHU-1") == "tower:AHU-1"
    names = ["AHU 1", "AHU-1", "AHU/1", "AHU:1", "x" * 80, "x" * 81]
    assert len({device_key("tower", name) for name in names}) == len(names)
    assert device_key("a:b", "c") != device_key("a", "b:c")


def test_time_zones() -> None:
    """A site's zone is sent if EnOS takes its like, else the target's."""
    assert zone("Asia/Shanghai", "+08:00") == "Asia/Shanghai"
    assert zone("UTC", "+00:00") == "+00:00"
    assert zone("", "+01:00") == "+01:00"


# ------------------------------------------------------------ plan


def row(point_id: int, **more: Any) -> MappingRow:
    parts: dict[str, Any] = {
        "confidence": 0.9,
        "source": "offline",
        "state": "proposed",
        "target": "AHU_raw_status",
    }
    parts |= more
    target = parts.pop("target")
    mapped = Mapped(point_id, 1, "tower", "UTC", "AHU-1", "EnOS_HVAC_AHU" if target else "", target)
    return MappingRow(mapped, **parts)


@pytest.mark.parametrize(
    ("more", "published"),
    [
        ({}, True),
        ({"confidence": 0.5}, True),
        ({"confidence": 0.49}, False),
        ({"confidence": None}, False),
        ({"confidence": 0.1, "state": "accepted"}, True),
        ({"confidence": None, "source": "profile"}, True),
        ({"confidence": None, "source": "person"}, True),
        ({"state": "rejected", "source": "person"}, False),
        ({"target": ""}, False),
    ],
)
def test_what_is_published(more: dict[str, Any], published: bool) -> None:
    """Sure, accepted or known mappings are published; every row counts as looked at."""
    plan = make_plan([row(1, **more)])
    assert (1 in plan.published) is published
    assert plan.looked_at == {1}


@pytest.mark.parametrize(
    ("first", "second", "winner"),
    [
        ({"confidence": 0.8}, {"confidence": 0.9}, 2),
        ({"confidence": 0.9}, {"confidence": 0.9}, 1),
        ({"source": "person", "confidence": None}, {"confidence": 0.99}, 1),
        ({"source": "profile", "confidence": None}, {"confidence": 0.99}, 1),
        ({"confidence": 0.9}, {"confidence": 0.9, "state": "accepted"}, 2),
    ],
)
def test_of_two_that_claim_the_same_the_surer_is_published(
    first: dict[str, Any], second: dict[str, Any], winner: int
) -> None:
    """The order in which the rows come does not matter."""
    rows = [row(1, **first), row(2, **second)]
    for order in (rows, rows[::-1]):
        plan = make_plan(order)
        assert set(plan.published) == {winner}
        assert plan.conflicts == {3 - winner}


# ------------------------------------------------------------ messages


def posted(count: int, *, assets: int = 3) -> list[Posted]:
    return [Posted(f"A{n % assets}", f"p{n % 7}", 1000 + n, float(n)) for n in range(count)]


@given(st.integers(1, 300), st.integers(900, 4000))
def test_messages_carry_everything_once_within_the_limit(count: int, limit: int) -> None:
    """However values are cut into messages, each is in exactly one, the oldest first."""
    values = posted(count)
    seen: list[Posted] = []
    for body, carried in messages(values, 1, realtime=True, limit=limit):
        assert len(body) <= limit
        message = orjson.loads(body)
        sent = {
            (item["assetId"], point, item["time"]): value
            for item in message["params"]
            for point, value in item["measurepoints"].items()
        }
        assert sent == {(v.asset_id, v.point, v.ms): v.value for v in carried}
        seen += carried
    assert sorted(seen, key=lambda v: v.ms) == values
    assert [v.ms for v in seen] == sorted(v.ms for v in seen)


def test_values_of_one_moment_share_an_item() -> None:
    """Points of one asset and millisecond go as one item; a quality makes the value an object."""
    values = [Posted("A", "p", 1, 2.0), Posted("A", "q", 1, 3, quality=4)]
    ((body, carried),) = messages(values, 5, realtime=False)
    message = orjson.loads(body)
    assert message["params"] == [
        {"assetId": "A", "time": 1, "measurepoints": {"p": 2.0, "q": {"value": 3, "quality": 4}}}
    ]
    assert (message["id"], message["isRealtimeIntegration"]) == ("5", False)
    assert carried == values


def test_chunks() -> None:
    """Slices cover the list in order."""
    assert [list(part) for part in chunks([1, 2, 3], 2)] == [[1, 2], [3]]
