"""What the gateway shows the broker: the pair that is proven, and a renewed one that wants a try.

A renewed pair is used for the next connection. Only when the cloud has answered a hello over it does
it take the old one's place; while it does not come through, the two take turns, so that whichever
the broker takes brings the gateway back.
"""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass

from plantroom_edge.claiming import files
from plantroom_edge.clock import EdgeClock
from plantroom_edge.config import CloudConfig
from plantroom_edge.gap_signer import GapSigner
from plantroom_edge.sync_tls import CloudContext, tls_context
from plantroom_shared.errors import ConfigError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Identity:
    """One pair, ready to be used."""

    tls: CloudContext
    signer: GapSigner


class Credentials:
    """The gateway's identity.

    Args:
        gateway: id of this gateway.
        cloud: names the files.
        clock: what the time is worth.

    Raises:
        ConfigError: the files are not what they should be.
    """

    def __init__(self, gateway: str, cloud: CloudConfig, clock: EdgeClock) -> None:
        self._gateway, self._cloud, self._clock = gateway, cloud, clock
        with contextlib.suppress(OSError):  # told below, if it matters
            files.recover(cloud.cert, cloud.key)
        self.used = self._proven = self._load(cloud)
        """What the present connection is made with, or the last one was."""
        self._waiting: Identity | None = None
        self.stage()

    @property
    def wants_try(self) -> bool:
        """Whether a renewed pair waits, and the present connection is not made with it."""
        return self._waiting is not None and self.used is not self._waiting

    def stage(self) -> None:
        """Take note of a renewed pair on the disk; takes a moment: call it in a thread."""
        cert, key = self._cloud.cert, self._cloud.key
        if self._waiting is not None or not files.is_waiting(cert, key):
            return
        pair = {"cert": files.following(cert), "key": files.following(key)}
        try:
            self._waiting = self._load(self._cloud.model_copy(update=pair))
        except ConfigError as error:
            log.warning("a renewed certificate is of no use", extra={"cause": str(error)})

    def choose(self) -> Identity:
        """Return what the next connection is made with."""
        self.used = self._waiting if self._waiting and self.wants_try else self._proven
        return self.used

    def proven(self) -> bool:
        """The cloud has answered over the present connection; say whether a renewed pair won."""
        if self._waiting is None or self.used is not self._waiting:
            return False
        try:
            files.promote(self._cloud.cert, self._cloud.key)
        except OSError as error:
            log.warning("a renewed certificate cannot take its place", extra={"cause": str(error)})
            return False
        self._proven, self._waiting = self._waiting, None
        return True

    def _load(self, cloud: CloudConfig) -> Identity:
        return Identity(tls_context(cloud, self._clock), GapSigner(self._gateway, cloud))
