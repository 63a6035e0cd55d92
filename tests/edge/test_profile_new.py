"""Profiles to start from: the skeleton, and what becomes of a vendor's register list."""

from __future__ import annotations

import csv
import io

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from plantroom_edge.profile_new import quoted, rows_from_csv, skeleton
from plantroom_shared.errors import ConfigError
from plantroom_shared.profiles import Register, parse_bacnet_profile, parse_profile

LIST = """\
Register;Description;Data Type;Units;Factor;Offset;Min;Max;Function;Byte order;Bit;Length;Values
40001;Voltage L1;U16;V;0,1;;0;300;03;;;;
0x9C42;"Power; total";S32;kW;0.001;5;;;holding register;CDAB;;;
;;;;;;;;;;;;
30010;Serial no.;ASCII;;;;;;4;;;8;
40004;Status;word;;1;0;;;;;;;"0=Off; 1=On: manual"
40005;Door;bool;;;;;;;;3;;
40005;Voltage L1;u16;;;;;;;;;;
"""


def _registers(text: str, base: int = 40001) -> list[Register]:
    rows = rows_from_csv(text.encode(), "list.csv", base=base)
    made = skeleton("x.yaml", "V", "M", bacnet=False, source="S", rows=rows)
    return list(parse_profile(made.encode(), "x.yaml").registers)


def test_a_register_list_becomes_registers() -> None:
    """Names of columns, types and functions are understood as vendors write them."""
    text = LIST.replace("30010", "40010")
    volts, power, serial, status, door, again = _registers(text)
    assert (volts.id, volts.address, volts.type, volts.scale, volts.unit, volts.range) == (
        "voltage-l1", 0, "uint16", 0.1, "V", (0, 300),
    )  # fmt: skip
    assert (power.name, power.address, power.type, power.order, power.scale, power.offset) == (
        "Power; total", 1, "int32", "CDAB", 0.001, 5,
    )  # fmt: skip
    assert (serial.space, serial.address, serial.type, serial.length) == ("input", 9, "string", 8)
    assert status.states == {0: "Off", 1: "On: manual"}
    assert (door.type, door.bit) == ("bool", 3)
    assert again.id == "voltage-l1-2"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_a_list_of_objects_becomes_objects(encoding: str) -> None:
    """BACnet lists have types and instances; a spreadsheet saves them in any of four encodings."""
    text = "Object Type,Instance,Object name,Units,Brick\nAI,3,Zone °T,degC,\nmsv,4.0,Mode,,\n"
    rows = rows_from_csv(text.encode(encoding), "list.csv", bacnet=True)
    made = skeleton("x.yaml", "V", "M", bacnet=True, rows=rows)
    one, two = parse_bacnet_profile(made.encode(), "x.yaml").objects
    assert (one.type, one.instance, one.name, one.unit) == ("analog-input", 3, "Zone °T", "degC")
    assert (two.type, two.instance) == ("multi-state-value", 4)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "list.csv:1: there is no column 'address'"),
        ("address,unit\n1,V", "list.csv:1: there is no column 'name'; name one of the columns"),
        ("address,name\nx,A", "list.csv:2: address: 'x' is no whole number"),
        ("address,name\n5,A", "list.csv:2: address: 5 is not counted from 40001"),
        ("address,name,scale\n40001,A,x", "list.csv:2: scale: 'x' is no number"),
        ("address,name\n" + "40001,A\n" * 4001, "more than 4000 rows"),
        ("address,name\n40001," + "A" * 200_000, "list.csv:2: is no table"),
    ],
)
def test_a_list_that_cannot_be_read(text: str, what: str) -> None:
    """The error names the line of the list and what to do."""
    with pytest.raises(ConfigError) as caught:
        rows_from_csv(text.encode(), "list.csv", base=40001)
    assert what in str(caught.value)


@pytest.mark.parametrize("bacnet", [False, True])
def test_the_skeleton_is_a_profile(bacnet: bool) -> None:
    """What `new` writes is read without an error, whatever the names."""
    text = skeleton("a.yaml", 'A: "B"', "No", bacnet=bacnet)
    profile = (parse_bacnet_profile if bacnet else parse_profile)(text.encode(), "a.yaml")
    assert (profile.vendor, profile.model) == ('A: "B"', "No")


@given(st.text(st.characters(exclude_categories=("C", "Z"), include_characters=" "), max_size=40))
def test_any_text_is_quoted_so_that_yaml_has_it_back(text: str) -> None:
    """Commas, colons, quotes, words that YAML reads as booleans: all stay texts."""
    found = yaml.safe_load(f"{{a: {quoted(text)}, b: 1}}")
    assert found == {"a": text if not text.strip(" ") else found["a"], "b": 1}
    assert isinstance(found["a"], str)
    assert found["a"].strip() == text.strip()


@given(st.lists(st.text(max_size=12), max_size=6), st.lists(st.text(max_size=12), max_size=6))
def test_any_list_is_read_or_refused(first: list[str], second: list[str]) -> None:
    """Whatever is in a file, it becomes rows or an error of ours."""
    out = io.StringIO()
    table = csv.writer(out)
    table.writerow(["address", "name", "type", "unit", "scale", *first])
    table.writerow(["1", *second])
    try:
        rows = rows_from_csv(out.getvalue().encode("utf-8", "replace"), "list.csv")
    except ConfigError as error:
        rows, told = "", str(error)
    assert rows.startswith("  - {id: ") or told.startswith("list.csv:")
