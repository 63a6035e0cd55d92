"""Settings of who gets in: tokens, sessions, keys."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator


class IdentitySettings(BaseModel):
    """How long what is given out holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    issuer: str = Field(default="plantroom", min_length=1, max_length=200)
    """`iss` of access tokens: the address of this service, where others are to read them."""
    secret: SecretStr = SecretStr("")
    """Encrypts the keys that sign tokens where they lie in the database: 32 characters or more, the
    same for every process of the API. Empty: made at the first use, in the data folder."""
    access_minutes: float = Field(default=10.0, ge=1, le=15)
    """Life of an access token."""
    idle_days: float = Field(default=7.0, gt=0, le=90)
    """A session that is not refreshed for so long is over."""
    session_days: float = Field(default=30.0, gt=0, le=365)
    """A session is over after so long, whatever happens."""
    rotation_days: float = Field(default=30.0, ge=1, le=365)
    """How long a key signs before the next takes its turn."""
    cache: float = Field(default=2.0, ge=0, le=4)
    """Seconds for which a process believes what it has read of a session or a key: so long may one
    that was revoked still be let through."""
    invitation_days: float = Field(default=7.0, gt=0, le=30)
    """How long an invitation can be accepted."""
    hashing: int = Field(default=2, ge=1, le=32)
    """Passwords that are checked at the same time: each takes 46 MiB and a core."""

    @field_validator("secret")
    @classmethod
    def _long_enough(cls, secret: SecretStr) -> SecretStr:
        if secret.get_secret_value() and len(secret.get_secret_value()) < 32:
            msg = "must have 32 characters or more, or be left out"
            raise ValueError(msg)
        return secret
