"""Routes of exports and imports."""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse

from plantroom_cloud.exchange.formats import FORMATS
from plantroom_cloud.exchange.record import Content, Format
from plantroom_cloud.exchange.repository import Decided
from plantroom_cloud.exchange.schemas import ImportOut, show_plan
from plantroom_cloud.exchange.service import ExchangeService, PlanChanged
from plantroom_cloud.identity.access import CurrentScope, Permit
from plantroom_cloud.identity.permissions import Permission, Principal
from plantroom_cloud.kit.parameters import RowId
from plantroom_cloud.kit.problems import InvalidRequest, NotReady, TooLarge, refusals
from plantroom_cloud.kit.responses import json_response
from plantroom_cloud.kit.session import Clock, database
from plantroom_shared.errors import ConfigError, Rejected

router = APIRouter(tags=["exchange"])

MAX_UPLOAD: Final = 64 * 1024 * 1024
FILES: Final = (re.compile(r"/v1/sites/[0-9]+/import"), MAX_UPLOAD)
"""Paths whose bodies are files, and how many bytes they may have."""
_IN_MEMORY: Final = 4 * 1024 * 1024
"""Bytes of a file that wait in memory for a slow reader; the rest waits on the disk."""
_PIECE: Final = 256 * 1024

Kind = Literal["haystack", "haystack-v3", "brick", "enos", "csv", "spreadsheet"]
FormatName = Annotated[
    Kind,
    Query(
        alias="format",
        description="; ".join(f"{name}: {format_.about}" for name, format_ in FORMATS.items()),
    ),
]
_REFUSALS: Final = refusals(PlanChanged, TooLarge)
_BODY: Final = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
_FILE: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "The file.",
        "content": {
            format_.media_type.split(";")[0]: {"schema": {}} for format_ in FORMATS.values()
        },
    }
}


@router.get(
    "/sites/{site}/export",
    responses=_FILE,
    summary="What a site's points mean, as a file",
    dependencies=[Depends(Permit(Permission.MAPPING_READ))],
)
async def export_site(
    *,
    request: Request,
    scope: CurrentScope,
    site: RowId,
    kind: FormatName = "haystack",
    accepted: Annotated[bool, Query(description="Only points whose mapping is accepted.")] = False,
) -> Response:
    """Points with equipment, classes, relations and thing-model points, of one moment.

    Every format holds all of it: what is exported can be imported again as it was.
    """
    format_ = FORMATS[kind]
    file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - closed when it is sent
    try:
        # Into a file first: a slow reader must not hold a connection of the database.
        async with database(request).read(scope) as session:
            service = ExchangeService(session, scope)
            slug = (await service.site(site)).slug
            async for piece in service.export(site, format_, accepted=accepted):
                await asyncio.to_thread(file.write, piece.encode())
    except BaseException:
        file.close()
        raise
    name = re.sub(r"[^A-Za-z0-9._-]", "_", slug) + format_.suffix
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(_pieces(file), 200, headers, format_.media_type)


def _pieces(file: tempfile.SpooledTemporaryFile[bytes]) -> Iterator[bytes]:
    with file:
        file.seek(0)
        while piece := file.read(_PIECE):
            yield piece


@router.post(
    "/sites/{site}/import",
    response_model=ImportOut,
    responses=_REFUSALS,
    openapi_extra=_BODY,
    summary="Take in what a file says of a site's points",
)
async def import_site(
    *,
    request: Request,
    scope: CurrentScope,
    who: Annotated[Principal, Depends(Permit(Permission.MAPPING_WRITE))],
    clock: Clock,
    site: RowId,
    kind: FormatName = "haystack",
    overwrite: Annotated[
        bool, Query(description="The file wins against what a person decided here.")
    ] = False,
    apply: Annotated[
        str,
        Query(max_length=64, pattern=r"\A[0-9a-f]*\z", description="The plan to be carried out."),
    ] = "",
) -> Response:
    """The body is the file. Without `apply` the plan is shown and nothing changes.

    Sent again with `apply` and the plan's name, exactly that is done; if the file or the site has
    changed meanwhile, nothing is. What is taken in counts as decided: the mapper leaves it alone.
    """
    async with database(request).read(scope) as session:
        await ExchangeService(session, scope).site(site)
    content = await _read(FORMATS[kind], await request.body())
    if not apply:
        async with database(request).read(scope) as session:
            plan = await ExchangeService(session, scope).plan(site, content, overwrite=overwrite)
        return json_response(show_plan(plan, applied=False))
    async with database(request).write(scope) as session:
        plan = await ExchangeService(session, scope).apply(
            site,
            content,
            overwrite=overwrite,
            digest=apply,
            about=Decided(f"taken in from {kind}", who.name, clock.now_us()),
            who=who,
        )
    return json_response(show_plan(plan, applied=True))


async def _read(format_: Format, data: bytes) -> Content:
    try:
        return await asyncio.to_thread(format_.read, data)
    except Rejected as error:
        detail = str(error)
        found = {"where": "body", "name": format_.name, "detail": detail}
        msg = f"body: {detail}"
        raise InvalidRequest(msg, code="invalid_file", errors=[found]) from error
    except ConfigError as error:
        raise NotReady(str(error)) from error
