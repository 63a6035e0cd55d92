"""Routes of a company's licence, what it uses, and its features."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Request, Response

from plantroom_cloud.conventions.etags import STALE, IfMatch, Precondition
from plantroom_cloud.identity.access import CurrentScope, Permit, Session
from plantroom_cloud.identity.permissions import Permission, Principal
from plantroom_cloud.kit.parameters import From, PlainText, To
from plantroom_cloud.kit.problems import NotFound, invalid
from plantroom_cloud.kit.responses import json_response
from plantroom_cloud.kit.session import Clock, database
from plantroom_cloud.kit.times import parse_time
from plantroom_cloud.licensing import limits, service
from plantroom_cloud.licensing.flags import FLAGS, Flag
from plantroom_cloud.licensing.model import UNLIMITED, day_of, month_of
from plantroom_cloud.licensing.repository import LicenceRepository
from plantroom_cloud.licensing.schemas import (
    FeatureIn,
    FeatureList,
    FeatureOut,
    LicenceOut,
    UsageOut,
    show_days,
    show_feature,
    show_licence,
    show_limits,
)

router = APIRouter(tags=["company"])

_LONGEST: Final = 366
_USUAL: Final = 31
"""Days of usage."""
READ: Final = Depends(Permit(Permission.COMPANY_READ))
Writer = Annotated[Principal, Depends(Permit(Permission.COMPANY_WRITE))]
FeatureName = Annotated[PlainText, Path(examples=["llm"])]


@router.get("/licence", response_model=LicenceOut, summary="Licence", dependencies=[READ])
async def get_licence(session: Session, scope: CurrentScope, clock: Clock) -> Response:
    """What the company may have, and how near it is to that."""
    repository, now = LicenceRepository(session, scope), clock.now_us()
    licence = await repository.licence() or UNLIMITED
    shown = show_licence(
        licence,
        await repository.standing(licence, now),
        now_us=now,
        paused=await limits.pause(session, scope, now),
        notices=await repository.notices(50),
    )
    return json_response(shown)


@router.get("/usage", response_model=UsageOut, summary="Usage", dependencies=[READ])
async def get_usage(
    *,
    session: Session,
    scope: CurrentScope,
    clock: Clock,
    start: From = None,
    end: To = None,
) -> Response:
    """What the company used, day by day in UTC, the newest first: the last 31 days unless told."""
    now = clock.now_us()
    last = day_of(now if end is None else max(0, parse_time(end, "to") - 1))
    first = last - _USUAL + 1 if start is None else day_of(parse_time(start, "from"))
    if not 0 <= last - first < _LONGEST:
        msg = f"ask for 1 to {_LONGEST} days"
        raise invalid(msg, parameter="from")
    repository = LicenceRepository(session, scope)
    licence = await repository.licence() or UNLIMITED
    rows = await repository.days(first, last)
    shown = {
        "days": show_days(rows, first, last),
        "llm_tokens": await repository.llm_tokens(month_of(_noon(last))),
        "limits": show_limits(licence, await repository.standing(licence, now)),
    }
    return json_response(shown)


@router.get("/features", response_model=FeatureList, summary="Features", dependencies=[READ])
async def list_features(session: Session, scope: CurrentScope) -> Response:
    """Features that can be switched for the company, and how they are."""
    switched = await LicenceRepository(session, scope).features()
    items = [show_feature(flag, switched.get(name)) for name, flag in FLAGS.items()]
    return json_response({"items": items})


@router.get(
    "/features/{feature}", response_model=FeatureOut, summary="A feature", dependencies=[READ]
)
async def get_feature(session: Session, scope: CurrentScope, feature: FeatureName) -> Response:
    """One feature, and how it is for the company."""
    flag = _flag(feature)
    switched = await LicenceRepository(session, scope).features()
    return json_response(show_feature(flag, switched.get(feature)))


@router.put(
    "/features/{feature}", response_model=FeatureOut, responses=STALE, summary="Switch a feature"
)
async def switch_feature(
    *,
    request: Request,
    scope: CurrentScope,
    clock: Clock,
    who: Writer,
    feature: FeatureName,
    asked: FeatureIn,
    seen: IfMatch,
) -> Response:
    """Switch a feature on or off for the company; it holds from the next act on."""
    return await _switched(
        request, scope, clock, who, feature=feature, enabled=asked.enabled, seen=seen
    )


@router.delete(
    "/features/{feature}",
    response_model=FeatureOut,
    responses=STALE,
    summary="Leave a feature to its default",
)
async def reset_feature(
    *,
    request: Request,
    scope: CurrentScope,
    clock: Clock,
    who: Writer,
    feature: FeatureName,
    seen: IfMatch,
) -> Response:
    """Switch a feature to what it is for everybody."""
    return await _switched(request, scope, clock, who, feature=feature, enabled=None, seen=seen)


async def _switched(
    request: Request,
    scope: CurrentScope,
    clock: Clock,
    who: Principal,
    *,
    feature: str,
    enabled: bool | None,
    seen: Precondition,
) -> Response:
    flag = _flag(feature)
    async with database(request).write(scope) as session:
        repository = LicenceRepository(session, scope)
        seen.check(show_feature(flag, (await repository.features()).get(feature)))
        now = clock.now_us()
        await service.switch(session, scope, feature, enabled, now_us=now, who=who)
        row = (await repository.features()).get(feature)
    return json_response(show_feature(flag, row))


def _flag(name: str) -> Flag:
    if (flag := FLAGS.get(name)) is None:
        msg = f"there is no feature {name[:40]!r}; GET /v1/features lists all there are"
        raise NotFound(msg)
    return flag


def _noon(day: int) -> int:
    return day * 86_400_000_000 + 43_200_000_000
