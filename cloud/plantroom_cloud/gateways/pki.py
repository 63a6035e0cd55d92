"""The private certificate authority: who a gateway is, its certificate alone says.

All files lie in ``<data>/pki``, each a ``.pem`` and a ``.key`` readable by the owner only::

    ca                  the root: whom everybody trusts; its key is needed once in years, so it can be
    │                   taken away (`plantroom-cloud ca offline`)
    ├── issuing         signs gateways, and can sign nothing that is a server
    └── service         signs the broker (`server`) and the ingest (`cloud`)
    crl.pem             what either of them has revoked

A gateway's certificate is for ninety days, the broker's and the cloud's for two years, renewed at a
start once two thirds of that are over; issuing and service last five years, the root twenty. What
an older version made has a root that signs everything itself, and stays as it is.
"""

from __future__ import annotations

import fcntl
import os
import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from plantroom_cloud.gateways import certificates as parts
from plantroom_cloud.gateways.certificates import Revoked, Signing
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
PROBE = "plantroom-probe"
"""Whoever tries whether the broker still forbids anything."""
RESERVED = (*CLOUDS, SERVER, PROBE)
LIFE = timedelta(days=90)
"""Of a gateway's certificate."""
GRACE = timedelta(days=30)
"""After its end a certificate may still be renewed, and nothing else."""
ISSUERS = ("issuing", "service")
_OWN_LIFE = timedelta(days=730)  # renewed at a start only, and a broker may run for months
_ISSUER_LIFE = timedelta(days=5 * 365)
_CA_LIFE = timedelta(days=20 * 365)
_ALWAYS = ("localhost", "127.0.0.1", "::1")
_MOMENT = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate with what leads from it to the root, and its key where we made that; PEM."""

    certificate: bytes
    key: bytes
    serial: str
    until: datetime | None = None


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
        """Make or renew what is missing, or due: authorities, server and cloud certificate.

        Args:
            names: host names and addresses by which gateways reach the broker, beside localhost.
            instance: of the ingest processes that share the work, 1 to `INSTANCES`; 0: it is alone.
        """
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self.locked():
            if not (self.folder / "ca.pem").exists():
                self._make_ca()
            self._make_issuers()
            wanted = tuple(dict.fromkeys((*_ALWAYS, *names)))
            if self._is_due("server", wanted):
                self._save("server", self._issue("service", SERVER, server=wanted))
            cloud = cloud_files(instance)
            if self._is_due(cloud, ()):
                self._save(cloud, self._issue("service", CLOUDS[instance]))
            self._refresh_crl()

    def issue_gateway(self, gateway: str) -> Issued:
        """Return a client certificate for ninety days whose common name is `gateway`."""
        check_gateway_id(gateway)
        return self._issue("issuing", gateway, life=LIFE)

    def certify(self, gateway: str, public: ec.EllipticCurvePublicKey) -> Issued:
        """Return the same for a key that somebody else has and keeps."""
        check_gateway_id(gateway)
        return self._certify("issuing", gateway, public, LIFE)

    def impersonate(self, gateway: str) -> Issued:
        """Return a certificate for five minutes with which a gateway's connection is taken over.

        There is no other way to end a connection at Mosquitto; see `broker.keeper`.
        """
        if gateway != PROBE:
            check_gateway_id(gateway)
        return self._issue("issuing", gateway, life=_MOMENT)

    def sign(self, content: bytes) -> bytes:
        """Return a signature by the authority of gateways: ECDSA with SHA-256, DER."""
        return self._issuer("issuing").key.sign(content, ec.ECDSA(hashes.SHA256()))

    def write_crl(self, revoked: Iterable[Revoked]) -> None:
        """Replace the lists of what is revoked; both authorities list the same numbers."""
        with self.locked():
            self._write_crl(revoked)

    def files(self, name: str) -> TlsFiles:
        """Return the paths for ``server``, ``cloud`` or one of `cloud_files`."""
        return TlsFiles(
            self.folder / "ca.pem", self.folder / f"{name}.pem", self.folder / f"{name}.key"
        )

    @property
    def crl_file(self) -> Path:
        """The revocation lists of all authorities, PEM."""
        return self.folder / "crl.pem"

    @property
    def ca_pem(self) -> bytes:
        """The root's certificate: what gateways trust."""
        return (self.folder / "ca.pem").read_bytes()

    @property
    def issuer_pem(self) -> bytes:
        """The certificate that signs gateways."""
        return (self.folder / f"{self._name_of('issuing')}.pem").read_bytes()

    @property
    def is_old(self) -> bool:
        """Whether an older version made it: its root signs everything itself."""
        ca = x509.load_pem_x509_certificate(self.ca_pem)
        limits = ca.extensions.get_extension_for_class(x509.BasicConstraints).value
        return limits.path_length == 0

    @property
    def root_key_file(self) -> Path:
        """The root's key; it is not there once it was taken offline."""
        return self.folder / "ca.key"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Let one process at a time make files: broker, ingest and API may start together."""
        with (self.folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def certify_issuers(self, root_key: ec.EllipticCurvePrivateKey) -> None:
        """Make the intermediate authorities, or make them valid for five years from now.

        Their keys stay, so whatever they have signed stays worth what it was.

        Raises:
            ConfigError: the key is not the root's.
        """
        ca = x509.load_pem_x509_certificate(self.ca_pem)
        if parts.fingerprint(root_key.public_key()) != _fingerprint(ca):
            what = "this is not the key of ca.pem"
            fix = "give the one that `plantroom-cloud ca offline` has written"
            raise ConfigError(what, file=str(self.folder), key="ca", fix=fix)
        for name in ISSUERS:
            path = self.folder / f"{name}.key"
            key = self._load_key(name) if path.exists() else parts.new_key()
            made = parts.intermediate(
                Signing(root_key, ca),
                key,
                f"Plantroom {name} CA",
                _ISSUER_LIFE,
                gateways=name == "issuing",
            )
            self._save(name, Issued(parts.pem_of(made), parts.pem_of(key), ""))

    def _make_ca(self) -> None:
        if (self.folder / "issuing.pem").exists() and not self.root_key_file.exists():
            what = "ca.pem is missing, and the root's key is not here to make it"
            raise self._broken(what)
        # A key without its certificate: a start that was cut short, or a lost file. The same key
        # under the same name keeps every certificate worth what it was.
        key = self._load_key("ca") if self.root_key_file.exists() else parts.new_key()
        certificate = parts.root(key, _CA_LIFE)
        self._save("ca", Issued(parts.pem_of(certificate), parts.pem_of(key), ""))

    def _make_issuers(self) -> None:
        """Make the intermediate authorities, or renew them while the root's key is still here."""
        if self.is_old:
            return
        missing = [name for name in ISSUERS if not (self.folder / f"{name}.pem").exists()]
        ends = [self._certificate(name).not_valid_after_utc for name in ISSUERS if not missing]
        near = any(end - datetime.now(UTC) < _ISSUER_LIFE / 3 for end in ends)
        if self.root_key_file.exists() and (missing or near):
            self.certify_issuers(self._load_key("ca"))
        elif missing:
            what = f"{missing[0]}.pem is missing, and the root's key is not here to make it"
            raise self._broken(what)

    def _issue(
        self, issuer: str, name: str, *, life: timedelta = _OWN_LIFE, server: tuple[str, ...] = ()
    ) -> Issued:
        key = parts.new_key()
        made = self._certify(issuer, name, key.public_key(), life, server)
        return Issued(made.certificate, parts.pem_of(key), made.serial, made.until)

    def _certify(
        self,
        issuer: str,
        name: str,
        public: ec.EllipticCurvePublicKey,
        life: timedelta,
        server: tuple[str, ...] = (),
    ) -> Issued:
        by = self._issuer(issuer)
        made = parts.leaf(by, name, public, life, server)
        chain = b"" if self.is_old else parts.pem_of(by.certificate)
        serial = f"{made.serial_number:x}"
        return Issued(parts.pem_of(made) + chain, b"", serial, made.not_valid_after_utc)

    def _refresh_crl(self) -> None:
        """Make the lists, or make them anew with what is in them before they are too old."""
        if not self.crl_file.exists():
            self._write_crl(())
            return
        try:
            known = parts.read_revocations(self.crl_file.read_bytes())
        except ValueError as error:
            what = f"crl.pem cannot be read: {error}"
            fix = "delete it and start the worker, which writes it anew, before the broker"
            raise ConfigError(what, file=str(self.folder), key="crl", fix=fix) from error
        if datetime.now(UTC) - known.made > timedelta(days=1):
            self._write_crl(known.revoked)

    def _write_crl(self, revoked: Iterable[Revoked]) -> None:
        listed = list(revoked)
        issuers = dict.fromkeys(self._name_of(name) for name in ISSUERS)
        text = b"".join(parts.revocations(self._load(name), listed) for name in issuers)
        write_private(self.crl_file, text, mode=0o644)

    def _name_of(self, issuer: str) -> str:
        return "ca" if self.is_old else issuer

    def _issuer(self, name: str) -> Signing:
        return self._load(self._name_of(name))

    def _load(self, name: str) -> Signing:
        return Signing(self._load_key(name), self._certificate(name))

    def _certificate(self, name: str) -> x509.Certificate:
        try:
            return x509.load_pem_x509_certificate((self.folder / f"{name}.pem").read_bytes())
        except (OSError, ValueError) as error:
            what = f"{name}.pem cannot be read: {error}"
            raise self._broken(what) from error

    def _load_key(self, name: str) -> ec.EllipticCurvePrivateKey:
        try:
            key = load_pem_private_key((self.folder / f"{name}.key").read_bytes(), None)
        except (OSError, ValueError, TypeError) as error:
            what = f"{name}.key cannot be read: {error}"
            raise self._broken(what) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            what = f"{name}.key is not a key that was made here"
            raise self._broken(what)
        return key

    def _is_due(self, name: str, names: tuple[str, ...]) -> bool:
        """Say whether certificate `name` is missing, foreign, near its end or lacks a host name."""
        files = self.files(name)
        if not (files.certificate.exists() and files.key.exists()):
            return True
        issuer = self._certificate(self._name_of("service"))
        try:
            certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
            certificate.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature):
            return True
        if certificate.not_valid_after_utc - datetime.now(UTC) < _OWN_LIFE / 3:
            return True
        return bool(names) and not {
            parts.alternative(item) for item in names
        } <= parts.alternatives(certificate)

    def _save(self, name: str, issued: Issued) -> None:
        # The key first: a certificate without its key would look finished and be useless.
        write_private(self.folder / f"{name}.key", issued.key)
        write_private(self.folder / f"{name}.pem", issued.certificate, mode=0o644)

    def _broken(self, what: str) -> ConfigError:
        fix = "restore it from a backup; a new one would make every gateway's certificate worthless"
        return ConfigError(what, file=str(self.folder), key="ca", fix=fix)


def _fingerprint(certificate: x509.Certificate) -> str:
    key = certificate.public_key()
    return parts.fingerprint(key) if isinstance(key, ec.EllipticCurvePublicKey) else ""


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


def server_context(files: TlsFiles, crl: Path | None = None) -> ssl.SSLContext:
    """Return the TLS settings of the broker: nobody gets in without a certificate of ours.

    Args:
        files: the broker's own.
        crl: what is revoked: nobody gets in with that either, and nobody at all once it is too old.
    """
    context = _context(ssl.PROTOCOL_TLS_SERVER, files)
    context.verify_mode = ssl.CERT_REQUIRED
    if crl is not None:
        context.load_verify_locations(crl)
        context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
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
