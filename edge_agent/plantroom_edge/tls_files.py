"""PEM files into settings of TLS; what is wrong with one names its key and what to do."""

from __future__ import annotations

import ssl
from pathlib import Path

from plantroom_shared.errors import ConfigError


def trust(context: ssl.SSLContext, ca: Path, *, at: str, fix: str) -> None:
    """Have `context` take certificates that are signed by the authority in `ca`.

    Args:
        context: is changed.
        ca: PEM file.
        at: the key of the configuration that names it.
        fix: what to do if it is none.

    Raises:
        ConfigError: it is missing, or holds no certificate.
    """
    try:
        context.load_verify_locations(cafile=str(ca))
    except (ssl.SSLError, OSError) as error:
        what = f"{ca} holds no usable CA certificate: {error}"
        raise ConfigError(what, key=at, fix=fix) from error


def identify(context: ssl.SSLContext, cert: Path, key: Path | None, *, at: str, fix: str) -> None:
    """Have `context` show the certificate in `cert` to the other side.

    Args:
        context: is changed.
        cert: PEM file.
        key: PEM file of its key, unencrypted; None: it is in `cert`.
        at: the key of the configuration that names `cert`.
        fix: what to do if they are none.

    Raises:
        ConfigError: one is missing, or they do not belong together.
    """
    try:
        context.load_cert_chain(cert, key, password="")
    except (ssl.SSLError, OSError) as error:
        what = f"{cert} and {key or cert} are no certificate and its key: {error}"
        raise ConfigError(what, key=at, fix=fix) from error
