"""What `/v1/health/detail` says."""

from __future__ import annotations

from pydantic import BaseModel, Field


class DependencyOut(BaseModel):
    """Something that the service needs, and how it is."""

    name: str = Field(examples=["database"])
    state: str = Field(
        examples=["ok"],
        description=(
            "`ok`; `failing`; `left_alone`: it kept failing and is tried every few seconds; `late`: "
            "work waits too long; `unknown`: not used yet; `unused`"
        ),
    )
    age_seconds: float | None = Field(None, description="since it last did what it was asked")
    latency_ms: float | None = Field(None, description="of that")
    failure: str = Field("", examples=["ConnectError"], description="kind of the last failure")
    waiting: int | None = Field(None, description="values or pieces of work that wait for it")
    waiting_seconds: float | None = Field(None, description="for how long the oldest does")


class ProcessOut(BaseModel):
    """A process of the service that was heard of in the last 20 seconds."""

    parts: str = Field(examples=["api+ingest+worker"])
    age_seconds: float | None


class HealthOut(BaseModel):
    """How the service is."""

    status: str = Field(examples=["ok"], description="`ok` or `degraded`")
    dependencies: list[DependencyOut]
    processes: list[ProcessOut]
