"""Whose commands are heeded: the public keys in files that the configuration names."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from plantroom_shared.errors import ConfigError, Rejected
from plantroom_shared.wire import (
    Assignment,
    Command,
    Configuration,
    Order,
    read_assignment,
    read_order,
    signed_configuration,
    signed_part,
)


class Keyring:
    """Reads commands, and configurations, that are signed for one gateway.

    Args:
        gateway: its id.
        files: name of a key → its PEM file.

    Raises:
        ConfigError: a file holds no Ed25519 public key.
    """

    def __init__(self, gateway: str, files: Mapping[str, Path]) -> None:
        self._gateway = gateway
        self._keys = {kid: _load(kid, file) for kid, file in files.items()}

    def open(self, command: Command) -> Order:
        """Return the order in `command`.

        Raises:
            Rejected: the key is not known, the signature is not its own, the order cannot be read
                or is for another gateway; the reason says which.
        """
        self._verify(command.kid, command.sig, signed_part(command.body))
        order = read_order(command.body)
        self._ours(order.gateway)
        return order

    def configuration(self, message: Configuration) -> Assignment:
        """Return the assignment in `message`; Rejected as with `open`."""
        self._verify(message.kid, message.sig, signed_configuration(message.body))
        assignment = read_assignment(message.body)
        self._ours(assignment.gateway)
        return assignment

    def _verify(self, kid: str, sig: str, signed: bytes) -> None:
        key = self._keys.get(kid)
        if key is None:
            msg = f"no key is called {kid}"
            raise Rejected(msg, reason="unknown-key")
        try:
            key.verify(base64.b64decode(sig, validate=True), signed)
        except (InvalidSignature, binascii.Error, ValueError) as error:
            msg = "the signature is not that of the text"
            raise Rejected(msg, reason="bad-signature") from error

    def _ours(self, gateway: str) -> None:
        if gateway != self._gateway:
            msg = f"it is for {gateway}"
            raise Rejected(msg, reason="other-gateway")


def _load(kid: str, file: Path) -> Ed25519PublicKey:
    fix = "put the public key there that `plantroom-cloud command key` shows"
    try:
        key = serialization.load_pem_public_key(file.read_bytes())
    except OSError as error:
        what = f"{file} cannot be read: {error.strerror or error}"
        raise ConfigError(what, key=f"writes.keys.{kid}", fix=fix) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        what = f"{file} holds no public key"
        raise ConfigError(what, key=f"writes.keys.{kid}", fix=fix) from error
    if not isinstance(key, Ed25519PublicKey):
        what = f"{file} holds a key that is no Ed25519 key"
        raise ConfigError(what, key=f"writes.keys.{kid}", fix=fix)
    return key
