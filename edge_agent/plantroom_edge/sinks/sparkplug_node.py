"""A Sparkplug node made of the agent's points: births, data, death. Pure.

Each device of the agent is a device of the node. The alias of a metric is the agent's alias of the
point, its name the key of the point within its device.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from plantroom_shared import sparkplug
from plantroom_shared.model import Batch, Device, Point, Quality, Value
from plantroom_shared.sparkplug import DataType, Metric, Payload

Outgoing = tuple[str, bytes]
"""Topic and payload."""
_PER_MESSAGE = 500


@dataclass(slots=True)
class _Item:
    """A point as a metric."""

    alias: int
    name: str
    device: str
    properties: dict[str, tuple[str, str]]
    datatype: DataType = DataType.DOUBLE
    last: tuple[int, Value, Quality] = (0, None, Quality.BAD)
    """Microseconds, value, quality; before the first sample there is none."""


@dataclass(slots=True)
class Node:
    """What a node knows and which number it has got to.

    Args:
        group: the Sparkplug group.
        node: the node id.
    """

    group: str
    node: str
    bd_seq: int = 0
    _seq: int = 0
    _items: dict[int, _Item] = field(default_factory=dict)
    _aliases: dict[tuple[str, str], int] = field(default_factory=dict)
    """Device id and name → alias: a point that has changed has a further one."""
    _born: set[str] = field(default_factory=set)
    """Devices whose birth is out."""
    _names: dict[str, str] = field(default_factory=dict)
    """Device key → device id."""

    def describe(
        self, points: Sequence[Point], aliases: Sequence[int], devices: Sequence[Device]
    ) -> None:
        """Take note of points; a device that has got new ones is born again before its next data."""
        del devices  # the key says enough: a device's names may be told later, or twice
        for point, alias in zip(points, aliases, strict=True):
            device = self._device(point.device)
            texts = {"displayName": point.name, "engUnit": point.unit}
            item = _Item(
                alias,
                point.key.removeprefix(f"{point.device}:"),
                device,
                {key: ("string", text) for key, text in texts.items() if text},
            )
            before = self._aliases.get((device, item.name), alias)
            self._aliases[device, item.name] = alias
            known = self._items.pop(before, None)
            if known is None or before != alias or known.properties != item.properties:
                self._born.discard(device)
            if known is not None and before == alias:
                item.datatype, item.last = known.datatype, known.last
            self._items[alias] = item

    def _device(self, key: str) -> str:
        """Return the id of a device: two keys never share one."""
        if key not in self._names:
            name, taken, suffix = sparkplug.level(key), set(self._names.values()), 1
            while name in taken:
                suffix += 1
                name = f"{sparkplug.level(key)[:120]}_{suffix}"
            self._names[key] = name
        return self._names[key]

    def connect(self) -> None:
        """Take the number of the next connection: for its will, and then its birth."""
        self.bd_seq = (self.bd_seq + 1) % 256

    def _number(self) -> int:
        number = self._seq
        self._seq = (number + 1) % 256
        return number

    def _topic(self, kind: str, device: str = "") -> str:
        return sparkplug.build(self.group, kind, self.node, device)

    def death(self, now_us: int) -> Outgoing:
        """Return the message that ends the present birth; also the will of the connection."""
        metric = Metric(name=sparkplug.BD_SEQ, datatype=DataType.INT64, value=("long", self.bd_seq))
        payload = Payload(timestamp=now_us // 1000, metrics=[metric])
        return self._topic("NDEATH"), sparkplug.encode(payload)

    def births(self, now_us: int) -> list[Outgoing]:
        """Return the birth of the node and of every device, with what they said last."""
        self._seq = 0
        now = now_us // 1000
        metrics = [
            Metric(
                name=sparkplug.BD_SEQ,
                timestamp=now,
                datatype=DataType.INT64,
                value=("long", self.bd_seq),
            ),
            Metric(
                name=sparkplug.REBIRTH,
                timestamp=now,
                datatype=DataType.BOOLEAN,
                value=("boolean", False),
            ),
        ]
        payload = Payload(timestamp=now, seq=self._number(), metrics=metrics)
        out = [(self._topic("NBIRTH"), sparkplug.encode(payload))]
        self._born.clear()
        devices = sorted({item.device for item in self._items.values()})
        return [*out, *(self._birth(device, now) for device in devices)]

    def _birth(self, device: str, now: int) -> Outgoing:
        self._born.add(device)
        metrics = [
            _metric(item, item.last, born=True, fallback=now)
            for item in self._items.values()
            if item.device == device
        ]
        payload = Payload(timestamp=now, seq=self._number(), metrics=metrics)
        return self._topic("DBIRTH", device), sparkplug.encode(payload)

    def note(self, batch: Batch) -> None:
        """Take what `batch` says for the next birth; a point of another type is born again."""
        for row, alias in enumerate(batch.points):
            item = self._items.get(alias)
            value = batch.values[row]
            if item is None:
                continue
            if value is not None and sparkplug.datatype_of(value) is not item.datatype:
                item.datatype = sparkplug.datatype_of(value)
                self._born.discard(item.device)
            if batch.times[row] >= item.last[0]:
                item.last = (batch.times[row], value, _quality(batch, row))

    def data(self, batch: Batch, now_us: int, *, historical: bool = False) -> list[Outgoing]:
        """Return `batch` as data messages, with a birth before those of a device that needs one.

        Args:
            batch: rows that `note` has seen.
            now_us: the clock.
            historical: they are from before the birth, and no longer what is the case.
        """
        rows = [row for row, alias in enumerate(batch.points) if alias in self._items]
        out: list[Outgoing] = []
        for device, group in groupby(rows, key=lambda row: self._items[batch.points[row]].device):
            if device not in self._born:
                out.append(self._birth(device, now_us // 1000))
            metrics = [self._row(batch, row, historical=historical) for row in group]
            out += self._messages(device, metrics, now_us // 1000)
        return out

    def _row(self, batch: Batch, row: int, *, historical: bool) -> Metric:
        item = self._items[batch.points[row]]
        value = batch.values[row]
        if value is not None and sparkplug.datatype_of(value) is not item.datatype:
            value = None  # of a type that the point has since changed from: nobody could read it
        told = (batch.times[row], value, _quality(batch, row))
        metric = _metric(item, told, born=False, fallback=0)
        metric.is_historical = historical
        return metric

    def _messages(self, device: str, metrics: Sequence[Metric], now: int) -> Iterable[Outgoing]:
        for start in range(0, len(metrics), _PER_MESSAGE):
            part = list(metrics[start : start + _PER_MESSAGE])
            payload = Payload(timestamp=now, seq=self._number(), metrics=part)
            yield self._topic("DDATA", device), sparkplug.encode(payload)


def asks_for_rebirth(payload: Payload) -> bool:
    """Say whether a command asks the node to tell everything anew."""
    return any(
        metric.name == sparkplug.REBIRTH and metric.value == ("boolean", True)
        for metric in payload.metrics
    )


def _quality(batch: Batch, row: int) -> Quality:
    return Quality(batch.quality.get(row, (0, ""))[0])


def _metric(item: _Item, told: tuple[int, Value, Quality], *, born: bool, fallback: int) -> Metric:
    ts_us, value, quality = told
    metric = Metric(
        alias=item.alias,
        timestamp=ts_us // 1000 or fallback,
        value=sparkplug.encode_value(value),
        is_null=value is None,
    )
    if born:
        metric.name, metric.datatype = item.name, item.datatype
        metric.properties |= item.properties
    if born or quality is not Quality.GOOD:
        metric.properties["Quality"] = ("int", sparkplug.QUALITY_CODES[quality])
    return metric
