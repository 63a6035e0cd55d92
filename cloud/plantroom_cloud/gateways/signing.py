"""What a gateway has signed: its certificate is checked against our authority, then the signature."""

from __future__ import annotations

import base64
import binascii

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509.oid import NameOID

from plantroom_shared.errors import Rejected

_SIGNERS = (ec.EllipticCurvePublicKey, ed25519.Ed25519PublicKey, rsa.RSAPublicKey)
"""Kinds of key that sync v1 signs with."""

_UNFIT = (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, x509.InvalidVersion)
"""What reading and checking a certificate that somebody made up can raise."""


class Trust:
    """Whose certificates are believed.

    Args:
        ca: our authority's certificate, PEM.
    """

    def __init__(self, ca: bytes) -> None:
        self._ca = x509.load_pem_x509_certificate(ca)

    def serial(self, gateway: str, pem: str) -> str:
        """Return the serial number, in hex, of a certificate of `gateway`'s own.

        Its dates are not checked: it got the gateway through the broker's door, and what it signed
        before it ended stays signed.

        Raises:
            Rejected: it is none, or another's, or not issued by our authority.
        """
        try:
            certificate = x509.load_pem_x509_certificate(pem.encode())
            certificate.verify_directly_issued_by(self._ca)
            names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
            signs = isinstance(certificate.public_key(), _SIGNERS)
        except _UNFIT as error:
            msg = f"certificate cannot be trusted: {error}"
            raise Rejected(msg, reason="certificate") from error
        if not signs or [name.value for name in names] != [gateway]:
            msg = f"certificate is not one of {gateway}"
            raise Rejected(msg, reason="certificate")
        return f"{certificate.serial_number:x}"


def is_signed(pem: str, content: bytes, signature: str) -> bool:
    """Say whether the key of the checked certificate `pem` has signed `content`.

    Args:
        pem: one that `Trust.serial` took.
        content: what was signed.
        signature: base64; ECDSA with SHA-256 (DER), Ed25519, or RSA PKCS #1 v1.5 with SHA-256, as
            the kind of key has it.
    """
    key = x509.load_pem_x509_certificate(pem.encode()).public_key()
    try:
        proof = base64.b64decode(signature, validate=True)
        match key:
            case ec.EllipticCurvePublicKey():
                key.verify(proof, content, ec.ECDSA(hashes.SHA256()))
            case ed25519.Ed25519PublicKey():
                key.verify(proof, content)
            case rsa.RSAPublicKey():
                key.verify(proof, content, padding.PKCS1v15(), hashes.SHA256())
            case _:
                return False
    except (InvalidSignature, UnsupportedAlgorithm, binascii.Error, ValueError):
        return False
    return True
