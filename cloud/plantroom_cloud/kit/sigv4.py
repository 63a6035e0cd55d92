"""AWS Signature Version 4 for S3: pure."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

NOTHING: Final = hashlib.sha256(b"").hexdigest()
"""SHA-256 of no body."""


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signs, and where that holds."""

    access_key: str
    secret_key: str
    region: str

    def headers(
        self,
        method: str,
        host: str,
        path: str,
        query: Mapping[str, str],
        *,
        sha256: str,
        now_us: int,
    ) -> dict[str, str]:
        """Return the headers that make a request ours.

        Args:
            method: GET, PUT ...
            host: as it will stand in the header, with a port other than the scheme's own.
            path: from the root, not encoded.
            query: names and values, not encoded.
            sha256: of the body, in hex.
            now_us: microseconds since 1970: stores take requests of some minutes around it.
        """
        moment = datetime.fromtimestamp(now_us / 1_000_000, UTC).strftime("%Y%m%dT%H%M%SZ")
        day = moment[:8]
        signed = {"host": host, "x-amz-content-sha256": sha256, "x-amz-date": moment}
        names = ";".join(signed)
        lines = [f"{name}:{value}\n" for name, value in signed.items()]
        request = "\n".join(
            (method, encoded_path(path), encoded_query(query), "".join(lines), names, sha256)
        )
        within = f"{day}/{self.region}/s3/aws4_request"
        digest = hashlib.sha256(request.encode()).hexdigest()
        text = f"AWS4-HMAC-SHA256\n{moment}\n{within}\n{digest}"
        key = f"AWS4{self.secret_key}".encode()
        for part in (day, self.region, "s3", "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        signature = hmac.digest(key, text.encode(), "sha256").hex()
        about = f"Credential={self.access_key}/{within}, SignedHeaders={names}"
        return {**signed, "authorization": f"AWS4-HMAC-SHA256 {about}, Signature={signature}"}


def encoded_path(path: str) -> str:
    """Return a path as it is sent and signed."""
    return quote(path, safe="/-_.~")


def encoded_query(query: Mapping[str, str]) -> str:
    """Return a query as it is sent and signed: by name, everything encoded that can be."""
    pairs = sorted((quote(name, safe="-_.~"), quote(query[name], safe="-_.~")) for name in query)
    return "&".join(f"{name}={value}" for name, value in pairs)
