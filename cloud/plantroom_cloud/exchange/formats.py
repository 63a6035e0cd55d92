"""Every format there is, by name."""

from __future__ import annotations

from pathlib import PurePath
from typing import Final

from plantroom_cloud.exchange.brick_read import BRICK
from plantroom_cloud.exchange.enos import ENOS
from plantroom_cloud.exchange.haystack_read import HAYSTACK, HAYSTACK_V3
from plantroom_cloud.exchange.record import Format
from plantroom_cloud.exchange.table import CSV, SPREADSHEET

FORMATS: Final = {
    format_.name: format_ for format_ in (HAYSTACK, HAYSTACK_V3, BRICK, ENOS, CSV, SPREADSHEET)
}
_BY_SUFFIX: Final = {".ttl": BRICK, ".nt": BRICK, ".csv": CSV, ".enos.json": ENOS}


def format_of_name(name: str) -> Format | None:
    """Return the format that a file's name tells; None where it tells none."""
    low = PurePath(name).name.casefold()
    known = {format_.suffix: format_ for format_ in FORMATS.values()} | _BY_SUFFIX
    fit = [suffix for suffix in known if low.endswith(suffix)]
    return known[max(fit, key=len)] if fit else None
