"""What a point's name, description, unit, type and states say, as weighted words.

Words with a capital are words of Brick class names. Ideas in small letters (``feedback``,
``output``, ``hours`` …) and facts (``@zone``, ``@output`` …) become such words by the rules of
``data/evidence_rules.yaml``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Final

from plantroom_shared.mapping.expand import Guess, expand
from plantroom_shared.mapping.lexicon import Piece
from plantroom_shared.mapping.rules import bits, group, holds, rules
from plantroom_shared.mapping.scorer import Scorer
from plantroom_shared.units import parse_unit

AIR_SIDE: Final = frozenset(
    {
        "Air_Handling_Unit",
        "Rooftop_Unit",
        "Makeup_Air_Unit",
        "Dedicated_Outdoor_Air_System_Unit",
        "Pre-Cooling_Air_Unit",
        "Variable_Air_Volume_Box",
        "Variable_Air_Volume_Box_With_Reheat",
        "Constant_Air_Volume_Box",
        "Fan_Coil_Unit",
        "Computer_Room_Air_Conditioning",
        "Computer_Room_Air_Handler",
        "Induction_Unit",
        "Supply_Fan",
        "Return_Fan",
        "Exhaust_Fan",
        "Fan",
    }
)
ZONE_SIDE: Final = frozenset(
    {
        "Variable_Air_Volume_Box",
        "Variable_Air_Volume_Box_With_Reheat",
        "Constant_Air_Volume_Box",
        "Fan_Coil_Unit",
        "Chilled_Beam",
        "Radiator",
        "Terminal_Unit",
        "Thermostat",
    }
)
WATER_SIDE: Final = {
    "Chiller": "@chilled",
    "Boiler": "@hot",
    "Cooling_Tower": "@condenser",
    "Chilled_Water_Pump": "@chilled",
    "Condenser_Water_Pump": "@condenser",
    "Hot_Water_Pump": "@hot",
    "Chilled_Water_System": "@chilled",
    "Hot_Water_System": "@hot",
    "Heat_Exchanger": "@waterside",
    "Pump": "@waterside",
}
VOLUME_METERS: Final = frozenset(
    {"Water_Meter", "Gas_Meter", "Building_Water_Meter", "Building_Gas_Meter"}
)
MEDIA: Final = frozenset({"Chilled", "Condenser", "Hot", "Water", "Air"})
_QUANTITY_WORD: Final = {
    "temperature": "Temperature",
    "temperature_difference": "Temperature",
    "humidity": "Humidity",
    "pressure": "Pressure",
    "flow": "Flow",
    "mass_flow": "Flow",
    "power": "Power",
    "energy": "Energy",
    "reactive_power": "Reactive",
    "current": "Current",
    "voltage": "Voltage",
    "frequency": "Frequency",
    "rotation": "Speed",
    "concentration": "CO2",
    "enthalpy": "Enthalpy",
    "illuminance": "Illuminance",
    "irradiance": "Irradiance",
    "power_factor": "Factor",
    "speed": "Speed",
    "volume": "Usage",
}
_ALARMING: Final = frozenset(
    {"alarm", "fault", "trip", "trouble", "failure", "störung", "stoerung", "报警", "故障"}
)
_ALSO: Final = {"temperature_difference": ("Differential",), "reactive_power": ("Power",)}
_CLEAR, _PLAIN, _SAID = 0.7, 0.5, 0.9
_BESIDE: Final = 0.6
"""What is left of a kind that is shown where a word says another one."""
_BINARY: Final = ("binary", "coil", "discrete", "bool")


def quantity_word(quantity: str) -> str:
    """Return the word of Brick class names for a quantity of `units`; empty where there is none."""
    return _QUANTITY_WORD.get(quantity, "")


@dataclass(slots=True)
class Evidence:
    """Weighted words for one template in its context."""

    words: dict[str, float] = field(default_factory=dict)
    kinds: dict[str, float] = field(default_factory=dict)
    known: float = 0
    """Letters of the point's part of the name that the lexicon explains …"""
    unknown: float = 0
    """… and those it does not."""
    kind_said: bool = False
    """A word says what kind of point it is; otherwise the rest of the evidence had to."""
    unit_agrees: bool | None = None
    described: bool = False
    """The description is understood, at least in part."""
    notes: list[str] = field(default_factory=list)

    def add(self, word: str, sure: float = 1.0) -> None:
        """Raise a word to `sure`."""
        if sure > self.words.get(word, 0.0):
            self.words[word] = sure

    def has(self, *wanted: str) -> bool:
        """Tell whether all words are there."""
        return all(word in self.words for word in wanted)

    def any(self, *wanted: str) -> bool:
        """Tell whether one of the words is there."""
        return not self.words.keys().isdisjoint(wanted)

    def drop(self, *unwanted: str) -> None:
        """Forget words."""
        for word in unwanted:
            self.words.pop(word, None)

    @property
    def coverage(self) -> float:
        """The share of the name's letters that is understood."""
        total = self.known + self.unknown
        return self.known / total if total else 0.0


@dataclass(frozen=True)
class Facts:
    """What is known of a template beside its words."""

    equip_class: str = ""
    unit: str = ""
    object_type: str = ""
    states: tuple[str, ...] = ()
    writable: bool | None = None
    space: bool = False
    """The name says which room or zone it is about."""

    @cached_property
    def quantity(self) -> str:
        """The quantity of the unit; empty where there is none."""
        unit = parse_unit(self.unit)
        return unit.quantity if unit else ""

    @cached_property
    def bits(self) -> int:
        """The facts as the rules compare them."""
        return bits(self.said)

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What the evidence says of type and equipment."""
        kind = (f"type {self.object_type}",) if self.object_type else ()
        return (*kind, f"in {self.equip_class}") if self.equip_class else kind

    @property
    def said(self) -> frozenset[str]:
        """The facts, as the rules name them."""
        kind, quantity = self.object_type.casefold(), self.quantity
        two = kind.startswith(_BINARY) or len(self.states) == 2
        facts = {
            "@states": two or "multi" in kind or len(self.states) > 2,
            "@input": "input" in kind or kind.startswith("discrete"),
            "@output": "output" in kind or kind.startswith("coil"),
            "@analog": "analog" in kind,
            "@value": "value" in kind,
            "@writable": bool(self.writable),
            "@alarming": bool({state.casefold() for state in self.states} & _ALARMING),
            "@unit": bool(self.unit),
            "@quantity": bool(quantity),
            f"@{quantity}": bool(quantity),
            "@other_unit": quantity not in {"", "temperature"},
            "@zone": self.space or self.equip_class in ZONE_SIDE,
            "@unplaced": not self.equip_class,
            "@airside": self.equip_class in AIR_SIDE,
            "@waterside": self.equip_class in WATER_SIDE,
            "@volume_meter": self.equip_class in VOLUME_METERS,
            "@heat_meter": self.equip_class == "Thermal_Power_Meter",
            WATER_SIDE.get(self.equip_class, ""): True,
        }
        return frozenset(name for name, holds in facts.items() if holds and name)


def gather(
    pieces: Iterable[Piece],
    description: Iterable[Piece],
    medium: frozenset[str],
    facts: Facts,
    scorer: Scorer,
) -> Evidence:
    """Return the evidence of one template.

    Args:
        pieces: the point's part of its name.
        description: its description.
        medium: words that stand before the equipment, for its medium only.
        facts: what else is known.
        scorer: the learned weights.
    """
    found = Evidence()
    for piece in pieces:
        guess = None if piece.entry or piece.is_id else expand(piece.text, scorer)
        if guess is not None:
            _guess(found, piece, guess)
        else:
            _count(found, piece)
            _take(found, piece, 1.0)
    for piece in description:
        _take(found, piece, 0.9)
        found.described |= piece.entry is not None and bool(piece.entry.words)
    if not facts.equip_class and not found.any("Air", "Chilled", "Condenser", "Hot", "Steam"):
        for word in medium & MEDIA:
            found.add(word, 0.5)
    return found


def _guess(found: Evidence, piece: Piece, guess: Guess) -> None:
    """Take the word that an unknown abbreviation most likely stands for."""
    known = len(piece.text) * guess.sure
    found.known += known
    found.unknown += len(piece.text) - known
    found.notes.append(f"{piece.text} ~ {guess.word}")
    for word in guess.entry.words:
        found.add(word, guess.sure)


def _count(found: Evidence, piece: Piece) -> None:
    if piece.is_id:
        return
    if piece.entry is None:
        found.unknown += len(piece.text)
        if len(piece.text) > 1:
            found.notes.append(f"?{piece.text}")
    else:
        found.known += len(piece.text)
        if piece.entry.words:
            found.notes.append(_reading(piece.text, piece.entry.words))


@lru_cache(maxsize=1024)
def _reading(text: str, words: tuple[str, ...]) -> str:
    """Return what a spelling was read as: one text for all the templates that have it."""
    return f"{text} = {' '.join(words)}"


def _take(found: Evidence, piece: Piece, sure: float) -> None:
    if piece.entry is not None:
        for word in piece.entry.words:
            found.add(word, sure)


def weigh(found: Evidence, facts: Facts) -> None:
    """Turn ideas and physical facts into words and kinds, in place."""
    _unit(found, facts)
    known = _known(found, facts)
    known = _apply(found, "repair", known)
    known = _apply(found, "medium", known)
    _kinds(found, known)
    _apply(found, "complete", known | _kind_bit(found))


def in_brick_terms(found: Evidence, facts: Facts) -> None:
    """Say it as Brick does, in place.

    Thing models do tell supply from leaving and one valve from another, so this comes last.
    """
    _apply(found, "brick", _known(found, facts) | _kind_bit(found))


def word_set(found: Evidence) -> frozenset[str]:
    """Return the words that are meant with some certainty."""
    return frozenset(word for word, sure in found.words.items() if sure >= 0.5)


def _known(found: Evidence, facts: Facts) -> int:
    """Return what the conditions of rules may ask for: words, and facts (``@…``)."""
    known = facts.bits | bits(found.words)
    coverage = found.coverage
    if coverage > _CLEAR:
        known |= bits(("@clear",))
    if coverage > _PLAIN:
        known |= bits(("@plain",))
    return known


def _kind_bit(found: Evidence) -> int:
    """Return the likeliest kind as the rules ask for it: ``=Sensor``."""
    return bits(("=" + max(found.kinds, key=found.kinds.__getitem__),))


def _apply(found: Evidence, phase: str, known: int) -> int:
    """Apply all rules of a phase that hold, in order; return what is known then."""
    for rule in rules(phase):
        if known & rule.first and not known & rule.refused and holds(rule, known):
            for word in rule.drop:
                found.words.pop(word, None)
            for word, sure in rule.add:
                found.add(word, sure)
            known = known & rule.kept | rule.added
    return known


def _first(phase: str, known: int) -> dict[str, float]:
    """Return the kinds of the first rule of a phase that holds."""
    for rule in rules(phase):
        if known & rule.first and not known & rule.refused and holds(rule, known):
            return dict(rule.kinds)
    return {}


def _kinds(found: Evidence, known: int) -> None:
    """Decide what kind of point it is: said, and shown by type, unit and states."""
    said, shown = _first("said", known), _first("shown", known)
    found.kind_said = any(sure >= _SAID for sure in said.values())
    for kind in {**said, **shown}:
        both = kind in said and kind in shown
        alone = shown.get(kind, 0.0) * (_BESIDE if found.kind_said else 1.0)
        found.kinds[kind] = min(1.2, said[kind] + 0.2) if both else said.get(kind, alone)
    if not found.kinds:
        found.kinds["Sensor" if found.any(*group("physical")) else "Status"] = 0.4


def _unit(found: Evidence, facts: Facts) -> None:
    """A unit is harder evidence than a word: ``Flow`` in °C is a flow temperature."""
    quantity = facts.quantity
    if quantity == "ratio":
        found.add("percent", 1.0)
        found.unit_agrees = True if found.has("Humidity") else None
    word = _QUANTITY_WORD.get(quantity)
    if word is None or (quantity == "concentration" and found.any("TVOC", "CO", "CO2")):
        return
    said = {name for name in found.words if name in group("measured")} - {"Load", "Demand"}
    found.unit_agrees = word in said if said else None
    if said and word not in said:
        for other in said - {"Factor", "Capacity", "Usage"}:
            found.words[other] *= 0.4
    found.add(word, 1.0)
    for extra in _ALSO.get(quantity, ()):
        found.add(extra, 1.0)
