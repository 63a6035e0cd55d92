"""What is an alarm, and who is told: rules and receivers; each call within one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.alarms.dues import note
from plantroom_cloud.alarms.notify.outbox import Outbox
from plantroom_cloud.alarms.receivers import HookReceiver, MailReceiver
from plantroom_cloud.alarms.repository import ReceiverRepository, RuleRepository
from plantroom_cloud.alarms.rules import AlarmRuleIn, GatewayConditions, Threshold, priority_number
from plantroom_cloud.audit import display_name, record
from plantroom_cloud.db import Scope
from plantroom_cloud.identity.permissions import Principal
from plantroom_cloud.kit.outbound import Rules, check_url
from plantroom_cloud.kit.problems import InvalidRequest, NotFound
from plantroom_cloud.kit.repository import AnyRow
from plantroom_cloud.webhooks.signing import new_secret
from plantroom_shared.clock import Clock
from plantroom_shared.errors import Rejected

MOST_RULES: Final = 2_000
MOST_RECEIVERS: Final = 200


class RuleService:
    """Makes, changes and deletes rules; the worker brings the alarms after them."""

    def __init__(
        self, session: AsyncSession, scope: Scope, clock: Clock, who: Principal | str
    ) -> None:
        self._session, self._scope, self._who = session, scope, who
        self._actor = display_name(who)
        self._rules, self._now = RuleRepository(session, scope), clock.now_us()

    async def add(self, says: AlarmRuleIn) -> AnyRow:
        """Add a rule; InvalidRequest where it names what the company does not have."""
        await self._check(says)
        if await self._rules.count() >= MOST_RULES:
            msg = f"a company has at most {MOST_RULES} rules; one rule takes 1,000 points"
            raise InvalidRequest(msg)
        rule = await self._rules.add(created_us=self._now, **self._columns(says))
        await note(self._session, self._scope, rule=rule)
        row = await self.find(rule)
        self._record("add", rule, after=audited(row))
        return row

    async def change(self, rule: int, says: AlarmRuleIn) -> AnyRow:
        """Replace what a rule says; NotFound, InvalidRequest."""
        before = await self.find(rule)
        if before.kind != says.when.kind:
            msg = f"rule {rule} is of kind {before.kind}: make a new one"
            raise InvalidRequest(msg)
        await self._check(says)
        await self._rules.change(rule, **self._columns(says))
        await note(self._session, self._scope, rule=rule)
        row = await self.find(rule)
        self._record("change", rule, before=audited(before), after=audited(row))
        return row

    async def delete(self, rule: int) -> AnyRow:
        """Delete a rule; the history of its alarms stays."""
        row = await self.find(rule)
        await self._rules.change(
            rule, deleted_us=self._now, changed_us=self._now, actor=self._actor
        )
        await note(self._session, self._scope, rule=rule)
        self._record("delete", rule, before=audited(row))
        return row

    def _record(self, act: str, rule: int, **about: Any) -> None:
        action, subject = f"alarm-rule.{act}", f"alarm-rule/{rule}"
        record(self._session, self._scope, who=self._who, action=action, subject=subject, **about)

    async def find(self, rule: int) -> AnyRow:
        """Return a rule; NotFound."""
        row = await self._rules.find(rule, lock=True)
        if row is None:
            raise no_rule(rule)
        return row

    def _columns(self, says: AlarmRuleIn) -> dict[str, Any]:
        return {
            "site_id": says.site,
            "name": says.name,
            "kind": says.when.kind,
            "config": says.model_dump(mode="json"),
            "priority": priority_number(says.priority),
            "latching": says.latching,
            "enabled": says.enabled,
            "actor": self._actor[:200],
            "changed_us": self._now,
        }

    async def _check(self, says: AlarmRuleIn) -> None:
        points: list[int] = []
        gateways: list[str] = []
        when = says.when
        if isinstance(when, Threshold):
            points = sorted({*when.points})
            if when.suppress is not None and when.suppress.point is not None:
                points.append(when.suppress.point)
        elif isinstance(when, GatewayConditions) and when.gateways:
            gateways = sorted(set(when.gateways))
        sites = [] if says.site is None else [says.site]
        if missing := await self._rules.foreign(points, sites, gateways):
            msg = f"{missing}; name what your company has"
            raise InvalidRequest(msg)


class ReceiverService:
    """Makes, changes and deletes receivers; `outbound` says where webhooks may go."""

    def __init__(
        self,
        session: AsyncSession,
        scope: Scope,
        clock: Clock,
        who: Principal | str,
        outbound: Rules,
    ) -> None:
        self._outbound = outbound
        self._session, self._scope, self._who = session, scope, who
        self._receivers, self._now = ReceiverRepository(session, scope), clock.now_us()
        self._rules = RuleRepository(session, scope)

    async def add(self, wish: MailReceiver | HookReceiver) -> tuple[AnyRow, str]:
        """Add a receiver; return it with the secret of a webhook, which is shown once."""
        await self._check(wish)
        if await self._receivers.count() >= MOST_RECEIVERS:
            msg = f"a company has at most {MOST_RECEIVERS} receivers"
            raise InvalidRequest(msg)
        secret = ""
        if wish.kind == "webhook":
            secret = new_secret()
        columns = self._columns(wish) | {"secret": secret, "created_us": self._now}
        row = await self.find(await self._receivers.add(**columns))
        self._record("add", row.id, after=audited(row))
        return row, secret

    async def change(self, receiver: int, wish: MailReceiver | HookReceiver) -> AnyRow:
        """Replace what a receiver wants; NotFound, InvalidRequest."""
        before = await self.find(receiver)
        if before.kind != wish.kind:
            msg = f"receiver {receiver} is of kind {before.kind}: make a new one"
            raise InvalidRequest(msg)
        await self._check(wish)
        await self._receivers.change(receiver, failures=0, next_us=0, **self._columns(wish))
        row = await self.find(receiver)
        self._record("change", receiver, before=audited(before), after=audited(row))
        return row

    async def delete(self, receiver: int) -> AnyRow:
        """Delete a receiver: what waits for it is dropped."""
        row = await self.find(receiver)
        await self._receivers.change(receiver, deleted_us=self._now, enabled=False, secret="")
        self._record("delete", receiver, before=audited(row))
        return row

    async def retry(self, receiver: int) -> int:
        """Have failed notices told after all; return how many. NotFound."""
        await self.find(receiver)
        count = await Outbox(self._session, self._scope).again(receiver, self._now)
        self._record("retry", receiver, after={"notices": count})
        return count

    def _record(self, act: str, receiver: int, **about: Any) -> None:
        action, subject = f"alarm-receiver.{act}", f"alarm-receiver/{receiver}"
        record(self._session, self._scope, who=self._who, action=action, subject=subject, **about)

    async def find(self, receiver: int) -> AnyRow:
        """Return a receiver; NotFound."""
        row = await self._receivers.find(receiver)
        if row is None:
            raise no_receiver(receiver)
        return row

    def _columns(self, wish: MailReceiver | HookReceiver) -> dict[str, Any]:
        config = wish.model_dump(mode="json", by_alias=True)
        return {
            "name": wish.name,
            "kind": wish.kind,
            "target": wish.target,
            "config": config,
            "enabled": wish.enabled,
            "changed_us": self._now,
        }

    async def _check(self, wish: MailReceiver | HookReceiver) -> None:
        if wish.kind == "webhook":
            try:
                check_url(self._outbound, wish.target)
            except Rejected as error:
                msg = f"target: {error}"
                raise InvalidRequest(msg) from error
        if missing := await self._rules.foreign([], wish.sites or [], []):
            msg = f"{missing}; name what your company has"
            raise InvalidRequest(msg)


def no_rule(rule: int) -> NotFound:
    """Return the error of a rule that the company does not have."""
    return NotFound(f"there is no alarm rule {rule}; GET /v1/alarm-rules lists yours")


def no_receiver(receiver: int) -> NotFound:
    """Return the error of a receiver that the company does not have."""
    return NotFound(f"there is no receiver {receiver}; GET /v1/alarm-receivers lists yours")


def audited(row: AnyRow) -> Mapping[str, Any]:
    """Return what of a rule or receiver goes into the audit: everything but the secret."""
    return {"id": row.id, "version": row.version, "config": row.config}
