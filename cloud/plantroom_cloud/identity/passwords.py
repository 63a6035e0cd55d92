"""Passwords: argon2id, beside the event loop, a few at a time."""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Callable
from typing import Final, TypeVar

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from plantroom_cloud.kit.problems import NotReady

T = TypeVar("T")

SHORTEST: Final = 12
LONGEST: Final = 256
"""Characters of a password."""
_WAITING: Final = 16
"""Times the number of those at work: so many may wait before others are sent away."""
# OWASP's first choice: 46 MiB and one pass.
_HASHER: Final = PasswordHasher(time_cost=1, memory_cost=47_104, parallelism=1, type=Type.ID)


class Passwords:
    """Hashes and checks passwords in threads.

    Args:
        parallel: how many at the same time: each takes 46 MiB and a core for some 50 ms.
    """

    def __init__(self, parallel: int) -> None:
        self._gate = asyncio.Semaphore(parallel)
        self._most, self._asked = parallel * _WAITING, 0
        self._nobody = ""

    async def hash(self, plain: str) -> str:
        """Return what is kept of a password."""
        return await self._run(hash_now, plain)

    async def matches(self, plain: str, kept: str) -> bool:
        """Say whether a password is the one that is kept; as slow where none is (`kept` empty)."""
        if not kept and not self._nobody:
            self._nobody = await self._run(hash_now, "nobody has this password")
        return await self._run(_matches, plain, kept or self._nobody) and bool(kept)

    async def _run(self, work: Callable[..., T], *given: str) -> T:
        if self._asked >= self._most:
            msg = "too many people log in at this moment; try again"
            raise NotReady(msg)
        self._asked += 1
        try:
            async with self._gate:
                return await asyncio.to_thread(work, *given)
        finally:
            self._asked -= 1


def hash_now(plain: str) -> str:
    """Return what is kept of a password; takes its time."""
    return _HASHER.hash(_same(plain))


def outdated(kept: str) -> bool:
    """Say whether a password was hashed with less effort than we take now."""
    return _HASHER.check_needs_rehash(kept)


def _matches(plain: str, kept: str) -> bool:
    try:
        return _HASHER.verify(kept, _same(plain))
    except (VerificationError, InvalidHashError):
        return False


def _same(plain: str) -> str:
    """Two keyboards write the same letter in different ways."""
    return unicodedata.normalize("NFKC", plain[:LONGEST])


def weakness(plain: str, email: str = "") -> str:
    """Return why a password will not do; empty where it will."""
    if not SHORTEST <= len(plain) <= LONGEST:
        return f"take {SHORTEST} to {LONGEST} characters"
    if len(set(plain.lower())) < 5:
        return "take one of more different characters"
    local = email.partition("@")[0]
    if plain.lower() in {email, local * 2, local * 3}:
        return "take one that is not your address"
    if plain.lower() in _COMMON:
        return "take one that is not among the first to be tried"
    return ""


_COMMON: Final = frozenset(
    {
        "123456789012",
        "1234567890123",
        "administrator",
        "changemechangeme",
        "iloveyouiloveyou",
        "password1234",
        "password12345",
        "passwordpassword",
        "plantroom1234",
        "plantroomplantroom",
        "qwertyuiop12",
        "qwertyuiop123",
        "qwertyuiopasdf",
    }
)
