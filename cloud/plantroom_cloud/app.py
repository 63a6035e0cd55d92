"""The API as an ASGI application."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware

from plantroom_cloud import api, public
from plantroom_cloud.config import CloudSettings
from plantroom_cloud.db import Database
from plantroom_cloud.exchange.endpoints import FILES
from plantroom_cloud.identity.service import KeyService
from plantroom_cloud.kit import problems
from plantroom_cloud.kit.middleware import BodyLimit, LastResort, SecurityHeaders, TraceId
from plantroom_cloud.pipeline.endpoints import UPLOADS
from plantroom_shared.clock import Clock, SystemClock

_ABOUT = (
    "From the plant room to the cloud: sites, points, history, findings and what points mean. "
    "Send your key as 'Authorization: Bearer pk_...'. Times are RFC 3339 in UTC; errors are "
    "problem details (RFC 9457)."
)


def create_app(settings: CloudSettings, db: Database, *, clock: Clock | None = None) -> FastAPI:
    """Return the API over `db`; who made `db` closes it.

    Args:
        settings: of the service.
        db: migrated to the present tables.
        clock: what "now" means; the machine's own by default.
    """
    app = FastAPI(
        title="Plantroom",
        version=version("plantroom"),
        description=_ABOUT,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        middleware=[
            Middleware(TraceId),
            Middleware(SecurityHeaders),
            Middleware(GZipMiddleware, minimum_size=1024, compresslevel=5),
            Middleware(LastResort),
            Middleware(BodyLimit, larger=(FILES, UPLOADS)),
        ],
    )
    app.state.settings = settings
    app.state.db = db
    app.state.clock = clock or SystemClock()
    app.state.keys = KeyService(db, app.state.clock)
    problems.install(app)
    app.include_router(public.router)
    app.include_router(api.v1())
    _describe(app)
    return app


def _describe(app: FastAPI) -> None:
    """Make the OpenAPI document name our problem details in place of the framework's errors."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=app.routes,
            )
            schemas = made.setdefault("components", {}).setdefault("schemas", {})
            shape = problems.Problem.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas.update(shape.pop("$defs", {}), Problem=shape)
            app.openapi_schema = made
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign] # the framework's documented way
