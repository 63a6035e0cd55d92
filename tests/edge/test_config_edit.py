"""Adding to a file that a person has written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from plantroom_edge import files
from plantroom_edge.adding import Wish, add
from plantroom_edge.config_edit import Merge, append
from plantroom_shared.errors import ConfigError

METER = {"name": "meter", "unit": 3, "profile": "meter/eastron-sdm630"}
BUS = {"driver": "modbus", "host": "10.0.0.5", "port": 502}

scalars = st.one_of(
    st.integers(-5, 5), st.booleans(), st.text(max_size=8), st.none(), st.floats(0, 9)
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(
    st.lists(st.dictionaries(st.text(max_size=5), values, max_size=3), max_size=3),
    st.dictionaries(st.text(min_size=1, max_size=5), values, min_size=1, max_size=3),
    st.booleans(),
    st.integers(1, 6),
)
def test_whatever_is_added_keeps_every_line(
    old: list[Any], entry: dict[str, Any], flow: bool, indent: int
) -> None:
    """The result means the old content and the entry, and has all old lines; or it is refused."""
    content = {"first": 1, "buses": old, "last": "x"}
    text = "# mine\n" + yaml.safe_dump(
        content, default_flow_style=flow or None, indent=indent, sort_keys=False
    )
    try:
        new = append(text, ("buses",), entry)
    except ConfigError:
        return
    assert yaml.safe_load(new) == {**content, "buses": [*old, entry]}
    if old and not flow:
        kept = iter(new.splitlines())
        assert all(line in kept for line in text.splitlines())


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("buses:\n", "buses:\n  - {name: a}\n"),
        ("buses:   # none yet\nx: 1\n", "buses:   # none yet\n  - {name: a}\nx: 1\n"),
        ("buses: []  # none\nx: 1\n", "buses:  # none\n  - {name: a}\nx: 1\n"),
        ("buses: null\n", "buses: \n  - {name: a}\n"),
        ("x: 1", "x: 1\nbuses:\n  - {name: a}\n"),
        ("buses:\n- name: z  # z\n# end\n", "buses:\n- name: z  # z\n- {name: a}\n# end\n"),
        ("buses: [{name: z}]\n", "buses: [{name: z}, {name: a}]\n"),
        ("{x: 1, buses: []}\n", "{x: 1, buses: [{name: a}]}\n"),
        ("{x: 1}\n", "{x: 1, buses: [{name: a}]}\n"),
        ("buses:\r\n  - name: z\r\nx: 1\r\n", "buses:\r\n  - name: z\r\n  - {name: a}\r\nx: 1\r\n"),
        ("buses:\n  - |\n    z\n\nx: 1\n", "buses:\n  - |\n    z\n\n  - {name: a}\nx: 1\n"),
    ],
)
def test_each_way_of_writing_a_list(before: str, after: str) -> None:
    """Lists in lines, in brackets, empty and missing are added to in their own style."""
    assert append(before, ("buses",), {"name": "a"}) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("b:\n  1: {}\n", "b:\n  1: {}\n  2: {i: 5}\n"),
        ("b: {1: {}}\n", "b: {1: {}, 2: {i: 5}}\n"),
        ("b: {}\n", "b:\n  2: {i: 5}\n"),
    ],
)
def test_each_way_of_writing_a_mapping(before: str, after: str) -> None:
    """Keys are merged into a mapping in its own style."""
    assert append(before, ("b",), Merge({2: {"i": 5}})) == after


@pytest.mark.parametrize(
    "text",
    [
        "buses: &a\n  - x\nother: *a\n",
        "buses: 5\n",
        "buses: >\n  text\n",
        "a: &b\n  - 1\nbuses: *b\n",
    ],
)
def test_a_file_that_cannot_be_added_to_is_refused(text: str) -> None:
    """Anchors and strange values are left alone; what to do by hand is said."""
    with pytest.raises(ConfigError, match=r"add this by hand: \{name: a\}"):
        append(text, ("buses",), {"name": "a"})


def test_devices_join_their_bus_under_names_of_their_own() -> None:
    """Equal buses are one; names are made unique; a second time nothing is added."""
    wishes = [
        Wish(BUS, METER),
        Wish(BUS, {**METER, "unit": 4}),
        Wish({**BUS, "port": 503}, {**METER, "name": "Main Meter!"}),
        Wish({"driver": "modbus", "serial": "/dev/ttyUSB0"}, {**METER, "name": "meter"}),
    ]
    first = add("# mine\nbuses:\n", wishes)
    content = yaml.safe_load(first.text)
    assert [(bus["name"], [one["name"] for one in bus["devices"]]) for bus in content["buses"]] == [
        ("modbus-10.0.0.5", ["meter", "meter-2"]),
        ("modbus-10.0.0.5-503", ["Main-Meter"]),
        ("modbus-ttyUSB0", ["meter-3"]),
    ]
    assert len(first.added) == 4
    again = add(first.text, wishes)
    assert (again.text, again.added, len(again.there)) == (first.text, [], 4)


def test_a_bus_is_known_by_where_it_leads() -> None:
    """Defaults count, lists are added to, switches and intervals are the user's."""
    text = "buses:\n  - {name: a, driver: modbus, host: 10.0.0.5, timeout: 2, devices: [{name: m, profile: p}]}\n"
    result = add(text, [Wish(BUS, {**METER, "unit": 1}), Wish(BUS, METER)])
    assert len(yaml.safe_load(result.text)["buses"]) == 1
    assert result.there == ["a: meter as m"]
    seen = {"driver": "bacnet", "who_is": ["10.0.0.8"]}
    both = add("buses:\n  - name: b\n    driver: bacnet\n", [Wish(seen, None, "x")])
    assert yaml.safe_load(both.text)["buses"][0]["who_is"] == ["broadcast", "10.0.0.8"]
    more = add(both.text, [Wish({**seen, "who_is": ["10.0.0.9"]}, None, "y"), Wish(seen, None)])
    assert yaml.safe_load(more.text)["buses"][0]["who_is"][2:] == ["10.0.0.9"]
    assert len(more.there) == 1
    elsewhere = add(both.text, [Wish({**seen, "bind": "10.0.0.1/24"}, None, "y")])
    assert [bus["name"] for bus in yaml.safe_load(elsewhere.text)["buses"]] == [
        "b",
        "bacnet-10.0.0.1",
    ]


def test_a_list_entry_fits_into_a_mapping() -> None:
    """Where a person keyed devices by their instance, a new one is keyed so, too."""
    text = "buses:\n  - name: b\n    driver: bacnet\n    devices:\n      7: {interval: 5}  # slow\n"
    result = add(
        text,
        [Wish({"driver": "bacnet"}, {"instance": 8}), Wish({"driver": "bacnet"}, {"instance": 7})],
    )
    assert yaml.safe_load(result.text)["buses"][0]["devices"] == {7: {"interval": 5}, 8: {}}
    assert result.there == ["b: bus as 7"]


def test_a_driver_that_there_is_not() -> None:
    """An unknown driver is named, and those that there are."""
    with pytest.raises(ConfigError, match="choose one of"):
        add("buses:\n", [Wish({"driver": "carrier-pigeon"})])


def test_a_file_is_replaced_whole_and_kept(tmp_path: Path) -> None:
    """The new text is there with the old rights, the old text beside it; a link stays one."""
    real = tmp_path / "real.yaml"
    real.write_text("old")
    real.chmod(0o640)
    link = tmp_path / "edge.yaml"
    link.symlink_to(real)
    backup = files.replace(link, "new")
    assert (real.read_text(), backup.read_text()) == ("new", "old")
    assert link.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    with pytest.raises(ConfigError, match="cannot be written"):
        files.replace(tmp_path / "missing" / "x.yaml", "new")
