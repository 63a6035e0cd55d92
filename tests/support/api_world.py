"""Two companies with everything that a company can have, and a client of the real application."""

from __future__ import annotations

import asyncio
import atexit
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import uvicorn
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.alarms.book import reborn
from plantroom_cloud.alarms.receivers import MailReceiver
from plantroom_cloud.alarms.rules import AlarmRuleIn
from plantroom_cloud.app import create_app
from plantroom_cloud.config import CloudSettings, IdentitySettings, OidcProvider, OidcSettings
from plantroom_cloud.config_api import ApiSettings
from plantroom_cloud.db import Database, insert_into
from plantroom_cloud.identity import keys
from plantroom_cloud.identity.passwords import hash_now
from plantroom_cloud.pipeline.packing import pack
from plantroom_cloud.review.standing import template_id
from plantroom_cloud.store import due
from plantroom_cloud.tables import (
    Alarm,
    AlarmEvent,
    AlarmNotice,
    AlarmReceiver,
    AlarmRule,
    ApiKey,
    CommandEvent,
    CommandRow,
    CommandRule,
    Company,
    ConfigurationAssignment,
    ConfigurationEvent,
    ConfigurationRollout,
    ConfigurationRunning,
    ConfigurationVersion,
    Counter,
    Device,
    DictionaryEntry,
    FindingRow,
    GapRecord,
    Gateway,
    Invitation,
    JobChunk,
    JobOutput,
    JobRow,
    Latest,
    Mapping,
    MappingBasis,
    MappingOverride,
    Membership,
    OidcIdentity,
    PendingGateway,
    Point,
    PublishPlan,
    QuarantinedRow,
    ReplayPosition,
    ReviewEvent,
    RollupDue,
    SampleRow,
    ServiceAccount,
    SigningKey,
    Site,
    StreamRange,
    StreamTotal,
    ThingModelRow,
    User,
    UserSession,
    WebhookDelivery,
    WebhookRow,
)
from plantroom_shared.mapping import Template
from support.claim_device import WAITING
from support.governance_world import put_governance
from support.servers import as_owner

NOW = 1_769_860_800_000_000
"""2026-01-31T12:00:00Z."""
MINUTE = 60_000_000
HOUR = 60 * MINUTE
EPOCH = "00000000000000aa"
PASSWORD = "correct horse battery"
"""Of every user here."""
HASHED = hash_now(PASSWORD)
TEMPLATE = Template("SupplyTemp", "Chiller", unit="degrees-celsius")


SECRET = "not for any installation: of the tests"
DATA = Path(tempfile.mkdtemp(prefix="plantroom-api-"))
"""The data folder: exports that are fetched lie there."""
atexit.register(shutil.rmtree, DATA, ignore_errors=True)
ISSUER = "https://login.example"
ELSEWHERE = OidcSettings(
    url="http://api",
    providers=(OidcProvider(name="elsewhere", issuer=ISSUER, client_id="plantroom"),),
)
SETTINGS = CloudSettings(
    data=DATA,
    api=ApiSettings(per_key=None, per_company=None, per_address=None),
    identity=IdentitySettings(secret=SecretStr(SECRET), cache=0),
    oidc=ELSEWHERE,
)
"""Of the application in tests: one authority for all of this process, nothing is remembered, and
nobody asks too often."""

ONE_ENGINE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""For tests of what does not depend on the database: SQLite alone will do."""


class Discovered:
    """What an identity provider says of itself, without one."""

    status = 200
    body = orjson.dumps(
        {"issuer": ISSUER}
        | {
            name: f"{ISSUER}/{name}"
            for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")
        }
    )

    async def request(self, *_: object, **__: object) -> Discovered:
        """Answer anything with that."""
        return self


class Stopped:
    """A clock that moves only when told."""

    def __init__(self, now_us: int = NOW) -> None:
        self.now = now_us

    def now_us(self) -> int:
        """Return the moment it was set to."""
        return self.now

    def monotonic(self) -> float:
        """Return the same in seconds."""
        return self.now / 1e6


@dataclass
class Tenant:
    """One company: its key and the ids of what it has."""

    slug: str
    key: str
    company: int = 0
    key_id: int = 0
    site: int = 0
    gateway: str = ""
    device: int = 0
    points: list[int] = field(default_factory=list)
    battery: dict[str, int] = field(default_factory=dict)
    """Role → point."""
    override: int = 0
    alarms: dict[str, int] = field(default_factory=dict)
    """Act → an alarm that it can be done with; empty: one that stands."""
    alarm_rule: int = 0
    receiver: int = 0
    webhook: int = 0
    spare: int = 0
    """Another webhook, to be deleted."""
    delivery: int = 0
    """A message to the webhook that was given up."""
    rule: int = 0
    quarantined: list[int] = field(default_factory=list)
    """Refused rows: a sample that can be stored by now, and a record that never can."""

    user: int = 0
    """An administrator; its password is `PASSWORD`."""
    session: int = 0
    """A log-in of that user."""
    invitation: int = 0
    spare_key: int = 0
    """A key that opens nothing that matters."""
    account: int = 0
    """A service account."""
    identity: int = 0
    """What its user is elsewhere."""
    waiver: int = 0
    """Something that is put up with."""

    @property
    def email(self) -> str:
        """Address of its user."""
        return f"ann@{self.slug}.example"

    @property
    def command(self) -> str:
        """Id of a command that was carried out."""
        return f"c-{self.company}"

    @property
    def unconfirmed(self) -> str:
        """Id of a command that waits for a second person."""
        return f"c2-{self.company}"

    @property
    def model(self) -> str:
        """Id of a thing model of its own."""
        return f"Own_{self.company}"

    @property
    def template(self) -> str:
        """Id of the template of its first point."""
        return template_id(TEMPLATE.key)

    @property
    def job(self) -> str:
        """Id of a job that is open."""
        return f"j-{self.company}"

    @property
    def headers(self) -> dict[str, str]:
        """What its requests carry: its key, and that whatever is there may be overwritten."""
        return {"Authorization": f"Bearer {self.key}", "If-Match": "*"}


class Seeder:
    """Puts rows of one company, of one gateway at one site."""

    def __init__(self, session: AsyncSession, tenant: Tenant) -> None:
        self._session, self.tenant = session, tenant

    @property
    def own(self) -> dict[str, Any]:
        """Columns of a row of the company."""
        return {"company_id": self.tenant.company}

    @property
    def here(self) -> dict[str, Any]:
        """Columns of a row of the site."""
        return self.own | {"site_id": self.tenant.site}

    @property
    def wired(self) -> dict[str, Any]:
        """Columns of a row of the gateway."""
        return self.here | {"gateway_id": self.tenant.gateway}

    async def put(self, table: Any, **values: Any) -> Any:
        """Insert a row and return the first column of its primary key."""
        statement = insert(table).values(**values).returning(*table.__mapper__.primary_key)
        return (await self._session.execute(statement)).one()[0]

    async def point(self, device: int, key: str, name: str, unit: str, value: float) -> int:
        """Insert a point with one sample and return its id."""
        point: int = await self.put(
            Point, device_id=device, key=key, name=name, unit=unit, changed_us=NOW, **self.wired
        )
        sample = {"point_id": point, "value": value, "quality": 0, "ts_us": NOW - MINUTE, "tie": 1}
        await self.put(SampleRow, **sample, **self.own)
        await note_due(self._session, self.tenant, [point], [NOW - MINUTE])
        await self.put(Latest, **sample, **self.own)
        return point

    async def mapping(self, point: int, **values: Any) -> None:
        """Insert what a point was mapped to."""
        defaults = {"template": "", "source": "offline", "state": "proposed", "mapped_us": NOW}
        await self.put(Mapping, point_id=point, **defaults | values, **self.here)


@cache
def signing_key() -> dict[str, Any]:
    """Return the row of a key that signs tokens, made once: that takes its time."""
    key = rsa.generate_private_key(65537, 2048)
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    locked = serialization.BestAvailableEncryption(SECRET.encode())
    plain = serialization.PublicFormat.SubjectPublicKeyInfo
    return {
        "kid": "of-the-tests",
        "private": key.private_bytes(pem, form, locked).decode(),
        "public": key.public_key().public_bytes(pem, plain).decode(),
        "created_us": NOW - 24 * HOUR,
        "from_us": NOW - 24 * HOUR,
    }


async def seed_company(db: Database, slug: str) -> Tenant:
    """Return a new company with a key and nothing else."""
    new = keys.new_key()
    tenant = Tenant(slug, new.plain, gateway=f"gw-{slug}-1")
    async with as_owner(db).write() as session:
        seeder = Seeder(session, tenant)
        made = insert_into(session, SigningKey).values(await asyncio.to_thread(signing_key))
        await session.execute(made.on_conflict_do_nothing())
        tenant.company = await seeder.put(Company, slug=slug, name=slug.title(), created_us=NOW)
        tenant.key_id = await seeder.put(
            ApiKey,
            name="first",
            prefix=new.prefix,
            digest=new.digest,
            created_us=NOW,
            scopes=["company_admin"],
            **seeder.own,
        )
    return tenant


async def seed(db: Database, slug: str) -> Tenant:
    """Return a new company with one of everything that hangs on a company."""
    tenant = await seed_company(db, slug)
    async with as_owner(db).write() as session:
        seeder = Seeder(session, tenant)
        tenant.site = await seeder.put(
            Site, slug="tower", name=f"{slug} tower", created_us=NOW, **seeder.own
        )
        await seeder.put(
            Gateway,
            id=tenant.gateway,
            name="Basement",
            created_us=NOW,
            seen_us=NOW,
            writes=True,
            **seeder.here,
        )
        await _put_chiller(seeder)
        await _put_battery(seeder)
        await _put_account(seeder)
        await _put_replay(seeder)
        await _put_command(seeder)
        await _put_model(seeder)
        await _put_plan(seeder)
        await _put_job(seeder)
        await _put_waiting(session)
        await _put_alarms(seeder)
        await _put_webhook(seeder)
        await _put_configuration(seeder)
        await _put_people(seeder)
        await seeder.put(Counter, name="refused.schema", value=3, **seeder.own)
        tenant.waiver = await put_governance(seeder, NOW, DATA)
    return tenant


async def _put_chiller(seeder: Seeder) -> None:
    tenant = seeder.tenant
    tenant.device = await seeder.put(
        Device, key="bacnet:1001", name=f"{tenant.slug} chiller", protocol="bacnet", **seeder.wired
    )
    for number, name in enumerate(("CH1.SupplyTemp", "CH1.ReturnTemp")):
        key = f"bacnet:1001:analog-input:{number}"
        unit = "degrees-celsius"
        tenant.points.append(await seeder.point(tenant.device, key, name, unit, 6.5 + number))
    await seeder.mapping(
        tenant.points[0],
        equipment="CH1",
        equip_class="Chiller",
        point_class="Chilled_Water_Supply_Temperature_Sensor",
        model_id="EnOS_HVAC_CH",
        model_point="CH.ChwSupplyTemp",
        confidence=0.9,
    )
    await _put_review(seeder)
    await seeder.put(
        FindingRow,
        id="pca/chiller:1",
        detector="pca",
        subject="bacnet:1001",
        points=["bacnet:1001:analog-input:0"],
        started_us=NOW - HOUR,
        score=2.5,
        text=f"{tenant.slug}: supply temperature does not follow",
        evidence={"residual": 3.0},
        **seeder.wired,
    )


async def _put_review(seeder: Seeder) -> None:
    """What the mapper found of the first point, and that somebody put its template off."""
    about = {"point_id": seeder.tenant.points[0], "template_id": seeder.tenant.template}
    about |= {"key": TEMPLATE.key, "template": "CH#.SupplyTemp", "equipment": "CH1"}
    found = {"point_class": "Chilled_Water_Supply_Temperature_Sensor", "confidence": 0.9}
    found |= {"model_id": "EnOS_HVAC_CH", "model_point": "CH.ChwSupplyTemp", "source": "offline"}
    lists = {"evidence": ["Temp = Temperature"], "candidates": [found["point_class"]]}
    await seeder.put(MappingBasis, equip_class="Chiller", **about, **found, **lists, **seeder.here)
    event = {"request": "first", "at_us": NOW - HOUR, "actor": "first", "action": "defer"}
    event |= {"subject": TEMPLATE.key, "point_class": "", "before": {}, "note": seeder.tenant.slug}
    await seeder.put(ReviewEvent, **event, **seeder.here)


async def _put_battery(seeder: Seeder) -> None:
    device = await seeder.put(
        Device, key="modbus:bess", name="Battery", protocol="modbus", **seeder.wired
    )
    about = {"equipment": "bess/1", "equip_class": "Battery", "model_id": "EnOS_Solar_RE_BS"}
    power = await seeder.point(device, "modbus:bess:W", "Total Power", "W", 0.0)
    soc = await seeder.point(device, "modbus:bess:SoC", "State of Charge", "%", 50.0)
    await seeder.point(device, "modbus:bess:WHRtg", "Nameplate Energy Capacity", "Wh", 40_000.0)
    await seeder.mapping(power, model_point="BS.ActivePW", confidence=1.0, **about)
    await seeder.mapping(soc, model_point="BS.Soc", confidence=1.0, **about)
    seeder.tenant.battery = {"power": power, "soc": soc}


async def _put_account(seeder: Seeder) -> None:
    stream = seeder.own | {"gateway_id": seeder.tenant.gateway, "epoch": EPOCH, "stream": "tel"}
    counted = {"accepted": 6, "stored": 2, "declared": 2, "quarantined": 1, "held": "[[6,6]]"}
    await seeder.put(StreamTotal, reported_us=NOW, **counted, **stream)
    await seeder.put(StreamRange, lo=1, hi=5, **stream)
    await seeder.put(GapRecord, lo=3, hi=4, cause="quota", received_us=NOW, **stream)
    await _put_quarantine(seeder, stream)


async def _put_quarantine(seeder: Seeder, stream: dict[str, Any]) -> None:
    tenant = seeder.tenant
    alias = {"gateway_id": tenant.gateway, "epoch": EPOCH, "alias": 0}
    await seeder.put(DictionaryEntry, point_id=tenant.points[0], **alias, **seeder.own)
    sample = {"p": 0, "dt": 0, "x": 21.5, "q": None, "t": str(NOW - MINUTE)}
    refused = {"seq": 5, "reason": "alias", "payload": orjson.dumps(sample), "received_us": NOW}
    tenant.quarantined.append(await seeder.put(QuarantinedRow, **refused, **stream))
    audit = stream | {"stream": "aud"}
    await seeder.put(StreamTotal, accepted=1, quarantined=1, reported_us=NOW, **audit)
    await seeder.put(StreamRange, lo=1, hi=1, **audit)
    refused = {"seq": 1, "reason": "schema", "payload": b"{}", "received_us": NOW}
    tenant.quarantined.append(await seeder.put(QuarantinedRow, **refused, **audit))


async def _put_replay(seeder: Seeder) -> None:
    span = {"from_us": NOW - HOUR, "to_us": NOW, "created_us": NOW, "changed_us": NOW}
    consumer = {"consumer": f"reader-{seeder.tenant.company}", "replay": EPOCH, "sink": "file:/x"}
    await seeder.put(
        ReplayPosition, after=[NOW - MINUTE, 0, 1, 1], **consumer, **span, **seeder.here
    )


async def _put_command(seeder: Seeder) -> None:
    tenant = seeder.tenant
    told = {"id": tenant.command, "kind": "write", "actor": "key:first", "body": "{}"}
    times = {"created_us": NOW - HOUR, "expires_us": NOW - HOUR + MINUTE, "ended_us": NOW - HOUR}
    wired = {"gateway_id": tenant.gateway, "point_id": tenant.points[0]} | seeder.own
    await seeder.put(CommandRow, state="executed", reason="", **told, **times, **wired)
    order = {"issued": NOW, "expires": NOW + MINUTE, "actor": "key:other"}
    told |= {"id": tenant.unconfirmed, "body": orjson.dumps(order).decode(), "given_by": "key:0"}
    times = {"created_us": NOW, "expires_us": NOW + HOUR}
    await seeder.put(CommandRow, state="unconfirmed", reason="", **told, **times, **wired)
    event = {"at_us": NOW - HOUR, "kind": "command.executed", "doc": {"id": tenant.command}}
    source = {"command_id": tenant.command, "journal": EPOCH, "n": 1}
    await seeder.put(CommandEvent, **source, **event, **seeder.own)


async def _put_model(seeder: Seeder) -> None:
    tenant, told = seeder.tenant, {"origin": "own.json", "actor": "api", "created_us": NOW}
    document = {"model_id": tenant.model, "points": {"x": {"type": "DOUBLE", "unit": "kW"}}}
    about = {"model_id": tenant.model, "version": 1, "digest": "", "document": document}
    await seeder.put(ThingModelRow, **about, **told, **seeder.own)
    says = {"model_id": "EnOS_HVAC_CH", "model_point": "CH_raw_fla", "unit": "%", "created_us": NOW}
    tenant.override = await seeder.put(MappingOverride, **says, **seeder.own)


async def _put_plan(seeder: Seeder) -> None:
    step = {"action": "create_device", "subject": "CH1", "why": "there is none", "details": {}}
    marks = {"by_hand": False, "new": True, "instead_of": ""}
    await seeder.put(
        PublishPlan,
        kind="enos",
        state="made",
        steps=[{"id": "create_device CH1"} | step | marks],
        asked_us=NOW,
        asked_by="key first",
        made_us=NOW,
        **seeder.here,
    )


async def _put_waiting(session: AsyncSession) -> None:
    """A device that waits to be claimed: of no company, so once for all of them."""
    row: dict[str, Any] = {"id": "A" * 22}
    row |= {"fingerprint": WAITING.fingerprint, "public_key": WAITING.public_pem}
    row |= {"code_hash": WAITING.code_hash, "state": "waiting", "created_us": NOW}
    row |= {"expires_us": NOW + 24 * HOUR, "facts": {"serial": "1"}}
    await session.execute(insert_into(session, PendingGateway).on_conflict_do_nothing(), [row])


async def _put_job(seeder: Seeder) -> None:
    tenant = seeder.tenant
    place = {"name": f"{tenant.slug} tower", "site": tenant.site}
    await seeder.put(
        JobRow,
        id=tenant.job,
        request="",
        source="sites",
        buildings=[place],
        options={"llm": False, "publish": True},
        state="cancelled",
        created_us=NOW - HOUR,
        ended_us=NOW - HOUR,
        **seeder.own,
    )
    chunk = {"stage": "select", "points": 1, "state": "done", "due_us": NOW, "told": {}}
    at = {"job_id": tenant.job, "building": 0, "piece": 0}
    await seeder.put(JobChunk, **at, **chunk, **seeder.own)
    data = pack([{"key": str(tenant.points[0]), "device": "d", "name": "CH1.SupplyTemp"}])
    await seeder.put(JobOutput, kind="points", data=data, **at, **seeder.own)


async def _put_alarms(seeder: Seeder) -> None:
    """A rule that is off, so that it watches nothing, an alarm for every act, and a receiver."""
    tenant, made = seeder.tenant, {"version": 1, "created_us": NOW, "changed_us": NOW}
    when = {"kind": "gateway", "conditions": ["gap"]}
    says = {"name": f"{tenant.slug} gaps", "when": when, "enabled": False, "site": tenant.site}
    config = AlarmRuleIn.model_validate(says).model_dump(mode="json")
    about = {"name": says["name"], "kind": "gateway", "priority": 2, "config": config}
    flags = {"latching": False, "enabled": False, "actor": "first", "site_id": tenant.site}
    tenant.alarm_rule = await seeder.put(AlarmRule, **about, **flags, **made, **seeder.own)
    bases = {"": "unacknowledged", "acknowledge": "unacknowledged", "reset": "latched_acknowledged"}
    for act in (*bases, "shelve", "unshelve", "restore", "remove"):
        state = reborn() | {"base": bases.get(act, "normal"), "standing": bases.get(act, "normal")}
        state |= {"shelved_until_us": NOW + HOUR} if act == "unshelve" else {}
        hidden = {"unshelve": "shelved", "restore": "out_of_service"}
        state |= {"standing": hidden[act]} if act in hidden else {}
        state |= {"out_of_service": act == "restore", "active": act in {"", "acknowledge"}}
        own = {"rule_id": tenant.alarm_rule, "subject": f"test/{act}", "title": tenant.slug}
        own |= {"priority": 2, "latching": False, "calls": 1, "assignee": "", "version": 1}
        own |= {"raised_us": NOW - HOUR}
        tenant.alarms[act] = await seeder.put(Alarm, **own, **state, changed_us=NOW, **seeder.wired)
    event = {"kind": "raised", "at_us": NOW, "entered_us": NOW, "before": "normal", "actor": ""}
    event |= {"after": "unacknowledged", "called": True, "priority": 2, "doc": {}}
    first = {"alarm_id": tenant.alarms[""]}
    number = await seeder.put(AlarmEvent, **event, **first, **seeder.own)
    wish = {"kind": "email", "name": tenant.slug, "target": f"{tenant.slug}@plant.example"}
    config = MailReceiver.model_validate(wish).model_dump(mode="json", by_alias=True)
    counts = {"failures": 0, "next_us": 0, "last_error": "", "secret": "", "enabled": False}
    row = wish | counts | made | {"config": config}
    tenant.receiver = await seeder.put(AlarmReceiver, **row, **seeder.own)
    notice = {"receiver_id": tenant.receiver, "event_id": number, "state": "sent", "tries": 0}
    times = {"created_us": NOW, "due_us": NOW, "why": ""}
    await seeder.put(AlarmNotice, **notice, **times, **first, **seeder.own)


async def _put_webhook(seeder: Seeder) -> None:
    tenant = seeder.tenant
    address = {"url": f"https://{tenant.slug}.example/hook", "topics": " alarms "}
    secret = {"secret": "whsec_" + "A" * 43 + "=", "created_us": NOW, "created_by": "first"}
    tenant.webhook = await seeder.put(
        WebhookRow, name=tenant.slug, **address, **secret, **seeder.own
    )
    tenant.spare = await seeder.put(WebhookRow, **address, **secret, **seeder.own)
    what = {"message": f"msg_{tenant.slug}", "kind": "job.done", "body": b"{}", "state": "dead"}
    times = {"due_us": NOW, "created_us": NOW, "ended_us": NOW}
    tenant.delivery = await seeder.put(
        WebhookDelivery, webhook_id=tenant.webhook, tries=10, **what, **times, **seeder.own
    )


async def _put_configuration(seeder: Seeder) -> None:
    """A version that was rolled out to the gateway and has halted there, and what it runs."""
    tenant = seeder.tenant
    own = {"company_id": tenant.company}
    wired = own | {"gateway_id": tenant.gateway}
    told = {"actor": "key:first", "why": tenant.slug, "created_us": NOW}
    about = {"number": 1, "document": {"site": "tower"}, "digest": "aa", "origin": "edited"}
    await seeder.put(ConfigurationVersion, **about, **told, **wired)
    rollout, ident = f"r-{tenant.company}", f"a-{tenant.company}"
    plan = {"wave": 0, "waves": [1], "most_failed": 0, "patience_s": 60, "wave_us": NOW}
    await seeder.put(
        ConfigurationRollout, id=rollout, state="halted", force=False, **plan, **told, **own
    )
    meant = {"serial": 1, "version": 1, "rollout_id": rollout, "wave": 0, "due_us": NOW}
    await seeder.put(
        ConfigurationAssignment, id=ident, state="waiting", force=False, **meant, **told, **wired
    )
    event = {"journal": "cloud", "n": 1, "at_us": NOW, "kind": "desired.staged", "doc": {}}
    await seeder.put(ConfigurationEvent, assignment_id=ident, **event, **own)
    runs = {"version": 0, "config": "bb", "document": {"site": "tower"}, "told_us": NOW}
    runs |= {"journal": "aa", "n": 1}
    await seeder.put(ConfigurationRunning, **runs, **wired)
    rule = {"points": "modbus:none:*", "within_s": 600, "actor": "first", "created_us": NOW}
    tenant.rule = await seeder.put(CommandRule, **rule, **own)


async def _put_people(seeder: Seeder) -> None:
    """Two members, of whom one is logged in, and one of each other who can get in."""
    tenant = seeder.tenant
    for name in ("bob", "ann"):
        about = {"email": f"{name}@{tenant.slug}.example", "name": name, "password": HASHED}
        user = await seeder.put(User, created_us=NOW - HOUR, valid_from_us=0, **about)
        member = {"user_id": user, "role": "company_admin", "created_us": NOW - HOUR}
        await seeder.put(Membership, **member, **seeder.own)
    tenant.user = user
    times = {"created_us": NOW - MINUTE, "used_us": NOW - MINUTE, "expires_us": NOW + 24 * HOUR}
    log_in = {"user_id": user, "agent": "a test", "address": "127.0.0.1"} | times
    linked = {"issuer": ISSUER, "subject": tenant.slug, "user_id": user}
    tenant.identity = await seeder.put(OidcIdentity, created_us=NOW, used_us=NOW, **linked)
    tenant.session = await seeder.put(UserSession, **log_in, **seeder.own)
    other = keys.new_key()
    offer = {"email": f"eve@{tenant.slug}.example", "role": "viewer", "invited_by": "ann"}
    times = {"created_us": NOW - HOUR, "expires_us": NOW + 24 * HOUR}
    tenant.invitation = await seeder.put(
        Invitation, digest=other.digest, **offer, **times, **seeder.own
    )
    spare = {"name": f"{tenant.slug} spare", "prefix": "pk_spare", "scopes": ["viewer"]}
    digest = keys.digest(f"spare {tenant.slug}")
    tenant.spare_key = await seeder.put(ApiKey, digest=digest, **spare, **times, **seeder.own)
    program = {"name": f"{tenant.slug} program", "client_id": f"sa_{tenant.slug}"}
    tenant.account = await seeder.put(
        ServiceAccount,
        digest=keys.digest("ss_of the tests"),
        scopes=["viewer"],
        created_us=NOW - HOUR,
        valid_from_us=NOW - HOUR,
        **program,
        **seeder.own,
    )


async def put_samples(db: Database, tenant: Tenant, point: int, rows: list[dict[str, Any]]) -> None:
    """Store samples of a point: each with ts_us and value, the rest defaulted."""
    defaults = {"point_id": point, "company_id": tenant.company, "tie": 0, "quality": 0}
    filled = [{"value": None, "text": None, "reason": ""} | defaults | row for row in rows]
    async with as_owner(db).write() as session:
        await session.execute(insert(SampleRow), filled)
        await note_due(session, tenant, [point], [row["ts_us"] for row in filled])


async def note_due(
    session: AsyncSession, tenant: Tenant, points: list[int], times: list[int]
) -> None:
    """Note that samples wait to be rolled up, as whoever stores any must."""
    work = due.due_of(points, times)
    packed = {"points": due.pack_points(work), "minutes": due.pack_minutes(work)}
    span = {"lo_us": min(times), "hi_us": max(times), "samples": len(times)}
    row = {"company_id": tenant.company, "gateway_id": tenant.gateway}
    await session.execute(insert(RollupDue), [row | packed | span])


@asynccontextmanager
async def client_of(app: FastAPI, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client that calls the application in this process."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://api", **options) as client:
        yield client


def make_app(db: Database, clock: Stopped | None = None) -> FastAPI:
    """Return the real application over `db`."""
    return create_app(SETTINGS, db, clock=clock or Stopped(), http=Discovered())


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[str]:
    """Yield the URL of `app` behind a real server on a free port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on"))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server.serve(sockets=[listener]))
            while not server.started:
                await asyncio.sleep(0.01)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            server.should_exit = True
