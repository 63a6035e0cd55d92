"""The proposal file: what a scan has found, for a person to look through before it is added."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from plantroom_edge.adding import Wish
from plantroom_edge.config_explain import explain
from plantroom_edge.config_yaml import read
from plantroom_edge.drivers import Candidate
from plantroom_shared.errors import ConfigError

SURE: Final = 0.5
"""Confidence below which a device is only added when a person says so."""

_HEAD: Final = """\
# What `plantroom-edge scan` has found. Delete what you do not want, correct what is wrong, then:
#   plantroom-edge add CONFIG {name}
# A device with `skip: true` is not added: nobody knows surely enough what it is.
"""


class _Proposed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = ""
    """For a person."""
    what: str = ""
    """Vendor and model, for a person."""
    address: str = ""
    points: int = 0
    confidence: float = 1.0
    evidence: tuple[str, ...] = ()
    equipment: tuple[str, ...] = ()
    skip: bool = False
    bus: dict[str, Any]
    entry: Any = None


class _Proposal(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    found: Literal[1]
    """Version of this format."""
    devices: tuple[_Proposed, ...] = Field(default=(), max_length=10_000)


def unsure(candidate: Candidate) -> bool:
    """Say whether a person has to decide what the device is."""
    return candidate.confidence < SURE


def wish(candidate: Candidate) -> Wish:
    """Return the wish to have a found device added."""
    return Wish(_plain(dict(candidate.bus)), _plain(candidate.entry), candidate.device.name)


def write(file: Path, candidates: list[Candidate], equipment: Mapping[str, list[str]]) -> None:
    """Write what was found.

    Args:
        file: where.
        candidates: what.
        equipment: what each device's points belong to, by device key.

    Raises:
        ConfigError: it cannot be written.
    """
    devices = [_entry(one, equipment.get(one.device.key, [])) for one in candidates]
    text = yaml.safe_dump({"found": 1, "devices": devices}, sort_keys=False, allow_unicode=True)
    try:
        file.write_text(_HEAD.format(name=file.name) + text, encoding="utf-8")
    except OSError as error:
        what = f"it cannot be written: {error.strerror or error}"
        raise ConfigError(what, file=str(file), fix="name another with --out") from error


def _entry(one: Candidate, equipment: list[str]) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "name": one.device.name,
        "what": f"{one.device.vendor} {one.device.model}".strip(),
        "address": one.device.address,
        "points": len(one.points),
        "confidence": round(one.confidence, 2),
        "evidence": list(one.evidence[:10]),
        "equipment": equipment[:10],
    }
    keep = {key: value for key, value in shown.items() if value not in ("", [])}
    skip = {"skip": True} if unsure(one) else {}
    return {**keep, **skip, "bus": _plain(dict(one.bus)), "entry": _plain(one.entry)}


def _plain(value: Any) -> Any:
    """Return `value` as YAML holds it: no tuples, no models."""
    if isinstance(value, BaseModel):
        return _plain(value.model_dump(mode="json", exclude_defaults=True))
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value


def wishes(file: Path) -> tuple[list[Wish], int]:
    """Return what a proposal file wants added, and how many devices in it are skipped.

    Raises:
        ConfigError: it is no such file; names line, key and fix.
    """
    document = read(file)
    try:
        proposal = _Proposal.model_validate(document.content)
    except ValidationError as error:
        raise explain(document, error.errors()[0], _Proposal) from error
    wanted = [one for one in proposal.devices if not one.skip]
    skipped = len(proposal.devices) - len(wanted)
    return [Wish(one.bus, one.entry, one.name or one.address) for one in wanted], skipped
