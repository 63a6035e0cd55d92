"""What the log says of a bus: once when something begins, and once when it is over."""

from __future__ import annotations

import logging
from typing import Final

from plantroom_edge.breaker import Change
from plantroom_edge.drivers import Poll

log = logging.getLogger(__name__)

_SHOWN: Final = 5
"""Names of a long list."""


class BusNews:
    """Tells of one bus.

    Args:
        bus: its name.
    """

    def __init__(self, bus: str) -> None:
        self._bus = bus
        self._defects: set[tuple[str, type[BaseException]]] = set()

    def missing(self, missing: tuple[str, ...]) -> None:
        """Tell which configured targets do not answer; none: all of them do, again."""
        if not missing:
            log.info("all of the bus answers", extra={"bus": self._bus})
            return
        shown = ", ".join(missing[:_SHOWN]) + (", ..." if len(missing) > _SHOWN else "")
        what = "some of the bus does not answer; it is looked for again every 30 s"
        log.warning(what, extra={"bus": self._bus, "missing": shown, "count": len(missing)})

    def changed(self, device: str, change: Change, poll: Poll) -> None:
        """Tell that a device was given up, or answers again."""
        extra = {"bus": self._bus, "device": device}
        if change is Change.FAILED:
            reason = next(iter(poll.quality.values()), (0, ""))[1]
            what = "device does not answer; it is asked again with growing pauses"
            log.warning(what, extra={**extra, "reason": reason})
        elif change is Change.RECOVERED:
            log.info("device answers again", extra=extra)

    def defect(self, device: str, error: BaseException) -> None:
        """Tell what a read has raised, once for each device and kind of error."""
        if (device, type(error)) in self._defects:
            return
        self._defects.add((device, type(error)))
        what = "a read ended in a defect of the driver; it costs this poll, and is told once"
        words = f"{type(error).__name__}: {error}"
        extra = {"bus": self._bus, "device": device, "error": words}
        log.error(what, extra=extra, exc_info=error)
