"""Messages of Sparkplug nodes: from decoded payloads to readings. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from plantroom_cloud.streaming.messages import Unreadable
from plantroom_cloud.streaming.readings import MAX_QUOTE, Reading, Readings, key_of, time_trouble
from plantroom_shared import sparkplug
from plantroom_shared.errors import Rejected
from plantroom_shared.model import Quality, Value
from plantroom_shared.sparkplug import DataType, Metric, Payload, Topic

BIRTHS: Final = ("NBIRTH", "DBIRTH")
DEATHS: Final = ("NDEATH", "DDEATH")
_CONTROL: Final = ("Node Control/", "Device Control/")
_TYPE_NAMES: Final[dict[int, str]] = {
    DataType.INT8: "Int8",
    DataType.INT16: "Int16",
    DataType.INT32: "Int32",
    DataType.INT64: "Int64",
    DataType.UINT8: "UInt8",
    DataType.UINT16: "UInt16",
    DataType.UINT32: "UInt32",
    DataType.UINT64: "UInt64",
    DataType.FLOAT: "Float",
    DataType.DOUBLE: "Double",
    DataType.BOOLEAN: "Boolean",
    DataType.STRING: "String",
    DataType.DATE_TIME: "DateTime",
    DataType.TEXT: "Text",
    DataType.UUID: "UUID",
}


@dataclass(frozen=True, slots=True)
class NodeMessage:
    """One message of a node."""

    gateway: str
    """The node's id, which is the gateway's."""
    topic: Topic
    content: Payload
    payload: bytes

    @property
    def channel(self) -> str:
        """What kind of message it is."""
        return self.topic.kind

    @property
    def bd_seq(self) -> int | None:
        """The number of a node's birth or death."""
        for metric in self.content.metrics:
            if (
                metric.name == sparkplug.BD_SEQ
                and metric.value
                and metric.value[0] in {"int", "long"}
            ):
                return int(metric.value[1])
        return None

    def set_aside(self, reason: str) -> Unreadable:
        """Return the same as something that any database takes."""
        return Unreadable(self.gateway, reason, self.payload, self.topic.kind)


@dataclass(slots=True)
class Birth:
    """What a birth says of the metrics that later messages only allude to."""

    names: dict[int, str] = field(default_factory=dict)
    """Alias → name."""
    types: dict[str, int] = field(default_factory=dict)
    """Name → data type."""

    @classmethod
    def of(cls, metrics: Iterable[Metric]) -> Birth:
        """Return what the metrics of a birth say."""
        birth = cls()
        for metric in metrics:
            if metric.name and not metric.trouble:
                birth._add(metric.name, metric.alias, metric.datatype)
        return birth

    @classmethod
    def load(cls, rows: list[Any]) -> Birth:
        """Return the birth that `dump` made a document of."""
        birth = cls()
        for name, alias, datatype in rows:
            birth._add(name, alias, datatype)
        return birth

    def _add(self, name: str, alias: int | None, datatype: int) -> None:
        self.types[name] = datatype
        if alias is not None:
            self.names[alias] = name

    def dump(self) -> list[Any]:
        """Return this as JSON: ``[name, alias or null, data type]`` of each metric."""
        aliases = {name: alias for alias, name in self.names.items()}
        return [[name, aliases.get(name), datatype] for name, datatype in self.types.items()]


def read(topic: Topic, payload: bytes) -> NodeMessage | Unreadable:
    """Return what a node sent; never raises on anything a node can send."""
    try:
        content = sparkplug.decode(payload)
    except Rejected as error:
        return Unreadable(topic.node, error.reason, payload[:MAX_QUOTE], topic.kind)
    return NodeMessage(topic.node, topic, content, payload)


@dataclass(slots=True)
class Understood:
    """What a message amounts to, read with its birth."""

    rows: Readings = field(default_factory=Readings)
    unsupported: int = 0
    """Metrics of a type that is no single value."""
    transient: int = 0
    """Metrics that their node does not want stored."""
    unknown: bool = False
    """Something in it can only be understood with a birth that is not at hand."""


def understand(message: NodeMessage, birth: Birth | None, now_us: int) -> Understood:
    """Return the readings of a birth or data message.

    Args:
        message: any but a death.
        birth: the last one of the same node or device; None if none is known.
        now_us: our clock.
    """
    out = Understood(unknown=birth is None)
    reader = _Reader(out, message, birth or Birth(), now_us)
    for metric in message.content.metrics:
        why = metric.trouble or reader.take(metric)
        if why:
            out.rows.refuse(why, metric.raw)
            out.unknown |= why == "alias" or (why == "datatype" and not metric.datatype)
    return out


@dataclass(frozen=True, slots=True)
class _Reader:
    out: Understood
    message: NodeMessage
    birth: Birth
    now_us: int

    def take(self, metric: Metric) -> str:
        """Add the reading of one metric; return why it cannot be, if so."""
        alias = -1 if metric.alias is None else metric.alias
        name = metric.name or self.birth.names.get(alias, "")
        datatype = metric.datatype or self.birth.types.get(name, 0)
        if not name:
            return "alias"
        if self._is_no_point(metric, name, datatype):
            return ""
        sent = self.message.content.timestamp
        ts = metric.timestamp if metric.timestamp is not None else sent
        ts_us = self.now_us if ts is None else ts * 1000
        if why := time_trouble(ts_us, self.now_us):
            return why
        try:
            self.out.rows.good.append(self._reading(metric, name, datatype, ts_us))
        except Rejected as error:
            return error.reason
        return ""

    def _is_no_point(self, metric: Metric, name: str, datatype: int) -> bool:
        """Say whether the metric is of the protocol or cannot be a sample; count the latter."""
        if name == sparkplug.BD_SEQ or name.startswith(_CONTROL):
            return True
        self.out.unsupported += datatype in sparkplug.UNSUPPORTED
        self.out.transient += metric.is_transient
        return datatype in sparkplug.UNSUPPORTED or metric.is_transient

    def _reading(self, metric: Metric, name: str, datatype: int, ts_us: int) -> Reading:
        value, quality, reason = _value(metric, datatype)
        topic = self.message.topic
        return Reading(
            device=key_of("sparkplug:", topic.device or topic.node),
            point=key_of("sparkplug:", topic.device, "/", name),
            name=name,
            ts_us=ts_us,
            value=value,
            quality=quality,
            reason=reason,
            unit=_unit(metric),
            object_type=_TYPE_NAMES.get(datatype, ""),
            live=not metric.is_historical,
            quote=metric.raw,
        )


def _value(metric: Metric, datatype: int) -> tuple[Value, Quality, str]:
    quality, reason = Quality.GOOD, ""
    told = metric.properties.get("Quality")
    if told and told[0] in {"int", "long"}:
        code = int(told[1])
        quality = sparkplug.quality_of(code)
        reason = "" if quality is Quality.GOOD else f"quality-{code}"
    if metric.is_null or metric.value is None:
        return None, Quality.BAD, reason or "null"
    try:
        return sparkplug.decode_value(metric.value, datatype), quality, reason
    except Rejected as error:
        if error.reason != "not_finite":
            raise
        return None, Quality.BAD, "not-finite"


def _unit(metric: Metric) -> str | None:
    for name in ("engUnit", "Engineering Units", "EngUnit"):
        told = metric.properties.get(name)
        if told and isinstance(told[1], str):
            return told[1][:64]
    return None


def rebirth_command(now_us: int) -> bytes:
    """Return the payload that asks a node to tell everything anew."""
    ask = Metric(
        name=sparkplug.REBIRTH,
        timestamp=now_us // 1000,
        datatype=DataType.BOOLEAN,
        value=("boolean", True),
    )
    return sparkplug.encode(Payload(timestamp=now_us // 1000, metrics=[ask]))
