"""The way of a claim: key, code, begin, wait, take what comes. Killed anywhere, it goes on.

What is done is read from the files alone::

    claim.json   gateway.key + its pair     what is next
    no           no                         make a key, then a code
    yes          key                        begin (again), wait, take the certificate
    no           key and certificate        nothing: this gateway is claimed

The cloud answers a device that begins again with what it has said before, so that nothing is lost
if we are killed between its answer and our disk.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from plantroom_edge.claiming import files
from plantroom_edge.claiming.cloud import ProvisionClient, Refused
from plantroom_edge.claiming.files import Folder
from plantroom_edge.claiming.keys import Checked, DeviceKey, check_grant
from plantroom_edge.claiming.settle import settle
from plantroom_shared.claiming import begin_message, hash_code, new_code, poll_message, read_code
from plantroom_shared.errors import ConfigError, Rejected, Unavailable

_ANEW: Final = ("not_found", "404")
"""Codes of the cloud with which a device begins anew."""
_SLOWEST: Final = 60.0
_STUCK: Final = 3
"""How often in a row the cloud may ask for a new challenge before something is wrong."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be claimed, and where."""

    config: Path
    folder: Folder
    url: str
    ca: Path | None = None
    token: str = ""
    facts: dict[str, str] = field(default_factory=dict)


Show = Callable[[str, str], None]
"""Called with code and fingerprint whenever there is something for a person to read."""


class Claim:
    """One claim.

    Args:
        asked: what and where.
        client: of the cloud.
        show: for the person on site.
        sleep: waits so many seconds.
    """

    def __init__(
        self,
        asked: Asked,
        client: ProvisionClient,
        show: Show,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._asked, self._client = asked, client
        self._show, self._sleep = show, sleep
        self._shown = ""
        self._pause = 1.0

    def run(self) -> Checked:
        """Return what this gateway is once it is claimed; takes as long as a person does.

        Raises:
            ConfigError: something here is in the way.
            Refused: the cloud will not have this gateway.
            Rejected: what the cloud sends cannot be trusted.
        """
        key = self._key()
        while True:
            standing = self._stand(key)
            if standing["state"] == "claimed":
                return self._take(key, standing)
            self._forget_code()  # locked, or nobody came in time: show another

    # ------------------------------------------------------------ steps

    def _key(self) -> DeviceKey:
        """Return the key; it is made where there is none."""
        folder = self._asked.folder
        if folder.key.exists():
            return DeviceKey(_bytes(folder.key))
        key = DeviceKey.new()
        files.write(folder.key, key.pem)
        return key

    def _code(self) -> str:
        """Return the code; it is made where there is none, and kept before anybody sees it."""
        folder = self._asked.folder
        try:
            noted = json.loads(folder.claim.read_bytes())
            code = read_code(str(noted["code"]))
        except (OSError, ValueError, KeyError, TypeError):
            code = ""
        if not code:
            code = new_code()
            files.write(folder.claim, json.dumps({"code": code}).encode())
        return code

    def _forget_code(self) -> None:
        self._asked.folder.claim.unlink(missing_ok=True)

    def _stand(self, key: DeviceKey) -> dict[str, Any]:
        """Begin, and wait until something has become of it."""
        code = self._code()
        csr, code_hash, token = key.request(), hash_code(code), self._asked.token
        body = {"csr": csr, "code_hash": code_hash, "token": token, "facts": self._asked.facts}
        body["signature"] = key.sign(begin_message(csr, code_hash, token, ""))
        standing = self._patiently(lambda: self._client.begin(body))
        stuck = 0
        while standing["state"] in {"waiting", "challenge"}:
            if standing["state"] == "waiting":
                stuck = 0
                self._tell(code, key.fingerprint)
                self._wait(standing)
            else:
                stuck += 1
                if stuck > _STUCK:
                    msg = "the cloud takes no signature of this gateway's key"
                    raise Rejected(msg, reason="challenge")
            standing = self._poll(key, standing)
        return standing

    def _poll(self, key: DeviceKey, standing: dict[str, Any]) -> dict[str, Any]:
        pending, challenge = str(standing["pending"]), str(standing["challenge"])
        body = {"pending": pending, "challenge": challenge}
        body["signature"] = key.sign(poll_message(pending, challenge))
        try:
            return self._patiently(lambda: self._client.poll(body))
        except Refused as error:
            if error.reason in _ANEW:
                return {"state": "over"}
            raise

    def _take(self, key: DeviceKey, standing: dict[str, Any]) -> Checked:
        """Check what the cloud has sent, and keep it; the note of the claim goes last."""
        grant, folder, asked = standing["grant"], self._asked.folder, self._asked
        try:
            texts = {name: str(grant[name]) for name in ("certificate", "ca", "binding")}
            signature, brokers = str(grant["binding_signature"]), list(grant["brokers"])
            host, _, port = str(brokers[0]).rpartition(":")
            where = {"host": host.strip("[]"), "port": int(port)}
        except (KeyError, TypeError, ValueError, IndexError) as error:
            msg = f"the cloud's answer cannot be understood: {error!r}"
            raise Rejected(msg, reason="grant") from error
        told = check_grant(key, texts["certificate"], texts["ca"], texts["binding"], signature)
        files.write(folder.ca, texts["ca"].encode(), 0o644)
        files.write(folder.cert, texts["certificate"].encode(), 0o644)
        signed = {"binding": texts["binding"], "signature": signature}
        files.write(folder.binding, json.dumps(signed).encode(), 0o644)
        said: dict[str, Any] = {"gateway": told.gateway, "site": told.site, "provision": asked.url}
        said |= where
        if asked.ca is not None:
            said["provision_ca"] = str(asked.ca)
        settle(asked.config, folder, said)
        folder.claim.unlink(missing_ok=True)
        return told

    # ------------------------------------------------------------ patience

    def _tell(self, code: str, fingerprint: str) -> None:
        if self._shown != code:
            self._shown = code
            self._show(code, fingerprint)

    def _wait(self, standing: dict[str, Any]) -> None:
        """Wait before the next question: ever longer, up to a minute."""
        asked = standing.get("poll_after")
        least = float(asked) if isinstance(asked, int) and 0 < asked < _SLOWEST else 1.0
        self._sleep(max(self._pause, min(least, self._pause * 2)) * random.uniform(0.8, 1.2))
        self._pause = min(_SLOWEST, self._pause * 1.1)

    def _patiently(self, ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Ask until there is an answer; whoever stands before the gateway can end it."""
        pause = 1.0
        while True:
            try:
                standing = ask()
            except Unavailable as error:
                self._sleep(max(pause, error.retry_after or 0.0) * random.uniform(0.8, 1.2))
                pause = min(_SLOWEST, pause * 2)
                continue
            if not isinstance(standing.get("state"), str):
                msg = "the cloud's answer cannot be understood"
                raise Rejected(msg, reason="answer")
            return standing


def claimed_as(folder: Folder) -> str:
    """Return the id that this gateway was claimed under; empty if it was not, or not through."""
    if folder.claim.exists() or not files.fits(folder.cert, folder.key):
        return ""
    try:
        binding = json.loads(json.loads(folder.binding.read_bytes())["binding"])
        return str(binding["gateway"])
    except (OSError, ValueError, KeyError, TypeError):
        return "a name of its own"  # made by hand: `plantroom-cloud gateway add`


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        what = f"it cannot be read: {error.strerror or error}"
        fix = "run this as the user of the agent"
        raise ConfigError(what, file=str(path), fix=fix) from error
