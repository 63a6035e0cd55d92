"""Signed heads: who has one can show later that nothing before it was changed."""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from plantroom_cloud.audit.canonical import FORMAT, to_json
from plantroom_cloud.config import CloudSettings
from plantroom_cloud.kit.keyfile import key_name, load_key, make_key, public_pem
from plantroom_shared.errors import ConfigError

_WHAT_FOR: Final = "signs the audit's heads"
_FIX: Final = "put the key back from your backup; heads signed by another cannot be checked with it"
_MOST_BYTES: Final = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class SignedHead:
    """That a company's chain had `n` rows and ended in `hash`."""

    body: str
    """What is signed."""
    key_id: str
    signature: str

    @property
    def content(self) -> dict[str, Any]:
        """What it says: ``company``, ``slug``, ``n``, ``hash``, ``at_us``, ``key``, ``format``.

        Raises:
            ValueError: it is no head.
        """
        content = json.loads(self.body)
        kinds = {"company": int, "n": int, "hash": str, "at_us": int, "key": str}
        if not isinstance(content, dict) or any(
            not isinstance(content.get(name), kind) for name, kind in kinds.items()
        ):
            msg = "this is no signed head"
            raise ValueError(msg)
        return content

    @property
    def line(self) -> str:
        """The line of a file that stands for it."""
        return to_json({"head": self.body, "key": self.key_id, "signature": self.signature})


@dataclass(frozen=True, slots=True)
class HeadKey:
    """Signs heads."""

    key: Ed25519PrivateKey

    @property
    def id(self) -> str:
        """Its name, made of the key."""
        return key_name("a", self.key.public_key())

    @property
    def public_pem(self) -> str:
        """PEM of the public half: for whoever verifies."""
        return public_pem(self.key.public_key())

    def sign(self, company: int, slug: str, n: int, digest: str, at_us: int) -> SignedHead:
        """Return the head of a company's chain, signed."""
        content = {"at_us": at_us, "company": company, "format": FORMAT, "hash": digest}
        body = to_json(content | {"key": self.id, "n": n, "slug": slug})
        signature = base64.b64encode(self.key.sign(body.encode())).decode()
        return SignedHead(body, self.id, signature)


def key_file(data: Path) -> Path:
    """Return where the key is."""
    return data / "audit" / "heads.pem"


def load_head_key(data: Path) -> HeadKey | None:
    """Return who signs; None where no key was made. ConfigError if it cannot be read."""
    key = load_key(key_file(data), _WHAT_FOR, _FIX)
    return None if key is None else HeadKey(key)


def make_head_key(data: Path) -> HeadKey:
    """Return who signs; the key is made where there is none yet."""
    return HeadKey(make_key(key_file(data), _WHAT_FOR, _FIX))


def heads_file(settings: CloudSettings) -> Path:
    """Return the file that signed heads are added to."""
    return settings.audit.heads or settings.data / "audit" / "heads.ndjson"


def add_to_file(file: Path, heads: Iterable[SignedHead]) -> None:
    """Add `heads` to the end of a file, on the disk when this returns; OSError if that fails."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
    with os.fdopen(handle, "a", encoding="ascii") as out:
        out.writelines(f"{head.line}\n" for head in heads)
        out.flush()
        os.fsync(out.fileno())


def read_heads(file: Path) -> list[SignedHead]:
    """Return the heads in a file that was exported; its other lines are passed over.

    Raises:
        ConfigError: it cannot be read, or a line is none.
    """
    fix = "give a file that GET /v1/audit/heads, an export or the service itself has written"
    try:
        if file.stat().st_size > _MOST_BYTES:
            what = "is too large to be heads"
            raise ConfigError(what, file=str(file), fix=fix)
        lines = file.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        what = f"cannot be read: {error}"
        raise ConfigError(what, file=str(file), fix=fix) from error
    heads: list[SignedHead] = []
    for number, line in enumerate(lines, 1):
        try:
            found = _of_line(line)
        except ValueError as error:
            what, where = f"is no head: {error}", f"line {number}"
            raise ConfigError(what, file=str(file), key=where, fix=fix) from error
        heads += [found] if found else []
    return heads


def _of_line(line: str) -> SignedHead | None:
    entry = json.loads(line) if line.strip() else {}
    if not isinstance(entry, dict):
        msg = "it is no JSON object"
        raise ValueError(msg)  # noqa: TRY004 - as for what is no JSON at all
    if "head" not in entry:
        return None
    head = SignedHead(*(str(entry.get(name, "")) for name in ("head", "key", "signature")))
    _ = head.content
    return head


def public_keys(files: Iterable[Path], data: Path) -> dict[str, Ed25519PublicKey]:
    """Return by name the keys that heads are checked with: our own, and those in `files`, PEM.

    Raises:
        ConfigError: a file holds no Ed25519 public key.
    """
    own = load_head_key(data)
    keys = [own.key.public_key()] if own else []
    keys += [_public_key(file) for file in files]
    return {key_name("a", key): key for key in keys}


def _public_key(file: Path) -> Ed25519PublicKey:
    fix = "give the PEM that `plantroom-cloud audit key` prints"
    try:
        key = serialization.load_pem_public_key(file.read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        what = f"cannot be read: {error}"
        raise ConfigError(what, file=str(file), fix=fix) from error
    if not isinstance(key, Ed25519PublicKey):
        what = "is no Ed25519 key"
        raise ConfigError(what, file=str(file), fix=fix)
    return key


def is_signed(head: SignedHead, keys: Mapping[str, Ed25519PublicKey]) -> bool | None:
    """Tell whether a head's signature is right; None where its key is not among `keys`."""
    key = keys.get(head.key_id)
    if key is None:
        return None
    try:
        key.verify(base64.b64decode(head.signature, validate=True), head.body.encode())
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True
