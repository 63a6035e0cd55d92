"""Values → EnOS, message by message; one poison value never costs another."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Self

from plantroom_cloud.publishing.enos.errors import GONE, Unclear
from plantroom_cloud.publishing.enos.gateway import Gateway
from plantroom_cloud.publishing.enos.messages import Posted, messages
from plantroom_shared.errors import Rejected

log = logging.getLogger(__name__)

PATIENCE: Final = 5
"""How often in a row a code that no document explains is answered by waiting."""


@dataclass(slots=True)
class Delivered:
    """What EnOS took, and what it will never take."""

    taken: list[Posted] = field(default_factory=list)
    refused: list[Posted] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)
    """Asset ids that EnOS does not know any more; their values are neither taken nor refused."""

    def __iadd__(self, other: Delivered) -> Self:
        """Add what became of other values."""
        self.taken += other.taken
        self.refused += other.refused
        self.gone |= other.gone
        return self


class Delivery:
    """Posts values over the HTTP integration channel.

    EnOS refuses a message as a whole for one undefined point or one wrong type: a refused message
    is halved until what it refuses stands alone.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._message_id = 0
        self._unclear: tuple[str, int] = ("", 0)

    async def post(self, values: Sequence[Posted], *, realtime: bool) -> Delivered:
        """Post values, the oldest first.

        Raises:
            Unavailable: EnOS is away; nobody knows which of the values it has taken.
        """
        done = Delivered()
        for body, carried in messages(values, self._message_id + 1, realtime=realtime):
            try:
                await self._send(body)
            except Rejected as error:
                done += await self._isolate(carried, error.reason, realtime=realtime)
            except Unclear as error:
                if not self._patience_is_over(error.code):
                    raise
                parts = await self._isolate(carried, error.code, realtime=realtime, unclear=True)
                if not parts.taken:
                    raise  # EnOS refuses all there is: that is no poison value
                done += parts
            else:
                done.taken += carried
            self._unclear = ("", 0)
        return done

    async def _send(self, body: bytes) -> None:
        self._message_id += 1
        await self._gateway.integrate("postMeasurepoint", body)

    def _patience_is_over(self, code: str) -> bool:
        last, count = self._unclear
        self._unclear = (code, count + 1 if code == last else 1)
        return self._unclear[1] >= PATIENCE

    async def _try(self, values: list[Posted], *, realtime: bool, unclear: bool) -> Delivered:
        """Post part of a refused message; `unclear` codes count as refusals only if asked to."""
        done = Delivered()
        for body, carried in messages(values, self._message_id + 1, realtime=realtime):
            try:
                await self._send(body)
            except Rejected as error:
                code = error.reason
            except Unclear as error:
                if not unclear:
                    raise
                code = error.code
            else:
                done.taken += carried
                continue
            done += await self._isolate(carried, code, realtime=realtime, unclear=unclear)
        return done

    async def _isolate(
        self, values: list[Posted], code: str, *, realtime: bool, unclear: bool = False
    ) -> Delivered:
        """Find out which of refused values EnOS takes."""
        if code in GONE and len({value.asset_id for value in values}) == 1:
            return Delivered(gone={values[0].asset_id})
        if len(values) == 1:
            log.info("EnOS refuses a value", extra={"point": values[0].point, "code": code})
            return Delivered(refused=values)
        done = Delivered()
        for part in await self._parts(values, done, realtime=realtime, unclear=unclear):
            done += await self._try(part, realtime=realtime, unclear=unclear)
        return done

    async def _parts(
        self, values: list[Posted], done: Delivered, *, realtime: bool, unclear: bool
    ) -> list[list[Posted]]:
        """Return what to try next: halves by asset and point, then halves of one point's values.

        Of one point the oldest value goes first, alone, and if it is refused the newest: where
        both are, the point is what EnOS refuses, not its values.
        """
        keys = sorted({value.key for value in values})
        if len(keys) > 1:
            low = set(keys[: len(keys) // 2])
            return [
                [value for value in values if value.key in low],
                [value for value in values if value.key not in low],
            ]
        rest = sorted(values, key=lambda value: value.ms)
        for at in (0, -1):
            alone = await self._try([rest.pop(at)], realtime=realtime, unclear=unclear)
            done += alone
            if alone.taken or not rest:
                break
        else:
            done.refused += rest
            rest = []
        return [part for part in (rest[: len(rest) // 2], rest[len(rest) // 2 :]) if part]
