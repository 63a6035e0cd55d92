"""The tables, a module per domain; importing this package knows them all."""

from __future__ import annotations

from plantroom_cloud.tables.base import Base, Tenant
from plantroom_cloud.tables.commands import CommandEvent, CommandRow
from plantroom_cloud.tables.delivery import (
    Counter,
    DeliveryAlarm,
    DictionaryEntry,
    EdgeRecord,
    GapRecord,
    GatewayCertificate,
    GatewayEpoch,
    QuarantinedRow,
    StreamMessage,
    StreamRange,
    StreamTotal,
)
from plantroom_cloud.tables.identity import ApiKey, Company
from plantroom_cloud.tables.llm import LlmAnswer, LlmBatch, LlmUsage
from plantroom_cloud.tables.mapping import Mapping, MappingCache
from plantroom_cloud.tables.pipeline import JobChunk, JobOutput, JobRow
from plantroom_cloud.tables.publishing import (
    EnosDevice,
    Outbox,
    PublishDue,
    PublishedPast,
    PublishedPoint,
    PublishPlan,
    Target,
)
from plantroom_cloud.tables.quarantine import QuarantineDecision
from plantroom_cloud.tables.replay import ReplayPosition
from plantroom_cloud.tables.review import MappingBasis, ReviewEvent, ReviewRequest
from plantroom_cloud.tables.samples import (
    FindingRow,
    Latest,
    Retention,
    Rollup,
    RollupDue,
    SampleRow,
)
from plantroom_cloud.tables.sites import Device, Gateway, Point, Site
from plantroom_cloud.tables.streaming import SparkplugBirth, StreamingDevice
from plantroom_cloud.tables.thingmodels import MappingOverride, ThingModelRow

__all__ = [
    "ApiKey",
    "Base",
    "CommandEvent",
    "CommandRow",
    "Company",
    "Counter",
    "DeliveryAlarm",
    "Device",
    "DictionaryEntry",
    "EdgeRecord",
    "EnosDevice",
    "FindingRow",
    "GapRecord",
    "Gateway",
    "GatewayCertificate",
    "GatewayEpoch",
    "JobChunk",
    "JobOutput",
    "JobRow",
    "Latest",
    "LlmAnswer",
    "LlmBatch",
    "LlmUsage",
    "Mapping",
    "MappingBasis",
    "MappingCache",
    "MappingOverride",
    "Outbox",
    "Point",
    "PublishDue",
    "PublishPlan",
    "PublishedPast",
    "PublishedPoint",
    "QuarantineDecision",
    "QuarantinedRow",
    "ReplayPosition",
    "Retention",
    "ReviewEvent",
    "ReviewRequest",
    "Rollup",
    "RollupDue",
    "SampleRow",
    "Site",
    "SparkplugBirth",
    "StreamMessage",
    "StreamRange",
    "StreamTotal",
    "StreamingDevice",
    "Target",
    "Tenant",
    "ThingModelRow",
]
