"""Signs what the gateway declares lost, so that nobody else can declare it in its name."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import subprocess
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from plantroom_edge.buffer_db import Frame
from plantroom_edge.config import CloudConfig
from plantroom_shared.errors import ConfigError, Rejected
from plantroom_shared.wire import MAX_CERTIFICATE, Gap, decode, encode

if TYPE_CHECKING:  # see there: an agent that has lost nothing does not carry it
    from plantroom_edge.gap_key import Checked, GapKey

_FIX: Final = "give the PEM files this gateway was issued, the key unencrypted"
_KINDS: Final = "have the gateway issued an EC, Ed25519 or RSA key (RSA of at most 6144 bits)"
_APART: Final = (sys.executable, "-P", "-m", "plantroom_edge.gap_key")
"""Looks at a key; not by modules of the folder that it happens to be started in (-P)."""

_LIMIT: Final = 60.0
"""Seconds that looking at a key may take, on a busy machine."""


class GapSigner:
    """Holds the gateway's key and its certificate, as they were at the start.

    Args:
        gateway: id of this gateway.
        cloud: names the files.

    Raises:
        ConfigError: they hold no certificate and key that can sign.
    """

    def __init__(self, gateway: str, cloud: CloudConfig) -> None:
        self._gateway = gateway
        self._key: GapKey | None = None
        try:
            cert, self._pem = cloud.cert.read_bytes(), cloud.key.read_bytes()
        except OSError as error:
            what = f"{cloud.cert} and {cloud.key} are no certificate and its key: {error}"
            raise ConfigError(what, key="cloud.key", fix=_FIX) from error
        said = _check(cert, self._pem)
        if said["fault"]:
            what = f"{cloud.cert} and {cloud.key} are no certificate and its key: {said['fault']}"
            raise ConfigError(what, key="cloud.key", fix=_FIX)
        if not said["fits"]:  # found now, not when rows are lost
            what = f"{cloud.key} holds a key whose signatures the cloud cannot check"
            raise ConfigError(what, key="cloud.key", fix=_KINDS)
        pem = said["certificate"]
        self.certificate = pem if len(pem) <= MAX_CERTIFICATE else ""
        """PEM of the gateway's certificate; empty where it is too long for a hello."""

    def lacks_key(self, frames: Sequence[Frame]) -> bool:
        """Say whether `load` is still to be called before these frames are signed."""
        return self._key is None and any(frame.kind == "gap" for frame in frames)

    def load(self) -> GapKey:
        """Get the key ready; takes up to a second the first time, so call it in a thread."""
        if self._key is None:
            # Imported here: rows are rarely lost, and until then eleven megabytes are spared.
            from plantroom_edge.gap_key import GapKey  # noqa: PLC0415

            self._key = GapKey(self._pem)
        return self._key

    def signed(self, frame: Frame) -> Frame:
        """Return `frame` with a signature if it is a gap; as it is if it is data."""
        if frame.kind != "gap":
            return frame
        try:
            gap = decode(Gap, frame.blob)
        except Rejected:
            return frame
        signature = base64.b64encode(self.load().sign(gap.signed_part(self._gateway))).decode()
        return dataclasses.replace(frame, blob=encode(gap.model_copy(update={"sig": signature})))


def _check(cert: bytes, key: bytes) -> Checked:
    """Return what certificate and key are, by another process where this one would grow by it."""
    if "cryptography.x509" not in sys.modules:  # else it costs nothing more
        given = json.dumps([cert.decode("latin-1"), key.decode("latin-1")])
        with contextlib.suppress(OSError, subprocess.SubprocessError, ValueError):
            done = subprocess.run(  # noqa: S603 -- this interpreter and a module of ours
                _APART, input=given, capture_output=True, text=True, timeout=_LIMIT, check=True
            )
            said: Checked = json.loads(done.stdout)
            return said
    # Here also where no process can be started: an agent that is larger is better than none.
    from plantroom_edge.gap_key import check  # noqa: PLC0415 -- as above

    return check(cert, key)
