"""The agent's configuration: one YAML file, validated whole before anything starts."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny, ValidationError, field_validator

from plantroom_edge.commands.config import WritesConfig
from plantroom_edge.config_explain import complaint, explain, repeated
from plantroom_edge.config_yaml import Document, Loc, read
from plantroom_edge.desired.config import DesiredConfig
from plantroom_edge.desired.merging import digest, merged
from plantroom_edge.desired.state import Entry, State
from plantroom_edge.detectors import DetectorConfig, detectors
from plantroom_edge.drivers import BusConfig, drivers
from plantroom_edge.sampling.config import SamplingConfig
from plantroom_edge.sinks import SinkConfig, sinks
from plantroom_shared.errors import ConfigError
from plantroom_shared.topics import GATEWAY_ID
from plantroom_shared.wire import Stream


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CloudConfig(_Strict):
    """Where the cloud's broker is and with which certificate to go there."""

    host: str = Field(min_length=1, max_length=255)
    """Name or address of the broker; it must stand in the broker's certificate."""
    port: int = Field(default=8883, ge=1, le=65535)
    ca: Path
    """PEM file of the authority that signed the broker's certificate."""
    cert: Path
    """PEM file of this gateway's certificate: its CN is the gateway id."""
    key: Path
    """PEM file of the certificate's private key."""
    mqtt: Literal["auto", "5", "3.1.1"] = "auto"
    """``auto`` speaks MQTT 5 where the broker does."""
    provision: str = ""
    """``https://...`` of the cloud's API: there the agent has its certificate renewed by itself.
    Empty: somebody else renews it."""
    provision_ca: Path | None = None
    """PEM file of the authority of that address; None: whoever the operating system trusts."""
    connects_per_minute: int = Field(default=12, ge=3, le=6000)
    """How often the agent may connect while the link comes and goes."""

    @field_validator("mqtt", mode="before")
    @classmethod
    def _number(cls, value: Any) -> Any:
        return str(value) if value == 5 else value  # YAML reads a bare 5 as a number


class BufferConfig(_Strict):
    """How much the gateway keeps while the cloud is away."""

    limit_mb: int = Field(default=512, ge=4, le=1_000_000)
    """Megabytes on the disk; beyond it samples are thinned, then dropped, each loss declared."""
    commit_ms: int = Field(default=250, ge=1, le=10_000)
    """Milliseconds that rows may wait for others to share a disk sync; more spare a card."""
    retain_hours: float = Field(default=48, ge=0, le=24 * 365)
    """Hours for which confirmed rows stay, within the limit, should the cloud lose them."""
    cmd_percent: float = Field(default=2, ge=0, le=20)
    """Part of the limit that belongs to results of commands alone."""
    evt_percent: float = Field(default=5, ge=0, le=20)
    """Part of the limit that belongs to findings alone."""
    aud_percent: float = Field(default=2, ge=0, le=20)
    """Part of the limit that belongs to the audit alone."""
    flash_mb_per_day: int = Field(default=2000, ge=1)
    """Megabytes that the agent may write to the disk in a day before its status says so."""

    @property
    def shares(self) -> dict[Stream, float]:
        """Part of the limit that belongs to each stream but samples."""
        percent: dict[Stream, float] = {
            "cmd": self.cmd_percent,
            "evt": self.evt_percent,
            "aud": self.aud_percent,
        }
        return {stream: share / 100 for stream, share in percent.items()}


class MetricsConfig(_Strict):
    """Where Prometheus may ask how the agent is; off without the section."""

    listen: str = "127.0.0.1:9464"
    """``address:port``, ``[::1]:port``. There is no password: leave it on loopback, or on a network
    that only those reach who may know which devices there are."""

    @field_validator("listen")
    @classmethod
    def _parses(cls, value: str) -> str:
        host, _, port = value.rpartition(":")
        try:
            ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
            fits = port.isascii() and port.isdecimal() and int(port) <= 65_535
        except ValueError:
            fits = False
        if not fits:
            msg = f"{value!r} is no address with a port; write it like '127.0.0.1:9464'"
            raise ValueError(msg)
        return value

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        host, _, port = self.listen.rpartition(":")
        return host.removeprefix("[").removesuffix("]"), int(port)


class AgentConfig(_Strict):
    """Everything the agent is told."""

    gateway: str
    """Id of this gateway: lower-case letters, digits and dashes, 8 to 40 of them."""
    site: str = Field(min_length=1, max_length=200)
    """The building or plant it stands in."""
    data: Path = Path("data")
    """Folder for the buffer, the status file and what detectors learn; relative to this file."""
    cloud: CloudConfig | None = None
    """Absent: the agent reads and buffers, and sends nothing."""
    buffer: BufferConfig = BufferConfig()
    sampling: SamplingConfig = SamplingConfig()
    metrics: MetricsConfig | None = None
    """Absent: nothing listens."""
    buses: tuple[SerializeAsAny[BusConfig], ...] = ()
    detectors: tuple[SerializeAsAny[DetectorConfig], ...] = ()
    sinks: tuple[SerializeAsAny[SinkConfig], ...] = ()
    """Who else is told what is accepted, beside the cloud."""
    writes: WritesConfig = WritesConfig()
    """Whether anything may be written to devices, what, and by whom; nothing unless it says so."""
    desired: DesiredConfig = DesiredConfig()
    """Whether the cloud may change what is read; it may not unless it says so."""

    @field_validator("gateway")
    @classmethod
    def _gateway_id(cls, value: str) -> str:
        if not GATEWAY_ID.match(value):
            msg = "must be 8 to 40 lower-case letters, digits and dashes, such as gw-tower-0001"
            raise ValueError(msg)
        return value

    @property
    def buffer_file(self) -> Path:
        """The buffer's database."""
        return self.data / "buffer.db"

    @property
    def counters_file(self) -> Path:
        """The totals of counters."""
        return self.data / "counters.json"

    @property
    def status_file(self) -> Path:
        """What the running agent says of itself."""
        return self.data / "status.json"

    @property
    def control_file(self) -> Path:
        """The socket on which the running agent takes orders."""
        return self.data / "control.sock"

    @property
    def writes_folder(self) -> Path:
        """Where the journal of commands, the switch and the spool are."""
        return self.data / "writes"

    @property
    def desired_file(self) -> Path:
        """What the cloud wants, as far as it is in force, and what was before."""
        return self.data / "desired.json"

    @property
    def starts_file(self) -> Path:
        """How many starts failed in a row."""
        return self.data / "starts.json"


class ConfigErrors(ConfigError):
    """All that is wrong with a file, at once: a line for each."""

    def __init__(self, errors: Iterable[ConfigError]) -> None:
        self.errors = tuple(errors)
        first = self.errors[0]
        super().__init__(first.what, file=first.file, key=first.key, fix=first.fix)
        self.args = ("\n".join(str(error) for error in self.errors),)


@dataclass(frozen=True, slots=True)
class _Family:
    """A list of plug-ins in the file: each entry is validated by the model of its plug-in."""

    key: str
    """The list: ``buses``."""
    selector: str
    """The key of an entry that names its plug-in: ``driver``."""
    registry: Any


_FAMILIES: Final = (
    _Family("buses", "driver", drivers),
    _Family("detectors", "detector", detectors),
    _Family("sinks", "sink", sinks),
)


def load(file: Path, text: str | None = None) -> AgentConfig:
    """Read and check the file as a whole, with what the cloud wants where that is in force.

    Args:
        file: where it is; paths in it are taken from its folder.
        text: what is to be checked as if it stood in the file; nothing is read then.

    Raises:
        ConfigErrors: with everything that is wrong; each error names file, line, key and fix.
    """
    document = read(file, text)
    return _checked(document, in_force(document))


def load_with(file: Path, entry: Entry | None) -> AgentConfig:
    """Do what `load` does as if `entry` were what the cloud wants; None: the site's file alone."""
    return _checked(read(file), entry)


def content_with(file: Path, entry: Entry | None) -> dict[str, Any]:
    """Return what the file says, with what `entry` wants in its place."""
    content = read(file).content
    return merged(content, entry.document)[0] if entry else content


def in_force(document: Document) -> Entry | None:
    """Return what the cloud wants that counts: None where the site's file says other things by now.

    Whoever works on site has the last word: it counts only as long as the file names whose
    configurations are heeded, and says of the sections what it said when it was applied.
    """
    content = document.content
    desired, data = content.get("desired"), content.get("data", "data")
    if not isinstance(desired, dict) or not desired.get("keys") or not isinstance(data, str):
        return None
    entry = State.read(document.file.absolute().parent / data / "desired.json").in_force
    return entry if entry and entry.based == digest(content) else None


def _checked(document: Document, entry: Entry | None) -> AgentConfig:
    errors = [repeated(document, loc) for loc in document.repeated]
    if entry is not None:
        said = digest(document.content)
        document.content, wrong = merged(document.content, entry.document)
        label = f"desired configuration {entry.version} (over {document.file.name}, {said})"
        document.elsewhere = dict.fromkeys(entry.document, label)
        errors += wrong
    plugged: dict[str, list[BaseModel]] = {}
    for family in _FAMILIES:
        plugged[family.key], wrong = _entries(document, family)
        errors += wrong
    rest = {key: value for key, value in document.content.items() if key not in plugged}
    try:
        config = AgentConfig.model_validate(rest | plugged)
    except ValidationError as error:
        errors += [explain(document, detail, AgentConfig) for detail in error.errors()]
        raise ConfigErrors(errors) from error
    config = _resolve(config, document.file.absolute().parent)
    errors += _missing_files(document, config)
    if errors:
        raise ConfigErrors(errors)
    return config


def _entries(document: Document, family: _Family) -> tuple[list[BaseModel], list[ConfigError]]:
    entries = document.content.get(family.key)
    if entries is None:
        return [], []
    if not isinstance(entries, list):
        what, fix = "must be a list", f"begin each entry with `- name:` under `{family.key}:`"
        return [], [complaint(document, (family.key,), what, fix)]
    good: list[BaseModel] = []
    errors: list[ConfigError] = []
    for index, entry in enumerate(entries):
        try:
            good.append(_entry(document, family, index, entry))
        except ConfigErrors as error:
            errors += error.errors
    errors += _same_names(document, family, entries)
    return good, errors


def _entry(document: Document, family: _Family, index: int, entry: Any) -> BaseModel:
    loc: Loc = (family.key, index)
    if not isinstance(entry, dict):
        fix = f"write `name:` and `{family.selector}:` under a dash"
        raise ConfigErrors([complaint(document, loc, "must be a mapping", fix)])
    name = entry.get(family.selector)
    if not isinstance(name, str):
        known = ", ".join(key for key, _ in family.registry)
        fix = f"add `{family.selector}:`, one of: {known}"
        raise ConfigErrors([complaint(document, loc, f"names no {family.selector}", fix)])
    try:
        spec = family.registry.get(name)
    except ConfigError as error:
        where = (*loc, family.selector)
        raise ConfigErrors([complaint(document, where, error.what, error.fix)]) from error
    model: type[BaseModel] = spec.config
    try:
        # The file's folder, for models that name files of their own.
        return model.model_validate(entry, context={"folder": document.file.absolute().parent})
    except ValidationError as error:
        raise ConfigErrors(
            explain(document, detail, model, loc) for detail in error.errors()
        ) from error


def _same_names(document: Document, family: _Family, entries: list[Any]) -> list[ConfigError]:
    seen: set[str] = set()
    errors = []
    for index, entry in enumerate(entries):
        name = entry.get("name") if isinstance(entry, dict) else None
        if isinstance(name, str) and name in seen:
            what = f"another entry of {family.key} is called {name!r}"
            errors.append(complaint(document, (family.key, index, "name"), what, "rename one"))
        seen.add(str(name))
    return errors


def _resolve(config: AgentConfig, folder: Path) -> AgentConfig:
    """Return `config` with its paths taken from the folder of its file."""
    changes: dict[str, Any] = {"data": folder / config.data}
    changes["writes"] = config.writes.resolved(folder)
    changes["desired"] = config.desired.resolved(folder)
    if config.cloud:
        paths = {key: folder / getattr(config.cloud, key) for key in ("ca", "cert", "key")}
        if config.cloud.provision_ca is not None:
            paths["provision_ca"] = folder / config.cloud.provision_ca
        changes["cloud"] = config.cloud.model_copy(update=paths)
    return config.model_copy(update=changes)


def _missing_files(document: Document, config: AgentConfig) -> Iterator[ConfigError]:
    if config.cloud is None:
        return
    for key in ("ca", "cert", "key"):
        path: Path = getattr(config.cloud, key)
        try:
            path.open("rb").close()
        except OSError as error:
            what = f"{path} cannot be read: {error.strerror or error}"
            fix = "put the file there, or correct the path (relative to this file)"
            yield complaint(document, ("cloud", key), what, fix)


__all__ = [
    "AgentConfig",
    "BufferConfig",
    "CloudConfig",
    "ConfigErrors",
    "content_with",
    "in_force",
    "load",
    "load_with",
]
