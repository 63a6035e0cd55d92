"""For which points a second person must confirm what is written."""

from __future__ import annotations

from fnmatch import fnmatchcase

from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud import audit
from plantroom_cloud.commands.repository import MOST_RULES, CommandRepository
from plantroom_cloud.commands.schemas import CommandRuleIn, show_rule
from plantroom_cloud.db import Scope
from plantroom_cloud.identity.permissions import Principal
from plantroom_cloud.kit.problems import InvalidRequest, NotFound
from plantroom_cloud.kit.repository import AnyRow
from plantroom_shared.clock import Clock


async def rule_for(commands: CommandRepository, key: str) -> AnyRow | None:
    """Return the rule that wants a second person for a point: that with the shortest time."""
    rules = [one for one in await commands.rules() if fnmatchcase(key, one.points)]
    return min(rules, key=lambda rule: int(rule.within_s), default=None)


class RuleService:
    """The rules of one company, within one transaction."""

    def __init__(self, session: AsyncSession, scope: Scope, clock: Clock) -> None:
        self._session, self._scope = session, scope
        self._commands, self._clock = CommandRepository(session, scope), clock

    async def add(self, asked: CommandRuleIn, who: Principal) -> AnyRow:
        """Want a second person for points; InvalidRequest where there are too many rules."""
        if len(await self._commands.rules()) >= MOST_RULES:
            msg = f"there are {MOST_RULES} rules; one with * may take the place of several"
            raise InvalidRequest(msg)
        said = {"points": asked.points, "within_s": asked.within_s}
        number = await self._commands.add_rule(
            actor=who.name, created_us=self._clock.now_us(), **said
        )
        self._record("command-rule.add", number, who, None, said)
        return next(one for one in await self._commands.rules() if one.id == number)

    async def remove(self, rule: int, who: Principal) -> AnyRow:
        """Remove a rule and return it; NotFound if the company has none such.

        Commands that wait for a second person go on waiting.
        """
        row = await self._commands.remove_rule(rule)
        if row is None:
            msg = f"there is no rule {rule}; GET /v1/command-rules lists yours"
            raise NotFound(msg)
        self._record("command-rule.remove", rule, who, show_rule(row), None)
        return row

    def _record(
        self,
        action: str,
        rule: int,
        who: Principal,
        before: dict[str, object] | None,
        after: dict[str, object] | None,
    ) -> None:
        audit.record(
            self._session,
            self._scope,
            who=who,
            action=action,
            subject=f"command-rule/{rule}",
            before=before,
            after=after,
        )
