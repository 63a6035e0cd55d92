"""Giving commands: checked, entered and audited in one transaction; the ingest signs and sends them."""

from __future__ import annotations

import secrets
from typing import Any, ClassVar

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.commands.repository import CommandRepository
from plantroom_cloud.commands.schemas import CommandIn
from plantroom_cloud.db import Scope
from plantroom_cloud.kit.problems import ApiError, InvalidRequest, NotFound
from plantroom_cloud.kit.repository import AnyRow
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
        self._commands, self._clock = CommandRepository(session, scope), clock

    async def give(self, point: int, asked: CommandIn, actor: str) -> str:
        """Enter a command that is to be sent, and return its id.

        Raises:
            NotFound: the company has no such point, or no such command to release.
            NotWritable: the gateway takes no commands, or the point none.
            InvalidRequest: what is asked for does not go together.
        """
        target = await self._commands.target(point)
        if target is None:
            msg = f"there is no point {point}; GET /v1/points searches yours"
            raise NotFound(msg)
        _check(target)
        if asked.release is not None:
            former = await self._commands.find(asked.release)
            if former is None or former.point_id != point:
                msg = f"there is no command {asked.release} for this point"
                raise NotFound(msg)
        now = self._clock.now_us()
        body = _body(target, asked, actor, now)
        await self._commands.add(
            id=body["id"],
            gateway_id=target.gateway_id,
            point_id=point,
            kind=asked.kind,
            actor=actor,
            body=orjson.dumps(body).decode(),
            created_us=now,
            expires_us=body["expires"],
        )
        what = {"actor": actor, "order": body}
        given = {"at_us": now, "kind": "command.given", "doc": what}
        await self._commands.note(body["id"], ("cloud", 0), **given)
        return str(body["id"])


def _check(target: AnyRow) -> None:
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
        "actor": f"key:{actor}"[:200],
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
