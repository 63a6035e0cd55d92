"""The private certificate authority: who a gateway is, its certificate alone says.

All files lie in ``<data>/pki``: ``ca``, ``server`` (the broker) and ``cloud`` (the ingest), each a
``.pem`` and a ``.key`` readable by the owner only. A gateway's certificate is for ninety days, the
broker's and the cloud's for two years, renewed at a start once two thirds of that are over; the
authority itself lasts ten years.
"""

from __future__ import annotations

import fcntl
import ipaddress
import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from plantroom_shared.errors import ConfigError
from plantroom_shared.topics import GATEWAY_ID

CLOUD = "plantroom-cloud"
"""Common name of the cloud's own client certificate; no gateway may have it."""
SERVER = "plantroom-broker"
INSTANCES = 16
"""How many ingest processes may share the work."""
CLOUDS = (CLOUD, *(f"{CLOUD}-{number}" for number in range(1, INSTANCES + 1)))
"""Names of the ingest that is alone, then of those that share the work: no two clients may have one
name, and a name is all that a certificate says."""
RESERVED = (*CLOUDS, SERVER)
LIFE = timedelta(days=90)
"""Of a gateway's certificate."""
_OWN_LIFE = timedelta(days=730)  # renewed at a start only, and a broker may run for months
_CA_LIFE = timedelta(days=3653)
_SKEW = timedelta(hours=1)  # a gateway's clock may be behind when it gets its first certificate
_ALWAYS = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate with its key, both PEM."""

    certificate: bytes
    key: bytes
    serial: str


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """What one end of a connection needs."""

    ca: Path
    certificate: Path
    key: Path


def check_gateway_id(gateway: str) -> None:
    """Raise ConfigError unless `gateway` may be a gateway's id."""
    if not GATEWAY_ID.match(gateway) or gateway in RESERVED:
        what = f"{gateway[:80]!r} cannot be a gateway's id"
        fix = "use 8 to 40 of a-z, 0-9 and '-', with a letter or digit at both ends"
        raise ConfigError(what, key="gateway", fix=fix)


def cloud_files(instance: int) -> str:
    """Return the name of the certificate of ingest process `instance`, 0 for one that is alone."""
    return f"cloud-{instance}" if instance else "cloud"


class Authority:
    """The certificate authority in `folder`, made at the first call of `prepare`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def prepare(self, names: tuple[str, ...] = (), instance: int = 0) -> None:
        """Make or renew what is missing, or due: authority, server and cloud certificate.

        Args:
            names: host names and addresses by which gateways reach the broker, beside localhost.
            instance: of the ingest processes that share the work, 1 to `INSTANCES`; 0: it is alone.
        """
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._locked():
            if not (self.folder / "ca.pem").exists():
                self._make_ca()
            wanted = tuple(dict.fromkeys((*_ALWAYS, *names)))
            if self._is_due("server", wanted):
                self._save("server", self._issue(SERVER, server=wanted))
            cloud = cloud_files(instance)
            if self._is_due(cloud, ()):
                self._save(cloud, self._issue(CLOUDS[instance]))

    def issue_gateway(self, gateway: str) -> Issued:
        """Return a client certificate for ninety days whose common name is `gateway`."""
        check_gateway_id(gateway)
        return self._issue(gateway, life=LIFE)

    def files(self, name: str) -> TlsFiles:
        """Return the paths for ``server``, ``cloud`` or one of `cloud_files`."""
        return TlsFiles(
            self.folder / "ca.pem", self.folder / f"{name}.pem", self.folder / f"{name}.key"
        )

    @property
    def ca_pem(self) -> bytes:
        """The authority's certificate."""
        return (self.folder / "ca.pem").read_bytes()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Let one process at a time make files: broker, ingest and API may start together."""
        with (self.folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _make_ca(self) -> None:
        # A key without its certificate: a start that was cut short, or a lost file. The same key
        # under the same name keeps every certificate worth what it was.
        old = (self.folder / "ca.key").exists()
        key = self._load_ca_key() if old else ec.generate_private_key(ec.SECP256R1())
        name = _name("Plantroom private CA")
        certificate = (
            _builder(name, name, key.public_key(), _CA_LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(ca=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        self._save("ca", Issued(certificate.public_bytes(Encoding.PEM), _pem(key), ""))

    def _issue(
        self, name: str, *, life: timedelta = _OWN_LIFE, server: tuple[str, ...] = ()
    ) -> Issued:
        ca_key, ca = self._load_ca()
        key = ec.generate_private_key(ec.SECP256R1())
        use = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
        builder = (
            _builder(_name(name), ca.subject, key.public_key(), life)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(ca=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([use]), critical=False)
            .add_extension(authority, critical=False)
        )
        if server:
            names = x509.SubjectAlternativeName([_alternative(item) for item in server])
            builder = builder.add_extension(names, critical=False)
        certificate = builder.sign(ca_key, hashes.SHA256())
        serial = f"{certificate.serial_number:x}"
        return Issued(certificate.public_bytes(Encoding.PEM), _pem(key), serial)

    def _load_ca(self) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
        try:
            key = self._load_ca_key()
            certificate = x509.load_pem_x509_certificate(self.ca_pem)
        except (OSError, ValueError, TypeError) as error:
            what = f"cannot be read: {error}"
            raise self._broken(what) from error
        return key, certificate

    def _load_ca_key(self) -> ec.EllipticCurvePrivateKey:
        key = load_pem_private_key((self.folder / "ca.key").read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            what = "ca.key is not a key that was made here"
            raise TypeError(what)
        return key

    def _is_due(self, name: str, names: tuple[str, ...]) -> bool:
        """Say whether certificate `name` is missing, foreign, near its end or lacks a host name."""
        files = self.files(name)
        if not (files.certificate.exists() and files.key.exists()):
            return True
        _, ca = self._load_ca()
        try:
            certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
            certificate.verify_directly_issued_by(ca)
        except (ValueError, TypeError, InvalidSignature):
            return True
        if certificate.not_valid_after_utc - datetime.now(UTC) < _OWN_LIFE / 3:
            return True
        return bool(names) and not {_alternative(item) for item in names} <= _alternatives(
            certificate
        )

    def _save(self, name: str, issued: Issued) -> None:
        # The key first: a certificate without its key would look finished and be useless.
        write_private(self.folder / f"{name}.key", issued.key)
        write_private(self.folder / f"{name}.pem", issued.certificate, mode=0o644)

    def _broken(self, what: str) -> ConfigError:
        fix = "restore it from a backup; a new one would make every gateway's certificate worthless"
        return ConfigError(what, file=str(self.folder), key="ca", fix=fix)


def write_private(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Write `content` so that a crash leaves the old file or the new one, never half of it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def client_context(files: TlsFiles) -> ssl.SSLContext:
    """Return the TLS settings of a client of the broker: own certificate, only our authority."""
    return _context(ssl.PROTOCOL_TLS_CLIENT, files)


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """Return the TLS settings of the broker: nobody gets in without a certificate of ours."""
    context = _context(ssl.PROTOCOL_TLS_SERVER, files)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def _context(protocol: ssl._SSLMethod, files: TlsFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_verify_locations(files.ca)
        context.load_cert_chain(files.certificate, files.key)
    except OSError as error:  # ssl.SSLError is one
        what = f"the TLS files cannot be used: {error}"
        fix = "start 'plantroom-cloud broker' or 'serve' once: it makes what is missing"
        raise ConfigError(what, file=str(files.certificate.parent), fix=fix) from error
    return context


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, life: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _usage(*, ca: bool) -> x509.KeyUsage:
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


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _alternatives(certificate: x509.Certificate) -> set[x509.GeneralName]:
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return set(found.value)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
