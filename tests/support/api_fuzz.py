"""The application in this process, asked by each role, and judged by its own OpenAPI document."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast
from urllib.parse import quote

import httpx
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi import checks

from plantroom_cloud.app import create_app
from plantroom_cloud.identity.permissions import ROLES
from support.api_matrix import Credential, Undone, credentials
from support.api_routes import Route, all_routes
from support.api_world import SETTINGS, Stopped, Tenant, seed
from support.servers import opened

BASE = "http://api"
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]


class World:
    """A company with one of everything, a user of each role, and nothing that is done stays.

    Args:
        runner: of its own event loop.
        app: the real application.
        tenant: the company.
        users: by role.
    """

    def __init__(
        self, runner: asyncio.Runner, app: FastAPI, tenant: Tenant, users: dict[str, Credential]
    ) -> None:
        self.app, self.tenant, self.users = app, tenant, users
        self._runner = runner
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        self._client = httpx.AsyncClient(transport=transport, base_url=BASE)
        self.asked = Counter[str]()
        """Role → requests."""

    @property
    def routes(self) -> list[Route]:
        """All that the document describes, in the application's order."""
        known = self.app.openapi()["paths"]
        return [
            route
            for route in all_routes(self.app)
            if route.method.lower() in known.get(route.path, {}) and not route.is_stream
        ]

    def ask(
        self,
        role: str,
        method: str,
        url: str,
        *,
        headers: dict[str, str] | None = None,
        content: bytes | None = None,
    ) -> httpx.Response:
        """Make a request as a role."""
        self.asked[role] += 1
        sent = {"If-Match": "*"} | (headers or {}) | self.users[role].headers
        raw = [(name.encode("latin-1"), text.encode("latin-1")) for name, text in sent.items()]
        request = httpx.Request(method, url, headers=raw, content=content)
        return self._runner.run(self._client.send(request))


@contextmanager
def world(
    database_url: str, *, prepare: Callable[[FastAPI], None] = lambda _: None
) -> Iterator[World]:
    """Yield a world over a migrated, empty database."""

    async def planted(app: FastAPI) -> tuple[Tenant, dict[str, Credential]]:
        async with opened(database_url) as database:
            tenant = await seed(database, "acme")
            users = {
                role: (await credentials(app, database, tenant, role))[0] for role in sorted(ROLES)
            }
        return tenant, users

    with asyncio.Runner() as runner:
        undone, clock = Undone(database_url), Stopped()
        remembering = SETTINGS.identity.model_copy(update={"cache": 4.0})
        told = SETTINGS.model_copy(update={"identity": remembering})
        app = create_app(told, undone, clock=clock)
        prepare(app)
        try:
            tenant, users = runner.run(planted(app))
            app.state.gate._used.update(dict.fromkeys(range(1000), clock.now))
            yield World(runner, app, tenant, users)
        finally:
            runner.run(undone.close())


# ------------------------------------------------------------ from the document


class Fuzz:
    """Asks what the document allows, and what it does not, and judges the answers by it.

    Args:
        here: who is asked.
        examples: of each operation and kind.
    """

    def __init__(self, here: World, examples: int) -> None:
        self._here, self._examples = here, examples
        self._roles = itertools.cycle(role for role in here.users if role != "company_admin")
        self.found: dict[str, str] = {}
        """What is wrong, each kind once, and how it was asked."""

    def run(self) -> None:
        """Ask all operations."""
        schema = schemathesis.openapi.from_dict(self._here.app.openapi())
        routes = {(route.method, route.path): route for route in self._here.routes}
        for result in schema.get_all_operations():
            operation: Any = cast("Any", result).ok()  # one that is none raises
            if (route := routes.get((operation.method.upper(), operation.path))) is None:
                continue  # an answer without an end
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                self._run(operation, route, mode)

    def _run(self, operation: Any, route: Route, mode: GenerationMode) -> None:
        @settings(
            max_examples=self._examples,
            database=None,
            derandomize=True,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(operation.as_strategy(generation_mode=mode), st.booleans())
        def one(case: Case[Any], own: bool) -> None:
            for role in ("company_admin", next(self._roles)):
                self._ask(case, route, role, own=own)

        try:
            one()
        except Unsatisfiable:  # nothing can be said wrongly where nothing can be said
            assert mode is GenerationMode.NEGATIVE, route

    def _ask(self, case: Case[Any], route: Route, role: str, *, own: bool) -> None:
        import requests

        try:
            kwargs = case.as_transport_kwargs(base_url=BASE)
            kwargs.pop("cookies", None)
            made = requests.Request(**kwargs).prepare()
            headers = {str(name): str(text) for name, text in made.headers.items()}
            for text in headers.values():
                text.encode("latin-1")
        except (requests.RequestException, UnicodeError, KeyError):
            return  # no client could send it: half a character, a path that lacks a part
        url = str(made.url)
        if own and "{" in route.path and route.path.startswith("/v1/"):
            url = (
                BASE
                + quote(route.url(self._here.tenant))
                + url.removeprefix(BASE).partition("?")[1]
                + url.partition("?")[2]
            )
        body = made.body.encode() if isinstance(made.body, str) else cast("bytes | None", made.body)
        answer = self._here.ask(role, str(made.method), url, headers=headers, content=body)
        try:
            case.validate_response(answer, checks=CHECKS)
        except FailureGroup as group:
            for failure in group.exceptions:
                kind = f"{route.method} {route.path} {type(failure).__name__} {answer.status_code}"
                how = f"{role}: {made.method} {url} {body!r:.300} -> {answer.text[:300]} ({failure!s:.400})"
                if kind not in self.found:
                    self.found[kind] = how
                    print(f"{kind}: {how}", flush=True)
