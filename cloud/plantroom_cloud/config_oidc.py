"""Settings of identity providers: who else may say who somebody is (OpenID Connect)."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator


class OidcProvider(BaseModel):
    """An issuer of ID tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")
    """Stands in the paths: ``/oauth/oidc/{name}/start``."""
    title: str = Field(default="", max_length=100)
    """For people."""
    issuer: str = Field(max_length=300)
    """To the letter as its ID tokens and its discovery document say."""
    client_id: str = Field(min_length=1, max_length=300)
    client_secret: SecretStr = SecretStr("")
    """Empty: a public client; PKCE is used in any case."""
    auth: Literal["basic", "post"] = "basic"
    """How the secret is sent."""
    scopes: tuple[str, ...] = ("openid",)
    algorithms: tuple[Literal["RS256", "ES256"], ...] = ("RS256", "ES256")
    companies: tuple[str, ...] = ()
    """The only companies, by slug, to which it leads; none named: all. Name them where the provider
    is a company's own: whoever runs it can be anybody it knows."""
    redirect: str = Field(default="", max_length=500)
    """Where it sends the browser back to; empty: our own callback. A front-end names its page, and
    passes the parameters on to the callback."""

    @field_validator("issuer", "redirect")
    @classmethod
    def _an_address(cls, url: str) -> str:
        parts = urlsplit(url)
        whole = parts.scheme in {"https", "http"} and parts.hostname and not parts.username
        if url and (not whole or parts.query or parts.fragment):
            msg = "must be an address such as https://login.example.com, without query or fragment"
            raise ValueError(msg)
        return url

    @field_validator("scopes")
    @classmethod
    def _with_openid(cls, scopes: tuple[str, ...]) -> tuple[str, ...]:
        if "openid" not in scopes or not all(s.isascii() and s.isprintable() for s in scopes):
            msg = "must name openid"
            raise ValueError(msg)
        return scopes


class OidcSettings(BaseModel):
    """Log-in by others."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(default="", max_length=300)
    """Where browsers reach this service: ``https://plantroom.example.com``."""
    providers: tuple[OidcProvider, ...] = Field(default=(), max_length=50)
    minutes: float = Field(default=10.0, ge=1, le=60)
    """How long somebody may take to log in at the provider."""
    most_open: int = Field(default=10_000, ge=10)
    """Log-ins under way at the same time; the oldest is given up for a further one."""
    keys: float = Field(default=3600.0, ge=60, le=86_400)
    """Seconds for which a provider's keys and addresses are believed; a key that is not among them is
    asked for at once, but no more than twice a minute."""
    leeway: int = Field(default=30, ge=0, le=120)
    """Seconds by which a provider's clock may differ from ours."""

    @model_validator(mode="after")
    def _each_by_itself(self) -> OidcSettings:
        """A place to come back to for each issuer: what tells their answers apart."""
        for what in ("name", "issuer"):
            said = [getattr(one, what) for one in self.providers]
            if len(set(said)) != len(said):
                msg = f"providers: two have the same {what}"
                raise ValueError(msg)
        places = [one.redirect for one in self.providers if one.redirect]
        if len(set(places)) != len(places):
            msg = "providers: two have the same redirect; each needs its own"
            raise ValueError(msg)
        if any(not one.redirect for one in self.providers) and not self.url:
            msg = "url: say where browsers reach this service"
            raise ValueError(msg)
        return self

    def redirect_of(self, provider: OidcProvider) -> str:
        """Return where a provider sends the browser back to."""
        return provider.redirect or f"{self.url.rstrip('/')}/oauth/oidc/{provider.name}/callback"
