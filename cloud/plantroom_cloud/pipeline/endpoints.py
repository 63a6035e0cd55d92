"""Routes of jobs."""

from __future__ import annotations

import asyncio
import re
from typing import Annotated, Any, ClassVar, Final, Literal

import orjson
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from plantroom_cloud.identity.access import CurrentScope, Permit, Session
from plantroom_cloud.identity.permissions import Permission, Principal
from plantroom_cloud.kit.pages import After, Limit, listing_of, read_page
from plantroom_cloud.kit.parameters import PlainText
from plantroom_cloud.kit.problems import (
    REFERENCE,
    ApiError,
    Forbidden,
    InvalidRequest,
    TooLarge,
    refusals,
)
from plantroom_cloud.kit.repository import AnyRow
from plantroom_cloud.kit.responses import json_response, page_response
from plantroom_cloud.kit.session import Clock, database
from plantroom_cloud.pipeline.edges import Edges
from plantroom_cloud.pipeline.repository import JobRepository
from plantroom_cloud.pipeline.results import buildings_page, points_page
from plantroom_cloud.pipeline.schemas import (
    BuildingPage,
    JobIn,
    JobOut,
    JobPage,
    JobPointPage,
    show_job,
    show_short,
)
from plantroom_cloud.pipeline.service import (
    Asked,
    Ended,
    JobService,
    TooMany,
    no_job,
    sites_of,
)
from plantroom_cloud.pipeline.uploads import MAX_UPLOAD, Upload

router = APIRouter(tags=["jobs"])

UPLOADS: Final = (re.compile("/v1/jobs"), MAX_UPLOAD)
"""Paths whose bodies are files, and how many bytes they may have."""

JobId = Annotated[PlainText, Path(examples=["j-0011223344556677"])]
Name = Annotated[
    PlainText, Query(min_length=1, description="Of the building, for rows that name none.")
]
Llm = Annotated[bool, Query(description="For an upload: ask the LLM, where one is configured.")]
State = Annotated[
    Literal["open", "done", "failed", "cancelled"] | None, Query(description="Only in this state.")
]
Building = Annotated[int | None, Query(ge=0, le=10**6, description="Only of this building.")]
_LISTS: Final = ("text/csv", "text/plain", "application/octet-stream")


class NoList(ApiError):
    """The body is of a kind that nobody here reads."""

    status: ClassVar[int] = 415
    code: ClassVar[str] = "unsupported_media_type"
    title: ClassVar[str] = "This is neither JSON nor a point list"


@router.post(
    "/jobs",
    status_code=202,
    response_model=JobOut,
    responses=refusals(NoList, TooLarge, TooMany, Forbidden),
    summary="Start a job",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": JobIn.model_json_schema(ref_template=REFERENCE)},
                "text/csv": {"schema": {"type": "string"}},
            },
        }
    },
)
async def start_job(
    *,
    request: Request,
    scope: CurrentScope,
    who: Annotated[Principal, Depends(Permit(Permission.JOB_WRITE))],
    clock: Clock,
    name: Name = "upload",
    llm: Llm = True,
) -> Response:
    """Map the points of sites (JSON), or of a list of at most 32 MiB (CSV with `point_name`).

    Or those that EnOS Edges find (JSON with `edges`): they ask the devices of a building.

    The answer comes at once; GET /v1/jobs/{job} tells how far it has come, and its rows can be
    read meanwhile.
    """
    asked = await _asked(request, name, llm=llm)
    async with database(request).write(scope) as session:
        job = await JobService(session, scope, clock).start(asked, who)
        shown = await _shown(JobRepository(session, scope), job)
    return Response(orjson.dumps(shown), 202, {"Location": f"/v1/jobs/{job}"}, "application/json")


async def _asked(request: Request, name: str, *, llm: bool) -> Asked:
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    body = await request.body()
    if kind in _LISTS:
        # Seconds for a large list: not in the loop that serves requests.
        upload = await asyncio.to_thread(Upload, body, name)
        return Asked(upload=upload, options={"llm": llm})
    if kind != "application/json":
        msg = "send a list as text/csv, or say which sites as application/json"
        raise NoList(msg)
    try:
        given = JobIn.model_validate_json(body)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        raise RequestValidationError(
            [{**one, "loc": ("body", *one["loc"])} for one in found]
        ) from error
    if given.edges is not None:
        if given.sites is not None:
            msg = "sites and edges are two jobs: leave one of them out"
            raise InvalidRequest(msg)
        return Asked(edges=Edges(tuple(given.edges)), options={"llm": given.llm})
    options = {"llm": given.llm, "publish": given.publish}
    return Asked(sites=sites_of(given.sites), options=options)


async def _shown(jobs: JobRepository, job: str) -> dict[str, Any]:
    row = await _found(jobs, job)
    progress = await jobs.progress([job])
    told = await jobs.told(job, "score")
    return show_job(row, progress, told, await jobs.troubles(job))


async def _found(jobs: JobRepository, job: str) -> AnyRow:
    row = await jobs.find(job)
    if row is None:
        raise no_job(job)
    return row


@router.get(
    "/jobs",
    response_model=JobPage,
    summary="Jobs",
    dependencies=[Depends(Permit(Permission.JOB_READ))],
)
async def list_jobs(
    *,
    request: Request,
    session: Session,
    scope: CurrentScope,
    state: State = None,
    limit: Limit = 100,
    after: After = None,
) -> Response:
    """The company's jobs, the newest first."""
    listing = listing_of("jobs", state=state)
    page = read_page(listing, limit, after, (int, str))
    jobs = JobRepository(session, scope)
    rows = await jobs.page(state, page)
    progress = await jobs.progress([row.id for row in rows])

    def show(row: AnyRow) -> dict[str, Any]:
        return show_short(row, [one for one in progress if one.job_id == row.id])

    return page_response(
        request, listing, page, rows, show=show, key=lambda row: (row.created_us, row.id)
    )


@router.get(
    "/jobs/{job}",
    response_model=JobOut,
    summary="How far a job has come",
    dependencies=[Depends(Permit(Permission.JOB_READ))],
)
async def get_job(session: Session, scope: CurrentScope, job: JobId) -> Response:
    """A job with its stages, figures and troubles."""
    return json_response(await _shown(JobRepository(session, scope), job))


@router.get(
    "/jobs/{job}/points",
    response_model=JobPointPage,
    summary="Rows of a job",
    dependencies=[Depends(Permit(Permission.JOB_READ))],
)
async def list_job_points(
    *,
    request: Request,
    session: Session,
    scope: CurrentScope,
    job: JobId,
    building: Building = None,
    limit: Limit = 100,
    after: After = None,
) -> Response:
    """Points in the order they came in, with what is found of them so far."""
    jobs = JobRepository(session, scope)
    row = await _found(jobs, job)
    listing = listing_of("job-points", job=job, building=building)
    page = read_page(listing, limit, after, (int, int))
    rows = await points_page(jobs, row, page, building)
    return page_response(
        request,
        listing,
        page,
        rows,
        show=lambda found: found,
        key=lambda found: (found["building"], found["row"]),
    )


@router.get(
    "/jobs/{job}/buildings",
    response_model=BuildingPage,
    summary="Buildings of a job",
    dependencies=[Depends(Permit(Permission.JOB_READ))],
)
async def list_job_buildings(
    *,
    request: Request,
    session: Session,
    scope: CurrentScope,
    job: JobId,
    limit: Limit = 100,
    after: After = None,
) -> Response:
    """How far each building has come, and how sure it is."""
    jobs = JobRepository(session, scope)
    row = await _found(jobs, job)
    listing = listing_of("job-buildings", job=job)
    page = read_page(listing, limit, after, (int,))
    rows = await buildings_page(jobs, row, page)
    return page_response(
        request, listing, page, rows, show=lambda found: found, key=lambda found: (found["number"],)
    )


@router.post(
    "/jobs/{job}/cancel",
    response_model=JobOut,
    responses=refusals(Ended),
    summary="Cancel a job",
)
async def cancel_job(
    *,
    request: Request,
    scope: CurrentScope,
    who: Annotated[Principal, Depends(Permit(Permission.JOB_WRITE))],
    clock: Clock,
    job: JobId,
) -> Response:
    """End it; what it has found so far stays to be read, and what it has published stays."""
    async with database(request).write(scope) as session:
        await JobService(session, scope, clock).cancel(job, who)
        shown = await _shown(JobRepository(session, scope), job)
    return json_response(shown)


@router.post(
    "/jobs/{job}/resume",
    response_model=JobOut,
    responses=refusals(Ended),
    summary="Go on with a job",
)
async def resume_job(
    *,
    request: Request,
    scope: CurrentScope,
    who: Annotated[Principal, Depends(Permit(Permission.JOB_WRITE))],
    clock: Clock,
    job: JobId,
) -> Response:
    """Take up one that was cancelled or has failed; what is done is not done again."""
    async with database(request).write(scope) as session:
        await JobService(session, scope, clock).resume(job, who)
        shown = await _shown(JobRepository(session, scope), job)
    return json_response(shown)
