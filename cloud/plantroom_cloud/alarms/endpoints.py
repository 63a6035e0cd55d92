"""Routes of alarms: the list, the history, what people do with them, and the figures."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Annotated, Any, Final, TypeVar

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from plantroom_cloud.alarms.flood import figures
from plantroom_cloud.alarms.repository import AlarmFilter, AlarmRepository
from plantroom_cloud.alarms.rules import Priority, priority_number
from plantroom_cloud.alarms.schemas import (
    AcknowledgedList,
    AcknowledgeIn,
    AlarmFigures,
    AlarmHistoryPage,
    AlarmItem,
    AlarmNoteIn,
    AlarmPage,
    AlarmReasonIn,
    AlarmTextIn,
    AssignIn,
    ShelveIn,
    State,
)
from plantroom_cloud.alarms.service import AlarmService, NotNow, no_alarm
from plantroom_cloud.alarms.showing import show_alarm, show_event, show_figures
from plantroom_cloud.alarms.states import Act
from plantroom_cloud.conventions.etags import Changed, IfMatch
from plantroom_cloud.identity.access import CurrentScope, Permit, Session
from plantroom_cloud.identity.permissions import Permission, Principal
from plantroom_cloud.kit.pages import After, Limit, listing_of, read_page
from plantroom_cloud.kit.parameters import (
    MAX_ID,
    From,
    GatewayFilter,
    PlainText,
    RowId,
    SiteFilter,
    To,
)
from plantroom_cloud.kit.problems import Forbidden, invalid, refusals
from plantroom_cloud.kit.repository import AnyRow
from plantroom_cloud.kit.responses import json_response, page_response
from plantroom_cloud.kit.session import Clock, database
from plantroom_cloud.kit.times import DAY
from plantroom_cloud.samples.window import read_window

router = APIRouter(tags=["alarms"])

LONGEST: Final = 31 * DAY
_READ: Final = Depends(Permit(Permission.ALARM_READ, confined=True))
Operator = Annotated[Principal, Depends(Permit(Permission.ALARM_WRITE, confined=True))]
AlarmId = Annotated[int, Path(ge=1, le=MAX_ID, examples=[1])]
StateFilter = Annotated[
    State | None, Query(description="Only in this state; without it: whatever is not normal.")
]
All = Annotated[bool, Query(description="Those that are normal, too.")]
PointFilter = Annotated[int | None, Query(ge=1, le=MAX_ID, description="Only of this point.")]
RuleFilter = Annotated[int | None, Query(ge=1, le=MAX_ID, description="Only of this rule.")]
PriorityFilter = Annotated[Priority | None, Query(description="This one, or more urgent.")]
AssigneeFilter = Annotated[PlainText | None, Query(description="Only looked after by this one.")]
Operators = Annotated[int, Query(ge=1, le=1000, description="Who share the alarms.")]

_REFUSALS: Final = refusals(Forbidden, NotNow)
_OF_ONE: Final = refusals(Forbidden, NotNow, Changed)


@router.get(
    "/alarms",
    response_model=AlarmPage,
    summary="Alarms",
    dependencies=[_READ],
)
async def list_alarms(
    *,
    request: Request,
    session: Session,
    scope: CurrentScope,
    site: SiteFilter = None,
    gateway: GatewayFilter = None,
    point: PointFilter = None,
    rule: RuleFilter = None,
    state: StateFilter = None,
    everything: Annotated[All, Query(alias="all")] = False,
    priority: PriorityFilter = None,
    assignee: AssigneeFilter = None,
    limit: Limit = 100,
    after: After = None,
) -> Response:
    """Alarms that are not normal, the most urgent first and of those the newest."""
    least = None if priority is None else priority_number(priority)
    shown = state or ("all" if everything else None)
    which = AlarmFilter(site, gateway, point, rule, shown, least, assignee)
    listing = listing_of("alarms", **asdict(which))
    page = read_page(listing, limit, after, (int, int, int))
    rows = await AlarmRepository(session, scope).page(which, page)
    return page_response(
        request,
        listing,
        page,
        rows,
        show=show_alarm,
        key=lambda row: (row.priority, row.changed_us, row.id),
    )


@router.get(
    "/alarms/figures",
    response_model=AlarmFigures,
    summary="Figures of alarms",
    dependencies=[_READ],
)
async def get_alarm_figures(
    *,
    session: Session,
    scope: CurrentScope,
    clock: Clock,
    site: SiteFilter = None,
    start: From = None,
    end: To = None,
    operators: Operators = 1,
) -> Response:
    """Calls per operator and ten minutes, floods, the ten worst, chattering, standing and stale.

    Without `from` of the last day; at most 31 days.
    """
    window = read_window(start, end, clock.now_us())
    if window.length > LONGEST:
        detail = "figures cover at most 31 days: narrow from..to"
        raise invalid(detail, parameter="from")
    alarms = AlarmRepository(session, scope)
    calls = await alarms.calls(window.start, window.end, site)
    standing = await alarms.standing(site)
    found = figures(calls, standing, start=window.start, end=window.end, operators=operators)
    named = {alarm for alarm, _ in (*found.top, *found.chattering, *found.stale)}
    titles = await alarms.titles(named)
    return json_response(show_figures(found, titles, window.start, window.end, operators))


@router.post(
    "/alarms/acknowledge",
    response_model=AcknowledgedList,
    responses=_REFUSALS,
    summary="Acknowledge several alarms",
)
async def acknowledge_alarms(
    *, request: Request, scope: CurrentScope, who: Operator, clock: Clock, asked: AcknowledgeIn
) -> Response:
    """Acknowledge what can be, and say of each what became of it."""
    async with database(request).write(scope) as session:
        service = AlarmService(session, scope, clock, who)
        return json_response({"items": await service.acknowledge(asked.alarms, asked.note)})


@router.get(
    "/alarms/{alarm}",
    response_model=AlarmItem,
    summary="One alarm",
    dependencies=[_READ],
)
async def get_alarm(session: Session, scope: CurrentScope, alarm: AlarmId) -> Response:
    """An alarm as it stands."""
    row = await AlarmRepository(session, scope).find(alarm)
    if row is None:
        raise no_alarm(alarm)
    return json_response(show_alarm(row))


@router.get(
    "/alarms/{alarm}/history",
    response_model=AlarmHistoryPage,
    summary="An alarm's history",
    dependencies=[_READ],
)
async def list_alarm_history(
    *,
    request: Request,
    session: Session,
    scope: CurrentScope,
    alarm: AlarmId,
    limit: Limit = 100,
    after: After = None,
) -> Response:
    """All that ever happened to it, the newest first."""
    alarms = AlarmRepository(session, scope)
    if not await alarms.seen([alarm]):
        raise no_alarm(alarm)
    listing = listing_of("alarm-history", alarm=alarm)
    page = read_page(listing, limit, after, (int,))
    rows = await alarms.history(alarm, page)
    return page_response(request, listing, page, rows, show=show_event, key=lambda row: (row.id,))


# ---------------------------------------------------------------- what people do


class _Doing:
    """Acts of one request, as a dependency."""

    def __init__(
        self,
        *,
        request: Request,
        scope: CurrentScope,
        who: Operator,
        clock: Clock,
        alarm: RowId,
        seen: IfMatch,
    ) -> None:
        self._request, self._scope, self._who = request, scope, who
        self._clock, self._alarm, self._seen = clock, alarm, seen

    async def act(self, act: Act, reason: str, seconds: float | None = None) -> Response:
        """Do something with the alarm, and answer with what it is then."""
        async with database(self._request).write(self._scope) as session:
            service = self._service(session)
            row = await service.act(self._alarm, act, reason=reason, seconds=seconds)
        return _shown(row)

    async def assign(self, to: str, reason: str) -> Response:
        """Say who looks after it."""
        async with database(self._request).write(self._scope) as session:
            return _shown(await self._service(session).assign(self._alarm, to, reason))

    async def note(self, text: str) -> Response:
        """Add a note."""
        async with database(self._request).write(self._scope) as session:
            return _shown(await self._service(session).note(self._alarm, text))

    def _service(self, session: Any) -> AlarmService:
        return AlarmService(session, self._scope, self._clock, self._who, self._seen)


Doing = Annotated[_Doing, Depends()]


_Route = TypeVar("_Route", bound=Callable[..., Awaitable[Response]])


def _shown(row: AnyRow) -> Response:
    return json_response(show_alarm(row))


def _post(path: str, summary: str) -> Callable[[_Route], _Route]:
    return router.post(
        f"/alarms/{{alarm}}/{path}",
        response_model=AlarmItem,
        responses=_OF_ONE,
        summary=summary,
    )


@_post("acknowledge", "Acknowledge an alarm")
async def acknowledge_alarm(doing: Doing, asked: AlarmNoteIn) -> Response:
    """Say that somebody has seen it."""
    return await doing.act(Act.ACKNOWLEDGE, asked.note)


@_post("reset", "Reset a latched alarm")
async def reset_alarm(doing: Doing, asked: AlarmNoteIn) -> Response:
    """End a latched alarm whose condition has gone and which is acknowledged."""
    return await doing.act(Act.RESET, asked.note)


@_post("shelve", "Shelve an alarm")
async def shelve_alarm(doing: Doing, asked: ShelveIn) -> Response:
    """Put it away for a time that its rule allows; it comes back by itself."""
    return await doing.act(Act.SHELVE, asked.reason, asked.minutes * 60)


@_post("unshelve", "Take an alarm off the shelf")
async def unshelve_alarm(doing: Doing, asked: AlarmNoteIn) -> Response:
    """Bring it back now."""
    return await doing.act(Act.UNSHELVE, asked.note)


@_post("remove", "Take an alarm out of service")
async def remove_alarm(doing: Doing, asked: AlarmReasonIn) -> Response:
    """Keep it from everybody until somebody brings it back: for maintenance."""
    return await doing.act(Act.REMOVE, asked.reason)


@_post("restore", "Bring an alarm back into service")
async def restore_alarm(doing: Doing, asked: AlarmNoteIn) -> Response:
    """Bring it back as what its condition says."""
    return await doing.act(Act.RESTORE, asked.note)


@_post("assign", "Assign an alarm")
async def assign_alarm(doing: Doing, asked: AssignIn) -> Response:
    """Say who looks after it."""
    return await doing.assign(asked.to, asked.note)


@_post("notes", "Add a note")
async def add_alarm_note(doing: Doing, asked: AlarmTextIn) -> Response:
    """Add words to its history."""
    return await doing.note(asked.text)
