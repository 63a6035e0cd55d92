"""The keys that sign access tokens: in the database for all processes, encrypted, taking turns.

A new key is published an hour before it signs, so that nobody meets a token whose key it cannot
know; one that no longer signs is believed until its last token has run out.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.config_identity import IdentitySettings
from plantroom_cloud.db import Database, is_sqlite
from plantroom_cloud.gateways.pki import write_private
from plantroom_cloud.identity.tokens import ALGORITHM, LONGEST_LIFE
from plantroom_cloud.kit.times import DAY, HOUR, MINUTE, SECOND
from plantroom_cloud.tables import SigningKey
from plantroom_shared.clock import Clock
from plantroom_shared.errors import ConfigError

_LEAD: Final = HOUR
_AFTER: Final = LONGEST_LIFE * SECOND + 5 * MINUTE
_BITS: Final = 2048
_FRESH: Final = 4.0
"""Seconds for which the keys are believed to be what was read."""
_AGAIN: Final = 1.0
"""Seconds before they are read again because of a key nobody knows."""
_LOCK: Final = 0x7369676E
_SHORTEST: Final = 32
"""Bytes of the secret of an installation."""


@dataclass(frozen=True, slots=True)
class _Known:
    kid: str
    from_us: int
    until_us: int
    """When its last token has run out."""
    public: rsa.RSAPublicKey
    private: rsa.RSAPrivateKey | None
    """None: encrypted with another secret than ours; others sign with it, we do not."""


class SigningKeys:
    """The keys of the service, as one process knows them.

    Args:
        db: where they are.
        clock: what "now" means.
        settings: how long they sign, and the secret.
        data: the folder for a secret of our own where the settings have none.
    """

    def __init__(self, db: Database, clock: Clock, settings: IdentitySettings, data: Path) -> None:
        self._db, self._clock, self._settings, self._data = db, clock, settings, data
        self._known: dict[str, _Known] = {}
        self._read_at = float("-inf")
        self._lock = asyncio.Lock()
        self._secret = b""

    async def signer(self) -> tuple[str, rsa.RSAPrivateKey]:
        """Return name and private half of the key that signs now, made where there is none."""
        now = self._clock.now_us()
        found = self._signing(now)
        due = found is None or now >= found.from_us + self._period - _LEAD
        if due or self._clock.monotonic() - self._read_at >= _FRESH:
            async with self._lock:
                await self._read(make=True)
                found = self._signing(now)
        assert found is not None  # noqa: S101 - one was made where there was none
        assert found.private is not None  # noqa: S101 - see `_signing`
        return found.kid, found.private

    async def public(self, kid: str) -> rsa.RSAPublicKey | None:
        """Return the public half of a key of ours by name; None where its tokens no longer count."""
        now, age = self._clock.now_us(), self._clock.monotonic() - self._read_at
        if age >= _FRESH or (kid not in self._known and age >= _AGAIN):
            async with self._lock:
                await self._read(make=False)
        known = self._known.get(kid)
        return known.public if known is not None and now < known.until_us else None

    async def jwks(self) -> dict[str, Any]:
        """Return the public halves of all that signs, is about to, or has signed of late."""
        await self.signer()
        now = self._clock.now_us()
        return {
            "keys": [
                {"kid": one.kid, "use": "sig", "alg": ALGORITHM}
                | {k: v for k, v in _jwk(one.public).items() if k in {"kty", "n", "e"}}
                for one in self._known.values()
                if now < one.until_us
            ]
        }

    async def replace(self) -> str:
        """Make a new key that signs at once, and void the others with all that they signed."""
        async with self._lock:
            private = await asyncio.to_thread(self._generate)
            now = self._clock.now_us()
            async with self._db.write(None) as session:
                others = SigningKey.revoked_us.is_(None)
                await session.execute(update(SigningKey).where(others).values(revoked_us=now))
                kid = await self._add(session, private, now)
            await self._read(make=False)
        return kid

    # ------------------------------------------------------------ inside

    @property
    def _period(self) -> int:
        return round(self._settings.rotation_days * DAY)

    def _signing(self, now: int) -> _Known | None:
        able = [k for k in self._known.values() if k.private is not None and k.from_us <= now]
        return max(able, key=lambda one: one.from_us, default=None)

    async def _read(self, *, make: bool) -> None:
        async with self._db.read(None) as session:
            rows = await _rows(session)
        known = await asyncio.to_thread(self._open_all, rows)
        now = self._clock.now_us()
        if make and (start := self._next_start(known, now)) is not None:
            private = await asyncio.to_thread(self._generate)
            async with self._db.write(None) as session:
                if not is_sqlite(session):
                    await session.execute(text("SELECT pg_advisory_xact_lock(:k)"), {"k": _LOCK})
                rows = await _rows(session)
                known = await asyncio.to_thread(self._open_all, rows)
                # Another process may have made it meanwhile.
                if self._next_start(known, now) is not None:
                    await self._add(session, private, start)
                    rows = await _rows(session)
            known = await asyncio.to_thread(self._open_all, rows)
        self._known, self._read_at = known, self._clock.monotonic()

    def _next_start(self, known: dict[str, _Known], now: int) -> int | None:
        """Return when a further key is to begin to sign; None where none is needed yet."""
        newest = max((k.from_us for k in known.values() if k.private is not None), default=None)
        if newest is None:
            return now
        due = newest + self._period
        return max(due, now) if now >= due - _LEAD else None

    async def _add(self, session: AsyncSession, key: rsa.RSAPrivateKey, from_us: int) -> str:
        kid = secrets.token_hex(8)
        private, public = await asyncio.to_thread(self._written, key)
        session.add(
            SigningKey(
                kid=kid,
                private=private,
                public=public,
                created_us=self._clock.now_us(),
                from_us=from_us,
            )
        )
        await session.flush()
        return kid

    def _generate(self) -> rsa.RSAPrivateKey:
        return rsa.generate_private_key(65537, _BITS)

    def _written(self, key: rsa.RSAPrivateKey) -> tuple[str, str]:
        pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        locked = serialization.BestAvailableEncryption(self._passphrase())
        plain = serialization.PublicFormat.SubjectPublicKeyInfo
        public = key.public_key().public_bytes(pem, plain)
        return key.private_bytes(pem, form, locked).decode(), public.decode()

    def _open_all(self, rows: Sequence[SigningKey]) -> dict[str, _Known]:
        """Return the keys by name; what a process has opened once it does not open again."""
        found = {}
        for row in rows:
            old = self._known.get(row.kid)
            public = old.public if old else _public(row.public)
            private = old.private if old else self._private(row.private)
            until = row.from_us + self._period + _AFTER
            found[row.kid] = _Known(row.kid, row.from_us, until, public, private)
        return found

    def _private(self, pem: str) -> rsa.RSAPrivateKey | None:
        try:
            key = serialization.load_pem_private_key(pem.encode(), self._passphrase())
        except (ValueError, TypeError, UnsupportedAlgorithm):
            return None
        return key if isinstance(key, rsa.RSAPrivateKey) else None

    def _passphrase(self) -> bytes:
        if not self._secret:
            given = self._settings.secret.get_secret_value()
            self._secret = given.encode() if given else _own_secret(self._data)
        return self._secret


async def _rows(session: AsyncSession) -> Sequence[SigningKey]:
    statement = select(SigningKey).where(SigningKey.revoked_us.is_(None))
    ordered = statement.order_by(SigningKey.from_us, SigningKey.kid)
    return (await session.execute(ordered)).scalars().all()


def _public(pem: str) -> rsa.RSAPublicKey:
    key = serialization.load_pem_public_key(pem.encode())
    assert isinstance(key, rsa.RSAPublicKey)  # noqa: S101 - we have written it
    return key


def _jwk(key: rsa.RSAPublicKey) -> dict[str, Any]:
    return RSAAlgorithm.to_jwk(key, as_dict=True)


def _own_secret(data: Path) -> bytes:
    """Return the secret of this installation, made where there is none."""
    file = data / "identity.secret"
    try:
        if not file.exists():
            data.mkdir(parents=True, exist_ok=True, mode=0o711)
            _make_secret(file)
        found = file.read_bytes().strip()
    except OSError as error:
        what = f"the secret of this installation cannot be used: {error}"
        fix = "make the data folder writable, or say identity: {secret: ...}"
        raise ConfigError(what, file=str(file), fix=fix) from error
    if len(found) < _SHORTEST:
        what, fix = "is no secret: it is too short", "delete it; another is made"
        raise ConfigError(what, file=str(file), fix=fix)
    return found


def _make_secret(file: Path) -> None:
    """Make the file whole or not at all; the first of several processes wins."""
    draft = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        write_private(draft, secrets.token_hex(32).encode())
        with contextlib.suppress(FileExistsError):
            file.hardlink_to(draft)
    finally:
        draft.unlink(missing_ok=True)
