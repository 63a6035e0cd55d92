"""Answers that were given once: in memory, and behind that in the database."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.db import Scope
from plantroom_cloud.mapping.repository import MappingRepository

MOST: Final = 200_000
"""Answers in memory, of all companies together; some 40 MB."""


class AnswerCache:
    """Question's key → class or ``unknown``; a company sees only its own.

    The key holds all that an answer depends on: template, candidates, prompt, model and ontology.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._known: OrderedDict[tuple[int, str], str] = OrderedDict()

    def __len__(self) -> int:
        """Return how many answers are in memory."""
        return len(self._known)

    async def find(
        self, session: AsyncSession, scope: Scope, keys: Collection[str]
    ) -> dict[str, str]:
        """Return the known answers among `keys`."""
        found: dict[str, str] = {}
        missing: list[str] = []
        for key in keys:
            name = self._known.get((scope.company_id, key))
            if name is None:
                missing.append(key)
            else:
                self._known.move_to_end((scope.company_id, key))
                found[key] = name
        if missing:
            stored = await MappingRepository(session, scope).answers(missing)
            read = {key: answer.decode("utf-8", "replace") for key, answer in stored.items()}
            self.put(scope, read)
            found |= read
        return found

    def put(self, scope: Scope, answers: Mapping[str, str]) -> None:
        """Keep answers that the database has."""
        for key, name in answers.items():
            self._known[scope.company_id, key] = name
        while len(self._known) > self._most:
            self._known.popitem(last=False)
