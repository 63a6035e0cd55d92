"""Who may do what at the broker, judged by delivery, and what is left to whoever is revoked."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from demo.processes import dying_with_parent
from plantroom_cloud.broker import denied, keeper, text
from plantroom_cloud.broker import mosquitto as engine
from plantroom_cloud.broker.keeper import Keeper
from plantroom_cloud.broker.run import listens
from plantroom_cloud.config import load_settings
from plantroom_cloud.db import Database, Scope
from plantroom_cloud.gateways import certificates as parts
from plantroom_cloud.gateways.claim.repository import ProvisionRepository
from plantroom_cloud.gateways.pki import CLOUD, TlsFiles, client_context, write_private
from plantroom_cloud.tables import Gateway
from plantroom_shared import topics
from plantroom_shared.cancelling import ended
from plantroom_shared.clock import SystemClock
from plantroom_shared.errors import ConfigError
from support.cloud_broker import BrokerProcess, reachable_folder
from support.waiting import eventually, wait_until

NORTH, SOUTH, THIRD = "gw-north-0001", "gw-south-0002", "gw-third-0003"
ROOTS = ("sv1/#", "dev1/#", "spBv1.0/#")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that Mosquitto's user can reach."""
    with reachable_folder() as made:
        yield made


def every_topic() -> list[tuple[str, str, str]]:
    """Return topic, whose it is, and which way it goes; with a few that are nobody's."""
    found = []
    for name in (NORTH, SOUTH, THIRD, CLOUD):
        ways = [("up", topics.UP_CHANNELS), ("down", topics.DOWN_CHANNELS)]
        for way, channels in ways:
            found += [(f"sv1/{name}/{way}/{channel}", name, way) for channel in channels]
        found += [(f"dev1/{name}/up/data", name, "up"), (f"dev1/{name}/down/ack", name, "down")]
        for kind in ("NBIRTH", "NDATA", "NDEATH"):
            found.append((f"spBv1.0/plant/{kind}/{name}", name, "up"))
        found.append((f"spBv1.0/plant/DDATA/{name}/ahu", name, "up"))
        found.append((f"spBv1.0/plant/NCMD/{name}", name, "down"))
        found.append((f"spBv1.0/plant/DCMD/{name}/ahu", name, "down"))
    return [*found, ("sv2/x/up/tel", "", ""), ("plain", "", ""), (f"sv1/{NORTH}", "", "")]


@contextlib.asynccontextmanager
async def hearing(client: aiomqtt.Client) -> AsyncIterator[set[tuple[str, bytes]]]:
    """Yield what `client` hears, subscribed to every topic by itself, and to all at once."""
    wanted = [topic for topic, _, _ in every_topic()]
    for pattern in (*wanted, *ROOTS, "#", "+/+/+/+", f"sv1/{NORTH}/#", "$SYS/#"):
        with contextlib.suppress(aiomqtt.MqttError):
            await client.subscribe(pattern, qos=1)
    heard: set[tuple[str, bytes]] = set()

    async def listen() -> None:
        async for message in client.messages:
            assert isinstance(message.payload, bytes)
            heard.add((message.topic.value, message.payload))

    task = asyncio.create_task(listen())
    try:
        yield heard
    finally:
        await ended(task)


def cloud(broker: BrokerProcess) -> aiomqtt.Client:
    """Return the cloud's own client."""
    return broker.client(CLOUD, tls_context=client_context(broker.authority.files("cloud")))


async def test_every_certificate_on_every_topic(broker: BrokerProcess) -> None:
    """Four clients publish on and subscribe to all topics; exactly what is theirs is delivered."""
    async with (
        cloud(broker) as middle,
        broker.client(NORTH) as north,
        broker.client(SOUTH) as south,
        broker.client(THIRD) as third,
        hearing(middle) as at_cloud,
        hearing(north) as at_north,
        hearing(south) as at_south,
        hearing(third) as at_third,
    ):
        clients = {CLOUD: middle, NORTH: north, SOUTH: south, THIRD: third}
        heard = {CLOUD: at_cloud, NORTH: at_north, SOUTH: at_south, THIRD: at_third}
        for name, client in clients.items():
            for topic, _, _ in every_topic():
                with contextlib.suppress(aiomqtt.MqttError):
                    await client.publish(topic, name.encode(), qos=1)
        expected: dict[str, set[tuple[str, bytes]]] = {name: set() for name in clients}
        for topic, owner, way in every_topic():
            for sender in clients:
                if not way or not (sender == CLOUD or (sender == owner and way == "up")):
                    continue
                expected[CLOUD].add((topic, sender.encode()))
                if way == "down" and owner in clients and owner != CLOUD:
                    expected[owner].add((topic, sender.encode()))
        # `sv1/<id>` alone is below a root: the cloud's own.
        expected[CLOUD].add((f"sv1/{NORTH}", CLOUD.encode()))
        await eventually(
            lambda: all(heard[name] >= expected[name] for name in clients), "all that is allowed"
        )
    assert heard == expected


def hostile(broker: BrokerProcess, name: str) -> Any:
    """Return the TLS settings of a certificate that our authority would never sign."""
    key = parts.new_key()
    signing = broker.authority._issuer("issuing")
    made = parts.leaf(signing, name, key.public_key(), timedelta(days=1))
    folder = broker.folder / "hostile"
    folder.mkdir(exist_ok=True)
    files = TlsFiles(broker.authority.folder / "ca.pem", folder / "c.pem", folder / "c.key")
    write_private(files.certificate, parts.pem_of(made) + parts.pem_of(signing.certificate))
    write_private(files.key, parts.pem_of(key))
    return client_context(files)


@pytest.mark.parametrize(
    "name",
    ["+", "#", f"{NORTH}/up", "+/up/#", f"{NORTH}\n", f" {NORTH}", "$SYS", "a", "plantroom-broker"],
)
async def test_hostile_common_names_reach_nobody(broker: BrokerProcess, name: str) -> None:
    """Even with a certificate of our own authority: nothing is delivered to it, nor from it."""
    stolen: set[tuple[str, bytes]] = set()
    async with cloud(broker) as middle, hearing(middle) as at_cloud, broker.client(NORTH) as north:
        with contextlib.suppress(aiomqtt.MqttError):
            client = broker.client(NORTH, tls_context=hostile(broker, name), timeout=1)
            async with client, hearing(client) as stolen:
                for topic, _, _ in every_topic():
                    with contextlib.suppress(aiomqtt.MqttError):
                        await client.publish(topic, b"hostile", qos=0)
                await middle.publish(f"sv1/{NORTH}/down/ack", b"secret", qos=1)
        with contextlib.suppress(aiomqtt.MqttError):
            await north.publish(f"sv1/{NORTH}/up/tel", b"last", qos=1)
    async with cloud(broker) as middle, hearing(middle) as later, broker.client(NORTH) as north:
        await north.publish(f"sv1/{NORTH}/up/tel", b"last", qos=1)
        await eventually(lambda: (f"sv1/{NORTH}/up/tel", b"last") in later, "the last message")
    theirs = {topic for topic, payload in at_cloud if payload == b"hostile"}
    assert not {topic for topic in theirs if NORTH in topic or SOUTH in topic or THIRD in topic}
    assert stolen == set()


async def test_a_twin_throws_the_other_out(broker: BrokerProcess) -> None:
    """One certificate is one connection, whatever client id the second asks for."""
    async with cloud(broker) as middle, broker.client(NORTH) as first, hearing(first) as at_first:
        with contextlib.suppress(aiomqtt.MqttError):
            async with broker.client(NORTH, identifier="another-name", timeout=2) as twin:
                with contextlib.suppress(aiomqtt.MqttError):
                    await twin.publish(f"sv1/{SOUTH}/up/tel", b"as south", qos=1)
        async with broker.client(NORTH) as second, hearing(second) as at_second:
            await middle.publish(f"sv1/{NORTH}/down/ack", b"once", qos=1)
            await eventually(lambda: at_second, "delivery to the one that is connected")
        assert not [one for one in at_first if one[1] == b"once"]


# ---------------------------------------------------------------- revocation


class Home:
    """A company's gateways in a database, and the keeper of a broker."""

    def __init__(self, database: Database, broker: BrokerProcess) -> None:
        self.database, self.broker = database, broker
        settings = load_settings(
            data=broker.folder / "data", mqtt={"host": "127.0.0.1", "port": broker.port}
        )
        self.keeper = Keeper(database, settings, SystemClock())
        self.company = 0

    async def add(self, *names: str) -> None:
        """Make gateways known, with the certificates that they have."""
        from plantroom_cloud.identity.setup import add_company, add_site

        clock = SystemClock()
        async with self.database.write(None) as session:
            self.company = await add_company(session, clock, "acme")
            scope = Scope(self.company)
            site = await add_site(session, clock, scope, "tower")
            for name in names:
                self.broker.tls(name)
                pem = (self.broker.folder / "clients" / name / "gateway.pem").read_bytes()
                serial = f"{x509.load_pem_x509_certificate(pem).serial_number:x}"
                row = {"id": name, "site_id": site, "name": name, "created_us": 1, "report": {}}
                session.add(Gateway(company_id=self.company, certificate_serial=serial, **row))
            await session.flush()

    async def revoke(self, name: str) -> None:
        """Revoke a gateway."""
        now = SystemClock().now_us()
        async with self.database.write(Scope(self.company)) as session:
            repository = ProvisionRepository(session, Scope(self.company))
            row = await repository.gateway(name)
            assert row is not None
            await repository.revoke(row, "stolen", now + 10**13, now)


async def _gets_in(broker: BrokerProcess, name: str) -> bool:
    try:
        async with broker.client(name, timeout=1):
            return True
    except aiomqtt.MqttError:
        return False


async def test_a_revoked_gateway_is_thrown_out_and_stays_out(
    broker: BrokerProcess, sqlite_database: Database
) -> None:
    """Its connection ends, its certificate opens no other, and its neighbour notices nothing."""
    site = Home(sqlite_database, broker)
    name = "gw-stolen-0009"
    await site.add(name, SOUTH)
    await site.keeper.look()
    assert not await site.keeper.look(), "nothing has changed"
    async with cloud(broker) as middle, hearing(middle) as at_cloud, broker.client(SOUTH) as south:
        with contextlib.suppress(aiomqtt.MqttError):
            async with broker.client(name) as thief:
                await thief.publish(f"sv1/{name}/up/tel", b"before", qos=1)
                await site.revoke(name)

                async def thrown_out() -> bool:
                    await site.keeper.look()
                    return thief._disconnected.done()

                await eventually(thrown_out, "the end of its connection")
        while await _gets_in(broker, name):  # an embedded broker looks once a second
            await site.keeper.look()
        for _ in range(2):
            with pytest.raises(aiomqtt.MqttError):
                async with broker.client(name, timeout=1) as thief:
                    await thief.publish(f"sv1/{name}/up/tel", b"after", qos=1)
            await site.keeper.look()
        await south.publish(f"sv1/{SOUTH}/up/tel", b"here", qos=1)
        await eventually(lambda: (f"sv1/{SOUTH}/up/tel", b"here") in at_cloud, "the neighbour")
    assert (f"sv1/{name}/up/tel", b"before") in at_cloud
    assert not [one for one in at_cloud if one[1] == b"after"]


@pytest.mark.parametrize("kind", ["mosquitto", "embedded"])
async def test_a_broker_that_starts_again_knows_who_is_revoked(
    kind: str, mosquitto: Path, folder: Path, sqlite_database: Database
) -> None:
    """It reads the lists before it lets anybody in; one that it cannot read lets it not start."""
    broker = BrokerProcess(folder, kind)
    broker.start()
    site = Home(sqlite_database, broker)
    await site.add(NORTH, SOUTH)
    broker.stop()
    await site.revoke(NORTH)
    await site.keeper.look()
    broker.start()
    with pytest.raises(aiomqtt.MqttError):
        async with broker.client(NORTH, timeout=1):
            pass
    async with broker.client(SOUTH):
        pass
    broker.stop()
    denied.denied_file(broker.authority).write_text("[]")
    with pytest.raises(AssertionError, match="the broker ended"):
        broker.start()


def _log(folder: Path) -> Path:
    return folder / "mosquitto.log"


@contextlib.contextmanager
def starved(folder: Path, binary: Path, *, spare: bool) -> Iterator[BrokerProcess]:
    """Yield a Mosquitto that may open few files; without `spare`, connections may take them all."""
    broker = BrokerProcess(folder, "mosquitto")
    broker.authority.prepare()
    plan = engine.prepare(
        binary, folder / "data" / "broker", broker.authority, "127.0.0.1", broker.port
    )
    lines = plan.config.read_text().splitlines()
    lines = [one for one in lines if not one.startswith("max_connections")]
    lines += [f"max_connections {8 if spare else -1}", "log_type information", ""]
    plan.config.write_text("\n".join(lines))
    command = ["sh", "-c", 'ulimit -n 26; exec "$0" "$@"', *plan.command]
    with _log(folder).open("wb") as log:
        broker.process = subprocess.Popen(command, preexec_fn=dying_with_parent(), stderr=log)  # noqa: PLW1509 -- it only asks the kernel
    context = client_context(broker.authority.files("cloud"))
    wait_until(lambda: listens(context, "127.0.0.1", broker.port), "Mosquitto's start")
    try:
        yield broker
    finally:
        broker.stop()


@pytest.mark.parametrize("spare", [True, False])
async def test_reload_without_a_descriptor_left_stays_closed(
    spare: bool, mosquitto: Path, folder: Path
) -> None:
    """With room kept for it a reload works under a flood; without, nothing is allowed that was not."""
    flood = list[socket.socket]()
    with starved(folder, mosquitto, spare=spare) as broker:
        assert broker.process is not None
        async with (
            cloud(broker) as middle,
            hearing(middle) as at_cloud,
            broker.client(NORTH) as north,
            broker.client(SOUTH) as south,
        ):
            with contextlib.suppress(OSError):
                for _ in range(60):
                    flood.append(socket.create_connection(("127.0.0.1", broker.port), timeout=1))
            denied.write(broker.authority, [NORTH], [])
            (folder / "data" / "broker" / "acl").write_text(engine.acl([NORTH]))
            broker.process.send_signal(signal.SIGHUP)
            # It says so first and then reads its files before it looks at any connection again.
            told = b"Reloading config"
            await eventually(lambda: told in _log(folder).read_bytes(), "the reload")
            for client, name in ((north, NORTH), (south, SOUTH)):
                for topic, _, _ in every_topic():
                    with contextlib.suppress(aiomqtt.MqttError):
                        await client.publish(topic, name.encode(), qos=1)
            # Both have been answered, so what got through is on its way to the cloud before this.
            with contextlib.suppress(aiomqtt.MqttError):
                await middle.publish(f"sv1/{NORTH}", b"last", qos=1)
            if spare:
                await eventually(lambda: (f"sv1/{NORTH}", b"last") in at_cloud, "the last message")
        for one in flood:
            one.close()
    up = {topic for topic, owner, way in every_topic() if way == "up" and owner == SOUTH}
    assert {topic for topic, payload in at_cloud if payload == SOUTH.encode()} <= up
    if spare:
        assert not [one for one in at_cloud if one[1] == NORTH.encode()]
        assert {topic for topic, payload in at_cloud if payload == SOUTH.encode()} == up
    else:
        own = {topic.replace(SOUTH, NORTH) for topic in up}
        assert {topic for topic, payload in at_cloud if payload == NORTH.encode()} <= own


@pytest.mark.parametrize("told", [True, False])
async def test_a_broker_that_cannot_read_its_access_list_is_ended(
    told: bool, mosquitto: Path, folder: Path, sqlite_database: Database
) -> None:
    """Mosquitto would allow everything; whether the keeper or somebody else told it to reload."""
    broker = BrokerProcess(folder, "mosquitto")
    broker.start()
    site = Home(sqlite_database, broker)
    await site.add(NORTH)
    await site.keeper.look()
    process = broker.process
    assert process is not None
    assert process.poll() is None, "a broker that forbids is left alone"
    files = folder / "data" / "broker"
    if told:
        (files / "ca.pem").unlink()
        await site.revoke(NORTH)
    else:
        (files / "acl").rename(files / "away")
        process.send_signal(signal.SIGHUP)

    async def ended_it() -> bool:
        site.keeper._proof_due = 0.0
        await site.keeper.look()
        return process.poll() is not None

    await eventually(ended_it, "the broker's end")
    assert process.returncode == 0


# ---------------------------------------------------------------- the files


def test_room_for_reloading(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections leave descriptors for the files, however few there are."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    assert engine.most_connections() == 960
    monkeypatch.setattr(resource, "getrlimit", lambda _: (20, 4096))
    assert engine.most_connections() == 16
    monkeypatch.setattr(resource, "getrlimit", lambda _: (-1, -1))
    assert engine.most_connections() == -1


@given(st.text(max_size=60))
def test_no_name_becomes_a_line(name: str) -> None:
    """Whatever a user is called, the file says what was meant or is not written."""
    try:
        made = text.rules([("write", "a/%u/#")], {name: [("deny", "#")]})
    except ConfigError:
        return
    assert made == f"pattern write a/%u/#\n\nuser {name}\ntopic deny #\n"
    assert len(made.splitlines()) == 4


@given(st.text(max_size=20), st.text(max_size=60))
def test_no_value_becomes_a_line(key: str, value: str) -> None:
    """A setting is one line, or is refused."""
    try:
        made = text.settings([(key, value)])
    except ConfigError:
        return
    assert made.splitlines() == [f"{key} {value}"]


@pytest.mark.parametrize(
    ("access", "topic"), [("write", "a b"), ("write", "a\nb"), ("all", "a"), ("deny", "")]
)
def test_no_rule_becomes_another(access: str, topic: str) -> None:
    """Access and topic are what they may be."""
    with pytest.raises(ConfigError):
        text.rules([(access, topic)], {})


def test_nobody_is_told_where_no_broker_runs(broker: BrokerProcess, tmp_path: Path) -> None:
    """Without Mosquitto's files, or with those of one that has ended, there is nobody to tell."""
    assert not keeper.reload_mosquitto(tmp_path, broker.authority)
    (tmp_path / "mosquitto.conf").write_text("")
    (tmp_path / "pid").write_text("1\n")
    assert not keeper.reload_mosquitto(tmp_path, broker.authority)
    assert "pattern write sv1/%u/up/#" in (tmp_path / "acl").read_text()
