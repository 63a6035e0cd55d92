"""The OpenAPI document of this checkout, and where the one stands that clients were promised."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from plantroom_cloud.app import create_app
from plantroom_cloud.config import CloudSettings
from plantroom_cloud.db import Database

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "cloud" / "golden" / "openapi-0.1.json"
CLIENT = ROOT / "clients" / "python" / "plantroom_client"


def live() -> dict[str, Any]:
    """Return the document as it is served."""
    app = create_app(CloudSettings(), Database("sqlite+aiosqlite://"))
    document: dict[str, Any] = orjson.loads(orjson.dumps(app.openapi()))
    return document


def write_golden(contract: dict[str, Any]) -> None:
    """Make `contract` the one that clients are promised."""
    option = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS
    GOLDEN.write_bytes(orjson.dumps(contract, option=option) + b"\n")
