"""What an object takes: by its type, by the profile, and by what the device says of it. Pure.

Limits of the profile are in the unit of the device already. Where profile and device name limits,
both hold.
"""

from __future__ import annotations

from plantroom_edge.drivers.bacnet.facts import MOST_STATES, Found, Said
from plantroom_edge.drivers.bacnet.vocabulary import MULTI_STATE_TYPES, split
from plantroom_edge.drivers.bacnet.writing import Unfit, encode_value
from plantroom_shared.model import Point, Value
from plantroom_shared.profiles import BacnetObject


def unwritable(told: Found, meant: Found, row: int, value: Value) -> str:
    """Return why an object does not take `value`; empty if it does, or if nobody knows.

    Args:
        told: the device as it describes itself.
        meant: the same with what the configuration and a profile make of it.
        row: which of the points of both.
        value: in the point's unit; None relinquishes a slot, which is never refused.
    """
    point, oid = meant.points[row], meant.objects[row]
    if value is None:
        return ""
    if point.writable is False:
        return "write-access-denied"
    if point.key in meant.scales:
        return "scaled-value"  # counts, shown as something else
    try:
        encode_value(split(oid)[0], value)
    except Unfit as error:
        return str(error)
    meaning, said = meant.meanings.get(point.key), told.said.get(point.key)
    if split(oid)[0] in MULTI_STATE_TYPES:
        return "" if _is_state(point, meaning, int(value)) else "no-such-state"
    return "" if isinstance(value, str) else _beyond(said, meaning, value)


def _is_state(point: Point, meaning: BacnetObject | None, state: int) -> bool:
    if meaning is not None and meaning.states and state not in meaning.states:
        return False
    count = len(point.states)
    return state >= 1 and (not 0 < count < MOST_STATES or state <= count)


def _beyond(told: Said | None, meaning: BacnetObject | None, value: float) -> str:
    if meaning is not None and meaning.write is not None and (why := meaning.write.refusal(value)):
        return why
    if told is not None and told.low is not None and value < told.low:
        return "below-minimum"
    if told is not None and told.high is not None and value > told.high:
        return "above-maximum"
    return ""
