"""A list of devices that will come, as CSV. Pure."""

from __future__ import annotations

import csv
import io
from typing import Final, NamedTuple

from plantroom_cloud.kit.problems import InvalidRequest
from plantroom_shared.claiming import FINGERPRINT
from plantroom_shared.topics import GATEWAY_ID

MOST: Final = 5000
"""Devices of one list."""
_COLUMNS: Final = frozenset({"serial", "fingerprint", "gateway", "name"})
_SHOWN: Final = 5


class Expected(NamedTuple):
    """A device of a list."""

    serial: str
    fingerprint: str
    gateway: str
    name: str


def read_list(text: str) -> list[Expected]:
    """Return the devices in a CSV file; all of it is good, or none is taken.

    Raises:
        InvalidRequest: with the first lines that are wrong, and what is.
    """
    try:
        reader = csv.DictReader(io.StringIO(text.lstrip("\ufeff")), strict=True)
        rows, head = list(reader), set(reader.fieldnames or ())
    except csv.Error as error:
        msg = f"this is no CSV: {error}"
        raise InvalidRequest(msg) from error
    if not {"serial", "fingerprint"} <= head or head - _COLUMNS:
        msg = "begin with a line `serial,fingerprint`, and `gateway,name` where you want them"
        raise InvalidRequest(msg)
    if len(rows) > MOST:
        msg = f"send at most {MOST} devices at a time"
        raise InvalidRequest(msg)
    found, wrong = list[Expected](), list[dict[str, str]]()
    seen: set[str] = set()
    for line, row in enumerate(rows, 2):
        one = _read(row)
        if fault := _fault(one, seen, row):
            wrong.append({"where": "body", "name": f"csv line {line}", "detail": fault})
        seen |= {one.fingerprint, one.gateway} - {""}
        found.append(one)
    if wrong:
        detail = f"{wrong[0]['name']}: {wrong[0]['detail']}; {len(wrong)} lines are wrong"
        raise InvalidRequest(detail, errors=wrong[:_SHOWN])
    return found


def _read(row: dict[str, str | None]) -> Expected:
    cells = {name: (row.get(name) or "").strip() for name in Expected._fields}
    cells["fingerprint"] = cells["fingerprint"].replace(" ", "").replace(":", "").lower()
    return Expected(**cells)


def _fault(one: Expected, seen: set[str], row: dict[str, str | None]) -> str:
    """Return what is wrong with a line; empty if it is good."""
    serial_fits = one.serial and len(one.serial) <= 128 and one.serial.isprintable()
    checks = (
        (None in row or None in row.values(), "it has not as many cells as the head"),
        (not FINGERPRINT.fullmatch(one.fingerprint), "the fingerprint has not 64 hex digits"),
        (not serial_fits, "the serial number is missing, or longer than 128 characters"),
        (one.gateway and not GATEWAY_ID.match(one.gateway), "the gateway's id is none"),
        (len(one.name) > 200 or not one.name.isprintable(), "the name is too long, or not plain"),
        ({one.fingerprint, one.gateway} & seen, "it is in the list twice"),
    )
    return next((why for wrong, why in checks if wrong), "")
