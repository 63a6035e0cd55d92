"""Who is told of alarms: by a real mail server, by signed requests, in time, in digests, in spite of trouble."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trustme
from sqlalchemy import select, update

from plantroom_cloud.alarms.designing import ReceiverService
from plantroom_cloud.alarms.notify import jobs
from plantroom_cloud.alarms.notify.jobs import Notifier
from plantroom_cloud.alarms.notify.mail import Mailer
from plantroom_cloud.alarms.notify.outbox import Outbox
from plantroom_cloud.alarms.receivers import read_receiver
from plantroom_cloud.alarms.service import AlarmService
from plantroom_cloud.alarms.states import Act
from plantroom_cloud.config_alarms import AlarmSettings, SmtpSettings
from plantroom_cloud.config_outbound import OutboundSettings
from plantroom_cloud.db import Database
from plantroom_cloud.kit.outbound import OutboundClient, Rules
from plantroom_cloud.tables import AlarmNotice, AlarmReceiver, Point, WebhookDelivery, WebhookRow
from plantroom_cloud.webhooks.signing import is_genuine
from plantroom_shared.errors import ConfigError, Rejected, Unavailable
from support.alarm_world import MINUTE, ON_POSTGRES, World
from support.api_world import ONE_ENGINE, Stopped, Tenant
from support.mail_server import Mailbox, mail_server
from support.waiting import eventually

DESK, BOSS = "desk@plant.example", "boss@plant.example"


@dataclass
class Hooks:
    """Takes requests in place of the network."""

    status: list[int] = field(default_factory=list)
    """What is answered, one after the other; then 204."""
    seen: list[tuple[str, bytes, Mapping[str, str]]] = field(default_factory=list)

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        self.seen.append((url, body, headers))
        return self.status.pop(0) if self.status else 204


@dataclass
class Office:
    """A world with people who are told."""

    world: World
    box: Mailbox
    hooks: Hooks = field(default_factory=Hooks)

    def __post_init__(self) -> None:
        smtp = SmtpSettings(
            host="127.0.0.1", port=self.box.port, sender="alarms@plant.example", tls="none"
        )
        self.mailer = Mailer(smtp)
        link = "https://plant.example/alarms"
        self.settings = AlarmSettings(smtp=smtp, settle=0, link=link, give_up=3600)
        world = self.world
        self.notifier = Notifier(
            world.database, self.settings, world.clock, self.hooks, self.mailer
        )

    async def receiver(self, target: str = DESK, **wish: Any) -> tuple[int, str]:
        """Add somebody who is told; return the number and the secret."""
        kind = "webhook" if target.startswith("https:") else "email"
        says = read_receiver({"kind": kind, "name": target[:9], "target": target, **wish})
        async with self.world.database.write(self.world.scope) as session:
            service = ReceiverService(
                session, self.world.scope, self.world.clock, "test", Rules(OutboundSettings())
            )
            row, secret = await service.add(says)
        return row.id, secret

    async def tell(self) -> None:
        """Tell everybody what is due now."""
        async with asyncio.timeout(30):
            await self.notifier.round()
            await self.notifier.settle()

    async def act(self, act: Act) -> None:
        """Do something with the one alarm."""
        alarm = await self.world.only()
        async with self.world.database.write(self.world.scope) as session:
            service = AlarmService(session, self.world.scope, self.world.clock, "somebody")
            await service.act(alarm.id, act)

    async def notices(self) -> list[tuple[str, str]]:
        """Return state and reason of all notices of the test, in order."""
        query = select(AlarmNotice.state, AlarmNotice.why).where(AlarmNotice.receiver_id.in_(
            select(AlarmReceiver.id).where(AlarmReceiver.target.in_((DESK, BOSS, HOOK)))
        ))  # fmt: skip
        async with self.world.owner.read() as session:
            rows = (await session.execute(query.order_by(AlarmNotice.id))).all()
        return [(row.state, row.why) for row in rows]

    async def states(self) -> list[str]:
        """Return the states of all notices, in order."""
        return [state for state, _ in await self.notices()]


HOOK = "https://desk.example/alarms"


@pytest.fixture
async def office(database: Database, acme: Tenant, clock: Stopped) -> AsyncIterator[Office]:
    """An office with an alarm rule and a mail server."""
    async with mail_server() as box:
        office = Office(World(database, acme, clock), box)
        await office.world.above(8, priority="high")
        yield office
        await office.notifier.stop()
        office.mailer.close()


@ONE_ENGINE
async def test_a_mail_says_what_is_to_be_done(office: Office) -> None:
    """An alarm that calls is in the mailbox, once, with everything that one must know."""
    await office.receiver()
    await office.world.say((10, 9.5))
    await office.tell()
    await office.tell()
    (mail,) = office.box.mails
    assert mail["subject"] == "[high] too warm: CH1.SupplyTemp: raised"
    assert mail["auto-submitted"] == "auto-generated"
    text = mail.get_content()
    assert "raised 2026-01-31T12:00:10.000000Z, 9.5; priority high" in text
    assert "site acme tower; alarm" in text
    assert "https://plant.example/alarms" in text
    assert await office.states() == ["sent"]


@ONE_ENGINE
async def test_who_is_told_what(office: Office) -> None:
    """Priority, site and what happens decide who is told."""
    site = office.world.tenant.site
    await office.receiver(DESK, on=["raised", "returned", "acknowledged"], sites=[site])
    await office.receiver(BOSS, least_priority="critical")
    await office.world.say((10, 9.5), (20, 7.0))
    await office.tell()
    await office.act(Act.ACKNOWLEDGE)
    await office.tell()
    kinds = [subject.rpartition(": ")[2] for subject in office.box.to(DESK)]
    assert kinds == ["raised", "returned", "acknowledged"]
    assert office.box.to(BOSS) == []


@ON_POSTGRES
async def test_escalation(office: Office) -> None:
    """Who comes second is told of what nobody has acknowledged in time, and of nothing else."""
    await office.receiver(DESK)
    await office.receiver(BOSS, after_s=300)
    await office.world.say((10, 9.5))
    await office.tell()
    assert len(office.box.to(DESK)) == 1
    assert office.box.to(BOSS) == []
    await office.act(Act.ACKNOWLEDGE)
    office.world.clock.now += 5 * MINUTE
    await office.tell()
    assert office.box.to(BOSS) == []
    await office.world.say((400, 7.0), (410, 9.5))
    office.world.clock.now += 5 * MINUTE
    await office.tell()
    assert office.box.to(BOSS) == ["[high] too warm: CH1.SupplyTemp: not acknowledged"]
    assert ("dropped", "acknowledged in time") in await office.notices()


HOURS = {"days": ["mon"], "from": "08:00", "to": "17:00"}


@ONE_ENGINE
async def test_working_hours(office: Office) -> None:
    """What comes on a Saturday is told on Monday, or never; what is critical at once."""
    await office.receiver(DESK, schedule={"timezone": "Europe/Berlin", "hours": [HOURS]})
    await office.receiver(BOSS, schedule={"hours": [HOURS], "outside": "skip"})
    await office.world.say((10, 9.5))
    await office.tell()
    assert office.box.mails == []
    assert await office.states() == ["waiting", "dropped"]
    point = office.world.tenant.points[1]
    await office.world.above(8, point=point, priority="critical")
    await office.world.say((20, 9.5), point=point)
    await office.tell()
    assert office.box.to(DESK) == office.box.to(BOSS)
    assert len(office.box.mails) == 2
    office.world.clock.now += 42 * 60 * MINUTE  # Monday, 07:00 in Berlin
    await office.tell()
    assert len(office.box.to(DESK)) == 1
    office.world.clock.now += 2 * 60 * MINUTE
    await office.tell()
    assert len(office.box.to(DESK)) == 2


@ONE_ENGINE
async def test_a_flood_comes_in_digests(office: Office) -> None:
    """More messages than somebody wants come as one, and the next not before its time."""
    await office.receiver(digest={"more_than": 3, "within_s": 600, "every_s": 300})
    world = office.world
    for n in range(30):
        await world.say((10 + 2 * n, 9.5), (11 + 2 * n, 1.0), settle=False)
    await world.work()
    await office.tell()
    assert office.box.to(DESK) == ["[high] 30 alarms"]
    assert "and 10 more" in office.box.mails[0].get_content()
    await world.say((100, 9.5))
    await office.tell()
    assert len(office.box.mails) == 1
    world.clock.now += 6 * MINUTE
    await office.tell()
    assert office.box.to(DESK)[1:] == ["[high] 1 alarms"]
    assert set(await office.states()) == {"sent"}


@ONE_ENGINE
async def test_one_that_hangs_holds_nobody(office: Office) -> None:
    """While one mailbox is being thought about, all others are told; it gets its own in the end."""
    office.box.slow[BOSS] = asyncio.Event()
    await office.receiver(BOSS)
    await office.receiver(DESK)
    await office.receiver(HOOK)
    await office.world.say((10, 9.5))
    async with asyncio.timeout(30):
        await office.notifier.round()
        await office.box.waiting.wait()
        await eventually(lambda: office.box.to(DESK) and office.hooks.seen, "word to the others")
        await office.world.say((20, 7.0), (30, 9.5))

        async def told_again() -> bool:
            await office.notifier.round()
            return len(office.box.to(DESK)) >= 2

        await eventually(told_again, "more word to one of them")
        assert office.box.to(BOSS) == []
        office.box.slow.pop(BOSS).set()
        await office.notifier.settle()
    await office.tell()
    assert len(office.box.to(BOSS)) == 2


@ONE_ENGINE
async def test_what_is_refused(office: Office) -> None:
    """A mailbox that does not exist fails at once; one that is full is tried again, with one id."""
    office.box.answers = {BOSS: "550 no such mailbox", DESK: "452 mailbox is full"}
    await office.receiver(BOSS)
    await office.receiver(DESK)
    await office.world.say((10, 9.5))
    await office.tell()
    assert sorted(await office.states()) == ["failed", "waiting"]
    assert any("no such mailbox" in why for _, why in await office.notices())
    await office.tell()
    office.box.answers.clear()
    office.world.clock.now += 20 * MINUTE
    await office.tell()
    assert len(office.box.to(DESK)) == 1
    assert sorted(await office.states()) == ["failed", "sent"]


@ONE_ENGINE
async def test_what_nobody_takes_is_given_up(office: Office) -> None:
    """After its time a notice has failed and says why; the receiver shows its trouble."""
    office.box.answers = {DESK: "451 not now"}
    number, _ = await office.receiver()
    await office.world.say((10, 9.5))
    for _ in range(3):
        await office.tell()
        office.world.clock.now += 31 * MINUTE
    ((state, why),) = await office.notices()
    assert state == "failed"
    assert "not now" in why
    async with office.world.owner.read() as session:
        query = select(AlarmReceiver.failures, AlarmReceiver.last_error)
        row = (await session.execute(query.where(AlarmReceiver.id == number))).one()
    assert row.failures == 3
    assert "not now" in row.last_error


async def test_a_crash_before_the_entry_tells_again(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between telling and entering it, the next process tells it again, under the same id."""
    await office.receiver()
    await office.world.say((10, 9.5))

    async def die(*_: Any) -> None:
        msg = "killed"
        raise RuntimeError(msg)

    with monkeypatch.context() as patch:
        patch.setattr(Notifier, "_enter", die)
        await office.tell()
    await office.tell()
    assert len(office.box.mails) == 1
    office.world.clock.now += jobs._CLAIM
    await office.tell()
    first, second = (mail["message-id"] for mail in office.box.mails)
    assert first == second
    assert await office.states() == ["sent"]


@ONE_ENGINE
async def test_who_is_switched_off(office: Office) -> None:
    """What waits for a receiver that is deleted or off is dropped; nothing new is left for it."""
    number, _ = await office.receiver()
    await office.world.say((10, 9.5))
    async with office.world.database.write(office.world.scope) as session:
        service = ReceiverService(
            session, office.world.scope, office.world.clock, "test", Rules(OutboundSettings())
        )
        await service.delete(number)
    await office.tell()
    await office.world.say((20, 7.0), (30, 9.5))
    assert await office.notices() == [("dropped", "the receiver is switched off")]
    assert office.box.mails == []


# ---------------------------------------------------------------- webhooks


@ONE_ENGINE
async def test_a_request_is_signed(office: Office) -> None:
    """A webhook is signed as Standard Webhooks says, with a secret that was shown once."""
    _, secret = await office.receiver(HOOK)
    await office.world.say((10, 9.5))
    await office.tell()
    ((url, body, headers),) = office.hooks.seen
    assert url == HOOK
    assert is_genuine(headers, body, secret, office.world.clock.now // 1_000_000)
    document = json.loads(body)
    assert document["type"] == "alarm.raised"
    (alarm,) = document["data"]["alarms"]
    assert (alarm["priority"], alarm["value"], alarm["standing"]) == ("high", 9.5, "unacknowledged")


@ONE_ENGINE
async def test_followers_hear_of_it(office: Office) -> None:
    """Whoever follows alarms, and webhooks of that topic, are told of each change."""
    world = office.world
    async with world.owner.write() as session:
        wanted = update(WebhookRow).where(WebhookRow.id == world.tenant.spare)
        await session.execute(wanted.values(enabled=False))
    await world.say((10, 9.5), (20, 7.0))
    async with world.owner.read() as session:
        query = select(WebhookDelivery.body).where(WebhookDelivery.kind.like("alarm.%"))
        bodies = [json.loads(body) for body in (await session.scalars(query)).all()]
    assert [body["type"] for body in bodies] == ["alarm.raised", "alarm.returned"]
    assert bodies[0]["data"]["after"] == "unacknowledged"
    assert bodies[0]["data"]["point"] == world.point


@ONE_ENGINE
async def test_what_a_webhook_answers(office: Office) -> None:
    """Trouble there is tried again, with the same id; a refusal has failed."""
    office.hooks.status = [503, 429, 200]
    await office.receiver(HOOK)
    await office.world.say((10, 9.5))
    for _ in range(3):
        await office.tell()
        office.world.clock.now += 20 * MINUTE
    assert len({headers["webhook-id"] for _, _, headers in office.hooks.seen}) == 1
    assert await office.states() == ["sent"]
    office.hooks.status = [410]
    await office.world.say((7000, 7.0), (7010, 9.5))
    await office.tell()
    assert await office.states() == ["sent", "failed"]


@ONE_ENGINE
async def test_by_the_one_client(office: Office, authority: tuple[trustme.CA, Path]) -> None:
    """Requests go by the client that cannot be turned inwards: what leads there has failed."""
    number, secret = await office.receiver(HOOK)
    world = office.world
    await world.say((10, 9.5))
    taken: list[tuple[dict[str, str], bytes]] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[1:-2]
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in head)}
        taken.append((headers, await reader.readexactly(int(headers["content-length"]))))
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()
        writer.close()

    async def inside(_host: str, _port: int) -> list[str]:
        return ["127.0.0.1"]

    server = await asyncio.start_server(
        take, "127.0.0.1", 0, ssl=_tls(authority[0], "desk.example")
    )
    port = server.sockets[0].getsockname()[1]
    async with world.owner.write() as session:
        there = update(AlarmReceiver).where(AlarmReceiver.id == number)
        await session.execute(there.values(target=f"https://desk.example:{port}/alarms"))
    states: list[str] = []
    for allow in ((), ("desk.example",)):
        settings = OutboundSettings(allow=allow, ca=authority[1])
        async with OutboundClient(settings, resolver=inside) as client, asyncio.timeout(60):
            notifier = Notifier(world.database, office.settings, world.clock, client)
            await notifier.round()
            await notifier.settle()
        async with world.owner.read() as session:
            query = select(AlarmNotice.state).where(AlarmNotice.receiver_id == number)
            states.append((await session.execute(query)).scalar_one())
        async with world.database.write(world.scope) as session:
            await Outbox(session, world.scope).again(number, world.clock.now)
    server.close()
    assert states == ["failed", "sent"]
    ((headers, body),) = taken
    assert is_genuine(headers, body, secret, world.clock.now // 1_000_000)


@ONE_ENGINE
async def test_without_a_server(office: Office) -> None:
    """Where no mail server is set notices wait and say so."""
    await office.receiver(DESK)
    world = office.world
    bare = Notifier(world.database, AlarmSettings(), world.clock, office.hooks)
    await world.say((10, 9.5))
    await bare.round()
    await bare.settle()
    ((state, why),) = await office.notices()
    assert state == "waiting"
    assert "alarms.smtp" in why


@ONE_ENGINE
async def test_hostile_names(office: Office) -> None:
    """Whatever a plant calls its points, a subject is one line, and no header is added."""
    name = "X\r\nBcc: all@evil.example\r\n\r\n<script>\u202e\u2028\x00".replace("\x00", "")
    point = office.world.tenant.points[1]
    async with office.world.owner.write() as session:
        await session.execute(update(Point).where(Point.id == point).values(name=name))
    await office.receiver()
    await office.world.above(8, point=point)
    await office.world.say((10, 9.5), point=point)
    await office.tell()
    (mail,) = office.box.mails
    assert mail["bcc"] is None
    assert "\n" not in mail["subject"]
    assert mail["subject"].startswith("[medium] too warm: X Bcc: all@evil.example <script>")


# ---------------------------------------------------------------- the mail server


@pytest.fixture
def authority(tmp_path: Path) -> tuple[trustme.CA, Path]:
    """A certificate authority, and its file."""
    made = trustme.CA()
    path = tmp_path / "ca.pem"
    made.cert_pem.write_to_path(path)
    return made, path


def _tls(authority: trustme.CA, name: str = "localhost") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def _letter(to: str = DESK) -> Any:
    from email.message import EmailMessage

    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "a@plant.example", to, "x"
    message.set_content("x")
    return message


async def _send(settings: SmtpSettings) -> None:
    mailer = Mailer(settings)
    try:
        async with asyncio.timeout(20):
            await mailer.send(_letter())
    finally:
        mailer.close()


def _smtp(box: Mailbox, **more: Any) -> SmtpSettings:
    about = {"host": "localhost", "port": box.port, "sender": "a@plant.example", "timeout": 5}
    return SmtpSettings.model_validate(about | more)


async def test_mail_goes_over_tls(authority: tuple[trustme.CA, Path]) -> None:
    """STARTTLS with a checked certificate and a password delivers; a wrong password does not."""
    made, file = authority
    async with mail_server(_tls(made), ("plant", "secret")) as box:
        about = {"ca_file": file, "user": "plant"}
        await _send(_smtp(box, password="secret", **about))
        assert len(box.mails) == 1
        with pytest.raises(Unavailable, match="user and password"):
            await _send(_smtp(box, password="wrong", **about))


async def test_a_false_mail_server_gets_nothing(authority: tuple[trustme.CA, Path]) -> None:
    """A certificate of another authority, another name, or no TLS at all: nothing is sent."""
    made, file = authority
    for context in (_tls(trustme.CA()), _tls(made, "other.example"), None):
        async with mail_server(context) as box:
            with pytest.raises(Unavailable, match="does not answer"):
                await _send(_smtp(box, ca_file=file))
            assert box.mails == []


async def test_trouble_with_the_server(tmp_path: Path, authority: tuple[trustme.CA, Path]) -> None:
    """A server that is not there is unavailable; a file of certificates that is none is named."""
    async with mail_server() as box:
        closed = _smtp(box, tls="none")
        box.answers = {DESK: "554 no"}
        with pytest.raises(Rejected, match="554 no"):
            await _send(closed)
    with pytest.raises(Unavailable):
        await _send(closed)
    with pytest.raises(Unavailable):
        await _send(_smtp(box, tls="tls", ca_file=authority[1]))
    with pytest.raises(ConfigError, match="ca_file"):
        await _send(_smtp(box, ca_file=tmp_path / "none.pem"))


@pytest.mark.parametrize(
    "says",
    [
        {"sender": "nobody"},
        {"sender": "a@b\r\nBcc: c@d"},
        {"user": "x", "tls": "none"},
        {"port": 0},
    ],
)
def test_settings_that_are_none(says: dict[str, Any]) -> None:
    """Wrong settings of the mail server are found at the start."""
    with pytest.raises(ValueError, match=r"\w"):
        SmtpSettings.model_validate({"host": "x", "sender": "a@b.example"} | says)
