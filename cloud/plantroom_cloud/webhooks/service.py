"""Webhooks made, changed, given a new secret, tried and replayed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Final

from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud import audit
from plantroom_cloud.db import Scope
from plantroom_cloud.identity.permissions import Principal
from plantroom_cloud.kit.outbound import Rules, check_url
from plantroom_cloud.kit.problems import ApiError, InvalidRequest, NotFound
from plantroom_cloud.kit.repository import AnyRow
from plantroom_cloud.kit.times import DAY, parse_time
from plantroom_cloud.webhooks.entering import Entering
from plantroom_cloud.webhooks.repository import WebhookRepository
from plantroom_cloud.webhooks.schemas import ReplayIn, WebhookChange, WebhookIn, show_webhook
from plantroom_cloud.webhooks.signing import new_secret
from plantroom_shared.clock import Clock
from plantroom_shared.errors import Rejected

Seen = Mapping[str, Any] | None

MOST: Final = 20
"""Webhooks of one company."""


class TooManyWebhooks(ApiError):
    """The company has as many webhooks as it may have."""

    status: ClassVar[int] = 409
    code: ClassVar[str] = "too_many_webhooks"
    title: ClassVar[str] = "There are too many webhooks"


class WebhookService:
    """Webhooks of one company, within one transaction."""

    def __init__(self, session: AsyncSession, scope: Scope, clock: Clock, who: Principal) -> None:
        self._rows, self._entering = WebhookRepository(session, scope), Entering(session, scope)
        self._session, self._scope, self._clock, self._who = session, scope, clock, who

    async def make(self, asked: WebhookIn, rules: Rules) -> tuple[int, str]:
        """Make a webhook; return its id and its secret, which nothing shows again.

        Raises:
            InvalidRequest: nothing can ever be sent to the address.
            TooManyWebhooks: the company has `MOST`.
        """
        _check(rules, asked.url)
        if len(await self._rows.rows()) >= MOST:
            msg = f"{MOST} webhooks are the most; delete one that is not needed"
            raise TooManyWebhooks(msg)
        secret = new_secret()
        webhook = await self._rows.add(
            url=asked.url,
            name=asked.name,
            topics=_packed(asked.topics),
            secret=secret,
            created_us=self._clock.now_us(),
            created_by=self._who.name[:200],
        )
        after = {"url": asked.url, "name": asked.name, "topics": sorted(set(asked.topics))}
        self._record("add", webhook, after=after)
        return webhook, secret

    async def change(self, webhook: int, asked: WebhookChange, rules: Rules) -> None:
        """Change what is given of a webhook; one that is enabled is tried again at once."""
        row = await self.find(webhook)
        values: dict[str, Any] = {}
        if asked.url is not None:
            _check(rules, asked.url)
            values["url"] = asked.url
        if asked.topics is not None:
            values["topics"] = _packed(asked.topics)
        if asked.name is not None:
            values["name"] = asked.name
        if asked.enabled is not None:
            values |= {"enabled": asked.enabled, "reason": "", "resume_us": 0, "failures": 0}
        if values:
            await self._rows.change(webhook, **values)
            after = asked.model_dump(exclude_none=True)
            self._record("change", webhook, _seen(row, after), after)

    async def renew(self, webhook: int) -> str:
        """Return a new secret; for a day what is sent is signed with the old one as well."""
        old = await self._rows.secret(webhook)
        if old is None:
            raise no_webhook(webhook)
        secret, until_us = new_secret(), self._clock.now_us() + DAY
        await self._rows.change(webhook, secret=secret, old_secret=old, old_until_us=until_us)
        self._record("secret", webhook)
        return secret

    async def delete(self, webhook: int) -> None:
        """Remove a webhook with what was to be sent to it."""
        row = await self.find(webhook)
        await self._rows.delete(webhook)
        self._record("delete", webhook, _seen(row, ("url", "name", "topics")))

    async def test(self, webhook: int) -> None:
        """Let a message be sent that says nothing."""
        await self.find(webhook)
        said = {"webhook": webhook, "by": self._who.name}
        await self._entering.put([webhook], [("webhook.test", said)], self._clock.now_us())
        self._record("test", webhook)

    async def replay(self, webhook: int, asked: ReplayIn) -> int:
        """Let messages be sent again; return how many."""
        await self.find(webhook)
        messages = await self._rows.replay(
            webhook,
            self._clock.now_us(),
            states=asked.states,
            since_us=parse_time(asked.since, "since") if asked.since else 0,
            until_us=parse_time(asked.until, "until") if asked.until else 2**62,
        )
        self._record("replay", webhook, after=asked.model_dump() | {"messages": messages})
        return messages

    async def replay_one(self, webhook: int, delivery: int) -> None:
        """Let one message be sent again."""
        now_us = self._clock.now_us()
        if not await self._rows.replay(webhook, now_us, delivery=delivery):
            msg = (
                f"there is no delivery {delivery}; GET /v1/webhooks/{webhook}/deliveries lists them"
            )
            raise NotFound(msg)
        self._record("replay", webhook, after={"delivery": delivery, "messages": 1})

    async def shown(self, webhook: int) -> dict[str, Any]:
        """Return a webhook as the API shows it; NotFound if the company has none of this id."""
        return show_webhook(await self.find(webhook), await self._rows.counts())

    async def find(self, webhook: int) -> AnyRow:
        """Return a webhook; NotFound if the company has none of this id."""
        row = await self._rows.find(webhook)
        if row is None:
            raise no_webhook(webhook)
        return row

    def _record(self, verb: str, webhook: int, before: Seen = None, after: Seen = None) -> None:
        audit.record(
            self._session,
            self._scope,
            who=self._who,
            action=f"webhook.{verb}",
            subject=f"webhook/{webhook}",
            before=before,
            after=after,
        )


def no_webhook(webhook: int) -> NotFound:
    """Return the error for an id of no webhook of the company."""
    return NotFound(f"there is no webhook {webhook}; GET /v1/webhooks lists yours")


def _check(rules: Rules, url: str) -> None:
    try:
        check_url(rules, url)
    except Rejected as error:
        item = {"where": "body", "name": "url", "detail": str(error)}
        msg = f"url: {error}"
        raise InvalidRequest(msg, errors=[item]) from error


def _seen(row: AnyRow, names: Iterable[str]) -> dict[str, Any]:
    return {name: row.topics.split() if name == "topics" else getattr(row, name) for name in names}


def _packed(topics: list[Any]) -> str:
    return f" {' '.join(sorted(set(topics)))} "
