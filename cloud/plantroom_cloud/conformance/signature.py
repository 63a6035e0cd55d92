"""The signature of a gap record, checked from the specification alone."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa


def signed_text(gap: dict[str, Any], gateway: str) -> bytes:
    """Return the bytes that a gateway signs for `gap`."""
    keys = ("ep", "st", "s0", "n", "gap")
    lines = [gateway, *(str(gap[key]) for key in keys)]
    lines += [str(gap.get("from_us", 0)), str(gap.get("to_us", 0))]
    return "\n".join(("plantroom gap v1", *lines)).encode()


def signature_trouble(gap: dict[str, Any], gateway: str, hello: dict[str, Any]) -> str:
    """Say what is wrong with the signature of `gap`; the empty text where it is good."""
    pem = hello.get("certificate", "")
    if not pem:
        return "hello brought no certificate"
    if not gap.get("sig"):
        return "it is not signed"
    try:
        key = x509.load_pem_x509_certificate(pem.encode()).public_key()
        signature = base64.b64decode(gap["sig"], validate=True)
    except (ValueError, UnsupportedAlgorithm, binascii.Error) as error:
        return f"certificate or signature cannot be read: {error}"
    text = signed_text(gap, gateway)
    try:
        match key:
            case ec.EllipticCurvePublicKey():
                key.verify(signature, text, ec.ECDSA(hashes.SHA256()))
            case ed25519.Ed25519PublicKey():
                key.verify(signature, text)
            case rsa.RSAPublicKey():
                key.verify(signature, text, padding.PKCS1v15(), hashes.SHA256())
            case _:
                return "a key of this kind cannot sign"
    except InvalidSignature:
        return "the signature is of something else"
    return ""
