"""The files of a gateway's identity, each replaced whole, so that no kill leaves half of one.

A renewed pair waits beside the old one as ``gateway.key.next`` and ``gateway.pem.next`` until the
cloud has said that it takes it. Then the certificate takes its place first and the key after it:
whoever finds a certificate that fits the waiting key finishes what was cut short.
"""

from __future__ import annotations

import contextlib
import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from plantroom_edge.files import fsync_folder
from plantroom_shared.errors import ConfigError

NEXT: Final = ".next"


@dataclass(frozen=True, slots=True)
class Folder:
    """Where the identity lies, as `plantroom-edge claim` makes it."""

    path: Path

    @property
    def key(self) -> Path:
        """The private key, 0600."""
        return self.path / "gateway.key"

    @property
    def cert(self) -> Path:
        """The certificate and the chain."""
        return self.path / "gateway.pem"

    @property
    def ca(self) -> Path:
        """Whom this gateway trusts."""
        return self.path / "ca.pem"

    @property
    def claim(self) -> Path:
        """What is known of a claim that is under way; there is none when it is through."""
        return self.path / "claim.json"

    @property
    def binding(self) -> Path:
        """Whose this gateway is, signed by the cloud."""
        return self.path / "binding.json"


def write(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Write a file so that a power cut leaves the old one or the new one.

    Raises:
        ConfigError: it cannot be written.
    """
    draft = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        fsync_folder(path.parent)
    except OSError as error:
        what = f"it cannot be written: {error.strerror or error}"
        fix = f"run this as a user who may write to {path.parent}"
        raise ConfigError(what, file=str(path), fix=fix) from error


def following(path: Path) -> Path:
    """Return where the one waits that is to take the place of `path`."""
    return path.with_name(path.name + NEXT)


def fits(cert: Path, key: Path) -> bool:
    """Say whether both can be read and belong together."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(cert, key, password="")
    except (ssl.SSLError, OSError):
        return False
    return True


def promote(cert: Path, key: Path) -> None:
    """Let the waiting pair take the place of `cert` and `key`; OSError if that cannot be done."""
    if following(cert).exists():
        following(cert).replace(cert)
        fsync_folder(cert.parent)
    with contextlib.suppress(FileNotFoundError):  # another process of ours has just finished it
        following(key).replace(key)
    fsync_folder(key.parent)


def recover(cert: Path, key: Path) -> None:
    """Finish what `promote` has begun; a waiting pair that is none is dropped."""
    waiting_cert, waiting_key = following(cert), following(key)
    if not waiting_key.exists():
        waiting_cert.unlink(missing_ok=True)
    elif not waiting_cert.exists() and not fits(cert, key) and fits(cert, waiting_key):
        promote(cert, key)
    elif waiting_cert.exists() and not fits(waiting_cert, waiting_key):
        waiting_cert.unlink()


def is_waiting(cert: Path, key: Path) -> bool:
    """Say whether a renewed pair waits to be tried."""
    return following(cert).exists() and fits(following(cert), following(key))
