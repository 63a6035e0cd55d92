"""A Modbus device as it stands in a plant: a profile's registers with values that make sense."""

from __future__ import annotations

import random
import re
import struct

from plantroom_shared.model import Value
from plantroom_shared.profiles import Profile, Register
from plantroom_shared.registers import UNSIGNED
from support.modbus_image import Image, write

_PHASES = re.compile(r"(^|[-_.])(l|phase-?)?[123abc]([-_.]|$)")


def plausible(profile: Profile, seed: int = 1) -> Image:
    """Return a device of this model on a 230 V, 50 Hz network, with its nameplate."""
    rng = random.Random(seed)
    image: Image = {}
    marks = {mark.id: mark.values[0] for mark in profile.identify.registers if mark.values}
    for register in profile.registers:
        if register.expect is not None:
            write(image, register, register.expect)
        elif register.id in marks:
            write(image, register, marks[register.id])
        elif register.type == "string":
            write(image, register, _text(profile, register))
        elif any(one.sf == register.id for one in profile.registers):
            write(image, register, -1)
        else:
            write(image, register, _raw(register, _value(register, rng)))
    return image


def _text(profile: Profile, register: Register) -> str:
    words = f"{register.id} {register.name}".lower()
    text = "X-1"
    if "manufact" in words or "vendor" in words or register.id == "Mn":
        text = profile.vendor
    elif "model" in words or register.id == "Md":
        text = profile.model
    return text[: 2 * register.length]


def _value(register: Register, rng: random.Random) -> float:
    unit, name = register.unit.lower(), f"{register.id} {register.name}".lower()
    phase = _PHASES.search(register.id) is not None
    if unit == "v":
        between = re.search(r"l\d-l\d|[abc]-?[abc]\b|-ll|l-l", name) is not None
        return rng.uniform(395, 405) if between else rng.uniform(228, 232)
    if unit == "hz":
        return 50.0
    if unit in {"w", "kw"}:
        return 2.0 if phase else 6.0
    if register.range is not None:
        low, high = register.range
        return (low + high) / 2 + (high - low) / 10
    return float(rng.randint(1, 9))


def _raw(register: Register, value: float) -> Value:
    if register.type == "bool":
        return value > 5
    raw = (value - register.offset) / register.scale * (10 if register.sf else 1)
    if register.type == "float32":
        (raw,) = struct.unpack("<f", struct.pack("<f", raw))
        return float(raw)
    if register.type == "float64":
        return raw
    return max(round(raw), 0) if register.type in UNSIGNED else round(raw)
