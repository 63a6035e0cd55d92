"""What the traffic with one station was like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_WEIGHT: Final = 0.1
"""Of the newest answer in the average."""


@dataclass(slots=True)
class Traffic:
    """Counts of one station, since it was first asked."""

    requests: int = 0
    failures: int = 0
    """Requests without an answer, or with a refusal."""
    repeats: int = 0
    """Datagrams that were sent again."""
    segmented: int = 0
    """Answers that came in segments."""
    notices: int = 0
    """COV notifications."""
    latency: float = 0.0
    """Moving average, seconds."""
    latency_max: float = 0.0
    sent: int = 0
    """Octets, without the headers of UDP and IP."""
    received: int = 0

    def answered(self, seconds: float) -> None:
        """An answer has come after `seconds`."""
        weight = _WEIGHT if self.latency else 1.0
        self.latency += weight * (seconds - self.latency)
        self.latency_max = max(self.latency_max, seconds)
