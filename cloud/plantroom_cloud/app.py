"""The API as an ASGI application."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware

from plantroom_cloud import api, public
from plantroom_cloud.audit.middleware import AuditOrigin
from plantroom_cloud.config import CloudSettings
from plantroom_cloud.conventions import description, once
from plantroom_cloud.conventions.buckets import MemoryBuckets
from plantroom_cloud.conventions.etags import ETags
from plantroom_cloud.conventions.limiting import Limiter, RateLimits
from plantroom_cloud.conventions.shape import Shape
from plantroom_cloud.db import Database
from plantroom_cloud.exchange.endpoints import FILES
from plantroom_cloud.gateways.claim.endpoints import Provision
from plantroom_cloud.identity import oauth
from plantroom_cloud.identity.oidc import endpoints as oidc
from plantroom_cloud.identity.oidc.port import Http
from plantroom_cloud.kit import dispatch, problems
from plantroom_cloud.kit.caches import Caches
from plantroom_cloud.kit.deadlines import RequestDeadline
from plantroom_cloud.kit.draining import Draining
from plantroom_cloud.kit.measuring import Measuring
from plantroom_cloud.kit.middleware import BodyLimit, LastResort, SecurityHeaders, TraceId
from plantroom_cloud.kit.outbound import Rules
from plantroom_cloud.kit.tracing import RequestSpans
from plantroom_cloud.licensing.middleware import LicenceWarnings
from plantroom_cloud.licensing.requests import RequestMeter
from plantroom_cloud.live.bus import MemoryBus
from plantroom_cloud.live.following import Live
from plantroom_cloud.live.socket import router as live_socket
from plantroom_cloud.pipeline.endpoints import UPLOADS
from plantroom_shared.clock import Clock, SystemClock

_ABOUT = (
    "From the plant room to the cloud: sites, points, history, findings and what points mean. "
    "Send a key, or a token of /oauth/token, as 'Authorization: Bearer ...'. Times are RFC 3339 in UTC; errors are "
    "problem details (RFC 9457)."
)


def create_app(
    settings: CloudSettings,
    db: Database,
    *,
    clock: Clock | None = None,
    http: Http | None = None,
    draining: Draining | None = None,
    lonely: bool = False,
) -> FastAPI:
    """Return the API over `db`; who made `db` closes it.

    Args:
        settings: of the service.
        db: migrated to the present tables.
        clock: what "now" means; the machine's own by default.
        http: what asks identity providers; a plain client by default.
        draining: set when the process is about to end; by default it never is.
        lonely: whether what stores samples is another process.
    """
    clock = clock or SystemClock()
    limiter = Limiter(settings.api, MemoryBuckets(), clock)
    app = FastAPI(
        title="Plantroom",
        version=version("plantroom"),
        description=_ABOUT,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
        middleware=_middleware(settings, db, limiter),
    )
    app.state.limiter = limiter
    app.state.settings = settings
    app.state.db = db
    app.state.clock = clock
    app.state.provision = Provision(settings)
    app.state.requests = RequestMeter(db, clock)
    app.state.draining = draining or Draining()
    app.state.caches = Caches(settings, clock)
    db.bus = bus = db.bus or MemoryBus()
    origins = settings.api.cors
    app.state.live = Live(db, bus, settings.live, clock, origins=origins, lonely=lonely)
    app.state.outbound = Rules(settings.outbound)
    oauth.install(app)
    oidc.install(app, http)
    problems.install(app)
    once.install(app)
    app.include_router(public.router)
    app.include_router(oauth.router)
    app.include_router(api.PROVISION)
    app.include_router(oidc.router)
    # The prefix is said here: without one FastAPI makes every route twice, to look for an empty path.
    app.include_router(api.v1(), prefix=api.PREFIX)
    app.include_router(live_socket)  # no key opens it, but a ticket in its first message
    dispatch.install(app)
    _describe(app)
    return app


def _middleware(all_settings: CloudSettings, db: Database, limiter: Limiter) -> list[Middleware]:
    """Return what stands around every request, the outermost first; all of it plain ASGI."""
    settings, limits = all_settings.api, all_settings.resilience
    with_files = [(paths, limits.upload) for paths, _ in (FILES, UPLOADS)]
    cors = Middleware(
        CORSMiddleware,
        allow_origins=settings.cors,
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=["Authorization", "X-API-Key", "Content-Type", "If-Match", once.HEADER],
        expose_headers=[
            "ETag",
            "Licence-Warning",
            "Link",
            "Location",
            "RateLimit",
            "Retry-After",
            "X-Trace-Id",
        ],
    )
    return [
        Middleware(TraceId),
        Middleware(RequestSpans),
        Middleware(Measuring),
        Middleware(AuditOrigin),
        Middleware(SecurityHeaders),
        Middleware(LicenceWarnings),
        *([cors] if settings.cors else []),
        Middleware(GZipMiddleware, minimum_size=1024, compresslevel=5),
        Middleware(LastResort),
        Middleware(RateLimits, limiter=limiter),
        Middleware(RequestDeadline, seconds=limits.request, longer=with_files),
        Middleware(BodyLimit, larger=(FILES, UPLOADS)),
        Middleware(
            Shape,
            query=settings.query_bytes,
            depth=settings.json_depth,
            members=settings.json_members,
            files=(FILES[0],),
        ),
        Middleware(ETags),
        Middleware(once.Once, db=db),
    ]


def _describe(app: FastAPI) -> None:
    """Make the OpenAPI document say what holds for every route."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=app.routes,
            )
            description.complete(made)
            app.openapi_schema = made
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign] # the framework's documented way
