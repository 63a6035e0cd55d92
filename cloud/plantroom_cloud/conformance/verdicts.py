"""What has been found about each assertion, and the report of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from plantroom_cloud.conformance.assertions import Assertion

Outcome = Literal["holds", "fails", "not exercised"]
_MOST = 5


@dataclass(slots=True)
class Verdict:
    """What is known about one assertion."""

    assertion: Assertion
    seen: int = 0
    """How often it was seen to hold."""
    evidence: str = ""
    """When it was last seen to hold."""
    failures: list[str] = field(default_factory=list)
    """The first few times it was broken."""
    failed: int = 0

    @property
    def outcome(self) -> Outcome:
        """One failure outweighs any number of good observations."""
        if self.failed:
            return "fails"
        return "holds" if self.seen else "not exercised"

    def words(self) -> str:
        """Return the evidence as one line."""
        if self.failed:
            more = f" (and {self.failed - 1} more)" if self.failed > 1 else ""
            return f"{self.failures[0]}{more}"
        return f"{self.seen}x, last: {self.evidence}" if self.seen else ""


class Verdicts:
    """A verdict for each of `assertions`; what is said of any other is a mistake of the kit's."""

    def __init__(self, assertions: Sequence[Assertion]) -> None:
        self._all = {item.id: Verdict(item) for item in assertions}

    def holds(self, name: str, evidence: str) -> None:
        """Assertion `name` was seen to hold."""
        verdict = self._all[name]
        verdict.seen += 1
        verdict.evidence = evidence

    def fails(self, name: str, evidence: str) -> None:
        """Assertion `name` was broken."""
        verdict = self._all[name]
        verdict.failed += 1
        if len(verdict.failures) < _MOST:
            verdict.failures.append(evidence)

    def judge(self, name: str, good: bool, evidence: str, otherwise: str = "") -> bool:
        """Say that `name` holds or, where not `good`, fails (`otherwise` says how)."""
        if good:
            self.holds(name, evidence)
        else:
            self.fails(name, otherwise or evidence)
        return good

    def failed(self, name: str) -> int:
        """Return how often `name` has failed so far."""
        return self._all[name].failed

    def all(self) -> list[Verdict]:
        """Return every verdict in the order of the specification."""
        return list(self._all.values())

    def named(self, outcome: Outcome) -> list[str]:
        """Return the ids of the assertions with this outcome."""
        return [name for name, verdict in self._all.items() if verdict.outcome == outcome]

    def document(self) -> dict[str, Any]:
        """Return the report as JSON."""
        rows = [
            {
                "id": verdict.assertion.id,
                "text": verdict.assertion.text,
                "outcome": verdict.outcome,
                "seen": verdict.seen,
                "evidence": verdict.evidence,
                "failed": verdict.failed,
                "failures": verdict.failures,
            }
            for verdict in self._all.values()
        ]
        kinds: tuple[Outcome, ...] = ("holds", "fails", "not exercised")
        return {"summary": {kind: len(self.named(kind)) for kind in kinds}, "assertions": rows}
