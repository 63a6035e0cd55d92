"""Routes of rules, checks, findings, waivers and the gate."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from plantroom_cloud.conventions.etags import STALE, IfMatch
from plantroom_cloud.governance.gate import blockers
from plantroom_cloud.governance.repository import FindingFilter, GovernanceRepository
from plantroom_cloud.governance.rules import unusable
from plantroom_cloud.governance.schemas import (
    CheckedOut,
    DroppedOut,
    FactList,
    FindingPage,
    GateOut,
    LaterOut,
    RuleChange,
    RuleIn,
    RuleList,
    RuleOut,
    ScoreList,
    ScoreOut,
    Severity,
    SiteIn,
    SiteOut,
    TryOut,
    WaiverIn,
    WaiverOut,
    WaiverPage,
    show_blocker,
    show_checked,
    show_facts,
    show_finding,
    show_rule,
    show_score,
    show_site,
    show_tried,
    show_waiver,
)
from plantroom_cloud.governance.service import Conflict, GovernanceService
from plantroom_cloud.identity.access import CurrentScope, Permit, Session
from plantroom_cloud.identity.permissions import Permission, Principal
from plantroom_cloud.kit.pages import After, Limit, listing_of, read_page
from plantroom_cloud.kit.parameters import PlainText, RowId, SiteFilter
from plantroom_cloud.kit.problems import NotFound, refusals
from plantroom_cloud.kit.repository import AnyRow
from plantroom_cloud.kit.responses import json_response, page_response
from plantroom_cloud.kit.session import Clock, database

router = APIRouter(prefix="/governance", tags=["governance"])

READ: Final = [Depends(Permit(Permission.GOVERNANCE_READ))]
Writer = Annotated[Principal, Depends(Permit(Permission.GOVERNANCE_WRITE))]
RuleName = Annotated[PlainText, Path(examples=["site-without-location"])]
_CONFLICT: Final = refusals(Conflict)

# ---------------------------------------------------------------- rules


@router.get("/rules", response_model=RuleList, summary="Rules", dependencies=READ)
async def list_governance_rules(session: Session, scope: CurrentScope, clock: Clock) -> Response:
    """All rules as they are applied: the built-in ones, and the company's own."""
    rows = GovernanceRepository(session, scope)
    rules = await GovernanceService(session, scope, clock).rules()
    bad = unusable(await rows.settings())
    items = [show_rule(rules[name]) for name in sorted(rules)]
    return json_response(
        {"items": items, "unusable": [{"rule": r, "why": w} for r, w in sorted(bad.items())]}
    )


@router.get("/facts", response_model=FactList, summary="Facts", dependencies=READ)
async def list_governance_facts() -> Response:
    """What expressions may name, by kind of subject."""
    return json_response({"items": show_facts()})


@router.post("/rules", response_model=RuleOut, responses=_CONFLICT, summary="Make a rule")
async def add_governance_rule(
    *, request: Request, scope: CurrentScope, who: Writer, clock: Clock, asked: RuleIn
) -> Response:
    """Make a rule of the company's own; every site is checked by it soon."""
    async with database(request).write(scope) as session:
        service = GovernanceService(session, scope, clock)
        if asked.rule in await service.rules():
            msg = f"there is a rule {asked.rule}; PUT /v1/governance/rules/{asked.rule} changes it"
            raise Conflict(msg)
        made = await service.put_rule(asked.setting(asked.rule), who)
    return json_response(show_rule(made))


@router.get("/rules/{rule}", response_model=RuleOut, summary="One rule", dependencies=READ)
async def get_governance_rule(
    session: Session, scope: CurrentScope, clock: Clock, rule: RuleName
) -> Response:
    """A rule as it is applied."""
    return json_response(await _rule(GovernanceService(session, scope, clock), rule))


@router.put("/rules/{rule}", response_model=RuleOut, responses=STALE, summary="Change a rule")
async def change_governance_rule(
    *,
    request: Request,
    scope: CurrentScope,
    who: Writer,
    clock: Clock,
    rule: RuleName,
    asked: RuleChange,
    seen: IfMatch,
) -> Response:
    """Say anew what a rule of the company's own is, or set a built-in one: on, severity, numbers."""
    async with database(request).write(scope) as session:
        service = GovernanceService(session, scope, clock)
        seen.check(await _rule(service, rule))
        made = await service.put_rule(asked.setting(rule), who)
    return json_response(show_rule(made))


@router.delete("/rules/{rule}", response_model=DroppedOut, responses=STALE, summary="Drop a rule")
async def drop_governance_rule(
    *,
    request: Request,
    scope: CurrentScope,
    who: Writer,
    clock: Clock,
    rule: RuleName,
    seen: IfMatch,
) -> Response:
    """Delete a rule of the company's own, or let a built-in one be as it comes."""
    async with database(request).write(scope) as session:
        service = GovernanceService(session, scope, clock)
        known = await service.rules()
        if rule in known:
            seen.check(show_rule(known[rule]))
        await service.drop_rule(rule, who)
    return json_response({"dropped": rule})


async def _rule(service: GovernanceService, rule: str) -> dict[str, object]:
    known = await service.rules()
    if rule not in known:
        msg = f"there is no rule {rule[:64]!r}; GET /v1/governance/rules lists them"
        raise NotFound(msg)
    return show_rule(known[rule])


# ---------------------------------------------------------------- sites


@router.get("/sites", response_model=ScoreList, summary="Scores", dependencies=READ)
async def list_governance_sites(session: Session, scope: CurrentScope) -> Response:
    """What the last check of each site came to."""
    rows = GovernanceRepository(session, scope)
    counts = await rows.counts()
    return json_response({"items": [show_score(row, counts) for row in await rows.sites()]})


@router.get("/sites/{site}", response_model=ScoreOut, summary="A score", dependencies=READ)
async def get_governance_site(session: Session, scope: CurrentScope, site: RowId) -> Response:
    """What the last check of a site came to, rule by rule."""
    rows = GovernanceRepository(session, scope)
    return json_response(show_score(await _site(rows, site), await rows.counts()))


@router.get(
    "/sites/{site}/description", response_model=SiteOut, summary="What was said", dependencies=READ
)
async def get_site_description(session: Session, scope: CurrentScope, site: RowId) -> Response:
    """Where a site is, and how its points are named."""
    return json_response(show_site(await _site(GovernanceRepository(session, scope), site)))


@router.put("/sites/{site}/description", response_model=SiteOut, responses=STALE, summary="Say it")
async def put_site_description(
    *,
    request: Request,
    scope: CurrentScope,
    who: Writer,
    clock: Clock,
    site: RowId,
    asked: SiteIn,
    seen: IfMatch,
) -> Response:
    """Say where a site is, and by which patterns its points are named."""
    async with database(request).write(scope) as session:
        rows = GovernanceRepository(session, scope)
        seen.check(show_site(await _site(rows, site)))
        service = GovernanceService(session, scope, clock)
        await service.describe(site, asked.location, asked.naming, who)
        shown = show_site(await _site(rows, site))
    return json_response(shown)


@router.post("/sites/{site}/check", response_model=CheckedOut, summary="Check a site")
async def check_governance_site(
    *, request: Request, scope: CurrentScope, who: Writer, clock: Clock, site: RowId
) -> Response:
    """Apply all rules to a site now, and say what is new, what still is and what is closed."""
    seconds = request.app.state.settings.governance.rule_seconds
    async with database(request).write(scope) as session:
        service = GovernanceService(session, scope, clock)
        checked = await service.check(site, seconds=seconds, who=who)
    return json_response(show_checked(checked))


@router.post("/check", response_model=LaterOut, status_code=202, summary="Check all sites")
async def check_governance(
    request: Request, scope: CurrentScope, who: Writer, clock: Clock
) -> Response:
    """Have the worker check every site; `checked` of `GET /v1/governance/sites` says when it has."""
    async with database(request).write(scope) as session:
        sites = await GovernanceService(session, scope, clock).check_later(who)
    answer = json_response({"sites": sites}, {"Location": "/v1/governance/sites"})
    answer.status_code = 202
    return answer


@router.post("/sites/{site}/try", response_model=TryOut, summary="Try a rule")
async def try_governance_rule(
    *,
    session: Session,
    scope: CurrentScope,
    who: Writer,
    clock: Clock,
    site: RowId,
    asked: RuleIn,
) -> Response:
    """What a rule would find at a site; nothing is entered."""
    del who  # only that it may
    service = GovernanceService(session, scope, clock)
    return json_response(show_tried(await service.try_rule(asked.setting(asked.rule), site)))


@router.get("/sites/{site}/gate", response_model=GateOut, summary="The gate", dependencies=READ)
async def get_governance_gate(
    session: Session, scope: CurrentScope, clock: Clock, site: RowId
) -> Response:
    """Whether the site may be published as it is now, and what is in the way."""
    await _site(GovernanceRepository(session, scope), site)
    found = await blockers(session, scope, site, clock=clock)
    shown = [show_blocker(one) for one in found]
    return json_response({"site": site, "open": not found, "blockers": shown})


async def _site(rows: GovernanceRepository, site: int) -> AnyRow:
    row = await rows.site(site)
    if row is None:
        msg = f"there is no site {site}; GET /v1/sites lists yours"
        raise NotFound(msg)
    return row


# ---------------------------------------------------------------- findings and waivers


@router.get("/findings", response_model=FindingPage, summary="Findings", dependencies=READ)
async def list_governance_findings(
    *,
    request: Request,
    session: Session,
    scope: CurrentScope,
    site: SiteFilter = None,
    rule: Annotated[PlainText | None, Query(description="Only of this rule.")] = None,
    severity: Annotated[Severity | None, Query(description="Only of this severity.")] = None,
    state: Annotated[
        Literal["open", "waived", "closed"] | None, Query(description="All where left out.")
    ] = None,
    limit: Limit = 100,
    after: After = None,
) -> Response:
    """What rules found, oldest first; the same rule of the same thing is the same finding."""
    which = FindingFilter(site, rule, severity, state)
    listing = listing_of("governance-findings", **asdict(which))
    page = read_page(listing, limit, after, (int,))
    rows = await GovernanceRepository(session, scope).page(which, page)
    return page_response(request, listing, page, rows, show=show_finding, key=lambda row: (row.id,))


@router.get("/waivers", response_model=WaiverPage, summary="Waivers", dependencies=READ)
async def list_governance_waivers(
    *,
    request: Request,
    session: Session,
    scope: CurrentScope,
    clock: Clock,
    site: SiteFilter = None,
    open_only: Annotated[bool, Query(alias="open", description="Only those that hold.")] = False,
    limit: Limit = 100,
    after: After = None,
) -> Response:
    """What somebody puts up with, or did, oldest first."""
    listing = listing_of("governance-waivers", site=site, open=open_only)
    page = read_page(listing, limit, after, (int,))
    holds_at = clock.now_us() if open_only else None
    rows = await GovernanceRepository(session, scope).waiver_page(
        page, site=site, holds_at=holds_at
    )
    return page_response(request, listing, page, rows, show=show_waiver, key=lambda row: (row.id,))


@router.post("/sites/{site}/waivers", response_model=WaiverOut, summary="Waive")
async def add_governance_waiver(
    *,
    request: Request,
    scope: CurrentScope,
    who: Writer,
    clock: Clock,
    site: RowId,
    asked: WaiverIn,
) -> Response:
    """Put up with what a rule finds, for some days and for a reason; then it counts again."""
    async with database(request).write(scope) as session:
        service = GovernanceService(session, scope, clock)
        waiver = await service.waive(
            site, asked.rule, asked.subject, reason=asked.reason, days=asked.days, who=who
        )
        shown = show_waiver(await service.waiver(waiver))
    return json_response(shown)


@router.delete(
    "/waivers/{waiver}", response_model=WaiverOut, responses=STALE, summary="Take a waiver back"
)
async def end_governance_waiver(
    *,
    request: Request,
    scope: CurrentScope,
    who: Writer,
    clock: Clock,
    waiver: RowId,
    seen: IfMatch,
) -> Response:
    """Let what was waived count again; the waiver stays to be seen."""
    async with database(request).write(scope) as session:
        service = GovernanceService(session, scope, clock)
        seen.check(show_waiver(await service.waiver(waiver)))
        shown = show_waiver(await service.end_waiver(waiver, who))
    return json_response(shown)
