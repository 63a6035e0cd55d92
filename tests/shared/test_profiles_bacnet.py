"""Profiles of BACnet device models: what is of a model, what its objects are, what files may say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from plantroom_shared.errors import ConfigError
from plantroom_shared.profile_parts import fits
from plantroom_shared.profiles import (
    BacnetProfile,
    bacnet_profiles,
    list_profiles,
    load_bacnet_profile,
    load_profile,
    parse_any_profile,
    parse_bacnet_profile,
    parse_profile,
    profile_faults,
)

HEAD: dict[str, Any] = {
    "profile": 1,
    "protocol": "bacnet",
    "vendor": "V",
    "model": "M",
    "source": "S",
    "match": {"vendor_id": 5, "model": ["AHU 7*"]},
}


def _object(**keys: Any) -> dict[str, Any]:
    return {"id": "a", "name": "A", "type": "analog-value", "instance": 1} | keys


def _parse(*objects: dict[str, Any], **more: Any) -> BacnetProfile:
    text = yaml.safe_dump(HEAD | {"objects": list(objects)} | more)
    return parse_bacnet_profile(text.encode(), "x.yaml")


@pytest.mark.parametrize(
    ("keys", "what"),
    [
        ({"type": "trend-log"}, "'analog-input'"),
        ({"instance": None}, "write `instance`, `object_name` or both"),
        ({"instance": 4_194_303}, "less than or equal to 4194302"),
        ({"type": "binary-value", "states": {2: "X"}}, "are 0 and 1"),
        ({"type": "multi-state-value", "states": {0: "X"}}, "counted from 1"),
        ({"type": "binary-value", "range": [0, 1]}, "is no quantity"),
        ({"type": "multi-state-value", "write": {}}, "name its `states`"),
        ({"type": "binary-value", "write": {"min": 0}}, "only a number has `min`"),
        ({"type": "analog-input", "write": {"min": 0, "max": 1}}, "never written"),
        ({"range": [0, 5], "write": {"min": 0, "max": 6}}, "beyond its `range`"),
        ({"rollover": 5}, "write `counter: true`"),
        ({"write": {"function": 6}}, "no such key"),
    ],
)
def test_a_wrong_object_is_named(keys: dict[str, Any], what: str) -> None:
    """The error says which file, line and object, and what to write instead."""
    with pytest.raises(ConfigError, match=r"x\.yaml:\d+: objects\[0\] \(a\)") as caught:
        _parse(_object(**keys))
    assert what in str(caught.value)


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ({"match": {}}, "say by what"),
        ({"match": {"objects": ["b"]}}, "must be an object of this file"),
        ({"match": {"objects": ["a"]}}, "with an `object_name`"),
        ({"firmware": {}}, "say `min`, `max` or both"),
        ({"firmware": ["x"]}, "pattern"),
        ({"objects": []}, "at least 1 item"),
        ({"objects": [_object(), _object(instance=2)]}, "ids a are used twice"),
        ({"objects": [_object(), _object(id="b")]}, "analog-value:1 stands twice"),
    ],
)
def test_a_wrong_file_is_named(more: dict[str, Any], what: str) -> None:
    """What is wrong with the file as a whole is said in words, too."""
    with pytest.raises(ConfigError) as caught:
        _parse(_object(), **more)
    assert what in str(caught.value)


def test_a_device_is_of_a_model_by_all_that_is_said() -> None:
    """Vendor, one of the model names, firmware, application and objects must all be right."""
    match = {
        "vendor_id": 5,
        "model": ["AHU 7*", "AIR?"],
        "firmware": "2.*",
        "application": "rev 3*",
        "objects": ["a"],
    }
    profile = _parse(_object(object_name="*TEMP"), match=match)
    good = (5, "ahu 7 compact", "2.4", "REV 3b", [("analog-value", 1, "Z1.Temp")])
    assert profile.matches(*good)
    assert profile.matches(5, "AIR1", *good[2:])
    for at, other in enumerate((6, "AHU 8", "3.1", "rev 4", [("analog-value", 1, "Z1.Hum")])):
        wrong: Any = [*good[:at], other, *good[at + 1 :]]
        assert not profile.matches(*wrong)
    assert not profile.matches(*good[:4])
    assert not _parse(_object(type="analog-input")).matches(None, "AHU 7")
    any_vendor = _parse(_object(object_name="X"), match={"objects": ["a"]})
    assert any_vendor.matches(None, "?", objects=[("analog-value", 1, "x")])


def test_an_object_is_found_by_instance_first() -> None:
    """With an instance and a name both must fit; an entry by name takes what is left."""
    profile = _parse(
        _object(id="any", instance=None, object_name="*temp"),
        _object(id="one", object_name="supply*"),
        _object(id="two", instance=2),
    )
    found = {
        given: entry.id if (entry := profile.find("analog-value", *given)) else None
        for given in [(1, "Supply temp"), (1, "Return temp"), (2, "X temp"), (3, "Temp"), (3, "X")]
    }
    assert list(found.values()) == ["one", "any", "two", "any", None]
    assert profile.find("analog-input", 2, "X temp") is None
    assert fits("A[1]*", "a[1]b") is False  # brackets are wildcards of fnmatch, and are not used


def test_limits_come_in_the_unit_of_the_device() -> None:
    """A device set to another unit has its limits in that one; a strange unit has none."""
    profile = _parse(
        _object(
            unit="degC",
            range=[0, 100],
            deadband=0.5,
            write={"min": 10, "max": 30, "step": 0.5},
        )
    )
    told = profile.find("analog-value", 1, "", "degrees-fahrenheit")
    assert told is not None
    assert told.write is not None
    assert told.range == pytest.approx((32, 212))
    assert (told.write.min, told.write.max, told.write.step) == pytest.approx((50, 86, 0.9))
    assert told.deadband == pytest.approx(0.9)
    strange = profile.find("analog-value", 1, "", "percent")
    assert strange is not None
    assert (strange.range, strange.write, strange.deadband) == (None, None, None)
    for same in ("", "degrees-celsius", "unit-300"):
        assert profile.find("analog-value", 1, "", same) is profile.objects[0]
    half = _parse(_object(unit="degC", deadband="1%", write={"min": 10})).objects[0].in_unit("K")
    assert half.write is not None
    assert half.write.model_dump() == {"min": pytest.approx(283.15), "max": None, "step": None}
    assert half.deadband == "1%"


@pytest.mark.parametrize(
    ("firmware", "version", "holds"),
    [
        ([], "1.2", None),
        (["1.2", "1.3"], "", None),
        (["1.2", "1.3"], "V1.2.7", True),
        (["1.2", "1.3"], "1.20", False),
        ({"min": "1.2"}, "1.10", True),
        ({"min": "1.2"}, "1.1.9", False),
        ({"min": "1.2", "max": "2.0"}, "2.0.5", True),
        ({"max": "2.0"}, "2.1", False),
    ],
)
def test_the_versions_that_facts_hold_for(firmware: Any, version: str, holds: bool | None) -> None:
    """Versions are compared number by number; a shorter one stands for all below it."""
    assert _parse(_object(), firmware=firmware).holds_for(version) is holds


def test_a_name_belongs_to_one_protocol(tmp_path: Path) -> None:
    """A Modbus driver does not find a BACnet profile, and the reverse; listings tell them apart."""
    (tmp_path / "vav").mkdir()
    text = yaml.safe_dump(HEAD | {"objects": [_object()]})
    (tmp_path / "vav" / "my-own.yaml").write_text(text)
    assert load_bacnet_profile("vav/my-own", tmp_path).model == "M"
    assert ("vav/my-own", "V") in [(n, p.vendor) for n, p in bacnet_profiles(tmp_path)]
    with pytest.raises(ConfigError, match=r"no profile 'vav/my-own' for modbus; .* meter/"):
        load_profile("vav/my-own", tmp_path)
    with pytest.raises(ConfigError, match="no profile 'meter/eastron-sdm630' for bacnet"):
        load_bacnet_profile("meter/eastron-sdm630")
    assert set(list_profiles(protocol="bacnet")).isdisjoint(list_profiles(protocol="modbus"))
    assert parse_any_profile(text.encode(), "x").protocol == "bacnet"
    with pytest.raises(ConfigError, match="protocol"):
        parse_profile(text.encode(), "x")


def test_everything_wrong_is_told_with_its_line() -> None:
    """`check` tells all faults of a file, each where it stands, and none that only follows."""
    text = b"""\
profile: 1
vendor: V
model: 7
source: S
firmware: [1.10]
registers:
  - {id: a, name: A, address: 0,
     deadband: a lot,
     write: {min: 2, max: 1}}
  - {id: b, name: B}
  - {id: c, name: C, address: 1, sort: x}
"""
    told = [str(fault) for fault in profile_faults(text, "f.yaml")]
    assert [one.split(" ")[0] for one in told] == [
        "f.yaml:3:", "f.yaml:5:", "f.yaml:8:", "f.yaml:9:", "f.yaml:10:", "f.yaml:11:",
    ]  # fmt: skip
    assert "YAML reads it as 7: put quotes around it" in told[0]
    assert "valid number" in told[2]
    assert "pattern" in told[2]
    assert profile_faults(b"a: 1\na: 2", "f.yaml")[0].what.startswith("is no valid YAML")
    assert profile_faults(yaml.safe_dump(HEAD | {"objects": [_object()]}).encode(), "f") == []
    with pytest.raises(ConfigError, match=r"f\.yaml:3: model: .* \(and 5 more\)"):
        parse_profile(text, "f.yaml")


@pytest.mark.parametrize(
    ("keys", "full"),
    [
        ({"type": "uint16", "scale": 0.1}, 6553.6),
        ({"type": "uint32"}, 1 << 32),
        ({"type": "int32"}, None),
        ({"type": "float32"}, None),
        ({"type": "uint16", "bits": [0, 3]}, None),
        ({"type": "float32", "rollover": 1e6}, 1e6),
    ],
)
def test_where_a_counter_turns(keys: dict[str, Any], full: float | None) -> None:
    """A counter is full where the profile says so, else where its unsigned type is."""
    register = {"id": "a", "name": "A", "address": 0, "counter": True} | keys
    head = {key: HEAD[key] for key in ("profile", "vendor", "model", "source")}
    profile = parse_profile(yaml.safe_dump(head | {"registers": [register]}).encode(), "x")
    assert profile.registers[0].turns_at == (full if full is None else pytest.approx(full))


def test_a_range_without_use_is_no_counter() -> None:
    """What does not count never turns over."""
    head = {key: HEAD[key] for key in ("profile", "vendor", "model", "source")}
    text = yaml.safe_dump(head | {"registers": [{"id": "a", "name": "A", "address": 0}]})
    assert parse_profile(text.encode(), "x").registers[0].turns_at is None


@pytest.mark.parametrize(
    ("identify", "what"),
    [
        ({"id": "z"}, "there is no such register"),
        ({"id": "n", "text": "X*"}, "only a string is compared"),
        ({"id": "s", "values": [1]}, "has no raw `values`"),
        ({"id": "n"}, "say by what"),
    ],
)
def test_marks_are_registers_that_can_be_compared(identify: dict[str, Any], what: str) -> None:
    """What a scan recognises a device by must be there, and comparable."""
    head = {key: HEAD[key] for key in ("profile", "vendor", "model", "source")}
    registers = [
        {"id": "n", "name": "N", "address": 0},
        {"id": "s", "name": "S", "address": 1, "type": "string", "length": 2},
    ]
    text = yaml.safe_dump(head | {"registers": registers, "identify": {"registers": [identify]}})
    with pytest.raises(ConfigError, match="identify") as caught:
        parse_profile(text.encode(), "x")
    assert what in str(caught.value)
