"""Tokens and signatures as EnOS checks them; written on its own, not with the client's signer."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from demo.enos_sim.world import Refused, World


def _sha256(*parts: bytes) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()


def encryption_ok(app_key: str, app_secret: str, timestamp: str, proof: str) -> bool:
    """Say whether a token request's proof is right."""
    right = _sha256(app_key.encode(), timestamp.encode(), app_secret.encode())
    return hmac.compare_digest(right, proof)


def signature_ok(
    token: str,
    query: Sequence[tuple[str, str]],
    body: bytes,
    timestamp: str,
    *,
    app_secret: str,
    signature: str,
) -> bool:
    """Say whether the signature is that of these very bytes; a repeated name has none."""
    names = [name for name, _ in query]
    if len(set(names)) != len(names):
        return False
    params = "".join(name + value for name, value in sorted(query))
    right = _sha256(token.encode(), params.encode(), body, timestamp.encode(), app_secret.encode())
    return hmac.compare_digest(right, signature)


def device_sign_ok(fields: dict[str, str], secret: str, method: str, sign: str) -> bool:
    """Say whether a device's signature is right, whatever the case of its letters.

    Args:
        fields: name → value of all that is signed.
        secret: of the device or product.
        method: ``sha256``, ``sha1``, ``md5``, with or without "hmac" before it.
        sign: as sent.
    """
    name = method.lower().removeprefix("hmac")
    if name not in ("sha256", "sha1", "md5"):
        return False
    text = "".join(key + fields[key] for key in sorted(fields)) + secret
    right = hashlib.new(name, text.encode()).hexdigest()
    return hmac.compare_digest(right.encode(), sign.lower().encode())


@dataclass
class Tokens:
    """The token service's memory."""

    world: World
    seen: set[str] = field(default_factory=set)
    token: str = ""
    expires: float = 0.0

    def get(self, body: dict[str, object]) -> dict[str, object]:
        """Answer ``token/get``: the same token for as long as it lives."""
        self._check(body)
        if time.time() >= self.expires:
            self._new()
        return self._shown()

    def refresh(self, body: dict[str, object]) -> dict[str, object]:
        """Answer ``token/refresh``."""
        self._check(body)
        old = body.get("accessToken")
        if not old:
            raise Refused(1202, "accessToken is empty")
        if old != self.token:
            raise Refused(1204, "refresh failed")
        if time.time() >= self.expires:
            raise Refused(1203, "token expired")
        self._new()
        return self._shown()

    def _check(self, body: dict[str, object]) -> None:
        app_key, proof, timestamp = (body.get(k) for k in ("appKey", "encryption", "timestamp"))
        if not app_key or not proof or not timestamp:
            raise Refused(1202, "a parameter is empty")
        # Documents say a number, one of the vendor's clients sends text.
        text = str(timestamp)
        if not text.isascii() or not text.isdigit():
            raise Refused(1004, "timestamp")
        if app_key != self.world.app_key:
            raise Refused(1002, "unknown appKey")
        if not encryption_ok(str(app_key), self.world.app_secret, text, str(proof)):
            raise Refused(1003, "wrong encryption")
        if abs(time.time() - int(text) / 1000) > self.world.limits.skew:
            raise Refused(1004, "timestamp is too far off")
        if proof in self.seen:
            raise Refused(1001, "the same encryption has been used")
        self.seen.add(str(proof))

    def _new(self) -> None:
        self.token = f"APP_PORTAL_S_{secrets.token_hex(16)}"
        self.expires = time.time() + self.world.limits.token_life

    def _shown(self) -> dict[str, object]:
        left = max(self.expires - time.time(), 0.0)
        # Whole seconds as EnOS says them; a life of parts of a second is for tests.
        expire = int(left) if left >= 10 else round(left, 3)
        return {"accessToken": self.token, "expire": expire}

    def expire(self) -> None:
        """End the token now."""
        self.expires = 0.0

    def check(self, token: str) -> None:
        """Refuse a token that does not hold."""
        if not token or token != self.token:
            raise Refused(1202 if not token else 401, "token is not valid")
        if time.time() >= self.expires:
            raise Refused(1203, "token expired")
