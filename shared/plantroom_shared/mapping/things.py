"""Thing models: what a platform wants of equipment, and the catalogue of them. Pure data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

NUMBERS: Final = frozenset({"DOUBLE", "FLOAT"})
"""Data types that keep any number."""
SCALARS: Final = frozenset({*NUMBERS, "INT", "BOOL", "ENUM", "STRING"})
"""Data types that a sample of a bus can become."""
STRUCTURES: Final = frozenset({"ARRAY", "STRUCT", "DATE", "TIMESTAMP", "FILE"})
"""Data types that exist and that no sample of a bus becomes."""
MAX_INHERITANCE: Final = 7
"""Models above a model; EnOS allows no more."""
_COMPUTED: Final = frozenset({"cal", "opt", "ai", "stat", "est", "ech", "write"})
"""Second word of points that EnOS computes itself or sends to the site."""


@dataclass(frozen=True, slots=True)
class ModelPoint:
    """A measurement point (or an attribute) of a thing model."""

    identifier: str
    data_type: str
    """One of `SCALARS` or `STRUCTURES`."""
    unit: str = ""
    """What a value must be sent in, as `units.parse_unit` reads it; empty where the model names none."""
    signal_type: str = ""
    """``AI``, ``DI``, ``PI``, ``Generic`` or empty."""
    kind: str = ""
    """``Measurement``, ``Setpoint``, ``Command``, ``Status``, where a source says so."""
    model_id: str = ""
    """The model that it was read from."""
    scale: float = 1.0
    """How many of `unit` one is: 1000 where the model wants k of it."""
    required: bool = False
    """Whether the model is incomplete without it."""
    choices: tuple[tuple[str, str], ...] = ()
    """Of an enumeration or a binary: (value, text); empty where any value goes."""
    minimum: float | None = None
    maximum: float | None = None
    """In the model's unit; None without a limit."""
    title: str = ""
    """What people read; empty where it is the identifier."""

    @property
    def name(self) -> str:
        """The identifier, as profiles and rules call it."""
        return self.identifier

    @property
    def is_state(self) -> bool:
        """Say whether it holds states, not a quantity."""
        return self.data_type in {"BOOL", "ENUM"} or (
            self.data_type == "INT" and self.signal_type.upper() == "DI"
        )


@dataclass(frozen=True, slots=True)
class ThingModel:
    """What a platform wants of one kind of equipment."""

    model_id: str
    points: Mapping[str, ModelPoint] = field(default_factory=dict)
    attributes: Mapping[str, ModelPoint] = field(default_factory=dict)
    parent: str = ""
    """The model that it inherits from; empty where there is none."""
    title: str = ""
    description: str = ""
    several: bool = False
    """Whether two points of one equipment may be the same model point (Brick and Haystack)."""


class Catalog:
    """The models that a company can map to: later ones hide earlier ones of the same name."""

    def __init__(self, *sources: Iterable[ThingModel]) -> None:
        self._models = {model.model_id: model for source in sources for model in source}

    def __iter__(self) -> Iterator[ThingModel]:
        """Yield every model, by name."""
        return iter(self._models[name] for name in sorted(self._models))

    def find(self, model_id: str) -> ThingModel | None:
        """Return a model with all that it inherits; None where there is none of that name.

        A parent that nobody has imported, and one that inherits from its own child, gives nothing.
        """
        model = self._models.get(model_id)
        if model is None:
            return None
        points, attributes = dict[str, ModelPoint](), dict[str, ModelPoint]()
        for ancestor in reversed(list(self._line(model))):
            points |= ancestor.points
            attributes |= ancestor.attributes
        return replace(model, points=points, attributes=attributes)

    def point(self, model_id: str, identifier: str) -> ModelPoint | None:
        """Return a point of a model or of what it inherits; None where there is none."""
        model = self._models.get(model_id)
        for ancestor in self._line(model) if model else ():
            if identifier in ancestor.points:
                return ancestor.points[identifier]
        return None

    def _line(self, model: ThingModel) -> Iterator[ThingModel]:
        """Yield a model and those that it inherits from, the nearest first."""
        seen: set[str] = set()
        step: ThingModel | None = model
        while step is not None and step.model_id not in seen and len(seen) <= MAX_INHERITANCE:
            yield step
            seen.add(step.model_id)
            step = self._models.get(step.parent)


def is_raw(identifier: str) -> bool:
    """Say whether a site publishes the point; the others are the platform's own."""
    words = identifier.split("_")
    return len(words) < 3 or words[1] not in _COMPUTED
