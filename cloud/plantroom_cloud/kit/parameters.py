"""Parameters that many routes take, checked the same way everywhere."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query
from pydantic import StringConstraints

MAX_ID = 2**63 - 1

RowId = Annotated[int, Path(ge=1, le=MAX_ID, examples=[1])]
"""The number of a site, a device or a point in a path."""

# PostgreSQL refuses a NUL in any text: no parameter may carry one that far.
PlainText = Annotated[str, StringConstraints(max_length=200, pattern=r"\A[^\x00]*\z")]

GatewayId = Annotated[PlainText, Path(examples=["gw-plant-room-1"])]

SiteFilter = Annotated[int | None, Query(ge=1, le=MAX_ID, description="Only of this site.")]
GatewayFilter = Annotated[PlainText | None, Query(description="Only of this gateway.")]
DeviceFilter = Annotated[int | None, Query(ge=1, le=MAX_ID, description="Only of this device.")]
ClassFilter = Annotated[
    PlainText | None, Query(description="Only of this Brick class.", examples=["AHU"])
]
From = Annotated[
    str | None,
    Query(
        alias="from",
        max_length=64,
        description="Start, inclusive: RFC 3339 or seconds since 1970.",
        examples=["2026-01-31T00:00:00Z"],
    ),
]
To = Annotated[
    str | None,
    Query(
        alias="to",
        max_length=64,
        description="End, exclusive: RFC 3339 or seconds since 1970.",
        examples=["2026-02-01T00:00:00Z"],
    ),
]
