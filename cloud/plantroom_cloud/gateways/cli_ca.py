"""``plantroom-cloud ca``: the private authority, its offline root, and what is revoked."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from plantroom_cloud.config import load_settings
from plantroom_cloud.gateways.certificates import read_revocations
from plantroom_cloud.gateways.pki import ISSUERS, Authority, write_private
from plantroom_shared.errors import ConfigError

ca_app = typer.Typer(
    help="The private certificate authority: made at the first start, its root to be taken offline.",
    no_args_is_help=True,
)

_LEAST: Final = 12
Passphrase = Annotated[
    str,
    typer.Option(
        envvar="PLANTROOM_CA_PASSPHRASE",
        prompt=True,
        hide_input=True,
        help=f"Of the root's key; {_LEAST} characters or more.",
    ),
]


def _authority(context: typer.Context) -> Authority:
    settings = load_settings(context.obj)
    authority = Authority(settings.data / "pki")
    authority.prepare((settings.mqtt.host,))
    return authority


@ca_app.command("show")
def show(context: typer.Context) -> None:
    """Show the authorities, how long they last, where the root's key is, and what is revoked."""
    authority = _authority(context)
    names = ("ca",) if authority.is_old else ("ca", *ISSUERS)
    for name in (*names, "server", "cloud"):
        path = authority.folder / f"{name}.pem"
        made = x509.load_pem_x509_certificate(path.read_bytes())
        left = (made.not_valid_after_utc - datetime.now(UTC)).days
        typer.echo(f"{name}\t{made.serial_number:x}\tuntil {made.not_valid_after_utc:%Y-%m-%d}")
        typer.echo(f"\t{left} days left")
    here = authority.root_key_file.exists()
    if authority.is_old:
        typer.echo("root key: here; made by an older version, it signs everything itself")
    else:
        typer.echo(f"root key: {'HERE; take it away with `ca offline`' if here else 'offline'}")
    revoked = read_revocations(authority.crl_file.read_bytes()).revoked
    typer.echo(f"revoked: {len(revoked)}")


@ca_app.command("offline")
def offline(
    context: typer.Context,
    out: Annotated[
        Path, typer.Argument(help="File for the root's key, on a medium that goes away.")
    ],
    passphrase: Passphrase,
) -> None:
    """Take the root's key away: encrypted into a file that you keep, and deleted here.

    Everything goes on without it. It is needed again once in three years, for `ca renew`.
    """
    authority = _authority(context)
    if authority.is_old:
        what = "this authority was made by an older version: its root signs every gateway"
        fix = "keep it, or make a new data folder and claim the gateways anew"
        raise ConfigError(what, file=str(authority.folder), key="ca", fix=fix)
    if len(passphrase) < _LEAST:
        what = f"the passphrase has fewer than {_LEAST} characters"
        raise ConfigError(what, key="--passphrase", fix="choose a longer one")
    if out.exists():
        what = "it exists already"
        raise ConfigError(what, file=str(out), fix="choose another name")
    key = _read(authority.root_key_file, None)
    locked = key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passphrase.encode())
    )
    try:
        write_private(out, locked)
        same = _read(out, passphrase).private_numbers() == key.private_numbers()
    except OSError as error:
        what = f"it cannot be written: {error.strerror or error}"
        raise ConfigError(what, file=str(out), fix="name a file on a mounted medium") from error
    if not same:
        what = "what was written cannot be read back"
        raise ConfigError(what, file=str(out), fix="try again")
    authority.root_key_file.unlink()
    typer.echo(f"the root's key is in {out} alone; keep two copies, and the passphrase elsewhere")


@ca_app.command("renew")
def renew(
    context: typer.Context,
    root: Annotated[Path, typer.Argument(help="The file that `ca offline` has written.")],
    passphrase: Passphrase,
) -> None:
    """Make the two online authorities valid for five years more; their keys stay."""
    authority = _authority(context)
    key = _read(root, passphrase)
    with authority.locked():
        authority.certify_issuers(key)
    typer.echo("renewed; gateways get the new chain with their next certificate")


@ca_app.command("crl")
def crl(context: typer.Context) -> None:
    """Print the revocation lists, PEM: for a broker that is not ours."""
    typer.echo(_authority(context).crl_file.read_text(), nl=False)


def _read(file: Path, passphrase: str | None) -> ec.EllipticCurvePrivateKey:
    try:
        password = None if passphrase is None else passphrase.encode()
        key = load_pem_private_key(file.read_bytes(), password)
    except (OSError, ValueError, TypeError) as error:
        what = f"the root's key cannot be read: {error}"
        fix = "give the right file and passphrase; once it is offline there is no other copy here"
        raise ConfigError(what, file=str(file), fix=fix) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        what = "this is no key of ours"
        raise ConfigError(what, file=str(file), fix="give the right file")
    return key
