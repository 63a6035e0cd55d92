"""An uploaded point list: how large it may be, and what is read from it."""

from __future__ import annotations

from typing import Any, Final

from plantroom_cloud.kit.problems import InvalidRequest, TooLarge
from plantroom_cloud.mapping.pointlist import Counted, ListedPoint, read_text, text_of
from plantroom_cloud.pipeline import packing
from plantroom_shared.errors import ConfigError
from plantroom_shared.model import Point

MAX_UPLOAD: Final = 32 * 1024 * 1024
"""Bytes of a list."""
MAX_POINTS: Final = 200_000
"""Points of a list."""
MAX_BUILDINGS: Final = 1000
_LONGEST_TEXT: Final = 4096
"""Characters that are kept of a cell: much longer than what is looked at, and stored."""
_NAME: Final = 200


class Upload:
    """The buildings of a list, packed as the stage ``select`` leaves them.

    Args:
        data: the list as it was sent.
        name: of the building, where its rows name none.

    Raises:
        InvalidRequest: it is no list of points, or has none.
        TooLarge: it holds more points or buildings than one job may have.
    """

    def __init__(self, data: bytes, name: str) -> None:
        counted, listed = Counted(), dict[str, list[ListedPoint]]()
        try:
            read_text(text_of(data), "upload", name, counted, listed)
        except ConfigError as error:
            what = f"this is no point list: {error.what}; {error.fix}"
            raise InvalidRequest(what) from error
        if not counted.points:
            what = "there is no point in this list: a CSV with a column `point_name` is needed"
            raise InvalidRequest(what)
        if counted.points > MAX_POINTS or len(listed) > MAX_BUILDINGS:
            what = f"at most {MAX_POINTS} points in {MAX_BUILDINGS} buildings: send it in parts"
            raise TooLarge(what)
        self.notes = {"left_out": counted.bad, "cut": counted.long}
        self.buildings = [{"name": building[:_NAME], "site": None} for building in listed]
        self.points = [len(rows) for rows in listed.values()]
        self.outputs = [_packed(rows) for rows in listed.values()]
        """By building: kind, piece and data."""


def _packed(rows: list[ListedPoint]) -> list[tuple[str, int, bytes]]:
    points: list[dict[str, Any]] = [packing.point_row(_cut(row.point)) for row in rows]
    return [("points", number, data) for number, data in packing.pieces(points)]


def _cut(point: Point) -> Point:
    texts = {
        name: value[:_LONGEST_TEXT]
        for name, value in vars(point).items()
        if isinstance(value, str) and len(value) > _LONGEST_TEXT
    }
    return point.model_copy(update=texts) if texts else point
