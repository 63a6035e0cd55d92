"""Routes are looked up, and found are the same as the framework would find by trying them all."""

from __future__ import annotations

import re
from collections.abc import Callable

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import PlainTextResponse
from starlette.routing import Match
from starlette.types import Scope

from plantroom_cloud.kit import dispatch
from plantroom_cloud.kit.measuring import route_of
from support.api_routes import all_routes

Matching = Callable[[Scope], tuple[Match, Scope]]

ASKED = (
    "GET /a/list",
    "GET /a/list/",
    "POST /a/list",
    "DELETE /a/list",
    "GET /a/list/7",
    "GET /a/list/first",
    "GET /a/list/7/deep/er/end",
    "GET /a/list/7/deep",
    "GET /a/other",
    "HEAD /a/list",
    "GET /alone",
    "GET /mounted/x",
    "GET /mounted/x/y",
    "GET /whatever/list",
    "GET /",
    "GET /none",
    "GET //a/list",
    "GET /a/list%2F7",
)


def _app() -> FastAPI:
    """Return an app with routers within routers, of whose routes several fit the same path."""
    inner, outer, app = APIRouter(), APIRouter(prefix="/a"), FastAPI(redirect_slashes=False)

    def tell(request: Request) -> dict[str, object]:
        params = {name: str(value) for name, value in request.path_params.items()}
        return {"route": route_of(request.scope), "params": params}

    for path in ("/list", "/list/first", "/list/{number}", "/list/{rest:path}/end"):

        @inner.get(path, name=path)
        async def answer(request: Request) -> dict[str, object]:
            return tell(request)

    @inner.post("/list")
    async def change(request: Request) -> dict[str, object]:
        return tell(request) | {"changed": True}

    @app.get("/{which}/list")
    async def whatever(request: Request, which: str) -> dict[str, object]:
        return tell(request) | {"which": which}

    @app.get("/alone")
    async def alone(request: Request) -> dict[str, object]:
        return tell(request)

    outer.include_router(inner)
    app.include_router(outer)
    app.mount("/mounted", PlainTextResponse("mounted"))
    return app


async def _ask(app: FastAPI, asked: str) -> tuple[int, bytes, str | None]:
    method, path = asked.split(" ", 1)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        answer = await client.request(method, f"http://api{path}")
    return answer.status_code, answer.content, answer.headers.get("allow")


@pytest.mark.parametrize("asked", ASKED)
async def test_the_same_route_answers(asked: str) -> None:
    """What is asked for gets the very answer that it gets without the look-up."""
    plain, quick = _app(), _app()
    dispatch.install(quick)
    assert await _ask(quick, asked) == await _ask(plain, asked)


async def test_what_is_found_is_not_searched_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A path that is known never comes to the framework's own search; another one does."""
    app = _app()
    dispatch.install(app)
    tried: list[str] = []
    for route in app.router.routes:
        found = route.matches

        def matches(scope: Scope, found: Matching = found) -> tuple[Match, Scope]:
            tried.append(scope["path"])
            return found(scope)

        monkeypatch.setattr(route, "matches", matches)
    assert (await _ask(app, "GET /a/list/7"))[0] == 200
    assert tried == []
    assert (await _ask(app, "GET /none"))[0] == 404
    assert set(tried) == {"/none"}


def test_every_route_of_the_api_is_known(api: FastAPI) -> None:
    """Each route of the service is found by its own path, and is the one that describes it."""
    search = api.router.middleware_stack
    assert isinstance(search, dispatch.Dispatch)
    for route in all_routes(api):
        path = re.sub(r"{[^}]*}", "x", route.path)
        scope = {"type": "http", "path": path, "root_path": "", "method": route.method}
        assert search.find(scope) is not None, f"{route.method} {route.path}"
