"""The key that signs orders: made here, never leaves; gateways get its public half."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from plantroom_cloud.kit.keyfile import key_name, load_key, make_key, public_pem
from plantroom_shared import wire

_WHAT_FOR: Final = "signs commands"
_FIX: Final = "make one with `plantroom-cloud command key`, and put its public half on the gateways"


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs orders and desired configurations."""

    key: Ed25519PrivateKey

    @property
    def kid(self) -> str:
        """The name under which gateways know the key: made of it."""
        return key_name("k", self.key.public_key())

    @property
    def public_pem(self) -> str:
        """PEM of the public half, for gateways."""
        return public_pem(self.key.public_key())

    def sign(self, body: str) -> bytes:
        """Return `body` as it goes down, signed."""
        signature = base64.b64encode(self.key.sign(wire.signed_part(body))).decode()
        return wire.encode(wire.Command(kid=self.kid, sig=signature, body=body))

    def sign_configuration(self, body: str) -> bytes:
        """Return an assignment as it goes down, signed."""
        signature = base64.b64encode(self.key.sign(wire.signed_configuration(body))).decode()
        return wire.encode(wire.Configuration(kid=self.kid, sig=signature, body=body))


def key_file(data: Path) -> Path:
    """Return where the key is."""
    return data / "commands" / "signing.pem"


def load_signer(data: Path) -> Signer | None:
    """Return who signs; None where no key was made. ConfigError if it cannot be read."""
    key = load_key(key_file(data), _WHAT_FOR, _FIX)
    return None if key is None else Signer(key)


def make_signer(data: Path) -> Signer:
    """Return who signs; the key is made where there is none yet."""
    return Signer(make_key(key_file(data), _WHAT_FOR, _FIX))
