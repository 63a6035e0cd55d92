"""Sparkplug B: the codec that the cloud's ingest and the edge agent's sink share. Pure.

`decode` takes bytes from anybody: it raises nothing but `Rejected`, and one metric that cannot be
understood costs no other.
"""

from plantroom_shared.sparkplug.payload import (
    MAX_METRICS,
    MAX_PAYLOAD,
    Metric,
    Payload,
    decode,
    encode,
)
from plantroom_shared.sparkplug.topics import (
    DEVICE_TYPES,
    MAX_LEVEL,
    NODE_TYPES,
    ROOT,
    Topic,
    build,
    level,
    parse,
)
from plantroom_shared.sparkplug.values import (
    QUALITY_CODES,
    UNSUPPORTED,
    DataType,
    datatype_of,
    decode_value,
    encode_value,
    quality_of,
)

BD_SEQ = "bdSeq"
"""The metric that ties a death to its birth."""
REBIRTH = "Node Control/Rebirth"
"""The command that asks a node to tell everything anew."""

__all__ = [
    "BD_SEQ",
    "DEVICE_TYPES",
    "MAX_LEVEL",
    "MAX_METRICS",
    "MAX_PAYLOAD",
    "NODE_TYPES",
    "QUALITY_CODES",
    "REBIRTH",
    "ROOT",
    "UNSUPPORTED",
    "DataType",
    "Metric",
    "Payload",
    "Topic",
    "build",
    "datatype_of",
    "decode",
    "decode_value",
    "encode",
    "encode_value",
    "level",
    "parse",
    "quality_of",
]
