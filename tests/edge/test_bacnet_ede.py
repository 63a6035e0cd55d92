"""EDE files: what they say becomes points, and what is wrong in them is named with its place."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from plantroom_edge import table
from plantroom_edge.drivers.bacnet import BacnetConfig, ede
from plantroom_edge.drivers.bacnet.ede import founds, import_ede
from plantroom_edge.drivers.bacnet.facts import Said
from plantroom_shared.errors import ConfigError
from plantroom_shared.model import Point
from support.bacnet_device import Field, enumerated, oid, real, serving, unsigned
from support.bacnet_peers import by_key, driver

HEAD = """\
# Proposal_Engineering-Data-Exchange - B.I.G.-EU
PROJECT_NAME;Bürohaus
VERSION_OF_REFERENCEFILE;7
TIMESTAMP_OF_LAST_CHANGE;19. Dec 2005
AUTHOR_OF_LAST_CHANGE;G. Sampler
VERSION_OF_LAYOUT;2.2
#mandatory;mandatory;mandatory;mandatory;mandatory;optional;optional;optional;optional;optional
# keyname;device obj.-instance;object-name;object-type;object-instance;description;\
present-value-default;min-present-value;max-present-value;settable;supports COV;hi-limit;\
low-limit;state-text-reference;unit-code;vendor-specific-addres
"""
ROWS = """\
GW;7;Plant controller;8;7;The controller;;;;N;N;;;;;
k1;7;AHU1.SupplyTemp;0;1;Supply air °C;;-30;110,5;N;Y;;;;62;
k2;7;AHU1.Setpoint;2;2;;;10;30;Y;Y;;;;62;
k3;7;AHU1.Fan;3;3;"Fan; status";;;;N;Y;;;1;;
k4;7;AHU1.Mode;19;4;;;;;Y;Y;;;2;;
k5;7;AHU1.Special;analog-value;5;;;;;;;;;;600;
k6;7;AHU1.Plan;17;6;a schedule;;;;;;;;;;
"""
STATES = """\
#Engineering-Data-Exchange - B.I.G.-EU
#Reference Number;Text 1 or Inactive-Text;Text 2 or Active-Text;Text 3
1;Stopped;Running;;
2;Off;Heating;Cooling
"""
UNITS = "#Encoding of unit names\n# Code;Unit Text\n62;Grad C\n600;gal/fortnight\n"
FILES = [
    ("site_EDE.csv", (HEAD + ROWS).encode()),
    ("site_StateTexts.csv", STATES.encode()),
    ("site_Units.csv", UNITS.encode()),
]


def _points(files: list[tuple[str, bytes]]) -> dict[str, Point]:
    [found] = founds(import_ede(files))
    return {point.key: point for point in found.points}


def test_an_ede_file_becomes_points_without_a_device() -> None:
    """Names, units, states, limits and what may be written come from the tables alone."""
    [found] = founds(import_ede(FILES))
    assert (found.device.key, found.device.name) == ("bacnet:7", "Plant controller")
    assert found.device.description == "The controller"
    assert found.points == (
        Point(key="bacnet:7:analog-input:1", device="bacnet:7", name="AHU1.SupplyTemp",
              description="Supply air °C", unit="degrees-celsius", object_type="analog-input",
              writable=False),
        Point(key="bacnet:7:analog-value:2", device="bacnet:7", name="AHU1.Setpoint",
              unit="degrees-celsius", object_type="analog-value", writable=True),
        Point(key="bacnet:7:binary-input:3", device="bacnet:7", name="AHU1.Fan",
              description="Fan; status", object_type="binary-input", states=("Stopped", "Running"),
              writable=False),
        Point(key="bacnet:7:multi-state-value:4", device="bacnet:7", name="AHU1.Mode",
              object_type="multi-state-value", states=("Off", "Heating", "Cooling"), writable=True),
        Point(key="bacnet:7:analog-value:5", device="bacnet:7", name="AHU1.Special",
              unit="gal/fortnight", object_type="analog-value"),
    )  # fmt: skip
    assert found.said == {
        "bacnet:7:analog-input:1": Said(0.0, -30.0, 110.5),
        "bacnet:7:analog-value:2": Said(0.0, 10.0, 30.0),
    }


TEXT = HEAD + ROWS


def _separated(by: str) -> str:
    """Return the file as a tool writes it that separates cells by another sign."""
    text = TEXT.replace("110,5", "110.5").replace('"Fan; status"', "FAN").replace(";", by)
    return text.replace("FAN", '"Fan; status"')


@pytest.mark.parametrize(
    "raw",
    [
        TEXT.encode("cp1252"),
        TEXT.encode("utf-8-sig"),
        TEXT.encode("utf-16"),
        TEXT.encode("utf-16-le"),
        TEXT.encode("utf-16-be"),
        TEXT.replace("\n", "\r\n").encode(),
        ("sep=;\n" + TEXT).encode(),
        _separated("\t").encode(),
        _separated(",").encode(),
        TEXT.replace("# keyname", "keyname").encode(),
        "\n".join(line for line in TEXT.splitlines() if not line.startswith("#")).encode(),
    ],
    ids="windows utf-8 utf-16 le be crlf excel tabs commas no-comment-sign no-heading".split(),  # noqa: SIM905 - shorter so
)
def test_files_are_read_however_tools_write_them(raw: bytes) -> None:
    """Encoding, line ends, separator and a missing heading change nothing of what is read."""
    assert _points([("site_EDE.csv", raw), *FILES[1:]]) == _points(FILES)


def test_the_heading_says_where_columns_are() -> None:
    """A tool with columns in another order is understood by its heading."""
    raw = b"""object-type;object-instance;device obj.-instance;object-name;unit-code;description
0;1;7;Temp;62;Supply
"""
    [point] = _points([("x.csv", raw)]).values()
    assert (point.key, point.name, point.unit, point.description) == (
        "bacnet:7:analog-input:1", "Temp", "degrees-celsius", "Supply",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("k;7x;n;0;1", "e.csv:9: column 2 ('7x') is no device"),
        ("k;7;n;0;4194303", "e.csv:9: column 5 ('4194303') is no instance"),
        ("k;7;n;valve;1", "e.csv:9: column 4 ('valve') is no type"),
        ("k;7;n;0", "e.csv:9: column 5 ('') is no instance"),
        ("k;7;n;0;3\nk;7;m;0;3", "e.csv:10: column 5 ('3') names an object of device 7 again"),
        ("", "e.csv: has no BACnet objects"),
    ],
)
def test_what_is_wrong_is_named_with_file_line_and_column(line: str, says: str) -> None:
    """A person finds the cell that is wrong, and what belongs there."""
    with pytest.raises(ConfigError) as caught:
        import_ede([("e.csv", (HEAD + line).encode())])
    assert says in str(caught.value)
    assert caught.value.fix


def test_text_tables_with_wrong_numbers_are_named() -> None:
    """A state text without its number is an error with its line."""
    with pytest.raises(ConfigError, match=r"s.csv:3: column 1 \('two'\) is no number"):
        import_ede([("s.csv", b"#Reference Number;Text 1\n1;a;b\ntwo;a;b\n"), FILES[0]])


def test_what_a_file_does_not_say_properly_is_left_open() -> None:
    """Limits, units and texts that make no sense are as if they were not there."""
    row = "k;7;;2;1;;;low;1e999;maybe;;;;99;;\nk;7;n;12;2;;;;;;;;;;98;\nk;7;b;5;3;;;;;;;;;4;;\n"
    points = _points([("e.csv", (HEAD + row).encode()), ("states.csv", b"#state text\n4;Off\n")])
    value, loop, binary = points.values()
    assert (value.name, value.unit, value.writable) == ("analog-value 1", "", None)
    assert (loop.unit, loop.name) == ("percent", "n")
    assert binary.states == ("Off", "")


def test_other_tables_of_the_exchange_do_no_harm() -> None:
    """The table of object types is known and not needed."""
    types = ("types.csv", b"#Encoding of BACnet Object Types\n#Code;Object Type\n0;AI\n")
    assert _points([*FILES, types]) == _points(FILES)


@given(st.binary(max_size=400))
def test_any_octets_are_objects_or_an_error_with_its_file(raw: bytes) -> None:
    """Whatever a file holds, importing ends with facts or says what is wrong where."""
    for whole in (raw, HEAD.encode() + raw):
        errors = []
        try:
            import_ede([("any.csv", whole)])
        except ConfigError as error:
            errors.append(error)
        assert all(error.file.startswith("any.csv") for error in errors)


_CELLS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["", "7", "0", "2", "19", "1", "62", "Y", "600", "-5", "1e9", '"', "#", "٣", "²"]
    ),
)


@given(st.lists(st.lists(_CELLS, max_size=17), max_size=8))
def test_any_cells_are_objects_or_an_error(rows: list[list[str]]) -> None:
    """Rows of likely cells give points with fitting keys, or an error."""
    text = HEAD + "\n".join(";".join(cells) for cells in rows)
    try:
        devices = import_ede([("any.csv", text.encode("utf-8", "replace")), *FILES[1:]])
    except ConfigError:
        return
    for found in founds(devices):
        assert len({point.key for point in found.points}) == len(found.points)
        assert all(point.device == found.device.key for point in found.points)


def test_files_beyond_all_measure_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many octets, lines or characters in a cell end with an error."""
    monkeypatch.setattr(table, "MOST_OCTETS", 1000)
    with pytest.raises(ConfigError, match="larger than"):
        import_ede([("big.csv", b"x" * 1001)])
    monkeypatch.setattr(table, "MOST_OCTETS", 1 << 20)
    csv.field_size_limit(1 << 20)  # as another reader of this process may have left it
    with pytest.raises(ConfigError, match="no table of separated values"):
        import_ede([("wide.csv", b'a;"' + b"x" * 200_000)])
    monkeypatch.setattr(table, "MOST_ROWS", 10)
    with pytest.raises(ConfigError, match="more than 10 lines"):
        import_ede([("long.csv", b"a;b\n" * 12)])


# ---------------------------------------------------------------- in a configuration


def _write(folder: Path) -> list[str]:
    for name, raw in FILES:
        (folder / name).write_bytes(raw)
    return [name for name, _ in FILES]


def test_a_configuration_names_its_files_beside_itself(tmp_path: Path) -> None:
    """One file or several, relative to the folder of the configuration."""
    names = _write(tmp_path)
    bus = {"name": "field", "ede": names[0]}
    config = BacnetConfig.model_validate(bus, context={"folder": tmp_path})
    assert config.ede == (tmp_path / names[0],)
    with pytest.raises(ValidationError, match="cannot be read: No such file"):
        BacnetConfig.model_validate({"name": "field", "ede": ["none.csv"]})


async def test_a_device_with_a_file_is_asked_for_little(tmp_path: Path) -> None:
    """Objects are those of the file; only what it leaves open is asked, and polls verify it."""
    names = [str(tmp_path / name) for name in _write(tmp_path)]
    device = Field(instance=7)
    device.add(0, 1, real(21.5), "another name", _117=enumerated(64))
    device.add(2, 2, real(20.0))
    device.add(3, 3, enumerated(1))
    device.add(19, 4, unsigned(2))
    device.add(2, 99, real(1.0), "not in the file")
    async with serving(device) as targets, driver(*targets, ede=names) as bus:
        inventory = await bus.discover()
        [group] = inventory.groups
        discovery = len(device.requests)
        rows = by_key(group, await bus.read(group))
    assert inventory.missing == ()
    assert inventory.points == tuple(_points(FILES).values())
    assert inventory.devices[0].name == "Plant controller"
    assert inventory.devices[0].vendor == "device 121"
    assert discovery <= 3
    assert not any(ref[1] == 76 and ref[2] != 0 for one in device.requests for ref in one.refs)
    assert rows["analog-input:1"] == (21.5, None)
    assert rows["multi-state-value:4"] == (2, None)
    assert rows["analog-value:5"] == (None, (2, "error-unknown-object"))
    assert oid(2, 99) not in {ref[0] for one in device.requests for ref in one.refs}


async def test_a_device_of_a_file_that_is_silent_is_missing(tmp_path: Path) -> None:
    """Who is named by a file and does not answer is told of."""
    names = [str(tmp_path / name) for name in _write(tmp_path)]
    async with driver("127.0.0.1:1", ede=names, timeout=0.02, retries=0) as bus:
        inventory = await bus.discover()
    assert inventory.missing[0].startswith(
        "bacnet:7: no answer to Who-Is, though the configuration"
    )
    assert ede.read_ede([Path(name) for name in names]).keys() == {7}
