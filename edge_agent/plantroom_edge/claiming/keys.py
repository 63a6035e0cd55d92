"""The device's key: made here, never leaves; requests, signatures, and looking at what comes back."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from plantroom_shared.claiming import binding_message
from plantroom_shared.errors import Rejected
from plantroom_shared.topics import GATEWAY_ID

_UNFIT: Final = (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, x509.InvalidVersion)


class DeviceKey:
    """A private key.

    Args:
        pem: unencrypted.

    Raises:
        Rejected: it is none, or of a kind that is not taken.
    """

    def __init__(self, pem: bytes) -> None:
        try:
            key = load_pem_private_key(pem, None)
        except _UNFIT as error:
            msg = f"the key cannot be read: {error}"
            raise Rejected(msg, reason="key") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            msg = "the key is no EC key; reset the gateway and claim it anew"
            raise Rejected(msg, reason="key")
        self._key, self.pem = key, pem

    @classmethod
    def new(cls) -> DeviceKey:
        """Return a new key on P-256."""
        key = ec.generate_private_key(ec.SECP256R1())
        return cls(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the public half, 64 hex digits."""
        return hashlib.sha256(_public(self._key.public_key())).hexdigest()

    def request(self) -> str:
        """Return a certificate signing request, PEM; the cloud heeds nothing of it but the key."""
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "plantroom-edge")])
        made = x509.CertificateSigningRequestBuilder().subject_name(name)
        return made.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()

    def sign(self, message: bytes) -> str:
        """Return a signature: base64 of ECDSA with SHA-256."""
        return base64.b64encode(self._key.sign(message, ec.ECDSA(hashes.SHA256()))).decode()

    def is_of(self, certificate: x509.Certificate) -> bool:
        """Say whether `certificate` is for this key."""
        public = certificate.public_key()
        ours = _public(self._key.public_key())
        return isinstance(public, ec.EllipticCurvePublicKey) and _public(public) == ours


class Checked(NamedTuple):
    """A certificate that was looked at."""

    gateway: str
    company: str
    site: str


def check_grant(key: DeviceKey, certificate: str, ca: str, binding: str, signature: str) -> Checked:
    """Return what the cloud says that this gateway is.

    Raises:
        Rejected: the certificate is for another key, not signed by this authority or not named like
            a gateway, or the word of whose the gateway is was not given by that authority.
    """
    try:
        leaf, *chain = x509.load_pem_x509_certificates(certificate.encode())
        roots = x509.load_pem_x509_certificates(ca.encode())
        issuer = _check_chain(leaf, chain, roots)
        (name,) = leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        _check_word(issuer, binding, signature)
        said = json.loads(binding)
        told = Checked(str(name.value), str(said["company"]), str(said["site"]))
        same = (said["gateway"], said["fingerprint"]) == (told.gateway, key.fingerprint)
    except (*_UNFIT, KeyError) as error:
        msg = f"what the cloud has sent cannot be trusted: {error or type(error).__name__}"
        raise Rejected(msg, reason="grant") from error
    if not same or not key.is_of(leaf) or not GATEWAY_ID.match(told.gateway):
        msg = "the cloud has sent a certificate that is not for this gateway"
        raise Rejected(msg, reason="grant")
    return told


def _check_word(issuer: x509.Certificate, binding: str, signature: str) -> None:
    """Raise one of `_UNFIT` unless the authority has signed whose the gateway is."""
    public = issuer.public_key()
    if not isinstance(public, ec.EllipticCurvePublicKey):
        msg = "the authority's key is no EC key"
        raise TypeError(msg)
    proof = base64.b64decode(signature, validate=True)
    public.verify(proof, binding_message(binding), ec.ECDSA(hashes.SHA256()))


def _check_chain(
    leaf: x509.Certificate, chain: list[x509.Certificate], roots: list[x509.Certificate]
) -> x509.Certificate:
    """Return who signed `leaf`; InvalidSignature unless the chain leads to one of `roots`."""
    issuer = chain[0] if chain else roots[0]
    leaf.verify_directly_issued_by(issuer)
    if not chain:
        return issuer
    for root in roots:
        try:
            issuer.verify_directly_issued_by(root)
        except (ValueError, TypeError, InvalidSignature):
            continue
        return issuer
    msg = "it does not lead to the authority"
    raise ValueError(msg)


class Life(NamedTuple):
    """When a certificate is to be renewed, and when it is over."""

    due: datetime
    until: datetime


def life_of(pem: str) -> Life:
    """Return when two thirds of a certificate's life are over, and when all of it is.

    Raises:
        Rejected: it is none.
    """
    try:
        leaf = x509.load_pem_x509_certificates(pem.encode())[0]
    except _UNFIT as error:
        msg = f"the certificate cannot be read: {error}"
        raise Rejected(msg, reason="certificate") from error
    begin, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    return Life(begin + (end - begin) * 2 / 3, end)


def leaf_pem(pem: str) -> str:
    """Return the first certificate of a chain alone; Rejected if it is none."""
    try:
        leaf = x509.load_pem_x509_certificates(pem.encode())[0]
    except _UNFIT as error:
        msg = f"the certificate cannot be read: {error}"
        raise Rejected(msg, reason="certificate") from error
    return leaf.public_bytes(Encoding.PEM).decode()


def moment(us: int) -> datetime:
    """Return microseconds since 1970 as a moment."""
    return datetime.fromtimestamp(us / 1e6, UTC)


def _public(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
