"""The demo's last word: what came in, where it is, what it means."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Account:
    """Everything is counted where it happened, none derived from another."""

    devices: int
    points: int
    accepted: int
    """The gateway's own count of committed samples."""
    stored: int
    gaps: int
    on_edge: int
    """Samples in the gateway's buffer whose order numbers the cloud does not have."""
    mappable: int
    """Points that have a counterpart in the thing models, by the site's own truth."""
    mapped: int
    """Points mapped to a thing-model point."""
    mapped_right: int
    """Mappable points mapped to the right thing-model point."""
    mean_confidence: float
    findings: int
    findings_before_fault: int
    published: int
    enos_received: int
    foreign_rows: int
    """Rows of the site that the key of another company sees."""
    broker: str
    errors: int
    error_details: tuple[str, ...] = ()

    @property
    def healthy(self) -> bool:
        """Say whether the account closes and nothing went wrong."""
        return (
            self.accepted == self.stored + self.gaps + self.on_edge
            and self.published == self.enos_received
            and self.foreign_rows == 0
            and self.findings_before_fault == 0
            and self.errors == 0
        )


def summary_of(account: Account) -> dict[str, Any]:
    """Return the account as plain values, in the order a person reads it."""
    return asdict(account)
