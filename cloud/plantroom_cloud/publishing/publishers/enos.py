"""Publishes to EnOS over its HTTP integration channel."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from plantroom_cloud.config import CloudSettings, EnosTarget
from plantroom_cloud.db import Database, Scope
from plantroom_cloud.publishing.enos.applying import Applier
from plantroom_cloud.publishing.enos.delivery import Delivered, Delivery
from plantroom_cloud.publishing.enos.drift import diff
from plantroom_cloud.publishing.enos.equipment import KIND, REFUSED_FOR, Equipment
from plantroom_cloud.publishing.enos.gateway import Gateway
from plantroom_cloud.publishing.enos.messages import Posted
from plantroom_cloud.publishing.enos.models import target_of
from plantroom_cloud.publishing.enos.survey import desired_of, found_of
from plantroom_cloud.publishing.plan import Mapped, Plan
from plantroom_cloud.publishing.publishers import (
    MappedValue,
    PublisherSpec,
    Receipt,
    publishers,
)
from plantroom_cloud.publishing.steps import Step
from plantroom_shared.clock import Clock
from plantroom_shared.errors import ConfigError, Rejected
from plantroom_shared.mapping.conversion import Conversion, conversion_of
from plantroom_shared.mapping.things import ModelPoint, is_raw
from plantroom_shared.model import Quality

_NUMERIC = frozenset({"INT", "FLOAT", "DOUBLE"})
"""Only these carry a quality."""
_PointKey = tuple[str, str]
REFUSED, OTHER_MODEL, QUALITY, HELD = "refused", "other_model", "quality", "held"


class _NotSent(Rejected):
    """A value stays here; it is counted under `reason`."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"not sent: {reason}", reason=reason)


class EnosPublisher:
    """One company's way to its EnOS."""

    def __init__(self, database: Database, scope: Scope, target: EnosTarget, clock: Clock) -> None:
        self._target, self._clock = target, clock
        self._gateway = Gateway(target, clock)
        self._equipment = Equipment(database, scope, self._gateway, target.timezone, clock)
        self._delivery = Delivery(self._gateway)
        self._applier: Applier | None = None
        self._blocked: dict[_PointKey, float] = {}
        self._conversions: dict[int, tuple[Mapped, Conversion]] = {}
        self._newest: dict[_PointKey, int] = {}
        """Millisecond of the last value counted, per point: EnOS keeps one value of each."""

    async def prepare(self, plan: Plan) -> None:
        """Create the devices that `plan` needs."""
        await self._equipment.ensure(plan)

    async def publish(self, values: Sequence[MappedValue]) -> Receipt:
        """Convert and post `values`; of two in one millisecond the later one stands."""
        dropped: Counter[str] = Counter()
        held: list[MappedValue] = []
        slots: dict[tuple[_PointKey, int], tuple[Posted, MappedValue]] = {}
        for value in values:
            try:
                posted = self._posted(value)
            except Rejected as error:
                if error.reason == HELD:
                    held.append(value)
                else:
                    dropped[error.reason] += 1
                continue
            slot = (posted.key, posted.ms)
            dropped["collision"] += slot in slots
            slots[slot] = posted, value
        done = await self._post([posted for posted, _ in slots.values()])
        held += [value for posted, value in slots.values() if posted.asset_id in done.gone]
        return self._receipt(done, dropped, held)

    def accepts(self, mapped: Mapped) -> bool:
        """Say whether values of `mapped` would not wait for a device."""
        known = target_of(mapped) is not None and is_raw(mapped.model_point)
        return not known or not mapped.equipment or self._equipment.get(mapped) is not None

    def _posted(self, value: MappedValue) -> Posted:
        """Return what is sent for `value`; Rejected with the reason it is counted under."""
        mapped = value.mapped
        point = target_of(mapped)
        if point is None or not is_raw(mapped.model_point):
            raise _NotSent("no_model_point" if point is None else "not_raw")
        device = self._equipment.get(mapped)
        if device is None:
            raise _NotSent(HELD if mapped.equipment else "no_equipment")
        if device.model_id != mapped.model_id:
            raise _NotSent(OTHER_MODEL)
        if self._blocked.get((device.asset_id, point.identifier), 0.0) > self._clock.monotonic():
            raise _NotSent(REFUSED)
        quality = self._quality(value, point)
        sent = self._conversion(mapped, point)(value.value)
        return Posted(device.asset_id, point.identifier, value.ts_us // 1000, sent, quality)

    def _conversion(self, mapped: Mapped, point: ModelPoint) -> Conversion:
        """Return the conversion of a mapping; made once for all its values, as long as it holds."""
        known = self._conversions.get(mapped.point_id)
        if known is not None and known[0] is mapped:
            return known[1]
        made = conversion_of(mapped.source, point, mapped.adjustment)
        self._conversions[mapped.point_id] = mapped, made
        return made

    def _quality(self, value: MappedValue, point: ModelPoint) -> int | None:
        name = Quality(value.quality).name.lower() if 0 <= value.quality <= 2 else "bad"
        code = self._target.quality.get(name)  # type: ignore[call-overload]  # a Literal key
        if code is None and name != "good":
            raise _NotSent(QUALITY)
        return code if point.data_type.upper() in _NUMERIC else None

    async def _post(self, values: list[Posted]) -> Delivered:
        late = self._clock.now_us() // 1000 - round(self._target.late_after * 1000)
        done = Delivered()
        for realtime in (False, True):  # the oldest first
            part = [value for value in values if (value.ms >= late) is realtime]
            if part:
                done += await self._delivery.post(part, realtime=realtime)
        for asset_id in sorted(done.gone):
            await self._equipment.lost(asset_id)
        return done

    def _receipt(self, done: Delivered, dropped: Counter[str], held: list[MappedValue]) -> Receipt:
        taken = {value.key for value in done.taken}
        until = self._clock.monotonic() + REFUSED_FOR
        for key in {value.key for value in done.refused} - taken:
            self._blocked[key] = until
        dropped[REFUSED] += len(done.refused)
        again = sum(self._newest.get(value.key) == value.ms for value in done.taken)
        dropped["collision"] += again

        def remember() -> None:
            for value in done.taken:
                self._newest[value.key] = max(self._newest.get(value.key, 0), value.ms)

        return Receipt(len(done.taken) - again, dropped, held, remember)

    async def survey(self, plan: Plan, site_id: int) -> list[Step]:
        """Return what would have to be done in EnOS for a site."""
        self._applier = None
        await self._equipment.read(plan)
        desired = desired_of(plan, site_id, self._equipment, self._target)
        if desired is None:
            return []
        found = await found_of(self._gateway, desired)
        history_us = round(self._target.history_days * 86_400e6)
        self._applier = Applier(
            self._gateway,
            self._equipment,
            site_id,
            desired=desired,
            found=found,
            history_us=history_us,
        )
        return diff(desired, found)

    async def carry_out(self, step: Step) -> None:
        """Do a step of the last survey."""
        if self._applier is None:
            msg = "nothing of the site is published: there is nothing to do"
            raise Rejected(msg, reason="no_survey")
        await self._applier.carry_out(step)

    async def close(self) -> None:
        """Close the connections."""
        await self._gateway.close()


def _targets(settings: CloudSettings) -> Mapping[str, Any]:
    """Return company slug → target; two companies in one EnOS organisation would mix there."""
    targets: dict[str, EnosTarget] = {}
    organisations: set[tuple[str, str]] = set()
    for target in settings.enos:
        organisation = (target.apigw.rstrip("/"), target.org_id)
        if target.company in targets or organisation in organisations:
            what = f"company {target.company!r} or organisation {target.org_id!r} stands twice"
            fix = "give every company one entry and an organisation of its own"
            raise ConfigError(what, key="enos", fix=fix)
        targets[target.company] = target
        organisations.add(organisation)
    return targets


publishers.register(KIND)(
    PublisherSpec(
        targets=_targets,
        open=EnosPublisher,
        mapping_wait=lambda target: target.mapping_wait,
        history=lambda target: target.history_days * 86_400,
        most_waiting=lambda target: target.most_waiting,
    )
)
