"""Secrets of 256 random bits, shown once; only their SHA-256 is kept."""

from __future__ import annotations

import hashlib
import secrets
from typing import Final, NamedTuple

PREFIX: Final = "pk_"
"""Of API keys."""
REFRESH: Final = "rt_"
INVITATION: Final = "inv_"
CLIENT: Final = "sa_"
SECRET: Final = "ss_"  # noqa: S105 - what every secret begins with
"""Of service accounts: their id, which is no secret, and their secret."""
LONGEST: Final = 200
"""Characters of a secret that is looked at."""
_SHOWN: Final = 8


class NewKey(NamedTuple):
    """A secret that has just been made."""

    plain: str
    """``pk_`` and 43 URL-safe characters: for its owner, once."""
    prefix: str
    """The first characters, by which a person tells keys apart."""
    digest: str
    """What the database keeps."""


def new_key(prefix: str = PREFIX) -> NewKey:
    """Return a new random secret that begins with `prefix`."""
    plain = prefix + secrets.token_urlsafe(32)
    return NewKey(plain, plain[: len(prefix) + _SHOWN], digest(plain))


def new_client_id() -> str:
    """Return the id of a new service account."""
    return CLIENT + secrets.token_hex(12)


def plausible(plain: str) -> bool:
    """Say whether a text is worth a look-up at all."""
    return plain.isascii() and plain.isprintable() and 0 < len(plain) <= LONGEST


def digest(plain: str) -> str:
    """Return the SHA-256 of a key as 64 hex digits; a key is random, so no salt is needed."""
    return hashlib.sha256(plain.encode()).hexdigest()


def digest_of(plain: str) -> str:
    """Return the digest of what somebody presents; empty where it cannot be a secret of ours."""
    return digest(plain) if plausible(plain) else ""
