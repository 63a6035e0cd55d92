"""Settings of where files are kept: a folder, or a store that speaks S3."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

_PLACE = re.compile(
    r"\A(?:file:///[^\x00-\x1f]*|s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](?:/[a-z0-9][a-z0-9_=-]*)*/?)\Z"
)


def _place(text: str) -> str:
    if text and not _PLACE.match(text):
        msg = "is no place for blobs: write file:///folder, or s3://bucket/prefix, or leave it out"
        raise ValueError(msg)
    return text


Place = Annotated[str, AfterValidator(_place)]
"""``file:///folder`` or ``s3://bucket/prefix``; empty is a folder of the data folder."""


def _endpoint(url: str) -> str:
    if not url:
        return url
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path.strip("/"):
        msg = "is no address such as https://minio.example:9000"
        raise ValueError(msg)
    if parts.scheme == "http" and not _is_here(parts.hostname):
        msg = "goes over the network in clear: write https://, with s3.ca for a CA of your own"
        raise ValueError(msg)
    return url.rstrip("/")


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class S3Settings(BaseModel):
    """The store of ``blobs: s3://bucket/prefix``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoint: Annotated[str, AfterValidator(_endpoint)] = ""
    """Of MinIO, Ceph, Garage and so on; empty is AWS in `region`."""
    region: str = Field(default="us-east-1", pattern=r"\A[a-z0-9-]{1,40}\z")
    access_key: str = Field(default="", max_length=128)
    secret_key: SecretStr = SecretStr("")
    ca: Path | None = None
    """PEM: who vouches for the endpoint, where that is a CA of your own."""
    timeout: float = Field(default=20.0, gt=0, le=600)
    """Seconds for a step of a request."""

    @property
    def url(self) -> str:
        """The address of the store."""
        return self.endpoint or f"https://s3.{self.region}.amazonaws.com"
