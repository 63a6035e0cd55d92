"""What a device and the cloud agree on before they trust each other: code, fingerprint, signatures.

A device makes its key itself and shows a code of ten characters together with the fingerprint of the
key. Who stands before it reads both; the cloud has heard the code's hash and the key. Nothing of it
is a secret that two devices share.

Pure, and without a library that a gateway would not carry anyway.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Final

ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32: no I, L, O and U."""
LENGTH: Final = 10
"""Characters of a code: 50 bits."""
FINGERPRINT: Final = re.compile(r"[0-9a-f]{64}")
CODE_HASH: Final = re.compile(r"[0-9a-f]{64}")
PENDING: Final = re.compile(r"[A-Za-z0-9_-]{22}")
_READ_AS: Final = str.maketrans("ILO", "110")
_SCRYPT: Final = {"n": 2048, "r": 8, "p": 1, "dklen": 32}
_SALT: Final = b"plantroom-claim-1"
_MAGIC: Final = "plantroom-provision-1"
_QR: Final = "PLANTROOM"


def new_code() -> str:
    """Return a new random code."""
    return "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))


def read_code(text: str) -> str:
    """Return the code in what a person has typed, or the empty text where it is none.

    Blanks and dashes count for nothing, nor does the case; I and L are read as 1, O as 0.
    """
    code = re.sub(r"[\s-]", "", text[:64]).upper().translate(_READ_AS)
    return code if len(code) == LENGTH and set(code) <= set(ALPHABET) else ""


def show_code(code: str) -> str:
    """Return a code as a person reads it best: two groups of five."""
    return f"{code[:5]}-{code[5:]}"


def hash_code(code: str) -> str:
    """Return what the cloud keeps of a code, 64 hex digits; takes a few milliseconds on purpose."""
    return hashlib.scrypt(code.encode(), salt=_SALT, **_SCRYPT).hex()


def show_fingerprint(fingerprint: str) -> str:
    """Return 64 hex digits in groups of four, for comparing by eye."""
    return " ".join(fingerprint[at : at + 4] for at in range(0, len(fingerprint), 4))


def qr_text(code: str, fingerprint: str) -> str:
    """Return what a QR code holds; of characters for which one needs little room."""
    return f"{_QR}:{code}:{fingerprint.upper()}"


def read_qr(text: str) -> tuple[str, str] | None:
    """Return code and fingerprint in the text of a QR code, or None where it is none of ours."""
    head, _, rest = text.strip()[:200].upper().partition(":")
    code, _, fingerprint = rest.partition(":")
    if head != _QR or not read_code(code) or not FINGERPRINT.fullmatch(fingerprint.lower()):
        return None
    return read_code(code), fingerprint.lower()


def begin_message(csr: str, code_hash: str, token: str, certificate: str) -> bytes:
    """Return what a device signs with its new key when it begins.

    Args:
        csr: the certificate signing request, as it is sent.
        code_hash: of the code that it shows; empty where it shows none.
        token: the enrolment token; empty where it has none.
        certificate: the one that is to be renewed, as it is sent; empty at the first time.
    """
    parts = (csr, code_hash, token, certificate)
    return _message("begin", *(hashlib.sha256(part.encode()).hexdigest() for part in parts))


def renew_message(csr: str, certificate: str) -> bytes:
    """Return what a device signs with its old key to have `certificate` renewed for a new one."""
    parts = (csr, certificate)
    return _message("renew", *(hashlib.sha256(part.encode()).hexdigest() for part in parts))


def poll_message(pending: str, challenge: str) -> bytes:
    """Return what a device signs with its new key when it asks how its claim stands."""
    return _message("poll", pending, challenge)


def binding_message(binding: str) -> bytes:
    """Return what the cloud's authority signs when it says whose a gateway is."""
    return _message("binding", hashlib.sha256(binding.encode()).hexdigest())


def _message(action: str, *parts: str) -> bytes:
    return "\n".join((_MAGIC, action, *parts)).encode()
