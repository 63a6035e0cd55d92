"""A device that begins, as the tests of the cloud play it: with the agent's own key and messages."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from plantroom_edge.claiming.keys import DeviceKey
from plantroom_shared.claiming import (
    begin_message,
    hash_code,
    new_code,
    poll_message,
    qr_text,
    renew_message,
)


@dataclass
class Device:
    """One device: its key and the code that it shows."""

    key: DeviceKey = field(default_factory=DeviceKey.new)
    code: str = field(default_factory=new_code)
    serial: str = "SN-1"

    @cached_property
    def code_hash(self) -> str:
        """What the cloud hears of the code."""
        return hash_code(self.code)

    @property
    def fingerprint(self) -> str:
        """Of its key."""
        return self.key.fingerprint

    @property
    def public_pem(self) -> str:
        """The public half of its key."""
        public = load_pem_private_key(self.key.pem, None).public_key()
        return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    @property
    def qr(self) -> str:
        """What its QR code says."""
        return qr_text(self.code, self.fingerprint)

    def begin(self, *, token: str = "", code: bool = True) -> dict[str, Any]:
        """Return the body with which it begins."""
        csr, code_hash = self.key.request(), self.code_hash if code else ""
        body: dict[str, Any] = {"csr": csr, "code_hash": code_hash, "token": token}
        body["facts"] = {"serial": self.serial, "hostname": "plant"}
        body["signature"] = self.key.sign(begin_message(csr, code_hash, token, ""))
        return body

    def renewal(self, old: DeviceKey, certificate: str) -> dict[str, Any]:
        """Return the body with which it has a certificate of another key renewed for its own."""
        csr = self.key.request()
        body = {"csr": csr, "certificate": certificate}
        body["signature"] = self.key.sign(begin_message(csr, "", "", certificate))
        body["renew_signature"] = old.sign(renew_message(csr, certificate))
        return body

    def poll(self, standing: dict[str, Any]) -> dict[str, Any]:
        """Return the body with which it asks how its claim stands."""
        pending, challenge = standing["pending"], standing["challenge"]
        signature = self.key.sign(poll_message(pending, challenge))
        return {"pending": pending, "challenge": challenge, "signature": signature}


WAITING = Device()
"""The device that waits in every seeded database."""
