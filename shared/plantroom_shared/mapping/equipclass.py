"""What kind of equipment a group is, where its name does not say: from the points it has."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from plantroom_shared.mapping.lexicon import Piece, parse
from plantroom_shared.mapping.mentions import PARTS
from plantroom_shared.mapping.names import clean, fold

if TYPE_CHECKING:
    from plantroom_shared.mapping.rows import Row
    from plantroom_shared.model import Device

AIR_HANDLERS: Final = frozenset(
    {
        "Air_Handling_Unit",
        "Rooftop_Unit",
        "Makeup_Air_Unit",
        "Dedicated_Outdoor_Air_System_Unit",
        "Dual_Duct_Air_Handling_Unit",
    }
)
TERMINAL: Final = "Variable_Air_Volume_Box"
_ELECTRIC: Final = frozenset(
    {"Voltage", "Current", "Energy", "Demand", "Factor", "Reactive", "Frequency", "Power"}
)
_HVAC: Final = frozenset({"Air", "Water", "Fan", "Damper", "Valve", "Pump", "Temperature"})
_TELLING: Final = {
    "Boiler": frozenset({"firing", "burner", "flame"}),
    "Chiller": frozenset({"evaporator", "compressor"}),
}
"""Words and ideas that points of one kind of equipment have."""
_USUAL: Final = 0.3
"""Share of machines of one word that have a point, from which on it belongs to their kind."""


def of_device(device: Device) -> str:
    """Return the class that a device's name, model or description tells."""
    for text in (device.name, device.model, device.description):
        for piece in reversed(parse(fold(clean(text))[0])):
            if piece.entry is not None and piece.entry.equip:
                return piece.entry.equip
    return ""


@lru_cache(maxsize=4096)
def of_description(description: str) -> str:
    """Return the equipment class that a description names, parts of equipment aside."""
    for piece in parse(description) if description else ():
        if piece.entry is not None and piece.entry.equip and piece.entry.equip not in PARTS:
            return "" if piece.entry.words else piece.entry.equip
    return ""


def settle(rows: list[Row]) -> None:
    """Say what serves a space or an unknown word, from the points it has, in place.

    Machines that share their word are of one kind: those with few points follow the others.
    """
    words = _words(rows)
    kind_of = {row.equipment: (row.where.kind, row.where.word) for row in rows}
    of_word: dict[tuple[str, str], list[set[str]]] = defaultdict(list)
    for key, own in words.items():
        of_word[kind_of[key]].append(own)
    usual = {key: of_points(_common(groups)) for key, groups in of_word.items() if key[1]}
    found = {
        key: (kind_of[key][0] == "space" and of_points(own))
        or usual.get(kind_of[key])
        or of_points(own)
        for key, own in words.items()
    }
    spaces = Counter(found[key] for key in words if kind_of[key][0] == "space" and found[key])
    serves = spaces.most_common(1)[0][0] if spaces else ""
    for row in rows:
        if row.equip_class or row.equipment not in found:
            continue
        row.equip_class = found[row.equipment]
        if not row.equip_class and row.where.kind == "space":
            fed = row.where.parent is not None and row.where.parent[2] in AIR_HANDLERS
            row.equip_class = serves or (TERMINAL if fed else "")


def _words(rows: Iterable[Row]) -> dict[str, set[str]]:
    """Return equipment of no known class → the words of its points."""
    texts: dict[str, dict[tuple[str, int, str], None]] = defaultdict(dict)
    for row in rows:
        if not row.equip_class and row.equipment:
            texts[row.equipment][row.template, row.where.cut, row.description] = None
    return {key: set().union(*(_of_text(*item) for item in own)) for key, own in texts.items()}


@lru_cache(maxsize=65536)
def _of_text(template: str, cut: int, description: str) -> frozenset[str]:
    pieces = [piece for piece in parse(template) if piece.start >= cut]
    pieces += parse(description) if description else ()
    return frozenset(word for piece in pieces for word in _said(piece))


def _said(piece: Piece) -> tuple[str, ...]:
    if piece.entry is None:
        return (piece.text,)
    return (*piece.entry.words, *piece.entry.equip.split("_"))


def _common(groups: list[set[str]]) -> set[str]:
    counts = Counter(word for own in groups for word in own)
    return {word for word, count in counts.items() if count >= _USUAL * len(groups)}


def of_points(own: set[str]) -> str:
    """Return the class of the equipment whose points say these words; empty where they tell none."""
    zoned = bool(own & {"Zone", "Reheat"})
    handles = bool(own & {"Mixed", "Outside", "Return", "Exhaust"})
    if "Damper" in own and own & {"Zone", "Flow", "Temperature"} and (zoned or not handles):
        return TERMINAL
    if own >= {"Air", "Flow"} and zoned and "Fan" not in own:
        return TERMINAL
    if own & {"Fan", "Supply"} and "Air" in own and (handles or "Valve" in own) and not zoned:
        return "Air_Handling_Unit"
    if own >= {"Fan", "Valve"}:
        return "Fan_Coil_Unit"
    if not own & _HVAC and (len(own & _ELECTRIC) > 2 or own >= {"Energy", "Power"}):
        return "Electrical_Meter"
    return next((name for name, words in _TELLING.items() if own & words), "")
