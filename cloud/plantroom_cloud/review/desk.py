"""The review for whoever runs the service, straight on the database: each call is one transaction."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from plantroom_cloud.audit import cli_user
from plantroom_cloud.config import CloudSettings
from plantroom_cloud.db import Database, Scope, open_database
from plantroom_cloud.gateways.provision import find_site
from plantroom_cloud.kit.pages import Page
from plantroom_cloud.migrations import migrate
from plantroom_cloud.review.repository import ReviewRepository
from plantroom_cloud.review.schemas import AnswerIn, AnswersIn, RulesIn, UndoIn
from plantroom_cloud.review.service import Reading, ReviewService
from plantroom_cloud.review.show import show_event, show_overview
from plantroom_shared.clock import SystemClock

QUEUE = 500
"""Templates that are shown at once."""


class Desk:
    """One site under review by one person."""

    def __init__(self, db: Database, scope: Scope, site: int) -> None:
        self._db, self._scope, self._site = db, scope, site
        self._clock = SystemClock()
        self._read: Reading | None = None
        self.actor = cli_user()

    async def look(
        self, state: str = "open", limit: int = QUEUE
    ) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Return how far it has come, and the queue."""
        async with self._db.read(self._scope) as session:
            service = ReviewService(session, self._scope, self._clock)
            self._read = await service.read(self._site)
            picture = self._read.picture
            shown = await service.shown(picture.queue(state)[:limit])
            return show_overview(self._site, picture, self._read.last), shown

    async def why(self, template: str) -> dict[str, Any]:
        """Return everything there is to say about a template, as of the last look."""
        async with self._db.read(self._scope) as session:
            service = ReviewService(session, self._scope, self._clock)
            return await service.why(self._site, template, self._read)

    async def answer(
        self, templates: Sequence[str], action: str, point_class: str = ""
    ) -> dict[str, Any]:
        """Decide about templates, all the same way."""
        answers = [
            AnswerIn.model_validate(
                {"template": template, "action": action, "point_class": point_class}
            )
            for template in templates
        ]
        return await self._answer(AnswersIn(request=_name(), answers=answers))

    async def accept_from(self, confidence: float) -> dict[str, Any]:
        """Accept all that is at least so sure."""
        return await self._answer(AnswersIn(request=_name(), accept_from=confidence))

    async def undo(self) -> dict[str, Any]:
        """Take the last request back."""
        async with self._db.write(self._scope) as session:
            service = ReviewService(session, self._scope, self._clock)
            return await service.undo(self._site, UndoIn(request=_name()), self.actor)

    async def rules(self) -> dict[str, Any]:
        """Return the rules."""
        async with self._db.read(self._scope) as session:
            return await ReviewService(session, self._scope, self._clock).rules(self._site)

    async def set_rules(self, text: str) -> dict[str, Any]:
        """Take edited rules."""
        async with self._db.write(self._scope) as session:
            service = ReviewService(session, self._scope, self._clock)
            asked = RulesIn(request=_name(), text=text)
            return await service.set_rules(self._site, asked, self.actor)

    async def history(self, limit: int = 1000) -> list[Mapping[str, Any]]:
        """Return who decided what, the newest first."""
        async with self._db.read(self._scope) as session:
            rows = ReviewRepository(session, self._scope)
            gone = await rows.undone(self._site)
            events = await rows.history(self._site, Page(limit - 1, None))
            return [show_event(row, gone) for row in events]

    async def _answer(self, asked: AnswersIn) -> dict[str, Any]:
        async with self._db.write(self._scope) as session:
            service = ReviewService(session, self._scope, self._clock)
            return await service.answer(self._site, asked, self.actor)


def _name() -> str:
    return secrets.token_hex(8)


@asynccontextmanager
async def desk(settings: CloudSettings, site: str, company: str) -> AsyncIterator[Desk]:
    """Yield the desk of a site; ConfigError if there is none of that name."""
    database = open_database(settings)
    try:
        await migrate(database)
        async with database.read(None) as session:
            scope, site_id = await find_site(session, site, company)
        yield Desk(database, scope, site_id)
    finally:
        await database.close()
