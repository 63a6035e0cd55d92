"""What whoever runs the service does with licences and features."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud import audit
from plantroom_cloud.identity.setup import find_company
from plantroom_cloud.kit.times import DAY, SECOND, rfc3339
from plantroom_cloud.licensing import limits, service
from plantroom_cloud.licensing.flags import FLAGS
from plantroom_cloud.licensing.model import (
    UNLIMITED,
    Licence,
    Status,
    day_of,
    month_of,
    parse_limit,
)
from plantroom_cloud.licensing.repository import LicenceRepository
from plantroom_cloud.licensing.schemas import show_days
from plantroom_shared.clock import SystemClock
from plantroom_shared.errors import ConfigError


def read(plan: str, status: str, said: Sequence[str], begins: str, ends: str) -> Licence:
    """Return a licence as it is written on the command line.

    Raises:
        ConfigError: something of it is wrong.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,63}", plan) or plan == UNLIMITED.plan:
        what = f"{plan[:80]!r} cannot be a plan"
        fix = f"use 1 to 64 of a-z, 0-9 and '-'; {UNLIMITED.plan!r} is what one has without any"
        raise ConfigError(what, key="plan", fix=fix)
    pairs = [parse_limit(text) for text in said]
    if len(dict(pairs)) != len(pairs):
        what = "a limit is given twice"
        raise ConfigError(what, key="limit", fix="give each once")
    now = SystemClock().now_us()
    start = _day(begins, "from") if begins else now
    end = _day(ends, "until") if ends else None
    if start > now:
        what = f"{begins} is yet to come"
        raise ConfigError(what, key="from", fix="give the licence when it begins")
    if end is not None and end <= start:
        what = "it would end before it begins"
        raise ConfigError(what, key="until", fix="name a later day")
    return Licence(plan, _status(status), dict(pairs), start, end)


async def give(session: AsyncSession, company: str, licence: Licence | None) -> None:
    """Give a company a licence, or take it away."""
    scope, now = await find_company(session, company), SystemClock().now_us()
    await service.give(session, scope, licence, now_us=now, who=audit.cli_user())


async def set_status(session: AsyncSession, company: str, status: str) -> None:
    """Change how a licence stands."""
    scope, now = await find_company(session, company), SystemClock().now_us()
    before = await LicenceRepository(session, scope).licence(lock=True)
    if before is None:
        what = f"{company} has no licence"
        raise ConfigError(what, key="company", fix=f"'licence set {company} --plan ...' gives one")
    after = replace(before, status=_status(status))
    await service.give(session, scope, after, now_us=now, who=audit.cli_user())


async def show(session: AsyncSession, company: str) -> list[str]:
    """Return a licence and how its limits stand, as lines."""
    scope, now = await find_company(session, company), SystemClock().now_us()
    repository = LicenceRepository(session, scope)
    licence = await repository.licence()
    if licence is None:
        return [f"plan {UNLIMITED.plan}: none was given, nothing is limited"]
    ends = "" if licence.until_us is None else f", until {rfc3339(licence.until_us)[:10]}"
    lines = [f"plan {licence.plan}, {licence.status_at(now)}{ends}"]
    for limit, used in (await repository.standing(licence, now)).items():
        amount = licence.amount(limit)
        most = "any number" if amount.most is None else amount.most
        lines.append(f"{limit}: {used} of {most}, {amount.state(used)}")
    if why := await limits.pause(session, scope, now):
        lines.append(f"nothing is published: {why}")
    return lines


async def usage(session: AsyncSession, company: str, days: int) -> list[str]:
    """Return what a company used, as lines."""
    scope, now = await find_company(session, company), SystemClock().now_us()
    repository, last = LicenceRepository(session, scope), day_of(now)
    rows = await repository.days(last - days + 1, last)
    lines = [
        "  ".join(f"{key} {value}" if key != "day" else str(value) for key, value in day.items())
        for day in show_days(rows, last - days + 1, last)
    ]
    month = month_of(now)
    return [*lines, f"{month}  llm_tokens {await repository.llm_tokens(month)}"]


async def features(session: AsyncSession, company: str) -> list[str]:
    """Return all features and how they are, as lines."""
    scope = await find_company(session, company)
    switched = await LicenceRepository(session, scope).features()
    lines = []
    for name, flag in FLAGS.items():
        row = switched.get(name)
        on = flag.default if row is None else row.enabled
        how = "by default" if row is None else f"by {row.changed_by}"
        lines.append(f"{name}: {'on' if on else 'off'} ({how}; {flag.owner}) {flag.about}")
    return lines


async def switch(session: AsyncSession, company: str, name: str, *, enabled: bool | None) -> None:
    """Switch a feature, or leave it to its default."""
    if name not in FLAGS:
        what = f"there is no feature {name[:40]!r}"
        raise ConfigError(what, key="feature", fix=f"take one of: {', '.join(FLAGS)}")
    scope, now = await find_company(session, company), SystemClock().now_us()
    await service.switch(session, scope, name, enabled, now_us=now, who=audit.cli_user())


def _status(text: str) -> Status:
    try:
        return Status(text)
    except ValueError as error:
        what = f"{text[:40]!r} is no status"
        raise ConfigError(what, key="status", fix=f"take one of: {', '.join(Status)}") from error


def _day(text: str, key: str) -> int:
    try:
        moment = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError as error:
        what = f"{text[:40]!r} is no day"
        raise ConfigError(what, key=key, fix="write it as 2026-01-31") from error
    return int(moment.timestamp()) // (DAY // SECOND) * DAY
