"""How long this gateway's certificate lasts and whether a new one is on its way, for a person."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from plantroom_edge.claiming import files
from plantroom_edge.config import CloudConfig


def describe(cloud: CloudConfig | None, now_us: int) -> dict[str, Any] | None:
    """Return what the files say of the certificate; None where no cloud is configured.

    Args:
        cloud: names the files.
        now_us: the present, microseconds since 1970.

    Returns:
        ``until`` (RFC 3339), ``days`` that are left, ``renews``: whether the agent has it renewed by
        itself, ``waiting``: whether a renewed one is to be tried; or ``problem`` alone.
    """
    if cloud is None:
        return None
    try:
        until = _ends(cloud.cert)
    except (OSError, ValueError) as error:
        return {"problem": f"{cloud.cert} is no certificate: {error}"}
    left = until - datetime.fromtimestamp(now_us / 1e6, UTC)
    return {
        "until": f"{until:%Y-%m-%dT%H:%M:%SZ}",
        "days": round(left.total_seconds() / 86400, 1),
        "renews": bool(cloud.provision),
        "waiting": files.is_waiting(cloud.cert, cloud.key),
    }


def _ends(cert: Path) -> datetime:
    # Imported here: eleven megabytes that only a person's question is worth.
    from cryptography import x509  # noqa: PLC0415

    return x509.load_pem_x509_certificate(cert.read_bytes()).not_valid_after_utc
