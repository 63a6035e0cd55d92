"""The proof of a deletion: what went, that nothing is left, signed with the key of the audit's heads. Pure."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from plantroom_cloud.audit.canonical import to_json
from plantroom_cloud.kit.keyfile import key_name

FORMAT: Final = 1
_BANNER: Final = b"plantroom deletion v1\n"
"""Before what is signed: no signature of the audit's heads fits, and none of these fits there."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """What is signed, by whom, and the signature (base64)."""

    body: str
    key_id: str
    signature: str


def signed(content: Mapping[str, Any], key: Ed25519PrivateKey) -> Certificate:
    """Return a certificate that says `content`."""
    name = key_name("a", key.public_key())
    body = to_json({**content, "format": FORMAT, "key": name, "what": "deletion"})
    signature = base64.b64encode(key.sign(_BANNER + body.encode())).decode()
    return Certificate(body, name, signature)


def is_genuine(certificate: Certificate, key: Ed25519PublicKey) -> bool:
    """Say whether a certificate was signed with a key, and is as it was then."""
    try:
        key.verify(
            base64.b64decode(certificate.signature, validate=True),
            _BANNER + certificate.body.encode(),
        )
        content = json.loads(certificate.body)
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return isinstance(content, dict) and content.get("what") == "deletion"
