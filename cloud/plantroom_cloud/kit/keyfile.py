"""Ed25519 keys in files: made once, readable by the service alone, never shown."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from plantroom_cloud.gateways.pki import write_private
from plantroom_shared.errors import ConfigError


def load_key(file: Path, what_for: str, fix: str) -> Ed25519PrivateKey | None:
    """Return the private key in `file`; None where there is no such file.

    Args:
        file: PEM.
        what_for: completes "the key that ...", for errors.
        fix: what to do where it cannot be read.

    Raises:
        ConfigError: it cannot be read, or is no Ed25519 key.
    """
    try:
        key = serialization.load_pem_private_key(file.read_bytes(), None)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        what = f"the key that {what_for} cannot be read: {error}"
        raise ConfigError(what, file=str(file), fix=fix) from error
    if not isinstance(key, Ed25519PrivateKey):
        what = f"the key that {what_for} is no Ed25519 key"
        raise ConfigError(what, file=str(file), fix=fix)
    return key


def make_key(file: Path, what_for: str, fix: str) -> Ed25519PrivateKey:
    """Return the private key in `file`, made where there is none yet: mode 0600.

    Several processes may make it at once: the first one's stays, and all return that.

    Raises:
        ConfigError: it cannot be read or written, or is no Ed25519 key.
    """
    if (known := load_key(file, what_for, fix)) is not None:
        return known
    key = Ed25519PrivateKey.generate()
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    # Threads of one process make it at once, too.
    draft = file.with_name(f"{file.name}.{secrets.token_hex(8)}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(draft, key.private_bytes(encoding, form, serialization.NoEncryption()))
        try:
            os.link(draft, file)  # unlike a rename it leaves a file alone that is there by now
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    except OSError as error:
        what = f"the key that {what_for} cannot be written: {error.strerror or error}"
        raise ConfigError(what, file=str(file), fix="make the folder writable") from error
    made = load_key(file, what_for, fix)
    assert made is not None  # noqa: S101 -- linked, or found to be there, above
    return made


def key_name(prefix: str, key: Ed25519PublicKey) -> str:
    """Return the name of a key, made of it: `prefix`, "-" and 16 hex digits."""
    encoding, form = serialization.Encoding.Raw, serialization.PublicFormat.Raw
    return f"{prefix}-{hashlib.sha256(key.public_bytes(encoding, form)).hexdigest()[:16]}"


def public_pem(key: Ed25519PublicKey) -> str:
    """Return the PEM of a public key."""
    encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_bytes(encoding, form).decode()
