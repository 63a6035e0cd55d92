"""Settings of the cloud service: ``PLANTROOM_*`` variables or a YAML file, checked whole at start."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    YamlConfigSettingsSource,
)

from plantroom_cloud.config_alarms import AlarmSettings
from plantroom_cloud.config_api import ApiSettings
from plantroom_cloud.config_audit import AuditSettings
from plantroom_cloud.config_blobs import Place, S3Settings
from plantroom_cloud.config_claim import ClaimSettings
from plantroom_cloud.config_governance import GovernanceSettings
from plantroom_cloud.config_identity import IdentitySettings
from plantroom_cloud.config_isolation import IsolationSettings
from plantroom_cloud.config_live import LiveSettings
from plantroom_cloud.config_llm import LlmBudget, LlmPrice, LlmSettings
from plantroom_cloud.config_oidc import OidcProvider, OidcSettings
from plantroom_cloud.config_outbound import OutboundSettings
from plantroom_cloud.config_resilience import ResilienceSettings
from plantroom_cloud.config_watching import WatchingSettings
from plantroom_shared.errors import ConfigError

__all__ = [
    "AlarmSettings",
    "AuditSettings",
    "ClaimSettings",
    "CloudSettings",
    "EnosTarget",
    "GovernanceSettings",
    "IdentitySettings",
    "IsolationSettings",
    "LiveSettings",
    "LlmBudget",
    "LlmPrice",
    "LlmSettings",
    "MqttSettings",
    "OidcProvider",
    "OidcSettings",
    "OutboundSettings",
    "ResilienceSettings",
    "S3Settings",
    "WatchingSettings",
    "load_settings",
]

_PREFIX, _DELIMITER = "PLANTROOM_", "__"


class EnosTarget(BaseModel):
    """Where one company's mapped points are published."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    company: str
    """The company's slug."""
    apigw: str
    """Base URL of the API gateway: tokens, products, devices, discovery."""
    integration: str
    """Base URL of the HTTP integration channel: publishing."""
    org_id: str
    app_key: str
    app_secret: SecretStr
    timezone: str = "+00:00"
    """Of devices whose site names no zone of its own."""
    late_after: float = Field(default=3600.0, gt=0)
    """Seconds; older values take the offline path, where they move no "latest" value."""
    quality: dict[Literal["good", "uncertain", "bad"], int] = Field(default_factory=dict)
    """Quality codes to send. Good values are sent plain unless named; others only if named."""
    mapping_wait: float = Field(default=600.0, ge=0)
    """Seconds that stored samples wait for the mapper to have looked at their points."""
    history_days: float = Field(default=30.0, ge=0)
    """Days of history that a mapping sends which is published for the first time."""
    most_waiting: int = Field(default=1_000_000, ge=1000)
    """Values that wait for EnOS as such; older ones are published from the store in their turn."""
    site_model: str = "NULLMODEL"
    """Thing model of the asset that stands for a site at the root of its tree."""
    storage_policy: str = ""
    """Id of the storage policy to which a plan may add points that EnOS would not keep."""
    edge_patience: float = Field(default=300.0, gt=0, le=3600)
    """Seconds without any news until a search of an EnOS Edge is given up."""
    edge_poll: float = Field(default=5.0, gt=0, le=300)
    """Seconds between two questions for what an Edge has found."""
    edge_limit: float = Field(default=3600.0, gt=0, le=86_400)
    """Seconds that all searches of one building may take together."""


class MqttSettings(BaseModel):
    """The broker that the gateways use."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = "127.0.0.1"
    port: int = Field(default=8883, ge=1, le=65535)
    version: str = Field(default="auto", pattern=r"^(auto|5|3\.1\.1)$")
    instance: int = Field(default=0, ge=0, le=16)
    """Number of this ingest process where several share the work; 0: it takes everything itself."""


class CloudSettings(BaseSettings):
    """Everything the service can be told. Defaults run the whole of it on one machine."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_nested_delimiter=_DELIMITER, frozen=True, extra="forbid"
    )

    data: Path = Path("plantroom-data")
    """Folder for the database, the certificate authority and first-start secrets."""
    database: str = ""
    """``postgresql+psycopg://...``; empty means SQLite in `data`."""
    isolation: IsolationSettings = IsolationSettings()
    api_host: str = "127.0.0.1"
    api_port: int = Field(default=8080, ge=0, le=65535)
    api: ApiSettings = ApiSettings()
    mqtt: MqttSettings = MqttSettings()
    claim: ClaimSettings = ClaimSettings()
    """How devices become gateways."""
    llm: LlmSettings | None = None
    identity: IdentitySettings = IdentitySettings()
    oidc: OidcSettings = OidcSettings()
    """Identity providers that people may log in at."""
    jobs: Literal["embedded", "celery"] = "embedded"
    """Who does the chunks of jobs: the worker itself, or Celery workers that share them."""
    cache: Literal["memory", "redis"] = "memory"
    """Where what is read often is kept: by each process for itself, or in Redis as well."""
    redis: SecretStr = SecretStr("")
    """``redis://:password@host:6379/0``: of Celery workers, live events and the second tier of caches."""
    blobs: Place = ""
    """Where files are kept: ``file:///folder``, or ``s3://bucket/prefix`` with `s3`; empty means
    ``blobs`` in `data`."""
    s3: S3Settings = S3Settings()
    job_lease: float = Field(default=30.0, ge=0.5, le=3600)
    """Seconds after which the chunk of a worker that is not heard of goes to another."""
    enos: tuple[EnosTarget, ...] = ()
    outbound: OutboundSettings = OutboundSettings()
    live: LiveSettings = LiveSettings()
    job_keep: float = Field(default=30.0, gt=0, le=3650)
    """Days that a job which has ended stays to be read."""
    alarms: AlarmSettings = AlarmSettings()
    audit: AuditSettings = AuditSettings()
    governance: GovernanceSettings = GovernanceSettings()
    resilience: ResilienceSettings = ResilienceSettings()
    watching: WatchingSettings = WatchingSettings()

    @property
    def database_url(self) -> str:
        """The database's URL, the embedded default filled in."""
        return self.database or f"sqlite+aiosqlite:///{self.data.resolve() / 'plantroom.db'}"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments win over the environment, which wins over the file."""
        del dotenv_settings, file_secret_settings  # one file is enough, and it is YAML
        return init_settings, env_settings, YamlConfigSettingsSource(settings_cls)


def load_settings(file: Path | None = None, **given: Any) -> CloudSettings:
    """Return the settings from `given`, the environment and the YAML `file`, in this order.

    Raises:
        ConfigError: the file cannot be read, a key is unknown or a value is wrong; the text names
            the file or the variable, the key and the fix.
    """
    if file is not None:
        _check_yaml(file)

    class FromFile(CloudSettings):
        model_config = SettingsConfigDict(yaml_file=file)

    try:
        return _whole(FromFile(**given), file)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise _explain(tuple(first["loc"]), first["type"], first["msg"], file) from error
    except SettingsError as error:
        # Its text may hold the value, and the value may be a secret.
        what = "a variable that must hold JSON does not"
        fix = f"check the {_PREFIX}* variables for lists and objects"
        raise ConfigError(what, file="environment", fix=fix) from error


def _whole(settings: CloudSettings, file: Path | None) -> CloudSettings:
    """Check what no setting can say alone."""
    url = settings.redis.get_secret_value()  # it may hold a password: never in a text of ours
    source = str(file or "environment")
    for choice, other in _over_redis(settings):
        if not url:
            fix = f"say redis: redis://host:6379/0, or {other}"
            what = f"is missing where {choice}"
            raise ConfigError(what, file=source, key="redis", fix=fix)
    if url and not url.startswith(("redis://", "rediss://", "redis+socket://")):
        fix = "write redis://:password@host:6379/0, or rediss:// for TLS"
        what = "this is no URL of a Redis"
        raise ConfigError(what, file=source, key="redis", fix=fix)
    if settings.blobs.startswith("s3://"):
        for key in ("access_key", "secret_key"):
            if not getattr(settings.s3, key):
                fix = f"set s3.{key}, or say blobs: file:///folder"
                what = "is missing where blobs is in S3"
                raise ConfigError(what, file=source, key=f"s3.{key}", fix=fix)
    return settings


def _over_redis(settings: CloudSettings) -> Iterator[tuple[str, str]]:
    """Yield each choice that needs a Redis, and what to say to do without."""
    if settings.jobs == "celery":
        yield "jobs is celery", "jobs: embedded"
    if settings.cache == "redis":
        yield "cache is redis", "cache: memory"
    if settings.live.bus == "redis":
        yield "live.bus is redis", "live: {bus: memory}"


def _check_yaml(file: Path) -> None:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        what = "there is no such file"
        raise ConfigError(what, file=str(file), fix="check the path given with --config") from error
    except (OSError, UnicodeDecodeError) as error:
        what = f"cannot be read: {error}"
        raise ConfigError(what, file=str(file), fix="make it a readable UTF-8 file") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}" if mark else ""
        what = f"is no YAML: {getattr(error, 'problem', None) or 'cannot be parsed'}"
        raise ConfigError(what, file=str(file), key=where, fix="correct that line") from error
    if content is not None and not isinstance(content, dict):
        what = "holds no mapping of settings"
        fix = "write one 'key: value' per line, for example 'api_port: 8080'"
        raise ConfigError(what, file=str(file), fix=fix)


def _explain(loc: tuple[int | str, ...], kind: str, message: str, file: Path | None) -> ConfigError:
    """Say where a wrong value comes from: the variable if one is set, else the file."""
    key = ".".join(str(part) for part in loc)
    names = [
        _PREFIX + _DELIMITER.join(str(part) for part in loc[:depth]).upper()
        for depth in range(len(loc), 0, -1)
    ]
    upper = {name.upper() for name in os.environ}
    variable = next((name for name in names if name in upper), "")
    source = variable or (str(file) if file else "")
    if kind == "extra_forbidden":
        known = ", ".join(sorted(CloudSettings.model_fields))
        return ConfigError("is no setting", file=source, key=key, fix=f"known at the top: {known}")
    if kind == "missing":
        return ConfigError("is missing", file=source, key=key, fix="add it")
    return ConfigError(message, file=source, key=key, fix="give a value of that kind")
