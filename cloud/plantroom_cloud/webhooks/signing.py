"""Signatures after Standard Webhooks: HMAC-SHA256 over id, time and body. Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping
from typing import Final

PREFIX: Final = "whsec_"
TOLERANCE: Final = 300
"""Seconds that a receiver should grant the time of a message."""


def new_secret() -> str:
    """Return a new secret of 256 random bits, as receivers take it."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def new_message() -> str:
    """Return a new id of a message."""
    return f"msg_{secrets.token_hex(16)}"


def headers(message: str, at: int, body: bytes, keys: Iterable[str]) -> dict[str, str]:
    """Return the headers that go with `body`.

    Args:
        message: its id, the same in every try.
        at: now, in seconds since 1970.
        body: as it is sent.
        keys: secrets; each makes a signature, so that one can be exchanged without a pause.
    """
    return {
        "webhook-id": message,
        "webhook-timestamp": str(at),
        "webhook-signature": " ".join(f"v1,{sign(message, at, body, key)}" for key in keys),
        "content-type": "application/json",
    }


def sign(message: str, at: int, body: bytes, key: str) -> str:
    """Return one signature in base64."""
    secret = base64.b64decode(key.removeprefix(PREFIX))
    content = f"{message}.{at}.".encode() + body
    return base64.b64encode(hmac.digest(secret, content, hashlib.sha256)).decode()


def is_genuine(given: Mapping[str, str], body: bytes, key: str, now: int) -> bool:
    """Tell whether a message is signed with `key` and of now: what a receiver has to ask.

    Args:
        given: headers, with names in small letters.
        body: as it came.
        key: the secret of the webhook.
        now: seconds since 1970.
    """
    message, at = given.get("webhook-id", ""), given.get("webhook-timestamp", "")
    if not at.isdecimal() or len(at) > 15 or abs(now - int(at)) > TOLERANCE:
        return False
    expected = sign(message, int(at), body, key).encode()
    for part in given.get("webhook-signature", "").split():
        version, _, signature = part.partition(",")
        try:
            fits = hmac.compare_digest(expected, signature.encode())
        except (UnicodeError, binascii.Error):
            continue
        if version == "v1" and fits:
            return True
    return False
