"""Routes of samples: the newest, and history raw or by intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from sqlalchemy import Connection

from plantroom_cloud.identity.access import CurrentScope, Permit, Session, scope_of
from plantroom_cloud.identity.permissions import Permission
from plantroom_cloud.kit.pages import (
    MAX_LIMIT,
    After,
    Limit,
    Page,
    decode_cursor,
    encode_cursor,
    listing_of,
    next_link,
    read_page,
)
from plantroom_cloud.kit.parameters import MAX_ID, From, RowId, SiteFilter, To
from plantroom_cloud.kit.problems import NotFound, invalid
from plantroom_cloud.kit.repository import AnyRow
from plantroom_cloud.kit.responses import json_response, page_response
from plantroom_cloud.kit.session import Clock, database
from plantroom_cloud.kit.times import duration, rfc3339
from plantroom_cloud.points.endpoints import no_point
from plantroom_cloud.points.repository import PointRepository, heading
from plantroom_cloud.samples.repository import SampleRepository, history, newest
from plantroom_cloud.samples.schemas import (
    BucketList,
    LatestOut,
    LatestPage,
    SamplePage,
    show_latest,
    show_samples,
)
from plantroom_cloud.samples.service import show_buckets
from plantroom_cloud.samples.window import (
    Window,
    check_raw,
    read_aggregates,
    read_interval,
    read_window,
)

router = APIRouter(tags=["samples"])

PointIds = Annotated[
    list[Annotated[int, Query(ge=1, le=MAX_ID)]],
    Query(max_length=MAX_LIMIT, description="Only these points; repeat it.", examples=[[1, 2]]),
]
Interval = Annotated[
    str | None,
    Query(
        max_length=40,
        description="Sum up by intervals of this length: 15m, 1h, 1d, PT15M ...",
        examples=["15m"],
    ),
]
Aggregates = Annotated[
    str,
    Query(
        alias="agg",
        max_length=100,
        description="Which of min, max, mean, sum, first, last, count; counts are always given.",
    ),
]


@router.get(
    "/latest",
    response_model=LatestPage,
    summary="Newest samples of many points",
    dependencies=[Depends(Permit(Permission.POINT_READ, confined=True))],
)
async def list_latest(
    *,
    request: Request,
    point: PointIds = [],  # noqa: B006 - the framework copies defaults
    site: SiteFilter = None,
    limit: Limit = MAX_LIMIT,
    after: After = None,
) -> Response:
    """The newest sample of each point that has one, by point id."""
    listing = listing_of("latest", point=point, site=site)
    page = read_page(listing, limit, after, (int,))
    scope = scope_of(request)
    rows = await database(request).look(scope, newest(scope, point, site, page).all)
    return page_response(
        request, listing, page, rows, show=show_latest, key=lambda row: (row.point_id,)
    )


@router.get(
    "/points/{point}/latest",
    response_model=LatestOut,
    summary="A point's newest sample",
    dependencies=[Depends(Permit(Permission.POINT_READ, confined=True))],
)
async def get_latest(session: Session, scope: CurrentScope, point: RowId) -> Response:
    """The newest sample of one point; 404 with code `no_sample` where it never had one."""
    row = await SampleRepository(session, scope).latest_of(point)
    if row is not None:
        return json_response(show_latest(row))
    if await PointRepository(session, scope).find(point) is None:
        raise no_point(point)
    msg = f"point {point} has no sample yet; look again when its gateway has delivered"
    raise NotFound(msg, code="no_sample")


@router.get(
    "/points/{point}/samples",
    response_model=SamplePage | BucketList,
    summary="A point's history, raw or by intervals",
    dependencies=[Depends(Permit(Permission.POINT_READ, confined=True))],
)
async def list_samples(
    *,
    request: Request,
    clock: Clock,
    point: RowId,
    start: From = None,
    end: To = None,
    interval: Interval = None,
    agg: Aggregates = "min,max,mean,last",
    limit: Limit = MAX_LIMIT,
    after: After = None,
) -> Response:
    """Without `interval` single samples in pages, of at most 31 days; without `from` the last day.

    With `interval` at most 10,000 intervals, aligned to multiples of it since 1970-01-01 UTC; the
    first and last hold only what lies within from..to. Only good samples make the aggregates.
    """
    scope, now_us = scope_of(request), clock.now_us()
    if interval is not None:
        asked = _Asked(start, end, interval, agg, after)
        return await _by_intervals(request, point, asked, now_us)
    listing = listing_of("samples", point=point)

    def look(connection: Connection) -> tuple[AnyRow, Window, Sequence[AnyRow]]:
        about = _known(heading(scope, point).all(connection), point)
        if after is None:
            window, page = read_window(start, end, now_us), Page(limit, None)
        else:
            window, page = _go_on(listing, after, limit)
        check_raw(window)
        return about, window, history(scope, point, window, page).all(connection)

    about, window, rows = await database(request).look(scope, look)
    shown = rows[:limit]
    cursor = None
    if len(rows) > limit:
        place = (shown[-1].ts_us, shown[-1].tie, window.start, window.end)
        cursor = encode_cursor(listing, place)
    body = _heading(about, window) | {"items": show_samples(shown)}
    return json_response(body | {"next": cursor}, next_link(request, cursor))


@dataclass(frozen=True, slots=True)
class _Asked:
    """What was asked of intervals, as it came."""

    start: str | None
    end: str | None
    interval: str
    agg: str
    after: str | None


async def _by_intervals(request: Request, point: int, asked: _Asked, now_us: int) -> Response:
    scope = scope_of(request)
    async with database(request).read(scope) as session:
        found = await session.run_sync(lambda inner: heading(scope, point).all(inner.connection()))
        about = _known(found, point)
        window = read_window(asked.start, asked.end, now_us)
        if asked.after is not None:
            detail = "intervals come in one piece: leave it out"
            raise invalid(detail, parameter="after")
        length, aggregates = read_interval(asked.interval, window), read_aggregates(asked.agg)
        sums = await SampleRepository(session, scope).buckets(point, window, length)
    body = _heading(about, window) | {"interval": duration(length)}
    return json_response(body | {"items": show_buckets(sums, aggregates)})


def _known(found: Sequence[AnyRow], point: int) -> AnyRow:
    """Return what was found of a point; that there is none is said before what is asked of it."""
    if not found:
        raise no_point(point)
    return found[0]


def _heading(point: AnyRow, window: Window) -> dict[str, Any]:
    about = {"point": point.id, "unit": point.unit}
    return about | {"from": rfc3339(window.start), "to": rfc3339(window.end)}


def _go_on(listing: str, after: str, limit: int) -> tuple[Window, Page]:
    """Return window and page; a cursor remembers the window, so "now" does not move under it."""
    position = decode_cursor(listing, after, (int, int, int, int))
    ts, tie, start, end = (int(part) for part in position)
    return Window(start, end), Page(limit, (ts, tie))
