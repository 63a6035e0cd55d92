"""A profile to start from: a commented skeleton, or the lines of a vendor's register list; pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from plantroom_edge.table import rows
from plantroom_shared.errors import ConfigError

_MOST_ROWS: Final = 4000

MODBUS: Final = """\
# A device model: its registers. Every key: firmware_profiles/README.md
# Check it with: plantroom-edge profile check {file}
profile: 1
vendor: {vendor}
model: {model}
# The versions the facts hold for: a list or a range; quote them.
#firmware: {{min: "1.0", max: "2.4"}}
# Where the facts come from: document, number, revision. What it does not say is left out.
source: {source}
# Brick equipment class: Electrical_Meter, Inverter, Battery, Heat_Pump, Chiller ...
equip_class: {equip_class}
# How it leaves the factory.
#factory: {{unit: 1, port: 502, baud: 9600, parity: even, stop_bits: 1}}
# How a scan recognises it: registers that hold a text or a code.
#identify: {{registers: [{{id: model, text: "AB-12*"}}]}}
defaults: {{space: holding, type: uint16, order: ABCD, interval: 5}}
limits: {{max_registers: 125, gap: 8}}
registers:
{rows}"""

BACNET: Final = """\
# A device model: what its BACnet objects mean. Every key: firmware_profiles/README.md
# Check it with: plantroom-edge profile check {file}
profile: 1
protocol: bacnet
vendor: {vendor}
model: {model}
#firmware: {{min: "1.0", max: "2.4"}}
# Where the facts come from: document, number, revision. What it does not say is left out.
source: {source}
# Brick equipment class: Chiller, Variable_Air_Volume_Box, Air_Handling_Unit, Heat_Pump ...
equip_class: {equip_class}
# Which devices are of this model: vendor-identifier and model-name of the device object.
match: {{vendor_id: 999, model: ["{pattern}*"]}}
objects:
{rows}"""

_ROWS: Final = {
    False: (
        "  # The protocol address counts from 0: the document's 40001 is mostly 0.\n"
        "  - {id: power, name: Active power, address: 0, type: int32, scale: 0.1, unit: W,\n"
        "     range: [-100000, 100000], point_class: Active_Power_Sensor}\n"
    ),
    True: (
        "  - {id: zone-temp, name: Zone temperature, type: analog-input, instance: 1, unit: degC,\n"
        "     range: [-20, 60], point_class: Zone_Air_Temperature_Sensor}\n"
    ),
}
_COLUMNS: Final = {
    "address": ("address", "register", "addr", "reg", "registeraddress", "modbusaddress"),
    "instance": ("instance", "objectinstance", "inst", "objectid"),
    "name": ("name", "description", "parameter", "signal", "point", "objectname", "variable"),
    "id": ("id", "key", "tag"),
    "type": ("type", "datatype", "format", "objecttype"),
    "unit": ("unit", "units"),
    "scale": ("scale", "factor", "multiplier", "scaling", "resolution"),
    "offset": ("offset",),
    "length": ("length", "size", "count", "words", "quantity"),
    "order": ("order", "byteorder", "endian"),
    "space": ("space", "function", "table", "registertype", "fc"),
    "bit": ("bit",),
    "min": ("min", "minimum", "low"),
    "max": ("max", "maximum", "high"),
    "states": ("states", "values", "enum", "enumeration"),
    "point_class": ("pointclass", "brick", "class"),
}
"""What a column is called, with letters and digits only."""
_TYPES: Final = {
    "u16": "uint16", "uint": "uint16", "word": "uint16", "unsigned16": "uint16", "ushort": "uint16",
    "s16": "int16", "i16": "int16", "int": "int16", "short": "int16", "signed16": "int16",
    "u32": "uint32", "dword": "uint32", "ulong": "uint32", "unsigned32": "uint32", "udint": "uint32",
    "s32": "int32", "i32": "int32", "long": "int32", "signed32": "int32", "dint": "int32",
    "u64": "uint64", "unsigned64": "uint64", "s64": "int64", "i64": "int64", "signed64": "int64",
    "float": "float32", "real": "float32", "f32": "float32", "ieee754": "float32",
    "double": "float64", "f64": "float64", "ascii": "string", "str": "string", "text": "string",
    "utf8": "string", "boolean": "bool", "bcd": "bcd16",
    "ai": "analog-input", "ao": "analog-output", "av": "analog-value",
    "bi": "binary-input", "bo": "binary-output", "bv": "binary-value",
    "mi": "multi-state-input", "mo": "multi-state-output", "mv": "multi-state-value",
    "msi": "multi-state-input", "mso": "multi-state-output", "msv": "multi-state-value",
}  # fmt: skip
_SPACES: Final = {
    "3": "holding", "03": "holding", "4": "input", "04": "input", "1": "coil", "01": "coil",
    "2": "discrete", "02": "discrete", "4x": "holding", "3x": "input", "0x": "coil",
    "1x": "discrete", "holdingregister": "holding", "inputregister": "input",
    "discreteinput": "discrete",
}  # fmt: skip


def skeleton(  # noqa: PLR0917 - a form with as many fields
    file: str, vendor: str, model: str, bacnet: bool, source: str = "", rows: str = ""
) -> str:
    """Return the text of a new profile.

    Args:
        file: its name, for the hint at the top.
        vendor: who makes the device.
        model: as the vendor writes it.
        bacnet: whether it is a BACnet device.
        source: where the facts come from.
        rows: the lines of its registers or objects; an example if there are none.
    """
    return (BACNET if bacnet else MODBUS).format(
        file=file,
        vendor=quoted(vendor),
        model=quoted(model),
        pattern=model.replace('"', ""),
        source=quoted(source or "SAY WHERE THE FACTS COME FROM: document, number and revision"),
        equip_class="Equipment",
        rows=rows or _ROWS[bacnet],
    )


def rows_from_csv(raw: bytes, file: str, *, bacnet: bool = False, base: int = 0) -> str:
    """Return a line for each row of a register list.

    Args:
        raw: comma, semicolon or tab separated, with a line of column names.
        file: its name, for messages.
        bacnet: whether it lists objects rather than registers.
        base: what the list calls the first register: 0, 1, 30001 or 40001.

    Raises:
        ConfigError: a column is missing, or a row cannot be read; names the line.
    """
    table = rows(raw, file, head=1)
    head = next(table, None)
    places = _places(head.cells if head else (), file, bacnet)
    lines: list[str] = []
    seen: set[str] = set()
    for line in table:
        row = {key: line[at] for key, at in places.items()}
        if len(lines) >= _MOST_ROWS:
            what = f"there are more than {_MOST_ROWS} rows"
            raise ConfigError(what, file=file, fix="split the list")
        entry = _entry(row, f"{file}:{line.line}", bacnet, base)
        entry = {"id": _unique(row.get("id") or entry["name"], seen), **entry}
        lines.append(f"  - {{{', '.join(f'{k}: {v}' for k, v in _flow(entry))}}}\n")
    return "".join(lines)


def _places(head: Iterable[str], file: str, bacnet: bool) -> dict[str, int]:
    """Return which column has what."""
    names = [_plain(name) for name in head]
    found: dict[str, int] = {}
    for key, spellings in _COLUMNS.items():
        at = next((names.index(one) for one in spellings if one in names), None)
        if at is not None and at not in found.values():
            found[key] = at
    for key in ("type", "instance", "name") if bacnet else ("address", "name"):
        if key not in found:
            what = f"there is no column {key!r}"
            fix = f"name one of the columns {' or '.join(_COLUMNS[key])}"
            raise ConfigError(what, file=f"{file}:1", fix=fix)
    return found


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.casefold())


def _entry(row: Mapping[str, str], where: str, bacnet: bool, base: int) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": row.get("name", "")[:200] or "unnamed"}
    if bacnet:
        entry["type"] = _type(row.get("type", ""))
        entry["instance"] = _whole(row.get("instance", ""), where, "instance")
    else:
        entry |= _register(row, where, base)
    for key in ("unit", "point_class"):
        if row.get(key):
            entry[key] = row[key]
    if row.get("min") and row.get("max"):
        ends = [_number(row[key], where, key) for key in ("min", "max")]
        entry["range"] = [*sorted(ends)]
    if states := _states(row.get("states", "")):
        entry["states"] = states
    return entry


def _register(row: Mapping[str, str], where: str, base: int) -> dict[str, Any]:
    entry: dict[str, Any] = {}
    space = row.get("space", "")
    if space:
        entry["space"] = _SPACES.get(_plain(space), space.casefold())
    address = _whole(row.get("address", ""), where, "address") - base
    if not 0 <= address <= 65535:
        what = f"address: {row['address']} is not counted from {base}"
        raise ConfigError(what, file=where, fix="say with --base what the list calls the first one")
    entry["address"] = address
    if row.get("type"):
        entry["type"] = _type(row["type"])
    for key in ("bit", "length"):
        if row.get(key) and (key == "bit" or entry.get("type") == "string"):
            entry[key] = _whole(row[key], where, key)
    if row.get("order"):
        entry["order"] = row["order"].upper()
    for key, idle in (("scale", 1.0), ("offset", 0.0)):
        if row.get(key) and (number := _number(row[key], where, key)) != idle:
            entry[key] = number
    return entry


def _type(text: str) -> str:
    return _TYPES.get(_plain(text), text.casefold().replace(" ", "-").replace("_", "-"))


def _whole(text: str, where: str, key: str) -> int:
    try:
        return int(text.removesuffix(".0"), 0 if text[:2].casefold() == "0x" else 10)
    except ValueError as error:
        what = f"{key}: {text[:40]!r} is no whole number"
        raise ConfigError(what, file=where, fix="correct it in the list") from error


def _number(text: str, where: str, key: str) -> float:
    try:
        number = float(text.replace(",", "."))
    except ValueError as error:
        what = f"{key}: {text[:40]!r} is no number"
        raise ConfigError(what, file=where, fix="correct it in the list") from error
    return int(number) if number.is_integer() else number


def _states(text: str) -> dict[int, str]:
    """Return the states in ``0=Off; 1=On``."""
    pairs = re.findall(r"(\d+)\s*[=:]\s*([^;,|\n]+)", text)
    return {int(state): words.strip() for state, words in pairs}


def _unique(text: str, seen: set[str]) -> str:
    """Return an id made of `text` that nothing else has."""
    stem = re.sub(r"[^a-z0-9]+", "-", text.casefold()).strip("-")[:56] or "point"
    one, count = stem, 1
    while one in seen:
        count += 1
        one = f"{stem}-{count}"
    seen.add(one)
    return one


def _flow(entry: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Yield the keys and values of a row as YAML has them in one line."""
    for key, value in entry.items():
        if isinstance(value, dict):
            yield key, "{" + ", ".join(f"{k}: {quoted(v)}" for k, v in value.items()) + "}"
        elif isinstance(value, str):
            yield key, quoted(value)
        else:
            yield key, str(value)


def quoted(text: str) -> str:
    """Return `text` as a YAML scalar: plain where that is safe."""
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9 ()/_.+-]*", text) and text.casefold() not in _WORDS:
        return text.strip()
    clean = "".join(char for char in text if char.isprintable())
    return '"' + clean.replace("\\", "\\\\").replace('"', '\\"') + '"'


_WORDS: Final = frozenset({"on", "off", "yes", "no", "y", "n", "true", "false", "null"})
"""What YAML does not read as a text."""
