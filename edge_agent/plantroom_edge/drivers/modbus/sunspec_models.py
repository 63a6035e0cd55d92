"""The published SunSpec models, one at a time, from the data of the package ``pysunspec2``.

Only its JSON files are used, so none of its modules, nor pyserial, is imported. A model is read when
a device has it.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any, Final

from plantroom_shared.errors import ConfigError

_UNITS: Final = {
    "Secs": "s", "Sec": "s", "mSecs": "ms", "Tms": "s", "C": "degC", "Pct": "%", "cos()": "",
    "PF": "", "SF": "", "Degrees": "deg", "AH": "Ah", "kAH": "kAh", "WH": "Wh", "Var": "var",
    "Varh": "varh", "W/m^2": "W/m2", "HPa": "hPa", "mps": "m/s", "meters": "m", "Vm": "V/m",
    "kO": "kohm", "text": "", "YYYYMMDD": "", "hhmmss": "", "hhmmss.sssZ": "", "DeptRef": "%",
    "VNomPct": "%", "WMaxPct": "%", "VarPct": "%",
}  # fmt: skip
"""What the models call a unit, and what it is; ``% WMax`` is a percentage as well."""


@dataclass(frozen=True, slots=True)
class PointDef:
    """One value of a model."""

    name: str
    kind: str
    """``uint16``, ``acc32``, ``enum16``, ``sunssf`` ..."""
    size: int
    """Registers."""
    label: str
    description: str
    unit: str
    reference: str
    """The unit as the model has it: ``% WMax``."""
    sf: str | int | None
    """Name of the scale factor, or the power of ten itself."""
    writable: bool
    static: bool
    symbols: tuple[tuple[int, str], ...]
    """Values of an enumeration, or bits of a field, and what they mean."""


@dataclass(frozen=True, slots=True)
class GroupDef:
    """Points that stand together, then further groups."""

    name: str
    label: str
    count: str | int | None
    """Point of the model that says how often it is there; 0: until the model ends; None: once."""
    points: tuple[PointDef, ...]
    groups: tuple[GroupDef, ...]

    @property
    def fixed(self) -> int:
        """Registers of its own points."""
        return sum(point.size for point in self.points)


def check_installed() -> None:
    """Raise ConfigError where the definitions are not installed."""
    _folder()


@functools.lru_cache(maxsize=64)
def model(number: int) -> GroupDef | None:
    """Return the definition of a model; None for one that is not published."""
    file = _folder() / f"model_{number}.json"
    if not file.is_file():
        return None
    return _group(json.loads(file.read_bytes())["group"], counted=False)


def published() -> list[int]:
    """Return the numbers of all models that there are, sorted."""
    names = (file.name for file in _folder().iterdir())
    return sorted(
        int(name[6:-5]) for name in names if name[:6] == "model_" and name[6:-5].isdigit()
    )


def _folder() -> Traversable:
    try:
        return resources.files("sunspec2") / "models" / "json"
    except ModuleNotFoundError as error:
        what = "the SunSpec model definitions are not installed"
        fix = "install the package pysunspec2, or name a profile of the device instead"
        raise ConfigError(what, key="profile", fix=fix) from error


def _group(data: dict[str, Any], *, counted: bool = True) -> GroupDef:
    return GroupDef(
        name=str(data["name"]),
        label=str(data.get("label", "")).strip(),
        count=data.get("count") if counted else None,
        points=tuple(_point(point) for point in data["points"]),
        groups=tuple(_group(group) for group in data.get("groups", ())),
    )


def _point(data: dict[str, Any]) -> PointDef:
    unit = str(data.get("units", "")).strip()
    return PointDef(
        name=str(data["name"]),
        kind=str(data["type"]),
        size=int(data["size"]),
        label=str(data.get("label") or data["name"]).strip(),
        description=" ".join(str(data.get("desc", "")).split()),
        unit=_unit(unit),
        reference=unit,
        sf=data.get("sf"),
        writable=data.get("access") == "RW",
        static=data.get("static") == "S",
        symbols=tuple(_symbol(one) for one in data.get("symbols", ())),
    )


def _unit(text: str) -> str:
    if text.startswith("%") and "/" not in text:
        return "%"
    return _UNITS.get(text, text)


def _symbol(data: dict[str, Any]) -> tuple[int, str]:
    text = str(data.get("label") or str(data["name"]).replace("_", " ").capitalize())
    return int(data["value"]), " ".join(text.split())[:200]
