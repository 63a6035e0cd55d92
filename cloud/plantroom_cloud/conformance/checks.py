"""What a value may be, in words that messages are described with.

A check is a function from a value to what is wrong with it, the empty text where nothing is.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

Check = Callable[[Any], str]

BIG: Final = 2**63 - 1


def whole(low: int = 0, high: int = BIG) -> Check:
    """An integer from `low` to `high`."""

    def check(value: Any) -> str:
        fits = type(value) is int and low <= value <= high
        return "" if fits else f"{show(value)} is no integer from {low} to {high}"

    return check


def text(most: int, *, least: int = 0, pattern: str = "") -> Check:
    """A text of `least` to `most` characters that matches `pattern` as a whole."""
    wanted = re.compile(pattern) if pattern else None

    def check(value: Any) -> str:
        if not isinstance(value, str) or not least <= len(value) <= most:
            return f"{show(value)} is no text of {least} to {most} characters"
        return "" if wanted is None or wanted.fullmatch(value) else f"{show(value)} is malformed"

    return check


def one_of(*values: Any) -> Check:
    """One of `values`."""

    def check(value: Any) -> str:
        known = any(type(value) is type(item) and value == item for item in values)
        return "" if known else f"{show(value)} is none of {', '.join(map(str, values))}"

    return check


def either(*checks: Check) -> Check:
    """Whatever one of `checks` takes."""

    def check(value: Any) -> str:
        found = [part(value) for part in checks]
        return "" if "" in found else found[0]

    return check


def many(item: Check, most: int, *, least: int = 0) -> Check:
    """A list of `least` to `most` items."""

    def check(value: Any) -> str:
        if not isinstance(value, list) or not least <= len(value) <= most:
            return f"no list of {least} to {most} items"
        return next((f"[{at}] {why}" for at, part in enumerate(value) if (why := item(part))), "")

    return check


def table(keys: Check, item: Check) -> Check:
    """An object whose keys and values are all alike."""

    def check(value: Any) -> str:
        if not isinstance(value, dict):
            return f"{show(value)} is no object"
        found = (keys(key) or item(part) for key, part in value.items())
        return next((why for why in found if why), "")

    return check


@dataclass(frozen=True, slots=True)
class Shape:
    """Check that a value is an object with these keys; others are a later version's."""

    required: Mapping[str, Check]
    optional: Mapping[str, Check]

    def __call__(self, value: Any) -> str:
        """Say what is wrong with `value`."""
        if not isinstance(value, dict):
            return f"{show(value)} is no object"
        if missing := [key for key in self.required if key not in value]:
            return f"key {missing[0]!r} is missing"
        known = {**self.required, **self.optional}
        found = ((key, known[key](part)) for key, part in value.items() if key in known)
        return next((f"{key}: {why}" for key, why in found if why), "")


def flag(value: Any) -> str:
    """Check that a value is true or false."""
    return "" if isinstance(value, bool) else f"{show(value)} is neither true nor false"


def anything(_: Any) -> str:
    """Take any value."""
    return ""


def nothing(value: Any) -> str:
    """Check that a value is null."""
    return "" if value is None else f"{show(value)} is not null"


def number(value: Any) -> str:
    """Check that a value is a finite number."""
    # 1e400 is JSON, and no number that a point can hold.
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return "" if good else f"{show(value)} is no number"


def span(value: Any) -> str:
    """Check that a value is an inclusive range."""
    if why := many(whole(), 2, least=2)(value):
        return why
    return "" if value[0] <= value[1] else f"{value} runs backwards"


def show(value: Any) -> str:
    """Return `value` for a message, in at most 40 characters."""
    shown = repr(value)
    return shown if len(shown) <= 40 else f"{shown[:37]}..."
