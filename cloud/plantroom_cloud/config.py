"""Settings of the cloud service: ``PLANTROOM_*`` variables or a YAML file, checked whole at start."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)


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


class LlmSettings(BaseModel):
    """An OpenAI-compatible endpoint that refines the offline mapping."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_url: str
    api_key: SecretStr = SecretStr("none")
    model: str
    deadline: float = Field(default=20.0, gt=0)
    """Seconds for one call, retries included."""


class MqttSettings(BaseModel):
    """The broker that the gateways use."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = "127.0.0.1"
    port: int = Field(default=8883, ge=1, le=65535)
    version: str = Field(default="auto", pattern=r"^(auto|5|3\.1\.1)$")


class CloudSettings(BaseSettings):
    """Everything the service can be told. Defaults run the whole of it on one machine."""

    model_config = SettingsConfigDict(
        env_prefix="PLANTROOM_", env_nested_delimiter="__", frozen=True, extra="forbid"
    )

    data: Path = Path("plantroom-data")
    """Folder for the database, the certificate authority and first-start secrets."""
    database: str = ""
    """``postgresql+psycopg://...``; empty means SQLite in `data`."""
    api_host: str = "127.0.0.1"
    api_port: int = Field(default=8080, ge=0, le=65535)
    mqtt: MqttSettings = MqttSettings()
    llm: LlmSettings | None = None
    enos: tuple[EnosTarget, ...] = ()

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
        return init_settings, env_settings, YamlConfigSettingsSource(settings_cls)
