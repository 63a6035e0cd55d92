"""The part of the agent that has its certificate renewed: looks, starts the process, tells sync."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final

from plantroom_edge.clock import EdgeClock
from plantroom_edge.config import CloudConfig

log = logging.getLogger(__name__)

_APART: Final = (sys.executable, "-P", "-m", "plantroom_edge.claiming.renewal")
_FIRST: Final = 10.0
"""Seconds after the start: a machine that starts has other things to do."""
_LONGEST: Final = 6 * 3600.0
_SHORTEST: Final = 60.0
_LIMIT: Final = 180.0
"""Seconds that a renewal may take."""
_UNSET: Final = 60.0
"""Seconds to wait while nobody knows the time."""
_LOST: Final = 5
"""Looks without time and without a connection after which the certificate may be what is wrong: a
gateway that lay in a box until it was over would never hear from the cloud what time it is."""


class Renewer:
    """Has the certificate renewed at two thirds of its life.

    Args:
        gateway: id of this gateway.
        cloud: names the files, and who renews.
        clock: what the time is worth.
        staged: called when a renewed pair waits to be tried.
        connected: says whether there is a connection to the broker.
        first: seconds until the first look.
    """

    def __init__(
        self,
        gateway: str,
        cloud: CloudConfig,
        clock: EdgeClock,
        staged: Callable[[], Awaitable[None]],
        connected: Callable[[], bool],
        *,
        first: float = _FIRST,
    ) -> None:
        self._gateway, self._cloud, self._clock = gateway, cloud, clock
        self._staged, self._connected, self._first = staged, connected, first
        self._lost = 0
        self.fault = ""
        """Why the last try failed; empty if it did not."""
        self.until: float | None = None
        """When the certificate is over, in seconds since 1970."""

    def status(self) -> dict[str, Any]:
        """Return how the certificate is doing; `until` in seconds since 1970, None: not known yet."""
        return {"until": self.until, "fault": self.fault}

    async def run(self) -> None:
        """Look, and look again when it is due, until cancelled."""
        pause = self._first
        while True:
            await asyncio.sleep(pause)
            pause = await self.look()

    async def look(self) -> float:
        """Have the certificate renewed if it is due; return the seconds until the next look."""
        unset = self._clock.state == "unset"
        self._lost = self._lost + 1 if unset and not self._connected() else 0
        if unset and self._lost < _LOST:
            return _UNSET
        said = await self._ask(None if unset else self._clock.now_us())
        fault, self.fault = self.fault, str(said.get("fault", ""))
        if self.fault and self.fault != fault:
            fix = "see `plantroom-edge doctor`; a revoked gateway is reset and claimed anew"
            extra = {"cause": self.fault, "fix": fix}
            log.error("the certificate could not be renewed; the old one stays", extra=extra)
        self.until = said.get("until", self.until)
        if said.get("staged"):
            await self._staged()
        again = float(said.get("again", _LONGEST))
        return min(_LONGEST, max(_SHORTEST, again)) * random.uniform(0.9, 1.0)

    async def _ask(self, now_us: int | None) -> dict[str, Any]:
        cloud = self._cloud
        told = {"gateway": self._gateway, "url": cloud.provision, "now_us": now_us}
        told |= {"ca": str(cloud.ca), "cert": str(cloud.cert), "key": str(cloud.key)}
        told["url_ca"] = str(cloud.provision_ca or "")
        pipe = asyncio.subprocess.PIPE
        process = None
        try:
            async with asyncio.timeout(_LIMIT):
                process = await asyncio.create_subprocess_exec(*_APART, stdin=pipe, stdout=pipe)
                out, _ = await process.communicate(json.dumps(told).encode())
            said = json.loads(out)
        except (OSError, TimeoutError, ValueError) as error:
            return {
                "fault": f"the renewal did not run: {error or type(error).__name__}",
                "again": 600,
            }
        finally:
            if process is not None and process.returncode is None:
                process.kill()
                await process.wait()
        return said if isinstance(said, dict) else {}
