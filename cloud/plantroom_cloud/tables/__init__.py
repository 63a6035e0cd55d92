"""The tables, a module per domain; importing this package knows them all."""

from __future__ import annotations

from plantroom_cloud.tables.base import Base, Tenant
from plantroom_cloud.tables.delivery import (
    Counter,
    DictionaryEntry,
    GapRecord,
    QuarantinedRow,
    StreamRange,
    StreamTotal,
)
from plantroom_cloud.tables.identity import ApiKey, Company
from plantroom_cloud.tables.mapping import Mapping, MappingCache
from plantroom_cloud.tables.publishing import EnosDevice, Outbox, Target
from plantroom_cloud.tables.samples import FindingRow, Latest, SampleRow
from plantroom_cloud.tables.sites import Device, Gateway, Point, Site

__all__ = [
    "ApiKey",
    "Base",
    "Company",
    "Counter",
    "Device",
    "DictionaryEntry",
    "EnosDevice",
    "FindingRow",
    "GapRecord",
    "Gateway",
    "Latest",
    "Mapping",
    "MappingCache",
    "Outbox",
    "Point",
    "QuarantinedRow",
    "SampleRow",
    "Site",
    "StreamRange",
    "StreamTotal",
    "Target",
    "Tenant",
]
