"""Who may not get in any more, in a file that brokers read: ``<data>/pki/denied.json``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import orjson

from plantroom_cloud.gateways.pki import Authority, write_private
from plantroom_shared.errors import ConfigError
from plantroom_shared.topics import GATEWAY_ID


@dataclass(frozen=True, slots=True)
class Denied:
    """Gateways, and certificates of others, that are revoked."""

    gateways: frozenset[str] = frozenset()
    serials: frozenset[str] = frozenset()
    """In hex, as `x509` numbers them: lower case, no zeros in front."""


def denied_file(authority: Authority) -> Path:
    """Return where it is."""
    return authority.folder / "denied.json"


def write(authority: Authority, gateways: Iterable[str], serials: Iterable[str]) -> None:
    """Replace the file."""
    content = {"gateways": sorted(gateways), "serials": sorted(serials)}
    write_private(denied_file(authority), orjson.dumps(content))


def read(authority: Authority) -> Denied:
    """Return what the file says; nobody is denied before it was first written.

    Raises:
        ConfigError: it cannot be read: a broker that does not know who is denied lets nobody in.
    """
    file = denied_file(authority)
    try:
        content = orjson.loads(file.read_bytes())
        gateways, serials = map(frozenset, (content["gateways"], content["serials"]))
        # A name that is no text raises TypeError here.
        known = [one for one in gateways if GATEWAY_ID.match(one)]
        fits = len(known) == len(gateways) and all(int(one, 16) for one in serials)
    except FileNotFoundError:
        return Denied()
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise _unreadable(file, f"it cannot be read: {error}") from error
    if not fits:
        raise _unreadable(file, "it holds names that nobody can have")
    return Denied(gateways, serials)


def _unreadable(file: Path, what: str) -> ConfigError:
    fix = "delete it and start the worker, which writes it anew, before the broker"
    return ConfigError(what, file=str(file), fix=fix)
