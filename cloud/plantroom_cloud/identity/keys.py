"""API keys: 256 random bits, shown once; only their SHA-256 is kept."""

from __future__ import annotations

import hashlib
import secrets
from typing import NamedTuple

PREFIX = "pk_"
_SHOWN = 8


class NewKey(NamedTuple):
    """A key that has just been made."""

    plain: str
    """``pk_`` and 43 URL-safe characters: for its owner, once."""
    prefix: str
    """The first characters, by which a person tells keys apart."""
    digest: str
    """What the database keeps."""


def new_key() -> NewKey:
    """Return a new random key."""
    plain = PREFIX + secrets.token_urlsafe(32)
    return NewKey(plain, plain[: len(PREFIX) + _SHOWN], digest(plain))


def digest(plain: str) -> str:
    """Return the SHA-256 of a key as 64 hex digits; a key is random, so no salt is needed."""
    return hashlib.sha256(plain.encode()).hexdigest()
