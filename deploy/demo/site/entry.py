"""What the simulated site knows about one of its points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Spec(NamedTuple):
    """One line of an equipment's point table, before it is placed on a device."""

    name: str
    """What follows the equipment's own name, in the vendor's style."""
    text: str
    """The description an integrator would have typed."""
    unit: str
    """BACnet engineering unit (``degrees-celsius``); empty for binary and multi-state points."""
    kind: str
    """``ai ao av bi bo bv mi mv``."""
    signal: str
    """The physics signal behind it, without the equipment's prefix."""
    brick: str
    """Brick point class."""
    enos: str = ""
    """Point of the equipment's EnOS thing model; empty where the models have none."""
    states: tuple[str, ...] = ()
    """State texts, lowest state first."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One point of the site: what a gateway can see of it, and the truth about it."""

    key: str
    """The point key of the edge: ``bacnet:1001:analog-input:3``, ``modbus:main-meter:power``."""
    device: str
    """The device key: ``bacnet:1001``, ``modbus:main-meter``."""
    name: str
    """The raw name, as the vendor's tool or the profile writes it."""
    description: str
    """Empty where the integrator left it out."""
    unit: str
    """As served; empty where the integrator left it out (BACnet says ``no-units``)."""
    object_type: str
    """BACnet object type, or the Modbus table (``holding``, ``input``)."""
    states: tuple[str, ...]
    equipment: str
    """Which equipment it belongs to: ``chiller-1``, ``vav-1-07``, ``main-meter``."""
    equip_class: str
    """Brick class of that equipment."""
    point_class: str
    """Brick class of the point."""
    enos: str
    """``model/point`` of the EnOS thing models; empty where they have no counterpart."""
    signal: str
    """The physics signal that it shows."""
    true_unit: str
    """The unit of the value that is served, also where `unit` is missing."""
    index: int
    """Position in the catalogue."""
    instance: int = 0
    """BACnet object instance; 0 for Modbus."""
