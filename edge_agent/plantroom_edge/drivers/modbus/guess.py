"""Which profile a device is of, as far as a few of its registers tell; pure.

Every piece of evidence has a weight between 0 and 1, the probability that it decides alone; what
speaks against a profile divides. Which profile is proposed then is `guess_choice`'s business.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from plantroom_edge.drivers.modbus.guess_tells import Tells
from plantroom_shared.model import Value
from plantroom_shared.profile_parts import fits
from plantroom_shared.profiles import Register
from plantroom_shared.registers import FLOATS, Space, decode

ENOUGH: Final = 0.5
"""Below this nothing is proposed."""
SURE: Final = 0.85
"""From here on no further profile is asked for."""
CLOSE: Final = 0.1
"""Two profiles that are no further apart than this are as good as each other."""

VOLTS: Final = (80.0, 500.0)
HERTZ: Final = ((45.0, 55.0), (55.0, 65.0))


@dataclass(slots=True)
class Seen:
    """What a device has shown so far."""

    words: dict[Space, dict[int, int]] = field(default_factory=dict)
    refused: list[tuple[Space, int, int]] = field(default_factory=list)
    """Space, first address and the address behind the last, of reads that were refused."""
    identity: Mapping[str, str] = field(default_factory=dict)
    """What it calls itself: `vendor`, `product`, `model` ..."""

    def knows(self, space: Space, start: int, count: int) -> bool:
        """Return whether these addresses have been read."""
        table = self.words.get(space, {})
        return all(at in table for at in range(start, start + count))

    def refuses(self, space: Space, start: int, count: int) -> bool:
        """Return whether a read of these addresses must be refused: a part of it was."""
        end = start + count
        return any(s == space and start <= a and b <= end for s, a, b in self.refused)

    def raw(self, register: Register) -> Value:
        """Return the raw value of a register; None where it was not read."""
        table = self.words.get(register.space, {})
        found = [table.get(register.address + place) for place in range(register.words)]
        words = [word for word in found if word is not None]
        if len(words) != len(found):
            return None
        return decode(
            words, register.type, register.order, length=register.length,
            bit=register.bit or 0, bits=register.bits, encoding=register.encoding,
        )  # fmt: skip

    def reading(self, register: Register, tells: Tells) -> tuple[Value, str]:
        """Return the value of a register in its unit, None where there is none, and what is wrong."""
        raw, exponent = self.raw(register), None
        if raw is None or register.convert is None:
            return raw, ""
        if register.sf is not None:
            given = self.raw(tells.profile.by_id[register.sf])
            exponent = given if isinstance(given, int) else None
        return register.convert(raw, exponent)


@dataclass(slots=True)
class Verdict:
    """How well a profile fits."""

    tells: Tells
    doubt: float = 1.0
    """What is left of the doubt after all that speaks for it."""
    against: float = 1.0
    evidence: list[str] = field(default_factory=list)

    @property
    def confidence(self) -> float:
        """0 to 1."""
        return round((1 - self.doubt) * self.against, 2)

    def favour(self, weight: float, line: str) -> None:
        """Note what speaks for the profile."""
        self.doubt *= 1 - weight
        self.evidence.append(line)

    def oppose(self, factor: float, line: str) -> None:
        """Note what speaks against it."""
        self.against *= factor
        self.evidence.append(f"but {line}")


def judge(tells: Tells, seen: Seen) -> Verdict:
    """Return how well a profile fits what a device has shown."""
    verdict = Verdict(tells)
    _judge_identity(verdict, seen)
    _judge_marks(verdict, seen)
    _judge_expected(verdict, seen)
    _judge_texts(verdict, seen)
    _judge_voltages(verdict, seen)
    _judge_frequency(verdict, seen)
    _judge_powers(verdict, seen)
    _judge_ranges(verdict, seen)
    _judge_addresses(verdict, seen)
    return verdict


def _judge_identity(verdict: Verdict, seen: Seen) -> None:
    profile = verdict.tells.profile
    wanted = profile.identify.device_id
    asked = {} if wanted is None else wanted.model_dump(exclude_none=True)
    heard = {key: seen.identity[key] for key in asked if key in seen.identity}
    if heard and all(fits(asked[key], text) for key, text in heard.items()):
        shown = ", ".join(heard.values())
        verdict.favour(
            0.9 if heard.keys() - {"vendor", "revision"} else 0.4, f"it calls itself {shown!r}"
        )
        return
    product = " ".join(seen.identity.get(key, "") for key in ("product", "model", "name")).strip()
    vendor = seen.identity.get("vendor", "")
    if product and names_model(product, profile.model):
        verdict.favour(0.9, f"it calls itself {product!r}")
    if vendor and names_vendor(vendor, profile.vendor):
        verdict.favour(0.3, f"its vendor is {vendor!r}")
    elif vendor:
        verdict.oppose(0.4, f"its vendor is {vendor!r}, not {profile.vendor}")


def _judge_marks(verdict: Verdict, seen: Seen) -> None:
    """Judge by what the profile itself says about recognising its devices."""
    for mark, register in verdict.tells.marked:
        held = seen.raw(register)
        if held is None or not (mark.text or mark.values):
            continue  # what it must hold, or its range, is judged below
        if mark.text:
            right = isinstance(held, str) and fits(mark.text, held)
        else:
            right = held in mark.values
        if right:
            verdict.favour(0.85, f"{_at(register)} reads {held!r}")
        else:
            verdict.oppose(0.1, f"{_at(register)} reads {held!r}, which none of them does")


def _judge_expected(verdict: Verdict, seen: Seen) -> None:
    right, telling = 0, False
    for register in verdict.tells.expected:
        held = seen.raw(register)
        if held is None:
            continue
        if held != register.expect:
            verdict.oppose(0.0, f"{_at(register)} reads {held}, not {register.expect}")
            return
        right, telling = right + 1, telling or (register.expect or 0) > 9
    if right:
        verdict.favour(0.9 if telling else 0.4, f"{right} fixed registers hold what they must")


def _judge_texts(verdict: Verdict, seen: Seen) -> None:
    profile = verdict.tells.profile
    read = [(one, seen.raw(one)) for one in verdict.tells.texts]
    texts = [(one, text) for one, text in read if isinstance(text, str)]
    model = next((pair for pair in texts if names_model(pair[1], profile.model)), None)
    vendor = next((pair for pair in texts if names_vendor(pair[1], profile.vendor)), None)
    if model is not None:
        verdict.favour(0.85, f"{_at(model[0])} reads {model[1][:40]!r}")
    if vendor is not None and vendor != model:
        verdict.favour(0.4, f"{_at(vendor[0])} reads {vendor[1][:40]!r}")
    if texts and model is None and vendor is None:
        shown = next((f"{_at(one)} reads {text[:40]!r}" for one, text in texts if text), "")
        verdict.oppose(0.4, shown or "its nameplate is empty")


def _judge_voltages(verdict: Verdict, seen: Seen) -> None:
    values = _numbers(verdict, seen, verdict.tells.voltages)
    if not values:
        return
    low, high = VOLTS
    # A phase that is not connected shows next to nothing.
    live = [(one, value) for one, value in values if abs(value) > 5]
    wrong = [(one, value) for one, value in live if not low <= value <= high]
    if wrong:
        verdict.oppose(0.1, f"{_at(wrong[0][0])} would be {wrong[0][1]:.4g} V")
    elif live:
        shown = ", ".join(f"{value:.1f}" for _, value in live[:3])
        verdict.favour(0.3 if len(live) > 1 else 0.15, f"{_at(live[0][0])} reads {shown} V")
    else:
        verdict.oppose(0.5, "there is no voltage")


def _judge_frequency(verdict: Verdict, seen: Seen) -> None:
    for register, value in _numbers(verdict, seen, verdict.tells.frequency):
        if any(low <= value <= high for low, high in HERTZ):
            verdict.favour(0.25, f"{_at(register)} reads {value:.2f} Hz")
        else:
            verdict.oppose(0.2 if value else 0.5, f"{_at(register)} would be {value:.4g} Hz")


def _judge_powers(verdict: Verdict, seen: Seen) -> None:
    values = _numbers(verdict, seen, verdict.tells.powers)
    if len(values) != 4:
        return
    *phases, (register, total) = values
    added = sum(value for _, value in phases)
    largest = max(abs(value) for _, value in values)
    if not largest:
        return
    if abs(added - total) <= 0.02 * largest + 1e-9:
        line = f"{_at(register)} reads {total:.4g}, the sum of its phases"
        verdict.favour(0.25, line)
    else:
        verdict.oppose(0.4, f"{_at(register)} is not the sum of its phases")


def _judge_ranges(verdict: Verdict, seen: Seen) -> None:
    values = _numbers(verdict, seen, verdict.tells.ranged)
    ranges = [(one, value, one.range) for one, value in values if one.range is not None]
    wrong = [(one, value) for one, value, (low, high) in ranges if not low <= value <= high]
    if wrong:
        register, value = wrong[0]
        verdict.oppose(0.3, f"{_at(register)} would be {value:.4g} {register.unit}".rstrip())
    elif any(value for _, value, _ in ranges):
        verdict.favour(0.05, f"{len(ranges)} values are in their ranges")


def _judge_addresses(verdict: Verdict, seen: Seen) -> None:
    tells = verdict.tells
    asked = tells.first + tells.rest
    for register in asked:
        if seen.refuses(register.space, register.address, register.words):
            verdict.oppose(0.2, f"{_at(register)} is refused")
            return
    if asked and all(seen.raw(register) is not None for register in asked):
        verdict.favour(0.1, "no address that it should have is refused")


def _numbers(
    verdict: Verdict, seen: Seen, registers: Sequence[Register]
) -> list[tuple[Register, float]]:
    """Return the values that are numbers; a float that is none speaks against the profile."""
    found: list[tuple[Register, float]] = []
    for register in registers:
        value = seen.reading(register, verdict.tells)[0]
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            if math.isfinite(value) and (
                abs(value) > 1e-30 or not value or register.type not in FLOATS
            ):
                found.append((register, float(value)))
            else:
                verdict.oppose(0.2, f"{_at(register)} is no number")
    return found


def _at(register: Register) -> str:
    return f"{register.space} {register.address}"


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


def names_model(text: str, model: str) -> bool:
    """Return whether a text names a model: all of it, or a word of it with letters and digits."""
    plain, whole = _plain(text), _plain(model)
    if not plain:
        return False
    if whole and whole in plain:
        return True
    words = (_plain(word) for word in re.split(r"[\s/,()-]+", model))
    return any(_is_type(word) and word in plain for word in words)


def _is_type(word: str) -> bool:
    letters, digits = any(c.isalpha() for c in word), any(c.isdigit() for c in word)
    return letters and digits and len(word) >= 4


def names_vendor(text: str, vendor: str) -> bool:
    """Return whether a text names a vendor: its first word is enough."""
    first = _plain(vendor.strip().partition(" ")[0])
    return len(first) >= 3 and first in _plain(text)
