"""What certificates, requests and revocation lists are made of. Pure but for the time of day."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from plantroom_shared.errors import Rejected

SKEW: Final = timedelta(hours=1)
"""A gateway's clock may be behind when it gets its first certificate."""
CRL_LIFE: Final = timedelta(days=30)
"""How long brokers take a revocation list; one that nobody renews ends every connection."""

UNFIT: Final = (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, x509.InvalidVersion)
"""What reading and checking a certificate or request that somebody made up can raise."""

Revoked: TypeAlias = tuple[int, datetime]
"""Serial number, and since when."""


@dataclass(frozen=True, slots=True)
class Signing:
    """A key with the certificate that says what it may sign."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate


def common_name(name: str, organization: str = "") -> x509.Name:
    """Return a subject with a common name, and an organisation where one is given."""
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)] if organization else []
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, name)])


def builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, life: timedelta
) -> x509.CertificateBuilder:
    """Return the begin of a certificate that is valid from an hour ago."""
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def root(key: ec.EllipticCurvePrivateKey, life: timedelta) -> x509.Certificate:
    """Return the certificate of an authority that vouches for itself, and for others' below it."""
    name = common_name("Plantroom private CA")
    return (
        builder(name, name, key.public_key(), life)
        .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
        .add_extension(usage(ca=True), critical=True)
        .sign(key, hashes.SHA256())
    )


def intermediate(
    top: Signing, key: ec.EllipticCurvePrivateKey, name: str, life: timedelta, *, gateways: bool
) -> x509.Certificate:
    """Return the certificate of an authority below `top`.

    One for gateways may vouch for clients only, and for no host name or address at all: who steals
    its key cannot be a broker.
    """
    client = ExtendedKeyUsageOID.CLIENT_AUTH
    uses = [client] if gateways else [client, ExtendedKeyUsageOID.SERVER_AUTH]
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(top.key.public_key())
    made = (
        builder(common_name(name), top.certificate.subject, key.public_key(), life)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage(ca=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        .add_extension(authority, critical=False)
    )
    if gateways:
        made = made.add_extension(_NO_HOSTS, critical=True)
    return made.sign(top.key, hashes.SHA256())


_NO_HOSTS: Final = x509.NameConstraints(
    permitted_subtrees=None,
    excluded_subtrees=[
        x509.DNSName(""),
        x509.IPAddress(ipaddress.ip_network("0.0.0.0/0")),
        x509.IPAddress(ipaddress.ip_network("::/0")),
    ],
)


def leaf(
    by: Signing,
    name: str,
    public: ec.EllipticCurvePublicKey,
    life: timedelta,
    server: Iterable[str] = (),
) -> x509.Certificate:
    """Return a certificate of a client, or of a server where it is given host names.

    It never lives longer than the authority that signs it.
    """
    names = list(server)
    use = ExtendedKeyUsageOID.SERVER_AUTH if names else ExtendedKeyUsageOID.CLIENT_AUTH
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(by.key.public_key())
    life = min(life, by.certificate.not_valid_after_utc - datetime.now(UTC))
    made = (
        builder(common_name(name), by.certificate.subject, public, life)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage(ca=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([use]), critical=False)
        .add_extension(authority, critical=False)
    )
    if names:
        alternatives = x509.SubjectAlternativeName([alternative(item) for item in names])
        made = made.add_extension(alternatives, critical=False)
    return made.sign(by.key, hashes.SHA256())


def revocations(by: Signing, revoked: Iterable[Revoked]) -> bytes:
    """Return the revocation list of one authority, PEM."""
    now = datetime.now(UTC)
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(by.key.public_key())
    made = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(by.certificate.subject)
        .last_update(now - SKEW)
        .next_update(now + CRL_LIFE)
        .add_extension(authority, critical=False)
        # Microseconds: a later list has a higher number, whichever process makes it.
        .add_extension(x509.CRLNumber(int(now.timestamp() * 1e6)), critical=False)
    )
    for serial, since in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(since)
        made = made.add_revoked_certificate(entry.build())
    return made.sign(by.key, hashes.SHA256()).public_bytes(Encoding.PEM)


@dataclass(frozen=True, slots=True)
class Revocations:
    """What revocation lists say."""

    made: datetime
    revoked: tuple[Revoked, ...]


def read_revocations(pem: bytes) -> Revocations:
    """Return what the first of the lists says, all of which say the same; ValueError if none."""
    found = x509.load_pem_x509_crl(pem)
    revoked = tuple((entry.serial_number, entry.revocation_date_utc) for entry in found)
    return Revocations(found.last_update_utc + SKEW, revoked)


def read_request(pem: str) -> ec.EllipticCurvePublicKey:
    """Return the key that a certificate signing request is for; nothing else of it is heeded.

    Raises:
        Rejected: it is none, is not signed by its own key, or is for a kind of key that is not
            taken.
    """
    try:
        request = x509.load_pem_x509_csr(pem.encode())
        key, genuine = request.public_key(), request.is_signature_valid
    except UNFIT as error:
        msg = f"the certificate signing request cannot be read: {error}"
        raise Rejected(msg, reason="csr") from error
    if not genuine:
        msg = "the certificate signing request is not signed by its own key"
        raise Rejected(msg, reason="csr")
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in _CURVES:
        msg = "make an EC key on P-256 or P-384"
        raise Rejected(msg, reason="key")
    return key


_CURVES: Final = ("secp256r1", "secp384r1")


def fingerprint(public: ec.EllipticCurvePublicKey) -> str:
    """Return the SHA-256 of a key (SubjectPublicKeyInfo, DER) as 64 hex digits."""
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def alternative(name: str) -> x509.GeneralName:
    """Return a host name or address as a certificate has it."""
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def alternatives(certificate: x509.Certificate) -> set[x509.GeneralName]:
    """Return the host names and addresses of a server's certificate."""
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return set(found.value)


def usage(*, ca: bool) -> x509.KeyUsage:
    """Return what a key is for: signing certificates and lists, or handshakes."""
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def new_key() -> ec.EllipticCurvePrivateKey:
    """Return a new key on P-256."""
    return ec.generate_private_key(ec.SECP256R1())


def pem_of(what: x509.Certificate | ec.EllipticCurvePrivateKey) -> bytes:
    """Return a certificate, or a key without a password, as PEM."""
    if isinstance(what, x509.Certificate):
        return what.public_bytes(Encoding.PEM)
    return what.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
