"""Routes of thing models, overrides and the schema check."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from plantroom_cloud.conventions.etags import STALE, IfMatch
from plantroom_cloud.identity.access import CurrentScope, Permit, Session
from plantroom_cloud.identity.permissions import Permission, Principal
from plantroom_cloud.kit.cache import Cache, Lives
from plantroom_cloud.kit.caches import caches
from plantroom_cloud.kit.parameters import PlainText, RowId
from plantroom_cloud.kit.problems import InvalidRequest, NotFound, invalid, refusals
from plantroom_cloud.kit.responses import json_response
from plantroom_cloud.kit.session import Clock, database
from plantroom_cloud.thingmodels.overriding import give_override, take_back
from plantroom_cloud.thingmodels.reading import Read, read_models
from plantroom_cloud.thingmodels.repository import OverrideRepository, ThingModelRepository
from plantroom_cloud.thingmodels.schemas import (
    DeletedOut,
    DiffOut,
    ImportOut,
    ModelDetail,
    ModelList,
    OverrideIn,
    OverrideList,
    OverrideOut,
    SchemaCheckOut,
    show_builtin,
    show_check,
    show_diff,
    show_head,
    show_import,
    show_model,
    show_override,
)
from plantroom_cloud.thingmodels.service import ThingModelService, TooMany
from plantroom_shared.mapping.targets import TargetName, builtin

router = APIRouter(tags=["thing models"])

ModelId = Annotated[PlainText, Path(examples=["EnOS_HVAC_CH"])]
Version = Annotated[int | None, Query(ge=1, le=2**31 - 1, examples=[None])]
FileName = Annotated[PlainText, Query(description="Stands before problems.", examples=["ch.json"])]
_FULL: Final = refusals(TooMany)
_TAG: Final = "thing-models"
_LIVES: Final = Lives(fresh=5.0, stale=60.0)
"""Models are read at every mapping that is looked at, and change a few times a year."""
_BODY: Final = {
    "requestBody": {
        "description": (
            "The answer of EnOS's thing-models API, a JSON export of its console, or a plain list "
            '{"models": {"<model id>": {"<point>": {"type": "Double", "unit": "°C"}}}}.'
        ),
        "required": True,
        "content": {"application/json": {"schema": {}}},
    }
}


@router.get(
    "/thing-models",
    response_model=ModelList,
    summary="Thing models",
    dependencies=[Depends(Permit(Permission.MAPPING_READ))],
)
async def list_models(request: Request, scope: CurrentScope) -> Response:
    """What points can be mapped to: the company's own models, and the built-in ones beside them."""

    async def read() -> list[Any]:
        async with database(request).read(scope) as session:
            rows = await ThingModelRepository(session, scope).heads()
        own = {row.model_id: show_head(row) for row in rows}
        known = {model.model_id: show_builtin(model) for model in builtin()}
        return [item for _, item in sorted((known | own).items())]

    items = await _listed(request).get(scope.company_id, "list", read, tags=(_TAG,))
    return json_response({"items": items})


def _listed(request: Request) -> Cache[Any]:
    return caches(request).of("thing-models", _LIVES)


@router.post(
    "/thing-models/import",
    response_model=ImportOut,
    responses=_FULL,
    openapi_extra=_BODY,
    summary="Import thing models",
)
async def import_models(
    *,
    request: Request,
    scope: CurrentScope,
    who: Annotated[Principal, Depends(Permit(Permission.MAPPING_WRITE))],
    clock: Clock,
    file: FileName = "body",
) -> Response:
    """Read models; one that is wrong costs no other. What differs becomes a further version."""
    read = await asyncio.to_thread(read_models, await request.body(), file)
    if not read.models:
        raise _nothing_read(read)
    async with database(request).write(scope) as session:
        service = ThingModelService(session, scope, clock)
        done = await service.add(read, origin=file, who=who)
    await _listed(request).forget(scope.company_id, _TAG)
    return json_response(show_import(done))


def _nothing_read(read: Read) -> InvalidRequest:
    items = [
        {"where": "body", "name": problem.key or "body", "detail": f"{problem.what}; {problem.fix}"}
        for problem in read.problems[:20]
    ]
    return InvalidRequest(f"no model can be read: {read.problems[0]}", errors=items)


@router.get(
    "/thing-models/{model}",
    response_model=ModelDetail,
    summary="One thing model",
    dependencies=[Depends(Permit(Permission.MAPPING_READ))],
)
async def get_model(
    *, session: Session, scope: CurrentScope, clock: Clock, model: ModelId, version: Version = None
) -> Response:
    """A model with its points, as it stands in one version, and the history of all."""
    found, versions = await ThingModelService(session, scope, clock).find(model, version)
    return json_response(show_model(found, versions))


@router.get(
    "/thing-models/{model}/diff",
    response_model=DiffOut,
    summary="Compare two versions",
    dependencies=[Depends(Permit(Permission.MAPPING_READ))],
)
async def get_diff(
    *,
    session: Session,
    scope: CurrentScope,
    clock: Clock,
    model: ModelId,
    old: Version = None,
    new: Version = None,
) -> Response:
    """How two versions differ; by default the newest and the one before, or the built-in one."""
    service = ThingModelService(session, scope, clock)
    before, after, found = await service.diff(model, old, new)
    return json_response(show_diff(model, before, after, found))


@router.delete(
    "/thing-models/{model}",
    response_model=DeletedOut,
    responses=STALE,
    summary="Delete a thing model",
)
async def delete_model(
    *,
    request: Request,
    scope: CurrentScope,
    who: Annotated[Principal, Depends(Permit(Permission.MAPPING_WRITE))],
    clock: Clock,
    model: ModelId,
    seen: IfMatch,
) -> Response:
    """Let one of the company's own models hold no more; its versions stay to be seen."""
    async with database(request).write(scope) as session:
        service = ThingModelService(session, scope, clock)
        seen.check(show_model(*await service.find(model, None)))
        await service.delete(model, who)
    await _listed(request).forget(scope.company_id, _TAG)
    return json_response({"deleted": model})


@router.get(
    "/sites/{site}/schema-check",
    response_model=SchemaCheckOut,
    summary="Check a site's mapping",
    dependencies=[Depends(Permit(Permission.MAPPING_READ))],
)
async def check_site(
    *,
    session: Session,
    scope: CurrentScope,
    clock: Clock,
    site: RowId,
    target: Annotated[TargetName, Query(description="Against which models.")] = "enos",
) -> Response:
    """What does not fit: points missing or claimed twice, types, units, models there are not."""
    checked, found = await ThingModelService(session, scope, clock).check(site, target)
    return json_response(show_check(site, target, checked, found))


# ---------------------------------------------------------------- overrides


@router.get(
    "/mapping-overrides",
    response_model=OverrideList,
    summary="Overrides",
    dependencies=[Depends(Permit(Permission.MAPPING_READ))],
)
async def list_overrides(
    *,
    session: Session,
    scope: CurrentScope,
    ended: Annotated[bool, Query(description="The former ones as well.")] = False,
) -> Response:
    """What the company says in place of its mappings, by id."""
    rows = await OverrideRepository(session, scope).rows(ended=ended)
    return json_response({"items": [show_override(row) for row in rows]})


@router.post("/mapping-overrides", response_model=OverrideOut, summary="Add an override")
async def add_override(
    *,
    request: Request,
    scope: CurrentScope,
    who: Annotated[Principal, Depends(Permit(Permission.MAPPING_WRITE))],
    clock: Clock,
    asked: OverrideIn,
) -> Response:
    """Publish another model, point, unit, sign or multiplier; it ends the one about the same."""
    columns = asked.columns()
    async with database(request).write(scope) as session:
        row = await give_override(session, scope, clock, columns, who=who)
    if row is None:
        msg = "there is no such site or point; GET /v1/sites and GET /v1/points list yours"
        raise invalid(msg, parameter="point" if asked.point else "site")
    return json_response(show_override(row))


@router.delete(
    "/mapping-overrides/{override}",
    response_model=DeletedOut,
    summary="Take an override back",
)
async def delete_override(
    *,
    request: Request,
    scope: CurrentScope,
    who: Annotated[Principal, Depends(Permit(Permission.MAPPING_WRITE))],
    clock: Clock,
    override: RowId,
) -> Response:
    """Let an override hold no more; it stays to be seen with `ended`."""
    async with database(request).write(scope) as session:
        gone = await take_back(session, scope, clock, override, who=who)
    if not gone:
        msg = f"there is no override {override}; GET /v1/mapping-overrides lists yours"
        raise NotFound(msg)
    return json_response({"deleted": str(override)})
