"""The tables, a module per domain; importing this package knows them all."""

from __future__ import annotations

from plantroom_cloud.tables.alarms import (
    Alarm,
    AlarmDue,
    AlarmEvent,
    AlarmKeep,
    AlarmNotice,
    AlarmOccurrence,
    AlarmReceiver,
    AlarmRule,
    AlarmWatch,
)
from plantroom_cloud.tables.audit import AuditHead, AuditRow, AuditSignature
from plantroom_cloud.tables.base import Base, Tenant
from plantroom_cloud.tables.commands import CommandEvent, CommandRow
from plantroom_cloud.tables.configuration import (
    CommandRule,
    ConfigurationAssignment,
    ConfigurationEvent,
    ConfigurationRollout,
    ConfigurationRunning,
    ConfigurationVersion,
)
from plantroom_cloud.tables.conventions import OnceRequest
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
from plantroom_cloud.tables.governance import (
    CompanyExport,
    Deletion,
    GovernanceDue,
    GovernanceFinding,
    GovernanceRule,
    GovernanceSite,
    GovernanceWaiver,
)
from plantroom_cloud.tables.identity import (
    ApiKey,
    Company,
    Invitation,
    LoginBackoff,
    Membership,
    RefreshToken,
    ServiceAccount,
    SigningKey,
    User,
    UserSession,
)
from plantroom_cloud.tables.licensing import (
    FeatureFlag,
    LicenceNotice,
    LicenceRow,
    UsageDay,
)
from plantroom_cloud.tables.llm import LlmAnswer, LlmBatch, LlmUsage
from plantroom_cloud.tables.mapping import Mapping, MappingCache
from plantroom_cloud.tables.oidc import OidcFlow, OidcIdentity
from plantroom_cloud.tables.operations import ProcessReport
from plantroom_cloud.tables.pipeline import JobChunk, JobOutput, JobRow
from plantroom_cloud.tables.provision import (
    ClaimTry,
    EnrolmentToken,
    ExpectedGateway,
    IssuedCertificate,
    PendingGateway,
)
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
from plantroom_cloud.tables.webhooks import LiveTicket, WebhookDelivery, WebhookRow

__all__ = [
    "Alarm",
    "AlarmDue",
    "AlarmEvent",
    "AlarmKeep",
    "AlarmNotice",
    "AlarmOccurrence",
    "AlarmReceiver",
    "AlarmRule",
    "AlarmWatch",
    "ApiKey",
    "AuditHead",
    "AuditRow",
    "AuditSignature",
    "Base",
    "ClaimTry",
    "CommandEvent",
    "CommandRow",
    "CommandRule",
    "Company",
    "CompanyExport",
    "ConfigurationAssignment",
    "ConfigurationEvent",
    "ConfigurationRollout",
    "ConfigurationRunning",
    "ConfigurationVersion",
    "Counter",
    "Deletion",
    "DeliveryAlarm",
    "Device",
    "DictionaryEntry",
    "EdgeRecord",
    "EnosDevice",
    "EnrolmentToken",
    "ExpectedGateway",
    "FeatureFlag",
    "FindingRow",
    "GapRecord",
    "Gateway",
    "GatewayCertificate",
    "GatewayEpoch",
    "GovernanceDue",
    "GovernanceFinding",
    "GovernanceRule",
    "GovernanceSite",
    "GovernanceWaiver",
    "Invitation",
    "IssuedCertificate",
    "JobChunk",
    "JobOutput",
    "JobRow",
    "Latest",
    "LicenceNotice",
    "LicenceRow",
    "LiveTicket",
    "LlmAnswer",
    "LlmBatch",
    "LlmUsage",
    "LoginBackoff",
    "Mapping",
    "MappingBasis",
    "MappingCache",
    "MappingOverride",
    "Membership",
    "OidcFlow",
    "OidcIdentity",
    "OnceRequest",
    "Outbox",
    "PendingGateway",
    "Point",
    "ProcessReport",
    "PublishDue",
    "PublishPlan",
    "PublishedPast",
    "PublishedPoint",
    "QuarantineDecision",
    "QuarantinedRow",
    "RefreshToken",
    "ReplayPosition",
    "Retention",
    "ReviewEvent",
    "ReviewRequest",
    "Rollup",
    "RollupDue",
    "SampleRow",
    "ServiceAccount",
    "SigningKey",
    "Site",
    "SparkplugBirth",
    "StreamMessage",
    "StreamRange",
    "StreamTotal",
    "StreamingDevice",
    "Target",
    "Tenant",
    "ThingModelRow",
    "UsageDay",
    "User",
    "UserSession",
    "WebhookDelivery",
    "WebhookRow",
]
