"""Values → messages of the HTTP integration channel, within its limit. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import orjson

from plantroom_shared.mapping.conversion import ModelValue

MAX_MESSAGE: Final = 512 * 1024
"""Bytes of one ``enos-message``."""
_HEAD: Final = 512
"""More than the envelope around the params takes."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Posted:
    """One value of one measurement point at one millisecond."""

    asset_id: str
    point: str
    ms: int
    value: ModelValue
    quality: int | None = None
    """EnOS quality code; None sends the plain value."""

    @property
    def key(self) -> tuple[str, str]:
        """Whose value it is."""
        return self.asset_id, self.point

    @property
    def sent(self) -> object:
        """The value as the message carries it."""
        if self.quality is None:
            return self.value
        return {"value": self.value, "quality": self.quality}


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yield `items` in slices of at most `size`."""
    for at in range(0, len(items), size):
        yield items[at : at + size]


def messages(
    values: Iterable[Posted], message_id: int, *, realtime: bool, limit: int = MAX_MESSAGE
) -> Iterator[tuple[bytes, list[Posted]]]:
    """Yield messages, oldest values first, and what each carries.

    Args:
        values: at most one per asset, point and millisecond.
        message_id: of the first message; the others count on.
        realtime: False sends them down the offline path, where they move no "latest" value.
        limit: bytes of one message.
    """
    room = limit - _HEAD
    size, items, carried = 0, list[dict[str, Any]](), list[Posted]()
    for item, group in _items(values):
        length = len(orjson.dumps(item)) + 1
        if items and size + length > room:
            yield _message(items, message_id, realtime=realtime), carried
            message_id += 1
            size, items, carried = 0, [], []
        items.append(item)
        carried += group
        size += length
    if items:
        yield _message(items, message_id, realtime=realtime), carried


def _items(values: Iterable[Posted]) -> Iterator[tuple[dict[str, Any], list[Posted]]]:
    """Yield one params item per asset and millisecond."""
    groups: dict[tuple[int, str], list[Posted]] = {}
    for value in values:
        groups.setdefault((value.ms, value.asset_id), []).append(value)
    for (ms, asset_id), group in sorted(groups.items()):
        points = {value.point: value.sent for value in group}
        yield {"assetId": asset_id, "time": ms, "measurepoints": points}, group


def _message(items: list[dict[str, Any]], message_id: int, *, realtime: bool) -> bytes:
    return orjson.dumps(
        {
            "id": str(message_id),
            "version": "1.1",
            "method": "integration.measurepoint.post",
            "params": items,
            "files": {},
            "isRealtimeIntegration": realtime,
        }
    )
