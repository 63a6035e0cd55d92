"""TLS for the connection to the cloud, also where the machine believes that it is 1970.

The chain and the name are always verified by OpenSSL. The dates of the certificates are, too, while
the system's clock is what the gateway goes by; otherwise they are compared here with what is known
of the time, before the first byte of MQTT is sent.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from plantroom_edge.clock import EdgeClock
from plantroom_edge.config import CloudConfig
from plantroom_edge.tls_files import identify, trust

if TYPE_CHECKING:
    from cryptography import x509

_NO_CHECK_TIME: Final = 0x200000
"""OpenSSL's X509_V_FLAG_NO_CHECK_TIME, for which `ssl` has no name."""


class _DatedSocket(ssl.SSLSocket):
    """A connection whose certificates are checked against the gateway's own clock."""

    def do_handshake(self, block: bool = False) -> None:
        super().do_handshake(block)
        if isinstance(self.context, CloudContext):
            self.context.check_dates(partial(_chain, self))


class CloudContext(ssl.SSLContext):
    """Settings of TLS that take the time from an `EdgeClock`; made by `tls_context`."""

    clock: EdgeClock | None = None

    def prepare(self) -> None:
        """Decide who checks the dates on the next connection; call it before each."""
        trusted = self.clock is None or self.clock.follows_system
        flags = int(self.verify_flags) & ~_NO_CHECK_TIME
        self.verify_flags = ssl.VerifyFlags(flags if trusted else flags | _NO_CHECK_TIME)

    def check_dates(self, shown: Callable[[], list[x509.Certificate]]) -> None:
        """Raise SSLCertVerificationError if a certificate of those `shown` cannot be valid now."""
        if self.clock is None or self.clock.follows_system:
            return
        chain = shown()
        if not chain:
            msg = "the broker showed no certificate"
            raise ssl.SSLCertVerificationError(msg)
        known = self.clock.state != "unset"
        now = _instant(self.clock.now_us() if known else self.clock.floor_us)
        for certificate in chain:
            if certificate.not_valid_after_utc < now:
                msg = f"certificate verify failed: it expired at {certificate.not_valid_after_utc}"
                raise ssl.SSLCertVerificationError(msg)
            if known and certificate.not_valid_before_utc > now:
                msg = f"certificate verify failed: not valid before {certificate.not_valid_before_utc}"
                raise ssl.SSLCertVerificationError(msg)


def tls_context(cloud: CloudConfig, clock: EdgeClock | None = None) -> CloudContext:
    """Return the TLS settings for the connection; ConfigError if a file is not what it should be."""
    context = CloudContext(ssl.PROTOCOL_TLS_CLIENT)
    context.clock = clock
    context.sslsocket_class = _DatedSocket
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    trust(context, cloud.ca, at="cloud.ca", fix="give the PEM file of the authority")
    fix = "give the PEM files this gateway was issued, the key unencrypted"
    identify(context, cloud.cert, cloud.key, at="cloud.cert", fix=fix)
    return context


def asking_context(ca: Path | None, clock: EdgeClock) -> CloudContext:
    """Return the TLS settings for asking a cloud that does not know this gateway.

    Args:
        ca: PEM file of whom to trust; None: whoever the operating system trusts.
        clock: what the time is worth.
    """
    context = CloudContext(ssl.PROTOCOL_TLS_CLIENT)
    context.clock = clock
    context.sslsocket_class = _DatedSocket
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca is None:
        context.load_default_certs()
    else:
        trust(context, ca, at="--ca", fix="give the PEM file of the authority")
    return context


def _chain(sock: ssl.SSLSocket) -> list[x509.Certificate]:
    """Return the certificates that OpenSSL verified, from the broker's up to the authority's."""
    # Imported here: eleven megabytes that a gateway whose clock is right does without.
    from cryptography import x509  # noqa: PLC0415

    inner: Any = sock._sslobj  # type: ignore[attr-defined]  # noqa: SLF001 -- public only from Python 3.13 on
    verified = inner.get_verified_chain() or []
    return [
        x509.load_der_x509_certificate(ssl.PEM_cert_to_DER_cert(one.public_bytes()))
        for one in verified
    ]


def _instant(us: int) -> datetime:
    return datetime.fromtimestamp(us / 1e6, UTC)
