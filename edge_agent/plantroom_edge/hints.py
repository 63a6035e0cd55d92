"""What is known of how a point moves before anybody has chosen: by its profile, or by the device."""

from __future__ import annotations

from dataclasses import dataclass, replace

from plantroom_shared.profile_parts import Entry


@dataclass(frozen=True, slots=True)
class Hint:
    """A default for the sampling of one point, in the unit of the device; the configuration wins."""

    deadband: float | None = None
    """The least change worth a sample, as a profile says."""
    percent: float | None = None
    """The same as a part of the value; one of the two at most."""
    counter: bool = False
    """It only grows, as a profile says."""
    rollover: float | None = None
    """The value at which a counter is 0 again; None: nobody knows."""
    increment: float = 0.0
    """The change that the device itself holds worth telling; 0: it does not say."""

    def times(self, factor: float) -> Hint:
        """Return the same in another unit, of which one of the device's is `factor`."""
        if factor == 1:
            return self
        return replace(
            self,
            deadband=self.deadband and self.deadband * factor,
            rollover=self.rollover and self.rollover * factor,
            increment=self.increment * factor,
        )


def hint_of(entry: Entry | None, increment: float = 0.0) -> Hint | None:
    """Return what there is to say of a point, or None.

    Args:
        entry: of its profile, in the unit of the device.
        increment: what the device itself holds worth telling; 0: it does not say.
    """
    if entry is None or (entry.deadband is None and not entry.counter):
        return Hint(increment=increment) if increment else None
    band = entry.deadband
    share = float(band.removesuffix("%")) if isinstance(band, str) else None
    absolute = None if isinstance(band, str) else band
    return Hint(absolute, share, entry.counter, entry.turns_at, increment)
