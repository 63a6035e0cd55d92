"""What the API takes and gives.

Made by `./plantroom api renew` from the OpenAPI document; not to be edited.
"""

# fmt: off
from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict



class AccountChange(TypedDict):
    """What is to change of a service account; what is left out stays."""

    name: NotRequired[str]
    scopes: NotRequired[list[str]]
    sites: NotRequired[list[int] | None]
    disabled: NotRequired[bool]


class AccountIn(TypedDict):
    """A service account to be made."""

    name: str
    scopes: list[str]
    sites: NotRequired[list[int] | None]


class AccountMade(TypedDict):
    """A service account with its secret."""

    id: int
    name: str
    client_id: str
    scopes: list[str]
    sites: list[int] | None
    by: str
    created: str
    used: str | None
    disabled: bool
    client_secret: str


class AccountPage(TypedDict):
    """Service accounts, oldest first."""

    items: list[IdentityAccountOut]
    next: str | None


class AcknowledgeIn(TypedDict):
    """Several alarms."""

    note: NotRequired[str]
    alarms: list[int]


class AcknowledgedList(TypedDict):
    """What became of each."""

    items: list[AcknowledgedOut]


class AcknowledgedOut(TypedDict):
    """What became of one of several alarms."""

    alarm: int
    done: bool
    why: str


class ActOut(TypedDict):
    """Something that was done."""

    n: int
    at: str
    actor: str
    name: str
    action: str
    subject: str
    before: Any
    after: Any
    request_id: str
    source: str
    hash: str


class ActPage(TypedDict):
    """Acts, newest first."""

    items: list[ActOut]
    next: str | None


class AlarmCount(TypedDict):
    """An alarm with a figure."""

    alarm: int
    title: str
    count: int


class AlarmEventOut(TypedDict):
    """Something that happened to an alarm."""

    id: int
    kind: str
    at: str
    entered: str
    before: Literal['normal', 'unacknowledged', 'acknowledged', 'returned', 'latched_unacknowledged', 'latched_acknowledged', 'shelved', 'suppressed', 'out_of_service']
    after: Literal['normal', 'unacknowledged', 'acknowledged', 'returned', 'latched_unacknowledged', 'latched_acknowledged', 'shelved', 'suppressed', 'out_of_service']
    called: bool
    actor: str
    doc: Any


AlarmFigures = TypedDict('AlarmFigures', {
    'from': 'str',
    'to': 'str',
    'operators': 'int',
    'calls': 'int',
    'per_operator_10min': 'float',
    'peak_per_operator_10min': 'float',
    'peak': 'str | None',
    'flood_share': 'float',
    'floods': 'list[FloodOut]',
    'priorities': 'dict[str, int]',
    'top': 'list[AlarmCount]',
    'top_share': 'float',
    'chattering': 'list[AlarmCount]',
    'standing': 'int',
    'stale': 'list[AlarmCount]',
})
"""How well people are served by their alarms, after ISA-18.2 and EEMUA 191."""


class AlarmHistoryPage(TypedDict):
    """What happened to an alarm, the newest first; nothing of it is ever changed."""

    items: list[AlarmEventOut]
    next: str | None


class AlarmItem(TypedDict):
    """An alarm as it stands."""

    id: int
    rule: int
    site: int
    gateway: str
    point: int | None
    title: str
    priority: Literal['low', 'medium', 'high', 'critical']
    state: Literal['normal', 'unacknowledged', 'acknowledged', 'returned', 'latched_unacknowledged', 'latched_acknowledged', 'shelved', 'suppressed', 'out_of_service']
    active: bool
    latching: bool
    shelved_until: str | None
    suppressed: bool
    reason: str
    value: float | None
    raised: str | None
    changed: str
    calls: int
    assignee: str
    response: str
    consequence: str
    version: int


class AlarmNoteIn(TypedDict):
    """Words that go into the history; they may be left out."""

    note: NotRequired[str]


class AlarmOut(TypedDict):
    """Something about the delivery that a person should look at."""

    kind: str
    since: str
    last: str
    count: int
    details: Any


class AlarmPage(TypedDict):
    """Alarms, the most urgent first."""

    items: list[AlarmItem]
    next: str | None


class AlarmReasonIn(TypedDict):
    """Why something is done."""

    reason: str


class AlarmRuleIn(TypedDict):
    """What is an alarm, how urgent it is, and what is to be done."""

    name: str
    site: NotRequired[int | None]
    priority: NotRequired[Literal['low', 'medium', 'high', 'critical']]
    latching: NotRequired[bool]
    enabled: NotRequired[bool]
    response: NotRequired[str]
    consequence: NotRequired[str]
    longest_shelf_s: NotRequired[float]
    when: Threshold | Findings | GatewayConditions


class AlarmTextIn(TypedDict):
    """A note."""

    text: str


class AlarmsNoticeOut(TypedDict):
    """One event that a receiver is told of."""

    id: int
    alarm: int
    event: int
    state: str
    created: str
    due: str
    done: str | None
    tries: int
    why: str


class AnswerIn(TypedDict):
    """A decision about a template, or about points one by one."""

    template: NotRequired[str | None]
    points: NotRequired[list[int]]
    action: Literal['accept', 'correct', 'reject', 'defer']
    point_class: NotRequired[str]
    note: NotRequired[str]


class AnswersIn(TypedDict):
    """Decisions, all taken or none."""

    request: str
    answers: NotRequired[list[AnswerIn]]
    accept_from: NotRequired[float | None]


class ApplyIn(TypedDict):
    """The word: do what was shown."""

    plan: NotRequired[int | None]
    leave_out: NotRequired[list[str]]


class AssignIn(TypedDict):
    """Who looks after it; empty: nobody."""

    note: NotRequired[str]
    to: str


class AssignmentDetail(TypedDict):
    """An assignment with its history."""

    id: str
    gateway: str
    version: int
    serial: int
    rollout: str | None
    wave: int
    force: bool
    actor: str
    why: str
    state: str
    reason: str
    errors: list[str]
    created: str
    sent: str | None
    tries: int
    ended: str | None
    events: list[ConfigurationEventOut]


class AssignmentIn(TypedDict):
    """Which version a gateway is to have."""

    version: int
    why: NotRequired[str]
    force: NotRequired[bool]


class AssignmentOut(TypedDict):
    """That a gateway is to have a version, and what became of it."""

    id: str
    gateway: str
    version: int
    serial: int
    rollout: str | None
    wave: int
    force: bool
    actor: str
    why: str
    state: str
    reason: str
    errors: list[str]
    created: str
    sent: str | None
    tries: int
    ended: str | None


class AssignmentPage(TypedDict):
    """Assignments of a gateway, the newest first."""

    items: list[AssignmentOut]
    next: str | None


class AuditKeyOut(TypedDict):
    """A key that signs heads."""

    key: str
    public: str


class BadRuleOut(TypedDict):
    """A rule of the company that cannot be applied any more."""

    rule: str
    why: str


class BatteryFigures(TypedDict):
    """A battery with its figures."""

    battery: BatteryOut
    figures: list[FigureOut]


class BatteryList(TypedDict):
    """The batteries of a site."""

    items: list[BatteryOut]


class BatteryOut(TypedDict):
    """A battery of a site."""

    site: int
    equipment: str
    equip_class: str
    model: str
    rated_kwh: float | None
    rated_kw: float | None
    points: list[BatteryRoleOut]


class BatteryRoleOut(TypedDict):
    """A point that the figures are made from."""

    role: str
    point: int
    name: str
    unit: str


class BeginIn(TypedDict):
    """What a device says when it begins."""

    csr: str
    code_hash: NotRequired[str]
    token: NotRequired[str]
    certificate: NotRequired[str]
    facts: NotRequired[dict[str, Any]]
    signature: str
    renew_signature: NotRequired[str]


class BlockerOut(TypedDict):
    """Something that closes the gate."""

    rule: str
    subject: str
    text: str
    fix: str


BucketList = TypedDict('BucketList', {
    'point': 'int',
    'unit': 'str',
    'from': 'str',
    'to': 'str',
    'interval': 'str',
    'items': 'list[BucketOut]',
})
"""Intervals that hold any sample, oldest first."""


class BucketOut(TypedDict):
    """What was said within one interval; only good samples make the aggregates."""

    ts: str
    min: NotRequired[float | None]
    max: NotRequired[float | None]
    mean: NotRequired[float | None]
    sum: NotRequired[float | None]
    first: NotRequired[float | str | None]
    last: NotRequired[float | str | None]
    count: int
    uncertain: int
    bad: int


class BuildingOut(TypedDict):
    """One building of a job."""

    number: int
    name: str
    site: int | None
    points: int
    stage: str
    state: str
    search: SearchOut | None
    figures: FiguresOut | None


class BuildingPage(TypedDict):
    """A page of buildings."""

    items: list[BuildingOut]
    next: str | None


class CertificatesOut(TypedDict):
    """The certificates of one gateway, the newest first."""

    gateway: str
    revoked: str | None
    bound: str | None
    replaced_by: str | None
    certificates: list[ClaimCertificateOut]


class CheckedOut(TypedDict):
    """What a check of a site came to."""

    site: int
    score: int
    opened: int
    still: int
    closed: int
    rules: dict[str, OutcomeOut]


class ClaimCertificateOut(TypedDict):
    """A certificate that a gateway got."""

    serial: str
    how: str
    fingerprint: str
    issued: str
    until: str
    confirmed: str | None
    superseded: str | None
    revoked: str | None
    reason: str


class ClaimIn(TypedDict):
    """Which device an installer claims, and what it is to be."""

    code: str
    fingerprint: NotRequired[str]
    site: int | str
    gateway: NotRequired[str]
    name: NotRequired[str]
    replaces: NotRequired[str]
    device: NotRequired[DeviceIn | None]


class ClaimedOut(TypedDict):
    """What a device has become."""

    gateway: str
    site: int
    fingerprint: str
    replaces: str | None


class ClockOut(TypedDict):
    """A gateway's clock."""

    state: str
    skew_s: float | None
    measured: str | None


class CommandEventOut(TypedDict):
    """Something that happened to a command."""

    at: str
    kind: str
    doc: dict[str, Any]


class CommandIn(TypedDict):
    """What is to be done with a point."""

    kind: NotRequired[Literal['write', 'dry_run', 'release']]
    value: NotRequired[Any | None]
    priority: NotRequired[int | None]
    lease_s: NotRequired[float | None]
    expect: NotRequired[list[Any] | None]
    valid_s: NotRequired[float]
    release: NotRequired[str | None]


class CommandOut(TypedDict):
    """A command and what became of it."""

    id: str
    gateway: str
    point: int
    kind: str
    actor: str
    confirmed_by: str
    state: str
    reason: str
    created: str
    expires: str
    sent: str | None
    ended: str | None
    released: str | None
    order: dict[str, Any]
    events: list[CommandEventOut]


class CommandRuleIn(TypedDict):
    """For which points a second person must confirm what is written."""

    points: NotRequired[str]
    within_s: NotRequired[int]


class CommandRuleList(TypedDict):
    """All rules of the company."""

    items: list[CommandRuleOut]


class CommandRuleOut(TypedDict):
    """A rule: a second person with `point:write` must confirm."""

    id: int
    points: str
    within_s: int
    actor: str
    created: str


class CompanyOut(TypedDict):
    """A company."""

    id: int
    slug: str
    name: str


class ConfigurationDiffOut(TypedDict):
    """What lies between two configurations."""

    items: list[DifferenceOut]
    points_dropped: int
    points: int


class ConfigurationEventOut(TypedDict):
    """Something that happened to an assignment."""

    at: str
    kind: str
    doc: dict[str, Any]


class ConfigurationOut(TypedDict):
    """A gateway's configuration at a glance."""

    gateway: str
    heeds: bool
    online: bool
    newest: ConfigurationVersionOut | None
    desired: AssignmentOut | None
    running: RunningOut | None
    in_step: bool


class ConfigurationVersionOut(TypedDict):
    """A version of a gateway's configuration."""

    number: int
    parent: int | None
    digest: str
    actor: str
    why: str
    origin: str
    created: str


class ConfirmIn(TypedDict):
    """The word that confirms a plan."""

    word: str


class ConsumerGone(TypedDict):
    """A consumer that is forgotten."""

    consumer: str
    deleted: bool


ConsumerOut = TypedDict('ConsumerOut', {
    'consumer': 'str',
    'site': 'int',
    'sink': 'str',
    'replay': 'str',
    'from': 'str',
    'to': 'str',
    'delivered': 'int',
    'at': 'str | None',
    'late': 'int',
    'done': 'bool',
    'created': 'str',
    'changed': 'str',
})
"""A named consumer of a site's replay and how far it has come."""


class ConsumerPage(TypedDict):
    """A page of consumers."""

    items: list[ConsumerOut]
    next: str | None


class CounterOut(TypedDict):
    """How often something happened."""

    name: str
    value: int


class Counters(TypedDict):
    """Everything counted for the company."""

    items: list[CounterOut]


class DecisionOut(TypedDict):
    """What became of a row."""

    id: int
    state: str
    stored: int
    refused: int
    note: str
    decided: str


class DeletedOut(TypedDict):
    """A model or an override that holds no more."""

    deleted: str


class DeletionIn(TypedDict):
    """Whose data is to go."""

    kind: Literal['site', 'person', 'company']
    id: NotRequired[int | None]


class DeletionOut(TypedDict):
    """Data that is to go, or has gone."""

    id: str
    kind: Literal['site', 'person', 'company']
    subject: int
    state: Literal['planned', 'confirmed', 'done', 'cancelled']
    word: str | None
    rows: dict[str, int]
    names: dict[str, int]
    gone: dict[str, int]
    rewritten: dict[str, int]
    trouble: str
    asked: str
    asked_by: str
    confirmed: str | None
    confirmed_by: str
    ended: str | None
    certificate: SchemasDataCertificateOut | None


class DeletionPage(TypedDict):
    """A page of deletions."""

    items: list[DeletionOut]
    next: str | None


class DeliveryOut(TypedDict):
    """One message to one webhook."""

    id: int
    webhook: int
    message: str
    kind: str
    state: Literal['waiting', 'delivered', 'dead']
    tries: int
    due: str | None
    status: int | None
    reason: str
    created: str
    ended: str | None


class DeliveryPage(TypedDict):
    """Messages, newest first."""

    items: list[DeliveryOut]
    next: str | None


class DependencyOut(TypedDict):
    """Something that the service needs, and how it is."""

    name: str
    state: str
    age_seconds: NotRequired[float | None]
    latency_ms: NotRequired[float | None]
    failure: NotRequired[str]
    waiting: NotRequired[int | None]
    waiting_seconds: NotRequired[float | None]


class DeviceIn(TypedDict):
    """A device that streams by itself, without an agent."""

    protocol: NotRequired[str]
    sparkplug_group: NotRequired[str]


class DeviceOut(TypedDict):
    """A thing that a driver addresses."""

    id: int
    site: int
    gateway: str
    key: str
    name: str
    protocol: str
    address: str
    vendor: str
    model: str
    description: str


class DevicePage(TypedDict):
    """A page of devices."""

    items: list[DeviceOut]
    next: str | None


class DifferenceOut(TypedDict):
    """One thing that differs."""

    what: Literal['added', 'removed', 'changed']
    kind: str
    name: str
    words: str


class Digest(TypedDict):
    """Many alarms in one message, where they would be a flood."""

    more_than: NotRequired[int]
    within_s: NotRequired[float]
    every_s: NotRequired[float]


class Discard(TypedDict):
    """Why a row will never be stored."""

    reason: str


class DroppedOut(TypedDict):
    """What was said of a rule is forgotten."""

    dropped: str


class EdgeActOut(TypedDict):
    """Something that happened on a gateway, as it told."""

    gateway: str
    epoch: str
    seq: int
    at: str
    kind: str
    doc: Any


class EdgeActPage(TypedDict):
    """Records of gateways, newest first."""

    items: list[EdgeActOut]
    next: str | None


class EdgeIn(TypedDict):
    """An EnOS Edge that finds the points of one building."""

    id: str
    nets: NotRequired[list[str]]
    name: NotRequired[str]


class EdgeStreamList(TypedDict):
    """Every start of the agents of a company's gateways."""

    items: list[EdgeStreamOut]


class EdgeStreamOut(TypedDict):
    """One start of an agent: whether its records are all there."""

    gateway: str
    epoch: str
    highest: int
    stored: int
    declared_lost: int
    quarantined: int
    not_arrived: list[list[int]]
    removed: int
    complete: bool


class EndedOut(TypedDict):
    """Sessions that were ended."""

    ended: int


class EnrolmentTokenIn(TypedDict):
    """What an enrolment token is for."""

    site: int | str
    gateway: NotRequired[str]
    hours: NotRequired[float]


class EnrolmentTokenOut(TypedDict):
    """An enrolment token; `token` is shown only now."""

    id: int
    token: str
    site: int
    gateway: str
    expires: str


class EpochOut(TypedDict):
    """The account of one start of the agent."""

    accepted: int
    stored: int
    quarantined: int
    discarded: int
    gaps: int
    on_edge: int
    in_flight: int
    duplicates: int
    difference: int
    balanced: bool
    epoch: str
    reported: str | None


class EventOut(TypedDict):
    """A line of the history."""

    id: int
    at: str
    actor: str
    action: str
    request: str
    subject: str
    name: str
    point_class: str
    before: dict[str, Any]
    note: str
    undone: bool


class ExchangeChangeOut(TypedDict):
    """One point whose mapping changes."""

    point: int
    name: str
    before: MeaningOut
    after: MeaningOut


class ExchangeImportOut(TypedDict):
    """What an import changes, or has changed."""

    plan: str
    applied: bool
    changes: int
    same: int
    proposals: int
    untouched: int
    kept: LeftOut
    unknown: LeftOut
    refused: LeftOut
    first: list[ExchangeChangeOut]
    notes: list[str]


class ExpectedOut(TypedDict):
    """A device that is expected."""

    serial: str
    fingerprint: str
    site: int
    gateway: str
    name: str
    used: str | None


class ExpectedPage(TypedDict):
    """A page of them."""

    items: list[ExpectedOut]
    next: str | None


class ExportFile(TypedDict):
    """A file of an export: its lines, not compressed."""

    rows: int
    bytes: int
    sha256: str


class ExportOut(TypedDict):
    """All that a company owns."""

    id: str
    state: Literal['waiting', 'done', 'failed', 'expired']
    reason: str
    asked: str
    asked_by: str
    ended: str | None
    expires: str | None
    made: str | None
    files: dict[str, ExportFile]
    left_out: dict[str, list[str]]


class ExportPage(TypedDict):
    """A page of exports."""

    items: list[ExportOut]
    next: str | None


class FactList(TypedDict):
    """All facts."""

    items: list[FactOut]


class FactOut(TypedDict):
    """A fact that expressions may name."""

    about: str
    name: str
    meaning: str


class FeatureIn(TypedDict):
    """How a feature is to be."""

    enabled: bool


class FeatureList(TypedDict):
    """All features."""

    items: list[FeatureOut]


class FeatureOut(TypedDict):
    """A feature that can be switched."""

    name: str
    enabled: bool
    default: bool
    owner: str
    about: str
    changed: str | None
    by: str | None


FigureOut = TypedDict('FigureOut', {
    'name': 'str',
    'value': 'float | None',
    'unit': 'str',
    'from': 'str',
    'to': 'str',
    'method': 'str',
    'coverage': 'float',
    'grade': 'str',
    'points': 'list[int]',
    'flags': 'list[str]',
})
"""A result with all that is needed to judge it; a value that is not known is null, never 0."""


class FiguresOut(TypedDict):
    """Of the buildings that are scored."""

    points: int
    classed: int
    accepted: int
    modelled: int
    equipment: int
    templates: int
    coverage: float
    precision: float


class Findings(TypedDict):
    """What detectors find: an alarm for each detector and device."""

    kind: NotRequired[Literal['finding']]
    detector: NotRequired[str | None]
    least_score: NotRequired[float]


class FindingsFindingOut(TypedDict):
    """An event with its evidence."""

    gateway: str
    id: str
    site: int
    detector: str
    subject: str
    points: list[str]
    started: str
    ended: str | None
    open: bool
    score: float | None
    text: str
    evidence: Any


class FindingsFindingPage(TypedDict):
    """Findings, newest first."""

    items: list[FindingsFindingOut]
    next: str | None


FloodOut = TypedDict('FloodOut', {
    'from': 'str',
    'to': 'str',
    'calls': 'int',
})
"""A flood: more than ten calls per operator in ten minutes, until fewer than five."""


class FoundOut(TypedDict):
    """What the mapper found, people aside."""

    point_class: str
    confidence: float | None
    source: str
    evidence: Any


GapOut = TypedDict('GapOut', {
    'epoch': 'str',
    'stream': 'str',
    'lo': 'int',
    'hi': 'int',
    'rows': 'int',
    'cause': 'str',
    'from': 'str | None',
    'to': 'str | None',
    'signed': 'bool',
    'received': 'str',
})
"""Rows lo to hi of an epoch, declared lost."""


class GapPage(TypedDict):
    """A page of gaps, the newest first."""

    items: list[GapOut]
    next: str | None


class GateOut(TypedDict):
    """Whether a site may go out as it is now."""

    site: int
    open: bool
    blockers: list[BlockerOut]


class GatewayConditions(TypedDict):
    """What is wrong with a gateway or its delivery: an alarm for each gateway and condition."""

    kind: NotRequired[Literal['gateway']]
    conditions: NotRequired[list[Literal['offline', 'clock', 'clone', 'fork', 'restored', 'gap']]]
    gateways: NotRequired[list[str] | None]
    offline_s: NotRequired[float]


class GatewayOut(TypedDict):
    """One edge agent."""

    id: str
    site: int
    name: str
    online: bool
    seen: str | None
    agent_version: str
    report: dict[str, Any]
    created: str


class GatewayPage(TypedDict):
    """A page of gateways."""

    items: list[GatewayOut]
    next: str | None


class GatewaysAccountOut(TypedDict):
    """Where every row is that a gateway ever accepted."""

    online: bool
    as_of: str | None
    report_age_s: float | None
    newest_sample: str | None
    lag_s: float | None
    oldest_unsent: str | None
    clock: ClockOut
    gap_causes: dict[str, int]
    alarms: list[AlarmOut]
    accepted: int
    stored: int
    quarantined: int
    discarded: int
    gaps: int
    on_edge: int
    in_flight: int
    duplicates: int
    difference: int
    balanced: bool
    gateway: str
    stream: str
    explanation: str
    epochs: list[EpochOut]
    gap_list: list[GapOut]


class GovernanceFindingOut(TypedDict):
    """A rule holds of something, or did."""

    id: int
    site: int
    rule: str
    subject: str
    severity: Literal['info', 'warning', 'error', 'blocker']
    text: str
    fix: str
    state: Literal['open', 'waived', 'closed']
    times: int
    opened: str
    seen: str
    closed: str | None


class GovernanceFindingPage(TypedDict):
    """A page of findings."""

    items: list[GovernanceFindingOut]
    next: str | None


class GovernanceRuleOut(TypedDict):
    """A rule as it is applied."""

    rule: str
    builtin: bool
    about: str
    severity: Literal['info', 'warning', 'error', 'blocker']
    enabled: bool
    when: str
    numbers: dict[str, float]
    text: str
    fix: str


class GovernanceSiteOut(TypedDict):
    """What was said of a site for the rules."""

    site: int
    location: str
    naming: list[str]


class GrantOut(TypedDict):
    """What a claimed device gets."""

    gateway: str
    certificate: str
    ca: str
    brokers: list[str]
    binding: str
    binding_signature: str


class HeadOut(TypedDict):
    """That the chain had so many rows, signed."""

    n: int
    at: str
    hash: str
    head: str
    key: str
    signature: str


class HeadPage(TypedDict):
    """Signed heads, newest first."""

    items: list[HeadOut]
    next: str | None


class HealthOut(TypedDict):
    """How the service is."""

    status: str
    dependencies: list[DependencyOut]
    processes: list[ProcessOut]


class HistoryPage(TypedDict):
    """A page of the history, the newest first."""

    items: list[EventOut]
    next: str | None


class HookReceiver(TypedDict):
    """A program, told by a signed request (https://www.standardwebhooks.com)."""

    name: str
    enabled: NotRequired[bool]
    on: NotRequired[list[Literal['raised', 'returned', 'acknowledged']]]
    least_priority: NotRequired[Literal['low', 'medium', 'high', 'critical']]
    sites: NotRequired[list[int] | None]
    after_s: NotRequired[float]
    schedule: NotRequired[Schedule]
    digest: NotRequired[Digest]
    kind: NotRequired[Literal['webhook']]
    target: str


Hours = TypedDict('Hours', {
    'days': "NotRequired[list[Literal['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun']]]",
    'from': 'str',
    'to': 'str',
})
"""A stretch of some days of the week."""


class IdentityAccountOut(TypedDict):
    """A service account."""

    id: int
    name: str
    client_id: str
    scopes: list[str]
    sites: list[int] | None
    by: str
    created: str
    used: str | None
    disabled: bool


class IdentityDoneOut(TypedDict):
    """It is done."""

    done: NotRequired[bool]


class IdentityKeyOut(TypedDict):
    """An API key."""

    id: int
    name: str
    prefix: str
    scopes: list[str]
    sites: list[int] | None
    by: str
    created: str
    expires: str | None
    used: str | None
    revoked: str | None


class IdentityRoleOut(TypedDict):
    """A role and all that it holds."""

    role: str
    permissions: list[str]


class InvitationIn(TypedDict):
    """Whom to invite, and as what."""

    email: str
    role: Literal['company_admin', 'engineer', 'operator', 'installer', 'viewer']
    sites: NotRequired[list[int] | None]


class InvitationMade(TypedDict):
    """An invitation with its token."""

    id: int
    email: str
    role: str
    sites: list[int] | None
    by: str
    created: str
    expires: str
    accepted: str | None
    revoked: str | None
    token: str


class InvitationOut(TypedDict):
    """An invitation."""

    id: int
    email: str
    role: str
    sites: list[int] | None
    by: str
    created: str
    expires: str
    accepted: str | None
    revoked: str | None


class InvitationPage(TypedDict):
    """Invitations, oldest first."""

    items: list[InvitationOut]
    next: str | None


class JobIn(TypedDict):
    """Which points a job is about, and what it does with them."""

    sites: NotRequired[list[int] | None]
    edges: NotRequired[list[EdgeIn] | None]
    llm: NotRequired[bool]
    publish: NotRequired[bool]


class JobOut(TypedDict):
    """One run of the pipeline."""

    id: str
    source: str
    state: str
    reason: str
    created: str
    ended: str | None
    buildings: int
    points: int
    progress: float
    stages: list[StageOut]
    options: dict[str, Any]
    notes: dict[str, Any]
    figures: FiguresOut | None
    troubles: list[TroubleOut]


class JobPage(TypedDict):
    """A page of jobs."""

    items: list[JobShort]
    next: str | None


class JobPointOut(TypedDict):
    """What a point means, as far as the job has come with its building."""

    building: int
    row: int
    point: str
    name: str
    stage: str
    template: str
    equipment: str
    equip_class: str
    point_class: str
    model: str
    model_point: str
    confidence: float | None
    source: str
    state: str
    evidence: list[Any]
    candidates: list[str]


class JobPointPage(TypedDict):
    """A page of a job's result."""

    items: list[JobPointOut]
    next: str | None


class JobShort(TypedDict):
    """A job in a list."""

    id: str
    source: str
    state: str
    created: str
    ended: str | None
    buildings: int
    points: int
    progress: float


class Jwk(TypedDict):
    """The public half of a key (RFC 7517)."""

    kid: str
    use: str
    alg: str
    kty: str
    n: str
    e: str


class JwkSet(TypedDict):
    """All that sign, are about to, or have signed of late."""

    keys: list[Jwk]


class KeyChange(TypedDict):
    """What is to change of a key; what is left out stays."""

    name: NotRequired[str]
    scopes: NotRequired[list[str]]
    sites: NotRequired[list[int] | None]


class KeyIn(TypedDict):
    """A key to be made."""

    name: str
    scopes: list[str]
    sites: NotRequired[list[int] | None]
    days: NotRequired[int]


class KeyList(TypedDict):
    """Keys that sign heads at present."""

    items: list[AuditKeyOut]


class KeyMade(TypedDict):
    """An API key, itself."""

    id: int
    name: str
    prefix: str
    scopes: list[str]
    sites: list[int] | None
    by: str
    created: str
    expires: str | None
    used: str | None
    revoked: str | None
    key: str


class KeyPage(TypedDict):
    """API keys, oldest first."""

    items: list[IdentityKeyOut]
    next: str | None


class LaterOut(TypedDict):
    """Sites that the worker will check."""

    sites: int


class LatestOut(TypedDict):
    """The newest sample of a point."""

    ts: str
    value: float | str | None
    quality: str
    reason: str
    point: int
    key: str
    name: str
    unit: str


class LatestPage(TypedDict):
    """Newest samples of several points."""

    items: list[LatestOut]
    next: str | None


class LeftOut(TypedDict):
    """Points that are left as they are, some of them named."""

    count: int
    named: list[str]


class LicenceOut(TypedDict):
    """What a company may have."""

    plan: str
    status: str
    begins: str | None
    ends: str | None
    limits: list[LimitOut]
    paused: str | None
    notices: list[LicensingNoticeOut]


class LicensingNoticeOut(TypedDict):
    """Something that was noticed of a licence, at most once a day."""

    at: str
    subject: str
    kind: str
    used: int
    most: int | None


class LimitOut(TypedDict):
    """One limit, and how it stands."""

    limit: str
    used: int
    most: int | None
    warn: int | None
    state: str


class LinkBegun(TypedDict):
    """Where to go on."""

    url: str


class LinkIn(TypedDict):
    """A provider whose log-in is to lead to one's account."""

    provider: str
    password: str


class LinkList(TypedDict):
    """One's log-ins elsewhere, and where one can have some."""

    items: list[LinkOut]
    providers: list[ProviderOut]


class LinkOut(TypedDict):
    """A log-in that leads to one's account."""

    id: int
    provider: str | None
    issuer: str
    created: str
    used: str


class ListIn(TypedDict):
    """Devices that will come."""

    site: int | str
    csv: str


class ListOut(TypedDict):
    """What became of a list."""

    added: int
    known: int


class LlmPlan(TypedDict):
    """What asking about open templates would take; nothing was asked."""

    configured: bool
    points: int
    points_asked: int
    templates_known: int
    templates: int
    calls: int
    tokens_in: int
    tokens_out: int
    money: float | None
    currency: str
    price_since: str
    fits_budget: bool
    spending: LlmSpending


class LlmSpending(TypedDict):
    """A budget and what is used of it, calls under way included."""

    period: str
    tokens: int
    tokens_budget: int | None
    money: float
    money_budget: float | None


class LlmStatus(TypedDict):
    """Whether an LLM refines the mapping, and what it has done."""

    configured: bool
    model: str
    mode: str
    trust: float | None
    sources: dict[str, int]
    counters: dict[str, int]
    spending: LlmSpending


class LookIn(TypedDict):
    """What an installer has read from a device: typed, or scanned."""

    code: str


class MailReceiver(TypedDict):
    """A mailbox."""

    name: str
    enabled: NotRequired[bool]
    on: NotRequired[list[Literal['raised', 'returned', 'acknowledged']]]
    least_priority: NotRequired[Literal['low', 'medium', 'high', 'critical']]
    sites: NotRequired[list[int] | None]
    after_s: NotRequired[float]
    schedule: NotRequired[Schedule]
    digest: NotRequired[Digest]
    kind: NotRequired[Literal['email']]
    target: str


class MappingOut(TypedDict):
    """Point → equipment, point class and thing-model point."""

    point: int
    site: int
    name: str
    template: str
    equipment: str
    equip_class: str
    point_class: str
    model: str
    model_point: str
    confidence: float | None
    source: str
    state: str
    evidence: Any
    mapped: str


class MappingPage(TypedDict):
    """A page of mappings."""

    items: list[MappingOut]
    next: str | None


class MappingSummary(TypedDict):
    """How far the mapping has come; rejected mappings count as none."""

    points: int
    mapped: int
    with_counterpart: int
    mean_confidence: float | None


class MeIn(TypedDict):
    """What one can change of oneself."""

    name: str


class MeOut(TypedDict):
    """Who asks, and what that may do."""

    kind: str
    id: int
    name: str
    company: CompanyOut
    permissions: list[str]
    sites: list[int] | None
    session: int | None
    memberships: list[MembershipOut]


class Meaning(TypedDict):
    """What a point was mapped to."""

    equipment: str
    equip_class: str
    point_class: str
    model: str
    model_point: str
    confidence: float | None
    source: str
    state: str


class MeaningOut(TypedDict):
    """What a point means, before or after."""

    equipment: str
    equip_class: str
    point_class: str
    model: str
    model_point: str
    confidence: float | None
    source: str
    state: str


class MembershipOut(TypedDict):
    """A company that one may act for."""

    company: str
    name: str
    role: str


class ModelDetail(TypedDict):
    """A model with everything that it inherits."""

    model: str
    title: str
    description: str
    parent: str
    points: dict[str, Any]
    attributes: dict[str, Any]
    versions: list[ThingmodelsVersionOut]


class ModelList(TypedDict):
    """Every model that points can be mapped to, by name."""

    items: list[ModelOut]


class ModelOut(TypedDict):
    """A thing model, without its points."""

    model: str
    title: str
    origin: str
    version: int | None
    points: int
    required: int
    imported: str | None


class NoticePage(TypedDict):
    """Notices, the newest first."""

    items: list[AlarmsNoticeOut]
    next: str | None


class OutcomeOut(TypedDict):
    """What a rule came to at a site."""

    severity: Literal['info', 'warning', 'error', 'blocker']
    subjects: int
    wanting: int
    waived: int
    stopped: bool


class OverrideIn(TypedDict):
    """What to publish in place of a mapping; what is left out stays as it is."""

    site: NotRequired[int | None]
    point: NotRequired[int | None]
    equipment: NotRequired[str]
    model: NotRequired[str]
    model_point: NotRequired[str]
    to_model: NotRequired[str]
    to_point: NotRequired[str]
    unit: NotRequired[str]
    sign: NotRequired[Literal[1, -1]]
    multiplier: NotRequired[float]
    states: NotRequired[dict[str, Any]]
    note: NotRequired[str]


class OverrideList(TypedDict):
    """The overrides of a company."""

    items: list[OverrideOut]


class OverrideOut(TypedDict):
    """An override."""

    id: int
    site: int | None
    point: int | None
    equipment: str
    model: str
    model_point: str
    to_model: str
    to_point: str
    unit: str
    sign: int
    multiplier: float
    states: dict[str, str]
    note: str
    actor: str
    created: str
    ended: str | None


class OverviewOut(TypedDict):
    """How far the review has come."""

    site: int
    points: int
    templates: int
    decided: int
    ruled: int
    open: int
    open_templates: int
    deferred: int
    expected_wrong: float
    promises: list[PromiseOut]
    last: str


class PasswordIn(TypedDict):
    """A new password."""

    current: str
    new: str


class PlanOut(TypedDict):
    """What would have to be done for a site, and whether somebody has said so."""

    id: int
    kind: str
    site: int
    state: Literal['wanted', 'made', 'approved', 'done', 'failed']
    steps: list[StepOut]
    note: str
    result: dict[str, str]
    left_out: list[str]
    asked_at: str
    asked_by: str
    made_at: str | None
    approved_at: str | None
    approved_by: str
    done_at: str | None


class PointOut(TypedDict):
    """One readable value of a device."""

    id: int
    site: int
    gateway: str
    device: int
    key: str
    name: str
    description: str
    unit: str
    object_type: str
    states: list[str]
    writable: bool | None
    meaning: Meaning | None


class PointPage(TypedDict):
    """A page of points."""

    items: list[PointOut]
    next: str | None


class PollIn(TypedDict):
    """What a device sends to hear how its claim stands."""

    pending: str
    challenge: NotRequired[str]
    signature: NotRequired[str]


class Problem(TypedDict):
    """Problem details after RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    trace_id: str
    errors: list[ProblemItem]


class ProblemItem(TypedDict):
    """One thing that is wrong with a request."""

    where: str
    name: str
    detail: str


class ProblemOut(TypedDict):
    """Something of a file that could not be read."""

    file: str
    key: str
    what: str
    fix: str


class ProcessOut(TypedDict):
    """A process of the service that was heard of in the last 20 seconds."""

    parts: str
    age_seconds: float | None


class PromiseOut(TypedDict):
    """What may be accepted unseen."""

    precision: float
    points: int
    share: float
    min_confidence: float | None


class ProviderOut(TypedDict):
    """An identity provider."""

    name: str
    title: str


class PublishingOut(TypedDict):
    """What the publishing of a site has come to."""

    kind: str
    site: int
    enabled: bool
    points: int
    devices: int
    devices_gone: int
    due_points: int
    due_from: str | None
    waiting: int
    waiting_since: str | None
    counters: dict[str, int]
    plan: PlanOut | None


class QuarantinePage(TypedDict):
    """A page of refused rows, the newest first."""

    items: list[QuarantinedOut]
    next: str | None


class QuarantinedDetail(TypedDict):
    """A refused row with what it says."""

    id: int
    gateway: str
    epoch: str
    stream: str
    seq: int
    rows: int
    reason: str
    received: str
    state: str
    stored: int
    note: str
    decided: str | None
    content: Any
    point: dict[str, Any] | None
    ts: str | None


class QuarantinedOut(TypedDict):
    """A row, or a whole message, that was refused."""

    id: int
    gateway: str
    epoch: str
    stream: str
    seq: int
    rows: int
    reason: str
    received: str
    state: str
    stored: int
    note: str
    decided: str | None


class ReceiverItem(TypedDict):
    """Somebody who is told."""

    id: int
    receiver: MailReceiver | HookReceiver
    version: int
    told: str | None
    failures: int
    last_error: str
    secret: str | None


class ReceiverPage(TypedDict):
    """Receivers by number."""

    items: list[ReceiverItem]
    next: str | None


class Release(TypedDict):
    """What to change before a row is tried again; nothing where left out."""

    shift: NotRequired[float]
    ts: NotRequired[str | None]
    value: NotRequired[float | bool | str | None]


class ReplayIn(TypedDict):
    """Which messages are to be sent again."""

    states: NotRequired[list[Literal['dead', 'delivered']]]
    since: NotRequired[str | None]
    until: NotRequired[str | None]


class ReplayOut(TypedDict):
    """How many messages wait again."""

    messages: int


class ResumeIn(TypedDict):
    """Going on with a rollout that has halted."""

    most_failed: int


class ReviewDoneOut(TypedDict):
    """What a request did."""

    request: str
    at: str
    actor: str
    decided: int
    changed: int
    learned: list[str]
    forgotten: list[str]
    undone: str
    open: int


class ReviewRuleOut(TypedDict):
    """A rule."""

    text: str
    learned: bool
    points: int


class ReviewSampleOut(TypedDict):
    """A point of a template."""

    point: int
    name: str
    description: str
    equipment: str
    point_class: str
    confidence: float | None
    source: str
    state: str
    model_point: str
    value: float | str | None
    unit: str
    at: str | None
    evidence: Any


class RevokeIn(TypedDict):
    """Why a gateway is revoked."""

    reason: NotRequired[str]


class RoleList(TypedDict):
    """The roles there are."""

    items: list[IdentityRoleOut]


class RolloutDetail(TypedDict):
    """A rollout with its gateways."""

    id: str
    state: str
    wave: int
    waves: list[int]
    most_failed: int
    patience_s: int
    force: bool
    actor: str
    why: str
    reason: str
    created: str
    ended: str | None
    counts: dict[str, int]
    assignments: list[AssignmentOut]


class RolloutIn(TypedDict):
    """A change for several gateways."""

    gateways: NotRequired[list[str]]
    site: NotRequired[int | None]
    all: NotRequired[bool]
    source: NotRequired[Source | None]
    waves: NotRequired[list[int]]
    most_failed: NotRequired[int]
    patience_s: NotRequired[int]
    why: NotRequired[str]
    force: NotRequired[bool]


class RolloutOut(TypedDict):
    """A change for several gateways."""

    id: str
    state: str
    wave: int
    waves: list[int]
    most_failed: int
    patience_s: int
    force: bool
    actor: str
    why: str
    reason: str
    created: str
    ended: str | None


class RolloutPage(TypedDict):
    """Rollouts, the newest first."""

    items: list[RolloutOut]
    next: str | None


class RotateIn(TypedDict):
    """How the old key goes."""

    hours: NotRequired[int]


class RuleChange(TypedDict):
    """What a company says of a rule: of a built-in one the first three, of its own all."""

    enabled: NotRequired[bool]
    severity: NotRequired[Literal['info', 'warning', 'error', 'blocker'] | None]
    numbers: NotRequired[dict[str, Any]]
    about: NotRequired[str | None]
    when: NotRequired[str | None]
    text: NotRequired[str | None]
    fix: NotRequired[str | None]


class RuleIn(TypedDict):
    """A rule of the company's own."""

    enabled: NotRequired[bool]
    severity: NotRequired[Literal['info', 'warning', 'error', 'blocker'] | None]
    numbers: NotRequired[dict[str, Any]]
    about: str
    when: str
    text: str
    fix: NotRequired[str]
    rule: str


class RuleItem(TypedDict):
    """A rule."""

    id: int
    rule: AlarmRuleIn
    version: int
    actor: str
    created: str
    changed: str


class RuleList(TypedDict):
    """All rules of a company."""

    items: list[GovernanceRuleOut]
    unusable: list[BadRuleOut]


class RulePage(TypedDict):
    """Rules by number."""

    items: list[RuleItem]
    next: str | None


class RulesIn(TypedDict):
    """The rules of a site, a line each."""

    request: str
    text: str


class RulesOut(TypedDict):
    """The rules of a site."""

    text: str
    items: list[ReviewRuleOut]


class RunningOut(TypedDict):
    """What a gateway said last that it runs."""

    version: int
    config: str
    told: str
    document: dict[str, Any] | None


SamplePage = TypedDict('SamplePage', {
    'point': 'int',
    'unit': 'str',
    'from': 'str',
    'to': 'str',
    'items': 'list[SamplesSampleOut]',
    'next': 'str | None',
})
"""Samples of one point, oldest first."""


class SamplesSampleOut(TypedDict):
    """The value of a point at one moment."""

    ts: str
    value: float | str | None
    quality: str
    reason: str


class Schedule(TypedDict):
    """When somebody may be told; without hours: always."""

    timezone: NotRequired[str]
    hours: NotRequired[list[Hours]]
    holidays: NotRequired[list[str]]
    outside: NotRequired[Literal['hold', 'skip']]
    always_from: NotRequired[Literal['low', 'medium', 'high', 'critical', 'never']]


class SchemaCheckOut(TypedDict):
    """How a site's mapping fits the models it is mapped to."""

    site: int
    target: str
    points: int
    mapped: int
    fitting: int
    equipment: int
    kinds: dict[str, int]
    findings: list[ThingmodelsFindingOut]
    untold: int


class SchemasDataCertificateOut(TypedDict):
    """The proof: Ed25519 over a banner and `body`, with the key of `GET /v1/audit/keys`."""

    body: str
    key: str
    signature: str


class ScoreList(TypedDict):
    """All sites."""

    items: list[ScoreOut]


class ScoreOut(TypedDict):
    """What the last check of a site came to."""

    site: int
    slug: str
    score: int | None
    checked: str | None
    open: dict[str, int]
    rules: dict[str, OutcomeOut]


class SearchOut(TypedDict):
    """How far an EnOS Edge has come with a building."""

    devices: int
    devices_read: int
    points: int
    no_value: int
    unreadable: int


class SeenOut(TypedDict):
    """A device that waits, for a person to compare."""

    fingerprint: str
    facts: dict[str, str]
    address: str
    since: str
    expires: str


class SessionList(TypedDict):
    """Log-ins that are open, the newest first."""

    items: list[SessionOut]


class SessionOut(TypedDict):
    """A log-in."""

    id: int
    agent: str
    address: str
    created: str
    used: str
    expires: str
    current: bool


class ShelveIn(TypedDict):
    """For how long, and why."""

    reason: str
    minutes: float


class SiteAccountOut(TypedDict):
    """Where every row is that a site's gateways ever accepted."""

    accepted: int
    stored: int
    quarantined: int
    discarded: int
    gaps: int
    on_edge: int
    in_flight: int
    duplicates: int
    difference: int
    balanced: bool
    site: int
    stream: str
    lag_s: float | None
    oldest_unsent: str | None
    gap_causes: dict[str, int]
    gateways: list[SiteGatewayOut]


class SiteGatewayOut(TypedDict):
    """The account of one gateway of a site."""

    online: bool
    as_of: str | None
    report_age_s: float | None
    newest_sample: str | None
    lag_s: float | None
    oldest_unsent: str | None
    clock: ClockOut
    gap_causes: dict[str, int]
    alarms: list[AlarmOut]
    accepted: int
    stored: int
    quarantined: int
    discarded: int
    gaps: int
    on_edge: int
    in_flight: int
    duplicates: int
    difference: int
    balanced: bool
    gateway: str
    explanation: str


class SiteIn(TypedDict):
    """What was said of a site for the rules."""

    location: NotRequired[str]
    naming: NotRequired[list[str]]


class SitePage(TypedDict):
    """A page of sites."""

    items: list[SitesSiteOut]
    next: str | None


class SitesSiteOut(TypedDict):
    """A building or plant."""

    id: int
    slug: str
    name: str
    timezone: str
    created: str


class Source(TypedDict):
    """A version to copy."""

    gateway: str
    version: int


class StageOut(TypedDict):
    """How far one stage has come."""

    stage: str
    state: str
    points: int
    done: int
    chunks: int
    chunks_done: int


class StandingOut(TypedDict):
    """How a device's claim stands."""

    state: str
    pending: str
    challenge: str
    now: str
    expires: str | None
    poll_after: int
    grant: GrantOut | None


class Status(TypedDict):
    """Of the service."""

    status: str


class StepOut(TypedDict):
    """One thing that would be done on the platform."""

    id: str
    action: str
    subject: str
    why: str
    details: dict[str, Any]
    by_hand: bool
    new: bool
    instead_of: str


class Suppression(TypedDict):
    """The state of the equipment in which there is no alarm: a fan that is off."""

    compare: Literal['above', 'below', 'outside', 'equals', 'differs']
    high: NotRequired[float | None]
    low: NotRequired[float | None]
    dead_band: NotRequired[float]
    value: NotRequired[bool | float | str | None]
    point: NotRequired[int | None]
    point_class: NotRequired[str | None]
    hold_s: NotRequired[float]


class TemplateOut(TypedDict):
    """A template in the queue."""

    template: str
    name: str
    equip_class: str
    unit: str
    object_type: str
    states: str
    description: str
    points: int
    worth: float
    point_class: str
    also: dict[str, int]
    confidence: float | None
    source: str
    state: str
    example: str


class TemplatePage(TypedDict):
    """A page of the queue."""

    items: list[TemplateOut]
    next: str | None


class ThingmodelsChangeOut(TypedDict):
    """One difference."""

    what: str
    where: str
    before: Any
    after: Any


class ThingmodelsDiffOut(TypedDict):
    """How two versions of a model differ."""

    model: str
    before: str
    after: str
    changes: list[ThingmodelsChangeOut]


class ThingmodelsFindingOut(TypedDict):
    """One thing of a site's mapping that does not fit."""

    kind: str
    severity: str
    equipment: str
    model: str
    model_point: str
    points: list[int]
    count: int
    text: str
    fix: str


class ThingmodelsImportOut(TypedDict):
    """What became of the models of a file: those that are wrong cost no other."""

    new: list[str]
    changed: list[str]
    same: list[str]
    problems: list[ProblemOut]
    untold: int


class ThingmodelsVersionOut(TypedDict):
    """One version of a model."""

    version: int
    origin: str
    actor: str
    imported: str
    ended: str | None


class Threshold(TypedDict):
    """Values of points beyond a limit. Only good samples count; others change nothing."""

    compare: Literal['above', 'below', 'outside', 'equals', 'differs']
    high: NotRequired[float | None]
    low: NotRequired[float | None]
    dead_band: NotRequired[float]
    value: NotRequired[bool | float | str | None]
    kind: NotRequired[Literal['threshold']]
    points: list[int]
    on_delay_s: NotRequired[float]
    off_delay_s: NotRequired[float]
    suppress: NotRequired[Suppression | None]


class TicketOut(TypedDict):
    """Leave to open one WebSocket."""

    ticket: str
    expires: str
    socket: str


class TokenIn(TypedDict):
    """What is asked for; other parameters are not looked at (RFC 6749, 3.2)."""

    grant_type: str
    username: NotRequired[str]
    password: NotRequired[str]
    company: NotRequired[str]
    refresh_token: NotRequired[str]
    client_id: NotRequired[str]
    client_secret: NotRequired[str]
    token: NotRequired[str]
    name: NotRequired[str]
    scope: NotRequired[str]


class TokenOut(TypedDict):
    """Tokens (RFC 6749, 5.1)."""

    access_token: str
    token_type: str
    expires_in: int
    scope: str
    refresh_token: NotRequired[str | None]


class TriedAgain(TypedDict):
    """How many failed notices wait again."""

    notices: int


class TriedFinding(TypedDict):
    """What a rule would say of something."""

    subject: str
    text: str
    fix: str


class TroubleOut(TypedDict):
    """A chunk that could not be done, at the last try or before; of one that is done: what it lacks."""

    stage: str
    building: int
    state: str
    tries: int
    reason: str


class TryOut(TypedDict):
    """What a rule would find at a site."""

    severity: Literal['info', 'warning', 'error', 'blocker']
    subjects: int
    wanting: int
    waived: int
    stopped: bool
    findings: list[TriedFinding]


class UndoIn(TypedDict):
    """Take a request back."""

    request: str
    undoes: NotRequired[str | None]


class UsageDayOut(TypedDict):
    """What was used in a day, UTC."""

    day: str
    samples: int
    requests: int
    published: int
    jobs: int


class UsageOut(TypedDict):
    """What a company uses."""

    days: list[UsageDayOut]
    llm_tokens: int
    limits: list[LimitOut]


class UserIn(TypedDict):
    """What is to change of a member; what is left out stays."""

    role: NotRequired[Literal['company_admin', 'engineer', 'operator', 'installer', 'viewer']]
    sites: NotRequired[list[int] | None]
    disabled: NotRequired[bool]


class UserOut(TypedDict):
    """A member of the company."""

    id: int
    email: str
    name: str
    role: str
    sites: list[int] | None
    since: str
    disabled: bool


class UserPage(TypedDict):
    """Members, oldest first."""

    items: list[UserOut]
    next: str | None


class VersionDetail(TypedDict):
    """A version with its document."""

    number: int
    parent: int | None
    digest: str
    actor: str
    why: str
    origin: str
    created: str
    document: dict[str, Any]


class VersionIn(TypedDict):
    """A new version: a document, a former version again, or what the gateway runs."""

    document: NotRequired[dict[str, Any] | None]
    version: NotRequired[int | None]
    running: NotRequired[bool]
    parent: NotRequired[int | None]
    why: NotRequired[str]


class VersionPage(TypedDict):
    """Versions, the newest first."""

    items: list[ConfigurationVersionOut]
    next: str | None


class WaiverIn(TypedDict):
    """What to put up with, why and for how long."""

    rule: str
    subject: str
    reason: str
    days: float


class WaiverOut(TypedDict):
    """What somebody puts up with."""

    id: int
    site: int
    rule: str
    subject: str
    reason: str
    actor: str
    created: str
    expires: str
    ended: str | None
    ended_by: str


class WaiverPage(TypedDict):
    """A page of waivers."""

    items: list[WaiverOut]
    next: str | None


class WebhookChange(TypedDict):
    """What is to be different; what is left out stays."""

    url: NotRequired[str | None]
    topics: NotRequired[list[Literal['alarms', 'jobs', 'gateways']] | None]
    name: NotRequired[str | None]
    enabled: NotRequired[bool | None]


class WebhookDeleted(TypedDict):
    """What is gone."""

    deleted: str


class WebhookIn(TypedDict):
    """A webhook to be made."""

    url: str
    topics: list[Literal['alarms', 'jobs', 'gateways']]
    name: NotRequired[str]


class WebhookList(TypedDict):
    """All webhooks."""

    items: list[WebhookOut]


class WebhookMade(TypedDict):
    """A webhook that has just been made, or given a new secret."""

    id: int
    url: str
    name: str
    topics: list[Literal['alarms', 'jobs', 'gateways']]
    enabled: bool
    reason: str
    failures: int
    waiting: int
    dead: int
    created: str
    created_by: str
    secret: str


class WebhookOut(TypedDict):
    """An address that is told what happens."""

    id: int
    url: str
    name: str
    topics: list[Literal['alarms', 'jobs', 'gateways']]
    enabled: bool
    reason: str
    failures: int
    waiting: int
    dead: int
    created: str
    created_by: str


class WhyOut(TypedDict):
    """Everything there is to say about a template."""

    template: TemplateOut
    found: FoundOut
    candidates: list[str]
    rule: str
    samples: list[ReviewSampleOut]
    history: list[EventOut]
