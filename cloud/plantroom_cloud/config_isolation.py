"""Settings of the wall between companies, on PostgreSQL (docs/isolation.md)."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, SecretStr


class IsolationSettings(BaseModel):
    """Who owns the tables, and whether the service may work as somebody the wall does not hold."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    owner: SecretStr = SecretStr("")
    """URL of the role that owns the tables, for migrations. Empty: the login of `database`."""
    unconfined: bool = False
    """Serve although the database would show this role the rows of every company."""
