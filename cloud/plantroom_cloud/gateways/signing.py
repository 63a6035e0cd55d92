"""What a gateway has signed: its certificate is checked against our authority, then the signature."""

from __future__ import annotations

import base64
import binascii

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from plantroom_shared.errors import Rejected


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
            curve = isinstance(certificate.public_key(), ec.EllipticCurvePublicKey)
        except (ValueError, TypeError, InvalidSignature, x509.InvalidVersion) as error:
            msg = f"certificate cannot be trusted: {error}"
            raise Rejected(msg, reason="certificate") from error
        if not curve or [name.value for name in names] != [gateway]:
            msg = f"certificate is not one of {gateway}"
            raise Rejected(msg, reason="certificate")
        return f"{certificate.serial_number:x}"


def is_signed(pem: str, content: bytes, signature: str) -> bool:
    """Say whether the key of the checked certificate `pem` has signed `content`.

    Args:
        pem: one that `Trust.serial` took.
        content: what was signed.
        signature: base64 of an ECDSA signature with SHA-256, DER.
    """
    key = x509.load_pem_x509_certificate(pem.encode()).public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)  # noqa: S101 - `Trust.serial` has seen to it
    try:
        key.verify(base64.b64decode(signature, validate=True), content, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True
