"""Giving commands: checked, entered and audited in one transaction; the ingest signs and sends them."""

from __future__ import annotations

import secrets
from typing import Any, ClassVar

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud import audit
from plantroom_cloud.commands.repository import CommandRepository
from plantroom_cloud.commands.rules import rule_for
from plantroom_cloud.commands.schemas import CommandIn
from plantroom_cloud.db import Scope
from plantroom_cloud.identity.permissions import Principal
from plantroom_cloud.kit.problems import ApiError, InvalidRequest, NotFound
from plantroom_cloud.kit.repository import AnyRow
from plantroom_cloud.licensing import flags
from plantroom_shared.clock import Clock
from plantroom_shared.errors import Rejected
from plantroom_shared.wire import read_order


class NotWritable(ApiError):
    """The point, or its gateway, is not to be written."""

    status: ClassVar[int] = 409
    code: ClassVar[str] = "not_writable"
    title: ClassVar[str] = "This point is not to be written"


class CommandService:
    """Commands of one company, within one transaction."""

    def __init__(self, session: AsyncSession, scope: Scope, clock: Clock) -> None:
        self._session, self._scope = session, scope
        self._commands, self._clock = CommandRepository(session, scope), clock

    async def give(self, point: int, asked: CommandIn, who: Principal | str) -> str:
        """Enter a command that is to be sent, and return its id.

        Where a rule wants a second person it waits for that first. Taking back and looking need none.

        Args:
            point: which.
            asked: what is to be done with it.
            who: who asks; whoever confirms it is somebody else.

        Raises:
            NotFound: the company has no such point, or no such command to release.
            FeatureOff: the company writes no points.
            NotWritable: the gateway takes no commands, or the point none.
            InvalidRequest: what is asked for does not go together.
        """
        target = await self._commands.target(point)
        if target is None:
            msg = f"there is no point {point}; GET /v1/points searches yours"
            raise NotFound(msg)
        check_writable(target)
        if asked.release is None:  # what was written can be taken back in any case
            await flags.require(self._session, self._scope, flags.COMMANDS)
        else:
            former = await self._commands.find(asked.release)
            if former is None or former.point_id != point:
                msg = f"there is no command {asked.release} for this point"
                raise NotFound(msg)
        now, actor = self._clock.now_us(), audit.display_name(who)
        body = _body(target, asked, named(who), now)
        rule = await rule_for(self._commands, target.key) if asked.kind == "write" else None
        waits = {} if rule is None else {
            "state": "unconfirmed", "expires_us": now + rule.within_s * 1_000_000
        }  # fmt: skip
        await self._commands.add(
            id=body["id"],
            gateway_id=target.gateway_id,
            point_id=point,
            kind=asked.kind,
            actor=actor,
            body=orjson.dumps(body).decode(),
            created_us=now,
            given_by=ident(who),
            **{"expires_us": body["expires"]} | waits,
        )
        what: dict[str, Any] = {"actor": actor, "order": body}
        if rule is not None:
            what["needs_second"] = {"rule": rule.id, "points": rule.points, "s": rule.within_s}
        given = {"at_us": now, "kind": "command.given", "doc": what}
        await self._commands.note(body["id"], ("cloud", 0), **given)
        self._record(who, point, body)
        return str(body["id"])

    def _record(self, who: Principal | str, point: int, body: dict[str, Any]) -> None:
        told = ("kind", "gateway", "writes", "lease_s", "release", "expires")
        after = {"point": point} | {name: body[name] for name in told if name in body}
        audit.record(
            self._session,
            self._scope,
            who=who,
            action="command.give",
            subject=f"command/{body['id']}",
            after=after,
        )


def ident(who: Principal | str) -> str:
    """Return who gives or confirms a command, as `given_by` and the audit's actors name it."""
    return f"{who.kind}:{who.id}" if isinstance(who, Principal) else who[:80]


def named(who: Principal | str) -> str:
    """Return the same for people, as it stands in an order."""
    return f"{who.kind}:{who.name}" if isinstance(who, Principal) else audit.display_name(who)


def check_writable(target: AnyRow) -> None:
    """Raise NotWritable unless commands may be given for a point."""
    if not target.writes:
        msg = f"no commands may be given to gateway {target.gateway_id}; `plantroom-cloud command allow` lets them"
        raise NotWritable(msg)
    if target.writable is False:
        msg = "its device does not let it be written"
        raise NotWritable(msg)


def _body(target: AnyRow, asked: CommandIn, actor: str, now: int) -> dict[str, Any]:
    """Return the order as the gateway reads it; InvalidRequest if it would not take it."""
    body: dict[str, Any] = {
        "v": 1,
        "gateway": target.gateway_id,
        "id": f"c-{secrets.token_hex(16)}",
        "kind": asked.kind,
        "issued": now,
        "expires": now + round(asked.valid_s * 1e6),
        "nonce": secrets.token_hex(16),
        "actor": actor[:200],
    }
    if asked.release is not None:
        body["release"] = asked.release
    if asked.kind != "release" or asked.value is not None:
        write: dict[str, Any] = {"point": target.key, "value": asked.value}
        if asked.priority is not None:
            write["priority"] = asked.priority
        if asked.expect is not None:
            write["expect"] = {"value": asked.expect[0]}
        body |= {"writes": [write], "lease_s": asked.lease_s}
    try:
        read_order(orjson.dumps(body).decode())
    except Rejected as error:
        msg = f"this is no order that a gateway takes: {error}"
        raise InvalidRequest(msg) from error
    return body
