"""Provisioning of streaming devices: known at a site, with a certificate of their own."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud import audit
from plantroom_cloud.db import Scope
from plantroom_cloud.gateways.pki import Authority
from plantroom_cloud.gateways.provision import add_gateway
from plantroom_cloud.isolation.lookups import find_gateways
from plantroom_cloud.tables import StreamingDevice
from plantroom_shared import sparkplug
from plantroom_shared.clock import Clock
from plantroom_shared.errors import ConfigError


async def add_device(
    session: AsyncSession,
    clock: Clock,
    authority: Authority,
    device: str,
    *,
    scope: Scope,
    site_id: int,
    out: Path,
    group: str = "",
) -> str:
    """Make `device` known at a site and write its credentials; return the certificate's serial.

    A device of that site already known gets a new certificate, and speaks what is said now.

    Args:
        session: of the transaction that makes it known.
        clock: for the date of making.
        authority: signs the certificate.
        device: 8 to 40 of ``a-z0-9-``; a Sparkplug node must have it as its node id.
        scope: the company.
        site_id: one of the company's.
        out: folder for ``ca.pem``, ``gateway.pem`` and ``gateway.key`` (readable by its owner).
        group: the Sparkplug group of the node; empty for a device that sends plain JSON.

    Raises:
        ConfigError: the id is no id, or taken elsewhere or by an edge agent, or the group is no
            level of a topic, or the folder cannot be written.
    """
    mine = (StreamingDevice.company_id == scope.company_id, StreamingDevice.gateway_id == device)
    known = await session.scalar(select(StreamingDevice).where(*mine))
    await _check(session, device, known, group)
    serial = await add_gateway(
        session,
        clock,
        authority,
        device,
        scope=scope,
        site_id=site_id,
        out=out,
    )
    if known is None:
        known = StreamingDevice(
            gateway_id=device, company_id=scope.company_id, protocol=_protocol(group), session={}
        )
        session.add(known)
    known.sparkplug_group = group
    await session.flush()
    audit.record(
        session,
        scope,
        who=audit.cli_user(),
        action="device.add",
        subject=f"device/{device}",
        after={"site": site_id, "protocol": known.protocol, "group": group},
    )
    return serial


async def _check(
    session: AsyncSession, device: str, known: StreamingDevice | None, group: str
) -> None:
    """Raise ConfigError where `device` cannot be added, or not like that."""
    if group and group != sparkplug.level(group):
        what = f"{group[:80]!r} cannot be a Sparkplug group"
        fix = "use at most 128 printable characters without '/', '+' and '#'"
        raise ConfigError(what, key="--sparkplug-group", fix=fix)
    if known is not None and known.protocol != _protocol(group):
        what = f"{device!r} is a device that speaks {known.protocol}"
        raise ConfigError(what, key="device", fix="choose another id for what speaks otherwise")
    if known is None and await find_gateways(session, [device]):
        # Whose it is stays unsaid: it may be another company's.
        what = f"the id {device!r} is taken"
        raise ConfigError(what, key="device", fix="choose another id")


def _protocol(group: str) -> str:
    return "sparkplug" if group else "json"
