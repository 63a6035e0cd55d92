"""Profiles: YAML files that turn the registers of a device model into points.

The keys are described in ``firmware_profiles/README.md``. A profile is found in a folder of the
user's, in ``firmware_profiles/`` of a checkout, or among the data of the installed package.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from plantroom_shared import registers as codec
from plantroom_shared.errors import ConfigError
from plantroom_shared.model import Value
from plantroom_shared.profile_yaml import explain, read_yaml
from plantroom_shared.registers import Encoding, Order, Space, Type
from plantroom_shared.scaling import Convert, converter

_NAME = re.compile(r"[a-z0-9][a-z0-9-]*/[a-z0-9][a-z0-9-]*")

Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=64)]
Words = Annotated[str, Field(max_length=200)]
Seconds = Annotated[float, Field(gt=0, le=86400)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Defaults(_Frozen):
    """What a register has that does not say otherwise."""

    space: Space = "holding"
    type: Type = "uint16"
    order: Order = "ABCD"
    sentinel: dict[Type, tuple[int, ...]] = {}
    """By type, the raw values that mean there is no value."""
    interval: Seconds = 5.0
    """Seconds between two reads, where the configuration of the device names none."""


class Limits(_Frozen):
    """What the device can take in one request."""

    max_registers: int = Field(default=125, ge=1, le=125)
    max_bits: int = Field(default=2000, ge=1, le=2000)
    gap: int = Field(default=8, ge=0, le=124)
    """How many unused registers to read along rather than to ask twice."""


class WriteLimits(_Frozen):
    """Says that a register may be written, and with what; in the unit of the point."""

    min: float | None = None
    max: float | None = None
    step: float | None = Field(default=None, gt=0)
    """The value is `min`, or 0 where there is none, plus a multiple of this."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min is not None and self.max is not None and self.min > self.max:
            msg = "`min` must not be above `max`"
            raise ValueError(msg)
        return self


class Register(_Frozen):
    """One value of a device: where it is and what it means."""

    id: Id
    """Unique in the profile and stable: it is part of the point's key."""
    name: Words = Field(min_length=1)
    description: Annotated[str, Field(max_length=500)] = ""
    space: Space = "holding"
    address: int = Field(ge=0, le=65535)
    """The protocol address, from 0: the manual's register 3000 is mostly 2999."""
    type: Type = "uint16"
    order: Order = "ABCD"
    length: int = Field(default=1, ge=1, le=125)
    """Registers of a string."""
    bit: int | None = Field(default=None, ge=0, le=15)
    """Which bit of a register a bool is; 0 is the least significant."""
    bits: tuple[int, int] | None = None
    """The lowest and the highest bit that are the value; the others mean something else."""
    encoding: Encoding = "utf-8"
    """Of a string."""
    scale: float = 1
    offset: float = 0
    sf: Id | None = None
    """Id of the register with the power of ten: value = raw x 10^sf."""
    unit: Words = ""
    sentinel: tuple[int, ...] = ()
    """Raw values that mean there is no value, as bits: 0x8000 or -32768 for an int16."""
    states: dict[int, Words] = {}
    write: WriteLimits | None = None
    """It may be written, within these limits; not if it is missing."""
    range: tuple[float, float] | None = None
    """Lowest and highest plausible value; a value beyond is uncertain."""
    interval: Seconds | None = None
    """Read no more often than this, in seconds: for what hardly changes."""
    point_class: Words = ""
    enos: Annotated[str, Field(pattern=r"^([A-Za-z0-9_]+/[A-Za-z0-9_.]+)?$")] = ""
    hidden: bool = False
    """Read, but no point: a scale factor."""
    expect: int | None = None
    """What it holds in every device of this model: a model id, a marker. Checks the profile."""

    @property
    def words(self) -> int:
        """How many registers (or coils) it takes."""
        return codec.width(self.type, self.length)

    @cached_property
    def convert(self) -> Convert | None:
        """Raw value and exponent to (value, reason); None where raw values are values."""
        return converter(
            self.type,
            scale=self.scale,
            offset=self.offset,
            has_exponent=self.sf is not None,
            sentinels=frozenset(codec.signed(self.type, raw) for raw in self.sentinel),
            limits=self.range,
            texts=self.states,
        )

    @cached_property
    def refine(self) -> codec.Refine | None:
        """What `struct` unpacked to the raw value; None where that is the raw value."""
        return codec.refiner(
            self.type, self.order, bit=self.bit or 0, bits=self.bits, encoding=self.encoding
        )

    def encode(self, value: Value, exponent: int = 0) -> list[int]:
        """Return the words of a device that shows `value`: what a simulator serves.

        Args:
            value: in the unit of the point; None is the first sentinel, or NaN.
            exponent: what the scale-factor register of this one holds.

        Raises:
            ValueError: the value does not fit the register, or there is no way to say None.
        """
        if value is None:
            return self.pack(self._nothing())
        if isinstance(value, (str, bool)):
            return self.pack(value)
        raw = value if self.scale == 1 and not self.offset else (value - self.offset) / self.scale
        return self.pack(raw / 10**exponent if exponent >= 0 else raw * 10**-exponent)

    def pack(self, raw: Value) -> list[int]:
        """Return the words that hold a raw value; ValueError if it does not fit."""
        return codec.encode(
            raw, self.type, self.order, self.length,
            bit=self.bit or 0, bits=self.bits, encoding=self.encoding,
        )  # fmt: skip

    def _nothing(self) -> Value:
        if self.sentinel:
            return codec.signed(self.type, self.sentinel[0])
        if self.type in codec.TEXTS:
            return ""
        if self.type in codec.FLOATS:
            return float("nan")
        msg = f"{self.id} has no sentinel, so it cannot show that there is no value"
        raise ValueError(msg)

    def decode(self, words: Sequence[int], exponent: int | None = None) -> tuple[Value, str]:
        """Return the value in `words` and, if it is not good, why."""
        raw = codec.decode(
            words, self.type, self.order, length=self.length,
            bit=self.bit or 0, bits=self.bits, encoding=self.encoding,
        )  # fmt: skip
        return (raw, "") if self.convert is None else self.convert(raw, exponent)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for wrong, what in self._faults():
            if wrong:
                raise ValueError(what)
        return self

    def _faults(self) -> list[tuple[bool, str]]:
        bits, is_bool = self.space in codec.BIT_SPACES, self.type == "bool"
        field = self.type in codec.BITFIELDS
        number = self.type not in {"bool", *codec.TEXTS}
        moved = self.scale != 1 or self.offset != 0 or self.sf or self.range
        scaled = moved or self.sentinel
        low, high = self.range or (0, 0)
        top = 1 << 16 * self.words
        return [
            (bits and not is_bool, f"a {self.space} holds one bit: write `type: bool`"),
            (bits and self.bit is not None, f"a {self.space} is a bit already: remove `bit`"),
            (is_bool and not bits and self.bit is None, "say which bit: write `bit: 0` to 15"),
            (not is_bool and self.bit is not None, "only `type: bool` has a `bit`"),
            (self.type != "string" and self.length != 1, "only `type: string` has a `length`"),
            (not number and bool(scaled), f"a {self.type} is not scaled, ranged or compared"),
            (field and bool(moved), f"a {self.type} is not scaled or ranged"),
            *self._faults_of_form(),
            (self.expect is not None and not number, f"a {self.type} cannot be expected"),
            (self.scale == 0, "a scale of 0 loses the value: remove `scale`"),
            (low > high, "the first number of `range` must not be above the second"),
            (self.address + self.words > 65536, "reaches beyond the last address, 65535"),
            (
                any(not -top // 2 <= raw < top for raw in self.sentinel),
                f"a sentinel does not fit {self.type}",
            ),
        ]

    def _faults_of_form(self) -> list[tuple[bool, str]]:
        low, high = self.bits or (0, 0)
        fixed = self.space in {"input", "discrete"}
        return [
            (
                self.bits is not None and self.type not in codec.UNSIGNED,
                "only a uint16, uint32 or uint64 has `bits`",
            ),
            (
                not 0 <= low <= high < 16 * self.words,
                f"`bits` are [lowest, highest], from 0 to {16 * self.words - 1}",
            ),
            (
                self.order in codec.HALF_ORDERS and self.type not in codec.LONG,
                f"the order {self.order} is for 64-bit types: write `order: {self.order[:4]}`",
            ),
            (
                self.encoding != "utf-8" and self.type != "string",
                "only `type: string` has an `encoding`",
            ),
            (
                self.write is not None and (fixed or self.hidden),
                "an input, a discrete or a hidden register is not written: remove `write`",
            ),
            (
                self.write is not None and self.bits is not None and self.words > 1,
                "some bits of several registers cannot be written alone: remove `write`",
            ),
            (
                self.write is not None and self.type in codec.BITFIELDS,
                "a bitfield is not written as a whole: add a bool with `bit` and `write`",
            ),
        ]


class Profile(_Frozen):
    """A device model: its registers and how to ask for them."""

    profile: Literal[1]
    """The version of the format."""
    vendor: Words = Field(min_length=1)
    model: Words = Field(min_length=1)
    description: Annotated[str, Field(max_length=2000)] = ""
    source: Annotated[str, Field(min_length=1, max_length=500)]
    """Where the register facts come from: the public manual or model, and its version."""
    equip_class: Words = ""
    """Brick equipment class."""
    defaults: Defaults = Defaults()
    limits: Limits = Limits()
    registers: tuple[Register, ...] = Field(min_length=1, max_length=4000)

    @cached_property
    def by_id(self) -> dict[str, Register]:
        """The registers by their id."""
        return {register.id: register for register in self.registers}

    @property
    def points(self) -> tuple[Register, ...]:
        """The registers that become points."""
        return tuple(register for register in self.registers if not register.hidden)

    @model_validator(mode="before")
    @classmethod
    def _apply_defaults(cls, data: Any) -> Any:
        if not isinstance(data, dict) or not isinstance(data.get("registers"), (list, tuple)):
            return data
        given = data.get("defaults", {})
        given = given if isinstance(given, dict) else {}
        return {**data, "registers": [_with_defaults(row, given) for row in data["registers"]]}

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if len(self.by_id) != len(self.registers):
            ids = [register.id for register in self.registers]
            twice = sorted({one for one in ids if ids.count(one) > 1})
            msg = f"registers: the ids {', '.join(twice)} are used twice: rename one of each"
            raise ValueError(msg)
        for register in self.registers:
            self._check_scale_factor(register)
            if register.type == "string" and register.length > self.limits.max_registers:
                msg = f"registers: {register.id} is longer than limits.max_registers"
                raise ValueError(msg)
        return self

    def _check_scale_factor(self, register: Register) -> None:
        if register.sf is None:
            return
        factor = self.by_id.get(register.sf)
        if factor is None:
            msg = f"registers: {register.id}.sf: there is no register {register.sf!r}: add it"
            raise ValueError(msg)
        if factor.type not in {"int16", "uint16"} or factor.sf or factor.scale != 1:
            msg = f"registers: {register.sf} scales {register.id}: make it a plain int16"
            raise ValueError(msg)


def _with_defaults(row: Any, given: dict[str, Any]) -> Any:
    if not isinstance(row, dict):
        return row
    base = {key: given[key] for key in ("space", "type", "order") if key in given}
    merged = {**base, **row}
    if "type" not in row and merged.get("space") in codec.BIT_SPACES:
        merged["type"] = "bool"
    sentinels, kind = given.get("sentinel"), merged.get("type", "uint16")
    if isinstance(sentinels, dict) and isinstance(kind, str) and kind in sentinels:
        merged.setdefault("sentinel", sentinels[kind])
    return merged


def load_profile(name: str, folder: Path | None = None) -> Profile:
    """Return the profile `name`.

    Args:
        name: ``class/vendor-model``: ``meter/schneider-pm5560``.
        folder: a folder of the user's own profiles, which come first.

    Raises:
        ConfigError: there is no such profile, or its file is wrong; says where and how to fix it.
    """
    if _NAME.fullmatch(name):
        for root in _roots(folder):
            path = root / f"{name}.yaml"
            if path.is_file():
                return parse_profile(path.read_bytes(), str(path))
    known = ", ".join(list_profiles(folder))
    fix = f"choose one of: {known}; or put your own as <class>/<vendor>-<model>.yaml into a folder"
    what = f"there is no profile {name!r}"
    raise ConfigError(what, key="profile", fix=fix)


def list_profiles(folder: Path | None = None) -> list[str]:
    """Return the names of all profiles, sorted."""
    paths = chain.from_iterable(
        ((root, path) for path in root.glob("*/*.yaml")) for root in _roots(folder)
    )
    return sorted({path.relative_to(root).with_suffix("").as_posix() for root, path in paths})


def parse_profile(text: bytes, file: str) -> Profile:
    """Return the profile in `text`; ConfigError names `file`, the key and the fix."""
    data = read_yaml(text, file)
    try:
        return Profile.model_validate(data)
    except ValidationError as error:
        raise explain(error, data, file) from error


def _roots(folder: Path | None) -> list[Path]:
    """Return the folders to look in, first come first served."""
    roots = [folder] if folder is not None else []
    checkout = Path(__file__).resolve().parents[2] / "firmware_profiles"
    if (checkout / "schema.json").is_file():
        return [*roots, checkout]
    # By name only: shared imports nothing of the edge.
    spec = importlib.util.find_spec("plantroom_edge")
    packages = spec.submodule_search_locations if spec is not None else None
    return [*roots, *(Path(one) / "firmware_profiles" for one in packages or ())]
