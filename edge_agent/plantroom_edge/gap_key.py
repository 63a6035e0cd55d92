"""The gateway's key, as far as gaps are signed with it.

What it needs of `cryptography` is eleven megabytes, and gaps are rare: an agent looks at its key in
a process of its own when it starts (``python -m plantroom_edge.gap_key``), and imports this when the
first rows are lost.
"""

from __future__ import annotations

import json
import sys
from typing import Final, TypedDict

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

_LONGEST: Final = 768
"""Bytes of a signature that a gap record has room for."""


class Checked(TypedDict):
    """What a key and its certificate are good for."""

    fault: str
    """Why they cannot be read; empty if they can."""
    fits: bool
    """Whether the key makes signatures that the cloud can check."""
    certificate: str
    """The certificate alone, as PEM."""


class GapKey:
    """A private key that is held in memory.

    Args:
        pem: the key, unencrypted.

    Raises:
        ValueError, TypeError, UnsupportedAlgorithm: it is none, or none without a password.
    """

    def __init__(self, pem: bytes) -> None:
        self._key = serialization.load_pem_private_key(pem, None)

    def sign(self, data: bytes) -> bytes:
        """Return the signature as sync v1 has it; empty where it has none for this kind of key."""
        match self._key:
            case ec.EllipticCurvePrivateKey():
                return self._key.sign(data, ec.ECDSA(hashes.SHA256()))
            case rsa.RSAPrivateKey():
                return self._key.sign(data, padding.PKCS1v15(), hashes.SHA256())
            case ed25519.Ed25519PrivateKey():
                return self._key.sign(data)
        return b""


def check(cert: bytes, key: bytes) -> Checked:
    """Return what the PEM of a certificate, or of a chain that begins with it, and a key are."""
    # Imported here: who only signs does not look at certificates, and needs no memory for them.
    from cryptography import x509  # noqa: PLC0415

    try:
        ours = GapKey(key)
        leaf = x509.load_pem_x509_certificates(cert)[0]
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        return {"fault": str(error) or "they cannot be read", "fits": False, "certificate": ""}
    pem = leaf.public_bytes(serialization.Encoding.PEM).decode()
    fits = 0 < len(ours.sign(b"")) <= _LONGEST
    return {"fault": "", "fits": fits, "certificate": pem}


def main() -> None:
    """Check what is on standard input, a JSON list of certificate and key; print the outcome."""
    cert, key = (text.encode("latin-1") for text in json.load(sys.stdin))
    json.dump(check(cert, key), sys.stdout)


if __name__ == "__main__":
    main()
