"""Asking the cloud while it does not know this gateway yet: JSON over HTTPS, one request at a time."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from plantroom_edge.clock import EdgeClock
from plantroom_edge.sync_tls import asking_context
from plantroom_shared.errors import ConfigError, Rejected, Unavailable

_PATIENCE: Final = 20.0
_MOST: Final = 256 * 1024
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


class Refused(Rejected):
    """The cloud says no; `reason` is its code."""


class ProvisionClient:
    """Speaks to ``/provision/v1`` of one cloud.

    Args:
        url: ``https://host[:port]``; without TLS only on this machine.
        ca: PEM file of the authority that the cloud's certificate is of; None: those that the
            operating system trusts.
        clock: what the time is worth: dates of certificates are judged by it.

    Raises:
        ConfigError: the address is none, or `ca` cannot be used.
    """

    def __init__(self, url: str, ca: Path | None, clock: EdgeClock) -> None:
        parts = check_url(url)
        self._host, self._port, self._path = parts.hostname or "", parts.port, parts.path
        self._tls = asking_context(ca, clock) if parts.scheme == "https" else None

    def begin(self, body: dict[str, Any]) -> dict[str, Any]:
        """Say that this gateway is there; see `post`."""
        return self.post("begin", body)

    def poll(self, body: dict[str, Any]) -> dict[str, Any]:
        """Ask how the claim stands; see `post`."""
        return self.post("poll", body)

    def post(self, what: str, body: dict[str, Any]) -> dict[str, Any]:
        """Send `body` and return the answer.

        Raises:
            Unavailable: there is no answer now; later there may be one.
            Refused: the cloud says no.
        """
        connection = self._connection()
        try:
            headers = {"Content-Type": "application/json"}
            path = f"{self._path.rstrip('/')}/provision/v1/{what}"
            connection.request("POST", path, json.dumps(body), headers)
            answer = connection.getresponse()
            return _understand(answer, answer.read(_MOST + 1))
        except (OSError, http.client.HTTPException) as error:
            msg = f"{self._host} does not answer: {error}"
            raise Unavailable(msg) from error
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        if self._tls is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=_PATIENCE)
        self._tls.prepare()
        return http.client.HTTPSConnection(
            self._host, self._port, timeout=_PATIENCE, context=self._tls
        )


def check_url(url: str) -> SplitResult:
    """Return the parts of the cloud's address; ConfigError if it is none, or not to be trusted."""
    fix = "write it like https://cloud.example.com"
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        what = f"{url[:80]!r} is no address: {error}"
        raise ConfigError(what, key="cloud", fix=fix) from error
    local = parts.hostname in _LOOPBACK
    if not parts.hostname or parts.scheme not in {"https", "http"} or parts.username:
        what = f"{url[:80]!r} is no address of a cloud"
        raise ConfigError(what, key="cloud", fix=fix)
    if parts.scheme == "http" and not local:
        what = "without TLS anybody on the way could claim this gateway"
        raise ConfigError(what, key="cloud", fix=fix)
    return parts


def _understand(answer: http.client.HTTPResponse, content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content[:_MOST])
    except ValueError:
        document = None
    if answer.status == 200 and isinstance(document, dict):
        return document
    said = document if isinstance(document, dict) else {}
    detail = str(said.get("detail", f"HTTP {answer.status}"))[:300]
    if answer.status == 429 or answer.status >= 500 or answer.status == 200:
        wait = answer.headers.get("Retry-After", "")
        later = float(wait) if wait.isdecimal() else None
        msg = f"the cloud cannot answer now: {detail}"
        raise Unavailable(msg, retry_after=later)
    msg = f"the cloud refuses: {detail}"
    raise Refused(msg, reason=str(said.get("code", answer.status)))
