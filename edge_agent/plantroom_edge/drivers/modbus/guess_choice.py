"""Which of the profiles that fit is proposed, and how sure that is; pure.

The best one is, if no other fits as well. Of a family, whose profiles contradict each other nowhere,
it is the one that the device bears out: nearly all that it has answers, and no other of them has as
much. Else nothing is: a wrong profile is worse than none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from plantroom_edge.drivers.modbus.guess import CLOSE, ENOUGH, HERTZ, VOLTS, Seen, Verdict
from plantroom_edge.drivers.modbus.guess_kin import quarrel
from plantroom_edge.drivers.modbus.guess_tells import Tells
from plantroom_shared.profiles import Register
from plantroom_shared.registers import BITFIELDS, FLOATS

NEAR: Final = 0.05
"""Two profiles that differ by no more than this part of their points are as good as each other."""
SOUND: Final = 0.9
"""The part of the points with something to say that must make sense."""
MOST: Final = 0.5
"""The part of all its points that must say something."""
HUGE: Final = 1e12
"""No point of a plant shows more; words that are no float do."""


def leading(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Return the profile that fits best and those that fit as well, the best first."""
    ranked = sorted(verdicts, key=lambda one: (-one.confidence, one.tells.name))
    if not ranked or not ranked[0].confidence:
        return []
    return [
        one for one in ranked if one.confidence > ranked[0].confidence - CLOSE or one is ranked[0]
    ]


def worth_a_look(leaders: Sequence[Verdict]) -> bool:
    """Return whether reading all points of these profiles can decide between them."""
    return len(leaders) > 1 and leaders[0].confidence >= ENOUGH and not _quarrel(leaders)


def choose(verdicts: Sequence[Verdict], seen: Seen) -> tuple[Verdict | None, tuple[str, ...]]:
    """Return the profile to propose, or None, and what there is to say about it.

    Args:
        verdicts: on every profile that was looked at.
        seen: what the device has shown; all points of a family, where one leads.
    """
    leaders = leading(verdicts)
    if not leaders:
        return None, ("no known profile fits",)
    best = leaders[0]
    shown = ", ".join(f"{one.tells.name} ({one.confidence:.2f})" for one in leaders[:4])
    if best.confidence < ENOUGH:
        return None, (f"too little speaks for any profile; the likeliest: {shown}", *best.evidence)
    if len(leaders) == 1:
        return best, tuple(best.evidence)
    if why := _quarrel(leaders):
        line = f"these profiles fit as well as each other: {shown}"
        return None, (line, why, *best.evidence)
    return _of_family([tally(one, seen) for one in leaders])


def _quarrel(leaders: Sequence[Verdict]) -> str:
    return quarrel([(one.tells.name, one.tells.profile) for one in leaders])


@dataclass(frozen=True, slots=True)
class Tally:
    """What the points of a profile show on a device."""

    verdict: Verdict
    right: int
    """Points that answer with something that makes sense."""
    wrong: int
    """Points that do not answer, or with what makes no sense."""
    silent: int
    """Points that answer with 0 or nothing: so does a gap between registers."""

    @property
    def total(self) -> int:
        """All points."""
        return self.right + self.wrong + self.silent

    @property
    def share(self) -> float:
        """How much of what it could tell is right, 0 to 1."""
        return self.right / max(1, self.right + self.wrong)

    @property
    def borne_out(self) -> bool:
        """Whether the device may well be of this model."""
        enough = self.verdict.confidence >= ENOUGH
        return enough and self.share >= SOUND and self.right > MOST * self.total

    def beats(self, other: Tally) -> bool:
        """Return whether it is clearly the better one: it has more, or claims less in vain."""
        return (
            self.share - other.share > NEAR
            or self.right - other.right > NEAR * self.right
            or (self.right >= other.right and other.silent - self.silent > NEAR * other.total)
        )

    def __str__(self) -> str:
        """Return it for a person."""
        return f"{self.verdict.tells.name} ({self.right} of {self.total})"


def tally(verdict: Verdict, seen: Seen) -> Tally:
    """Return how the points of a profile answer."""
    tells = verdict.tells
    answers = [makes_sense(point, seen, tells) for point in tells.profile.points]
    return Tally(verdict, answers.count(True), answers.count(False), answers.count(None))


def makes_sense(register: Register, seen: Seen, tells: Tells) -> bool | None:
    """Return whether a register answers plausibly; None if with 0 or nothing, which may be."""
    raw = seen.raw(register)
    if raw is None:
        return False
    value, reason = seen.reading(register, tells)
    if not raw or reason == "not-available":
        return None
    if reason:
        return False
    if register.states and register.type not in BITFIELDS and isinstance(value, int):
        return value in register.states
    if isinstance(value, (bool, str)) or value is None:
        return True
    return _is_plausible(float(value), register, tells)


def _is_plausible(value: float, register: Register, tells: Tells) -> bool:
    if abs(value) > HUGE:
        return False
    if register.type in FLOATS and abs(value) < 1e-30:
        return False
    if register in tells.voltages:
        return VOLTS[0] <= value <= VOLTS[1]
    if register in tells.frequency:
        return any(low <= value <= high for low, high in HERTZ)
    return True


def _is_best(one: Tally, tallies: Sequence[Tally]) -> bool:
    return all(one.beats(two) and not two.beats(one) for two in tallies if two is not one)


def _of_family(tallies: Sequence[Tally]) -> tuple[Verdict | None, tuple[str, ...]]:
    """Return the profile of a family that the device bears out better than any other."""
    borne_out = [one for one in tallies if one.borne_out]
    best = next((one for one in borne_out if _is_best(one, tallies)), None)
    if best is None:
        shown = ", ".join(map(str, sorted(tallies, key=lambda one: -one.right)[:4]))
        line = f"these profiles read what they share alike; plausible points: {shown}"
        more = "its nameplate says which it is" if borne_out else "too few points make sense"
        return None, (line, more, *tallies[0].verdict.evidence)
    others = ", ".join(str(one) for one in tallies if one is not best)
    lines = (
        f"{best.right} of {best.total} points answer plausibly",
        f"but it may be a sibling that reads what they share alike: {others}",
    )
    verdict = best.verdict
    # Half of what is more than enough: siblings keep it from being sure.
    stated = (ENOUGH + verdict.confidence) / 2
    evidence = [*lines, *verdict.evidence]
    sure = replace(
        verdict, against=verdict.against * stated / verdict.confidence, evidence=evidence
    )
    return sure, tuple(evidence)
