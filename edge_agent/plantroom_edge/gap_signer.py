"""Signs what the gateway declares lost, so that nobody else can declare it in its name."""

from __future__ import annotations

import base64
import dataclasses
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from plantroom_edge.buffer_db import Frame
from plantroom_edge.config import CloudConfig
from plantroom_shared.errors import ConfigError, Rejected
from plantroom_shared.wire import MAX_CERTIFICATE, Gap, decode, encode

_FIX: Final = "give the PEM files this gateway was issued, the key unencrypted"
_KINDS: Final = "have the gateway issued an EC, Ed25519 or RSA key (RSA of at most 6144 bits)"
_LONGEST: Final = 768
"""Bytes of a signature that a gap record has room for."""


class GapSigner:
    """Holds the gateway's key and its certificate.

    Args:
        gateway: id of this gateway.
        cloud: names the files.

    Raises:
        ConfigError: they hold no certificate and key that can sign.
    """

    def __init__(self, gateway: str, cloud: CloudConfig) -> None:
        self._gateway = gateway
        try:
            self._key = serialization.load_pem_private_key(cloud.key.read_bytes(), None)
            leaf = x509.load_pem_x509_certificates(cloud.cert.read_bytes())[0]
        except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
            what = f"{cloud.cert} and {cloud.key} are no certificate and its key: {error}"
            raise ConfigError(what, key="cloud.key", fix=_FIX) from error
        pem = leaf.public_bytes(serialization.Encoding.PEM).decode()
        self.certificate = pem if len(pem) <= MAX_CERTIFICATE else ""
        """PEM of the gateway's certificate; empty where it is too long for a hello."""
        if not 0 < len(self._sign(b"")) <= _LONGEST:  # found now, not when rows are lost
            what = f"{cloud.key} holds a key whose signatures the cloud cannot check"
            raise ConfigError(what, key="cloud.key", fix=_KINDS)

    def signed(self, frame: Frame) -> Frame:
        """Return `frame` with a signature if it is a gap; as it is if it is data."""
        if frame.kind != "gap":
            return frame
        try:
            gap = decode(Gap, frame.blob)
        except Rejected:
            return frame
        signature = base64.b64encode(self._sign(gap.signed_part(self._gateway))).decode()
        return dataclasses.replace(frame, blob=encode(gap.model_copy(update={"sig": signature})))

    def _sign(self, data: bytes) -> bytes:
        """Return the signature as sync v1 has it; empty where it has none for this kind of key."""
        match self._key:
            case ec.EllipticCurvePrivateKey():
                return self._key.sign(data, ec.ECDSA(hashes.SHA256()))
            case rsa.RSAPrivateKey():
                return self._key.sign(data, padding.PKCS1v15(), hashes.SHA256())
            case ed25519.Ed25519PrivateKey():
                return self._key.sign(data)
        return b""
