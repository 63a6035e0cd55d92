"""A step of a plan: what would be done on a platform, to what, and why."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do; the same thing has the same id in every plan."""

    action: str
    """``create_device``, ``rename_device`` ..."""
    subject: str
    """What it is done to, as people call it: equipment, a thing model, the site."""
    why: str
    """One sentence."""
    details: dict[str, Any] = field(default_factory=dict)
    by_hand: bool = False
    """A person has to do it on the platform: applying the plan leaves it."""
    new: bool = False
    """It adds what was never there, and changes nothing that is."""
    instead_of: str = ""
    """Id of a step that this one is what is left of, where that was broken off half-way."""

    @property
    def id(self) -> str:
        """What this step is called in every plan that has it."""
        return f"{self.action} {self.subject}"

    def shown(self) -> dict[str, Any]:
        """Return the step as JSON."""
        return {"id": self.id} | asdict(self)

    @classmethod
    def of(cls, shown: dict[str, Any]) -> Self:
        """Return the step that `shown` was made of."""
        return cls(**{name: value for name, value in shown.items() if name != "id"})
