"""The key that signs orders: made here, never leaves; gateways get its public half."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from plantroom_cloud.gateways.pki import write_private
from plantroom_shared import wire
from plantroom_shared.errors import ConfigError

_FIX: Final = "make one with `plantroom-cloud command key`, and put its public half on the gateways"


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs orders."""

    key: Ed25519PrivateKey

    @property
    def kid(self) -> str:
        """The name under which gateways know the key: made of it."""
        raw = self.key.public_key().public_bytes(
            serialization.Encoding.Raw, serialization.PublicFormat.Raw
        )
        return f"k-{hashlib.sha256(raw).hexdigest()[:16]}"

    @property
    def public_pem(self) -> str:
        """PEM of the public half, for gateways."""
        encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        return self.key.public_key().public_bytes(encoding, form).decode()

    def sign(self, body: str) -> bytes:
        """Return `body` as it goes down, signed."""
        signature = base64.b64encode(self.key.sign(wire.signed_part(body))).decode()
        return wire.encode(wire.Command(kid=self.kid, sig=signature, body=body))


def key_file(data: Path) -> Path:
    """Return where the key is."""
    return data / "commands" / "signing.pem"


def load_signer(data: Path) -> Signer | None:
    """Return who signs; None where no key was made. ConfigError if it cannot be read."""
    file = key_file(data)
    try:
        key = serialization.load_pem_private_key(file.read_bytes(), None)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        what = f"the key that signs commands cannot be read: {error}"
        raise ConfigError(what, file=str(file), fix=_FIX) from error
    if not isinstance(key, Ed25519PrivateKey):
        what = "the key that signs commands is no Ed25519 key"
        raise ConfigError(what, file=str(file), fix=_FIX)
    return Signer(key)


def make_signer(data: Path) -> Signer:
    """Return who signs; the key is made where there is none yet."""
    if (known := load_signer(data)) is not None:
        return known
    key = Ed25519PrivateKey.generate()
    file = key_file(data)
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    write_private(file, key.private_bytes(encoding, form, serialization.NoEncryption()))
    return Signer(key)
