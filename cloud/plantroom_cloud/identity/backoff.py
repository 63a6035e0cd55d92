"""Guessing passwords gets slower: by account and address, by address, by account.

A try is entered before the password is looked at, so that a thousand at the same moment are a
thousand tries. An account as such never waits longer than a minute: who guesses at somebody's
password must not be able to lock that one out.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.db import insert_into
from plantroom_cloud.kit.times import DAY, SECOND
from plantroom_cloud.tables import LoginBackoff


@dataclass(frozen=True, slots=True)
class _Rule:
    free: int
    """Tries that cost nothing."""
    most: int
    """Seconds of the longest wait."""


_PAIR: Final = _Rule(5, 900)
_ADDRESS: Final = _Rule(30, 900)
_ACCOUNT: Final = _Rule(50, 60)
_FORGOTTEN: Final = DAY


def wait_of(failures: int, free: int, most: int) -> int:
    """Return the seconds to wait after so many failures: 1, 2, 4 ... once `free` are used up.

    Whole seconds and no chance in them, unlike `plantroom_shared.backoff`: who waits is told.
    """
    over = failures - free
    return 0 if over < 0 else min(most, 1 << min(over, 20))


class Backoff:
    """The tries of one account from one address."""

    def __init__(self, session: AsyncSession, account: str, address: str) -> None:
        self._session = session
        address = _network(address)
        self._rules = {
            _digest("pair", account, address): _PAIR,
            _digest("address", address): _ADDRESS,
            _digest("account", account): _ACCOUNT,
        }
        self._pair, self._address, self._account = self._rules

    async def enter(self, now_us: int) -> float:
        """Enter a try; return the seconds to wait where it comes too early, and enter nothing."""
        rows = await self._rows()
        waits = [self._wait(row, now_us) for row in rows]
        if any(wait > 0 for wait in waits):
            return max(waits)
        for row in rows:
            row.failures = 1 + (row.failures if _counts(row, now_us) else 0)
            row.last_us = now_us
        await self._session.flush()
        return 0

    async def succeeded(self, now_us: int) -> None:
        """Forget the failures of the account; of the address only this try, which was none."""
        mine = LoginBackoff.key.in_([self._pair, self._account])
        old = LoginBackoff.last_us < now_us - _FORGOTTEN
        await self._session.execute(delete(LoginBackoff).where(mine | old))
        here = (LoginBackoff.key == self._address, LoginBackoff.failures > 0)
        less = {"failures": LoginBackoff.failures - 1}
        await self._session.execute(update(LoginBackoff).where(*here).values(less))

    async def _rows(self) -> Sequence[LoginBackoff]:
        """Return the rows, locked: those who try at the same moment come one by one."""
        keys = sorted(self._rules)
        nothing = [{"key": key, "failures": 0, "last_us": 0} for key in keys]
        made = insert_into(self._session, LoginBackoff).values(nothing)
        await self._session.execute(made.on_conflict_do_nothing())
        statement = select(LoginBackoff).where(LoginBackoff.key.in_(keys))
        locked = statement.order_by(LoginBackoff.key).with_for_update()
        return (await self._session.execute(locked)).scalars().all()

    def _wait(self, row: LoginBackoff, now_us: int) -> float:
        rule = self._rules[row.key]
        seconds = wait_of(row.failures, rule.free, rule.most) if _counts(row, now_us) else 0
        return (row.last_us - now_us) / SECOND + seconds


def _counts(row: LoginBackoff, now_us: int) -> bool:
    return row.last_us > now_us - _FORGOTTEN


def _network(address: str) -> str:
    """Return whose address it is: one has a whole network of IPv6 to try from."""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return address
    return (
        str(known) if known.version == 4 else str(ipaddress.ip_network((known, 64), strict=False))
    )


def _digest(*parts: str) -> str:
    """Return what is kept of who tried: no address of anybody lies in the table."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
