"""sync v1 on the wire: every message between a gateway and the cloud, encoded and decoded.

A row is known for ever by ``(gateway, epoch, stream, seq)``: `epoch` is 64 random bits per process
start, written as 16 hex digits, `seq` counts from 1 within epoch and stream. Four streams
carry rows: ``cmd`` (results of commands), ``evt`` (findings), ``aud`` (what happened on the gateway) and
``tel`` (samples). Samples that are sent while newer ones go out, too, travel on the channel
``fill``. All else is control.

Messages are UTF-8 JSON, gzipped, at most `MAX_WIRE` bytes on the wire and `MAX_PLAIN` inflated.
Receivers ignore unknown keys, so a version only ever adds. Everything that arrives is untrusted:
decoders return checked objects or raise `Rejected`, and a bad row never costs its neighbours.
"""

from __future__ import annotations

from plantroom_shared.wire.columns import expand_points
from plantroom_shared.wire.commands import (
    MAX_BODY,
    MAX_WRITES,
    Command,
    Expected,
    Order,
    Write,
    read_order,
    signed_part,
)
from plantroom_shared.wire.configuration import (
    MAX_CONFIGURATION,
    SECTIONS,
    Assignment,
    Configuration,
    Report,
    read_assignment,
    signed_configuration,
)
from plantroom_shared.wire.messages import (
    CHANNELS,
    DOWN,
    MAX_CERTIFICATE,
    MAX_RANGES,
    MAX_ROWS,
    STREAMS,
    Ack,
    ClockState,
    Count,
    Dictionary,
    Envelope,
    Epoch,
    Findings,
    Flow,
    Gap,
    Hello,
    Holding,
    Known,
    Message,
    Nack,
    Record,
    Records,
    Resume,
    Seq,
    Span,
    State,
    Stream,
    decode_reply,
    spans,
)
from plantroom_shared.wire.packing import (
    MAX_PLAIN,
    MAX_WIRE,
    VERSION,
    decode,
    encode,
    pack,
    unpack,
)
from plantroom_shared.wire.samples import (
    MAX_TEXT,
    Samples,
    decode_rows,
    decode_snapshot,
    encode_samples,
    encode_snapshot,
)

__all__ = [
    "CHANNELS", "DOWN", "MAX_BODY", "MAX_CERTIFICATE", "MAX_CONFIGURATION", "MAX_PLAIN", "MAX_RANGES", "MAX_ROWS", "MAX_TEXT", "MAX_WIRE",
    "MAX_WRITES", "SECTIONS", "STREAMS",
    "VERSION",
    "Ack", "Assignment", "ClockState", "Command", "Configuration", "Count", "Dictionary", "Envelope", "Epoch", "Expected", "Findings", "Flow", "Gap",
    "Hello", "Holding", "Known", "Message", "Nack", "Order", "Record", "Records", "Report", "Resume", "Samples", "Seq",
    "Span", "State", "Stream", "Write",
    "decode", "decode_reply", "decode_rows", "decode_snapshot", "encode", "encode_samples",
    "encode_snapshot", "expand_points", "pack", "read_assignment", "read_order", "signed_configuration", "signed_part", "spans", "unpack",
]  # fmt: skip
