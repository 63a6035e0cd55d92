"""A unit that is configured with ``profile: sunspec``: its profile is what the device says it has."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from plantroom_edge.drivers.modbus.sunspec import MARKER, Explored, Read, Trouble, explore
from plantroom_edge.drivers.modbus.sunspec_models import check_installed
from plantroom_edge.drivers.modbus.sunspec_profile import profile_of
from plantroom_shared.profiles import Profile, Register

NAME: Final = "sunspec"
"""What stands behind ``profile:`` instead of a file's name."""
CHECK_SECONDS: Final = 600.0
"""After this the chain of models is looked at again: an update may have moved every register."""

log = logging.getLogger(__name__)

UNKNOWN: Final = Profile.model_validate(
    {
        "profile": 1,
        "vendor": "SunSpec",
        "model": "not explored yet",
        "source": "The model definitions that the SunSpec Alliance publishes.",
        "registers": [
            {"id": "SunS", "name": "SunS", "address": 40000, "type": "uint32", "hidden": True}
            | {"expect": MARKER}
        ],
    }
)
"""The profile of a device that has not answered yet: it has no points."""


class SunSpecUnit:
    """What is known of the device.

    Raises:
        ConfigError: the model definitions are not installed.
    """

    def __init__(self, name: str) -> None:
        check_installed()
        self.profile = UNKNOWN
        self.notes: tuple[str, ...] = ()
        """What of the device is not read, and what is odd about it; for a person."""
        self._name = name
        self._found: Explored | None = None
        self._checked_at = float("-inf")

    def doubt(self) -> None:
        """Note that the device was silent: it may come back with other firmware."""
        self._checked_at = float("-inf")

    def due(self, now: float) -> bool:
        """Return whether to look at the device again before its next poll.

        Args:
            now: monotonic seconds.
        """
        return self._found is not None and now - self._checked_at > CHECK_SECONDS

    async def look(self, read: Read, now: float) -> bool:
        """Look at the device; return whether it has another profile than before.

        Raises:
            Trouble: it does not answer, or has nothing to read.
        """
        found = await explore(read)
        self._checked_at = now
        before, same = self._found, self._found == found
        if same:
            return False
        try:
            self.profile, self.notes = profile_of(found)
        except ValueError as error:
            msg = f"is a SunSpec device without anything to read: {error}"
            raise Trouble(msg) from error
        self._found = found
        if before is None or before.layout != found.layout:
            self._tell(before, found)
        return True

    def _tell(self, before: Explored | None, found: Explored) -> None:
        models = ", ".join(str(block.number) for block in found.blocks)
        extra = {"device": self._name, "models": models, "notes": "; ".join(self.notes)}
        if before is None:
            log.info("a SunSpec device was explored", extra=extra)
        else:
            what = "the models of a SunSpec device have changed: it is read in the new way"
            log.warning(what, extra=extra)


def moved(points: Sequence[Register], profile: Profile) -> tuple[Profile, frozenset[int]]:
    """Return another profile with a place for all of `points`, and the rows it has not itself.

    What it has not gets the place of the marker, so that every row stays and reads something.
    """
    there = {register.id for register in profile.points}
    gone = [row for row, point in enumerate(points) if point.id not in there]
    marker = {"address": profile.registers[0].address, "hidden": True}
    ghosts = [Register(id=points[row].id, name=points[row].name, **marker) for row in gone]
    fields = dict(profile) | {"registers": (*profile.registers, *ghosts)}
    return Profile.model_construct(**fields), frozenset(gone)
