"""What a run needs around it: a broker, the connection material, the client's process."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from aiomqtt import ProtocolVersion

from plantroom_cloud.conformance.line import Address, ClientProcess, MqttLine, OwnBroker
from plantroom_cloud.gateways.pki import TlsFiles
from plantroom_shared.errors import ConfigError

_VERSIONS = {"5": ProtocolVersion.V5, "3.1.1": ProtocolVersion.V311}


@dataclass(frozen=True, slots=True)
class External:
    """A broker that is not ours."""

    cloud: Address
    client: Address | None
    """With the gateway's own certificate, where we have it."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What the operator has asked for."""

    folder: Path
    gateway: str
    engine: str = "auto"
    external: External | None = None
    command: str = ""


def external(broker: str, tls: Path | None, mqtt: str) -> External | None:
    """Return the broker that the options name, or None for our own.

    Raises:
        ConfigError: an option is wrong or missing.
    """
    if not broker:
        return None
    if tls is None:
        what = "the certificates for it are not named"
        raise ConfigError(
            what, key="--tls", fix="give the folder with ca.pem, cloud.pem, cloud.key"
        )
    theirs = address(broker, tls, "client", mqtt)
    ours = address(broker, tls, "cloud", mqtt)
    return External(ours, theirs if theirs.tls.key.exists() else None)


def address(broker: str, tls: Path, name: str, mqtt: str) -> Address:
    """Return where `broker` is, with the certificate `name` in folder `tls`.

    Raises:
        ConfigError: an option is wrong.
    """
    host, _, port = broker.rpartition(":")
    if not host or not port.isdecimal() or not 1 <= int(port) <= 65535:
        what = f"{broker[:80]!r} is no broker"
        raise ConfigError(what, key="--broker", fix="write HOST:PORT")
    if mqtt not in _VERSIONS:
        what = f"there is no MQTT {mqtt[:20]!r}"
        raise ConfigError(what, key="--mqtt", fix="choose 5 or 3.1.1")
    files = TlsFiles(tls / "ca.pem", tls / f"{name}.pem", tls / f"{name}.key")
    return Address(host, int(port), files, _VERSIONS[mqtt])


@contextlib.asynccontextmanager
async def arranged(setting: Setting) -> AsyncIterator[MqttLine]:
    """Yield the line of a run, with the material in the folder; end what was started."""
    own = None
    if (given := setting.external) is None:
        own = OwnBroker(setting.folder, setting.gateway, setting.engine)
        given = External(own.cloud, own.client)
    line = MqttLine(setting.gateway, given.cloud, gateway_address=given.client, broker=own)
    where = {"host": given.cloud.host, "port": str(given.cloud.port), "gateway": setting.gateway}
    if setting.command:
        line.client = ClientProcess(setting.command, setting.folder, where)
    try:
        if own is not None:
            await own.start()
        _describe(setting.folder, where, given.client)
        yield line
    finally:
        if line.client is not None:
            await line.client.stop()
        if own is not None:
            await own.stop()


def _describe(folder: Path, where: dict[str, str], client: Address | None) -> None:
    """Write ``connection.json`` for whoever sets up the client; it is complete when it is there."""
    facts: dict[str, str | int] = {**where, "port": int(where["port"])}
    if client is not None:
        tls = client.tls
        facts |= {"ca": str(tls.ca), "certificate": str(tls.certificate), "key": str(tls.key)}
    draft = folder / ".connection.json"
    draft.write_text(json.dumps(facts, indent=2) + "\n")
    draft.replace(folder / "connection.json")
