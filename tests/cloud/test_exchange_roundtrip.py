"""Exports: whatever a format writes it reads back as it was, whatever the names are."""

from __future__ import annotations

import csv
import io
import json

import orjson
import pytest
from hypothesis import HealthCheck, given, settings

from plantroom_cloud.exchange.formats import FORMATS, format_of_name
from plantroom_cloud.exchange.record import Content, Format, outline_of, plain, write
from plantroom_cloud.exchange.table import COLUMNS, CSV, SPREADSHEET
from plantroom_cloud.mapping.pointlist import FORMULA
from support.exchange_site import HOSTILE, SITE, everything, records, small

ALL = pytest.mark.parametrize("format_", FORMATS.values(), ids=FORMATS)


def _in_order(content: Content) -> list[str]:
    # Reprs: -0.0 and 0.0 are one number to `==`, and not the same text.
    return sorted(map(repr, content.points))


def _assert_same(before: Content, after: Content) -> None:
    assert _in_order(after) == _in_order(before)
    assert after.equipment == before.equipment
    assert after.notes == []


@ALL
def test_a_site_comes_back_as_it_was(format_: Format) -> None:
    """Points, equipment, classes, relations, model points, confidence and state: nothing is lost."""
    before = small()
    after = format_.read(write(format_, before).encode())
    _assert_same(before, after)
    assert after.site.slug == SITE.slug


@ALL
def test_every_class_and_unit_comes_back(format_: Format) -> None:
    """There is no live class of Brick and no unit that a format cannot hold."""
    before = everything()
    _assert_same(before, format_.read(write(format_, before).encode()))


@ALL
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(before=records())
def test_any_record_comes_back(format_: Format, before: Content) -> None:
    """Whatever the texts are."""
    text = write(format_, before)
    if not before.points and not before.equipment:
        return
    _assert_same(before, format_.read(text.encode()))


@ALL
def test_in_pieces_or_at_once_is_the_same_file(format_: Format) -> None:
    """Where a page of points ends leaves no trace."""
    content = small()
    writer = format_.writer(outline_of(content))
    pieces = [writer.head(), *(writer.points([point]) for point in content.points), writer.tail()]
    assert "".join(pieces) == write(format_, content)


@pytest.mark.parametrize("name", ["haystack", "haystack-v3", "enos"])
def test_json_formats_are_json(name: str) -> None:
    """Any reader of JSON reads them, an empty site too."""
    orjson.loads(write(FORMATS[name], small()))
    orjson.loads(write(FORMATS[name], Content(SITE)))


def test_a_spreadsheet_sees_no_formula() -> None:
    """No cell of the safe list begins like a formula; what begins with an apostrophe comes back too."""
    text = write(SPREADSHEET, small())
    cells = [cell for row in csv.reader(io.StringIO(text, newline="")) for cell in row]
    assert not [cell for cell in cells if cell.startswith(FORMULA)]
    names = {point.name for point in SPREADSHEET.read(text.encode()).points}
    assert names >= set(HOSTILE)


def test_the_list_has_the_columns_of_other_lists() -> None:
    """What `plantroom-cloud map` reads and writes is there under the same names."""
    row = next(csv.DictReader(io.StringIO(write(CSV, small()), newline="")))
    assert tuple(row) == COLUMNS
    assert {"building", "point_name", "point_type", "equip_id", "equip_class"} <= set(row)


def test_enos_has_devices_as_the_platform_takes_them() -> None:
    """A device follows one model, and the models in use stand beside with all their points."""
    document = json.loads(write(FORMATS["enos"], small()))
    ahu = next(d for d in document["devices"] if d["modelId"] == "EnOS_HVAC_AHU")
    assert ahu["deviceName"] == {"defaultValue": "AHU 1", "i18nValue": {"en_US": "AHU 1"}}
    assert ahu["timezone"] == "Europe/Berlin"
    assert ahu["deviceKey"].startswith("tower-one:AHU-1")
    assert [p["identifier"] for p in ahu["measurepoints"]] == ["AHU_raw_supply_air_temp"]
    (model,) = document["thingModels"]
    assert model["modelId"] == "EnOS_HVAC_AHU"
    shown = model["measurepoints"]["AHU_raw_supply_air_temp"]
    assert shown["unit"] == {"unitId": "°C", "multiplier": "ONE"}
    assert shown["dataType"] == "DOUBLE"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.TTL", "brick"),
        ("a.nt", "brick"),
        ("tower.haystack.json", "haystack"),
        ("tower.haystack3.json", "haystack-v3"),
        ("x/tower.enos.json", "enos"),
        ("list.csv", "csv"),
    ],
)
def test_a_name_tells_the_format(name: str, kind: str) -> None:
    """Names of exports and of common files are known."""
    found = format_of_name(name)
    assert found is not None
    assert found.suffix == FORMATS[kind].suffix
    assert format_of_name("x.json") is None


def test_halves_of_characters_are_replaced() -> None:
    """A text that UTF-8 cannot hold costs that character, not the export."""
    assert plain("a\0b") == "ab"
    assert plain("\ud800ü\0") == "?ü"
