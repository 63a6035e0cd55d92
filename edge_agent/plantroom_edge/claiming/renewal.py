"""Renewing the certificate, in a process of its own: ``python -m plantroom_edge.claiming.renewal``.

What it needs is eleven megabytes, for a minute in two months. It is told on standard input what is to
be renewed, leaves the new pair beside the old one, and says on standard output how things stand.
Killed anywhere, it goes on at the next call: the cloud answers for a key that it has seen with the
certificate that it has issued.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from plantroom_edge.claiming import files
from plantroom_edge.claiming.cloud import ProvisionClient
from plantroom_edge.claiming.keys import DeviceKey, check_grant, leaf_pem, life_of, moment
from plantroom_edge.clock import EdgeClock
from plantroom_shared.claiming import begin_message, renew_message
from plantroom_shared.clock import SystemClock
from plantroom_shared.errors import PlantroomError, Rejected

SOON: Final = 3600.0
"""Seconds after which a renewal that failed is tried again."""


@dataclass(frozen=True, slots=True)
class Renewal:
    """What is to be renewed, and where."""

    gateway: str
    ca: Path
    cert: Path
    key: Path
    url: str
    url_ca: Path | None
    now_us: int | None
    """What the gateway takes for the present; None: nobody has told it, and it is due in any case."""

    @classmethod
    def of(cls, told: dict[str, Any]) -> Renewal:
        """Return what a document tells."""
        ca, cert, key = (Path(told[name]) for name in ("ca", "cert", "key"))
        url_ca = Path(told["url_ca"]) if told.get("url_ca") else None
        return cls(told["gateway"], ca, cert, key, told["url"], url_ca, told["now_us"])


def renew(asked: Renewal, client: ProvisionClient | None = None) -> dict[str, Any]:
    """Renew the certificate if that is due; return how things stand.

    Returns:
        ``staged``: whether a new pair waits to be tried; ``again``: seconds after which to look
        again; ``until``: when the present certificate is over, in seconds since 1970.

    Raises:
        PlantroomError: it cannot be done now, or not at all.
    """
    files.recover(asked.cert, asked.key)
    old = asked.cert.read_text()
    life = life_of(old)
    now = life.due if asked.now_us is None else moment(asked.now_us)
    until = life.until.timestamp()
    if files.is_waiting(asked.cert, asked.key):
        return {"staged": True, "again": SOON, "until": until}
    if now < life.due:
        return {"staged": False, "again": (life.due - now).total_seconds(), "until": until}
    _fetch(asked, leaf_pem(old), client or _client(asked))
    return {"staged": True, "again": SOON, "until": until}


def _fetch(asked: Renewal, old: str, client: ProvisionClient) -> None:
    """Make a new key, have it certified, and leave the pair beside the old one."""
    waiting = files.following(asked.key)
    if not waiting.exists():
        files.write(waiting, DeviceKey.new().pem)
    new, present = DeviceKey(waiting.read_bytes()), DeviceKey(asked.key.read_bytes())
    csr = new.request()
    body = {"csr": csr, "certificate": old, "signature": new.sign(begin_message(csr, "", "", old))}
    body["renew_signature"] = present.sign(renew_message(csr, old))
    answer = client.begin(body)
    try:
        grant = answer["grant"]
        texts = {name: str(grant[name]) for name in ("certificate", "ca", "binding")}
        signature = str(grant["binding_signature"])
    except (KeyError, TypeError) as error:
        msg = f"the cloud's answer cannot be understood: {error!r}"
        raise Rejected(msg, reason="grant") from error
    # Only whom this gateway trusts already can say who it is; more roots may come with that.
    roots = asked.ca.read_text()
    told = check_grant(new, texts["certificate"], roots, texts["binding"], signature)
    if told.gateway != asked.gateway:
        msg = f"the cloud has sent a certificate of {told.gateway}"
        raise Rejected(msg, reason="grant")
    if texts["ca"] != roots and roots.strip() in texts["ca"]:
        files.write(asked.ca, texts["ca"].encode(), 0o644)
    files.write(files.following(asked.cert), texts["certificate"].encode(), 0o644)


def _client(asked: Renewal) -> ProvisionClient:
    return ProvisionClient(asked.url, asked.url_ca, EdgeClock(SystemClock()))


def main() -> None:
    """Renew what standard input tells of; print the outcome as JSON."""
    try:
        said = renew(Renewal.of(json.load(sys.stdin)))
    except (PlantroomError, OSError) as error:
        reason = error.reason if isinstance(error, Rejected) else ""
        said = {"fault": str(error), "reason": reason, "staged": False, "again": SOON}
    json.dump(said, sys.stdout)


if __name__ == "__main__":
    main()
