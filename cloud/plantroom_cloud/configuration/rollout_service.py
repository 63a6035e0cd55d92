"""Rollouts: a change for several gateways, wave by wave, each act within one transaction."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from plantroom_cloud.configuration.message import Wish
from plantroom_cloud.configuration.rollouts import cut
from plantroom_cloud.configuration.service import ConfigurationConflict, ConfigurationService
from plantroom_cloud.kit.problems import InvalidRequest, NotFound
from plantroom_cloud.kit.repository import AnyRow

MOST_GATEWAYS: Final = 1_000
"""Gateways of a rollout: they are staged in one transaction, some milliseconds each."""


@dataclass(frozen=True, slots=True)
class Waves:
    """How a rollout goes."""

    sizes: tuple[int, ...] = (1,)
    most_failed: int = 0
    patience_s: int = 3600


class RolloutService(ConfigurationService):
    """Rollouts of one company, within one transaction."""

    async def roll_out(
        self,
        gateways: Sequence[str],
        wish: Wish,
        waves: Waves,
        *,
        source: tuple[str, int] | None = None,
    ) -> str:
        """Stage a change for several gateways, wave by wave; return the id of the rollout.

        Args:
            gateways: in the order in which they get it.
            wish: who wants it, and why.
            waves: how many at a time, and when it halts.
            source: gateway and version whose document all of them get; None: each its own newest
                version.

        Raises:
            NotFound: there is no such gateway, or one of them has no version.
            NeedsForce: a fifth of the points of one of them would go away.
            GateClosed: a rule of governance blocks what one of them would get.
        """
        gateways = list(dict.fromkeys(gateways))
        if not gateways:
            msg = "no gateway is chosen; name gateways, or a site that has some"
            raise InvalidRequest(msg)
        if len(gateways) > MOST_GATEWAYS:
            msg = f"{len(gateways)} gateways are chosen, {MOST_GATEWAYS} at most"
            raise InvalidRequest(msg)
        versions = await self._versions(gateways, wish, source)
        await self.pass_gate(versions)
        now, ident = self.clock.now_us(), f"r-{secrets.token_hex(12)}"
        parts = cut(gateways, waves.sizes)
        await self.rows.add_rollout(
            id=ident,
            state="running",
            wave=0,
            waves=[len(part) for part in parts],
            most_failed=waves.most_failed,
            patience_s=waves.patience_s,
            force=wish.force,
            actor=wish.actor,
            why=wish.why,
            created_us=now,
            wave_us=now,
        )
        for wave, part in enumerate(parts):
            for gateway in part:
                await self.stage(gateway, versions[gateway], wish, rollout=ident, wave=wave)
        said = {"waves": parts, "most_failed": waves.most_failed, "force": wish.force}
        self.record("configuration-rollout.start", f"configuration-rollout/{ident}", wish, said)
        return ident

    async def _versions(
        self, gateways: Sequence[str], wish: Wish, source: tuple[str, int] | None
    ) -> dict[str, int]:
        out = {}
        found = await self.version(*source) if source else None
        # In one order for all, so that two rollouts never wait for each other.
        for gateway in sorted(gateways):
            await self.gateway(gateway, lock=True)
            newest = await self.rows.newest(gateway)
            if found is None and newest is None:
                msg = f"gateway {gateway} has no version yet: make one, or name one to copy"
                raise NotFound(msg)
            if found is None or (newest is not None and newest.digest == found.digest):
                out[gateway] = newest.number if newest else 0
            else:
                origin = f"{found.gateway_id} version {found.number}"
                out[gateway] = await self.add(gateway, found.document, wish, origin=origin)
        return out

    async def rollout(self, ident: str, *, lock: bool = False) -> AnyRow:
        """Return a rollout; NotFound if the company has none such."""
        found = await self.rows.rollout(ident, lock=lock)
        if found is None:
            msg = f"there is no rollout {ident}; GET /v1/configuration-rollouts lists yours"
            raise NotFound(msg)
        return found

    async def stop_rollout(self, ident: str, wish: Wish) -> None:
        """Let no more gateways of a rollout get it; those that have it keep it."""
        row = await self.rollout(ident, lock=True)
        if row.state not in {"running", "halted"}:
            msg = f"the rollout is {row.state}"
            raise ConfigurationConflict(msg)
        now = self.clock.now_us()
        for one in await self.rows.end_open("cancelled", now, rollout=ident):
            await self.note(one, now, "desired.cancelled", {"actor": wish.actor})
        reason = f"by {wish.actor}"[:200]
        await self.rows.change_rollout(ident, state="cancelled", reason=reason, ended_us=now)
        self.record("configuration-rollout.cancel", f"configuration-rollout/{ident}", wish, {})

    async def resume_rollout(self, ident: str, most_failed: int, wish: Wish) -> None:
        """Go on with a rollout that has halted, now that `most_failed` may fail."""
        row = await self.rollout(ident, lock=True)
        if row.state != "halted":
            msg = f"the rollout is {row.state}: only one that has halted can go on"
            raise ConfigurationConflict(msg)
        now = self.clock.now_us()
        values = {"state": "running", "most_failed": most_failed, "wave_us": now, "reason": ""}
        await self.rows.change_rollout(ident, **values)
        await self.rows.open_wave(ident, row.wave, now)
        said = {"most_failed": most_failed}
        self.record("configuration-rollout.resume", f"configuration-rollout/{ident}", wish, said)
