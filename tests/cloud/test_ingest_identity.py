"""Who sends: forks, clones, restored gateways, their certificates, signatures and clocks."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from sqlalchemy import delete, select

from plantroom_cloud.db import Database, Scope
from plantroom_cloud.gateways.alarms import AlarmRepository
from plantroom_cloud.gateways.pki import Authority, Issued
from plantroom_cloud.gateways.repository import SKEW_US
from plantroom_cloud.gateways.signing import Trust, is_signed
from plantroom_cloud.ingest.answers import Answers
from plantroom_cloud.ingest.messages import Incoming
from plantroom_cloud.ingest.store import Store
from plantroom_cloud.tables import (
    Counter,
    DeliveryAlarm,
    EdgeRecord,
    GapRecord,
    Gateway,
    GatewayCertificate,
    SampleRow,
    StreamMessage,
)
from plantroom_shared import wire
from plantroom_shared.errors import Rejected
from support import cloud_site as site
from support.cloud_site import EPOCH, GATEWAY, NOW, Home, TestClock, incoming, inv, tel
from support.servers import as_owner

FIRST, SECOND, THIRD = "00000000000000a1", "00000000000000b2", "00000000000000c3"


@pytest.fixture
async def home(database: Database) -> Home:
    """One company with one gateway."""
    return await site.add_home(database)


@pytest.fixture
def clock() -> TestClock:
    """The cloud's clock."""
    return TestClock()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A certificate authority."""
    made = Authority(tmp_path_factory.mktemp("pki"))
    made.prepare()
    return made


@pytest.fixture(scope="module")
def issued(authority: Authority) -> Issued:
    """The gateway's certificate and key."""
    return authority.issue_gateway(GATEWAY)


@pytest.fixture
def store(database: Database, clock: TestClock, authority: Authority) -> Store:
    """A store that knows whose signatures count."""
    return Store(database, clock, Trust(authority.issuer_pem))


async def rows_of(database: Database, table: type[Any]) -> Sequence[Any]:
    """Return all rows of `table`."""
    async with as_owner(database).read() as session:
        return (await session.execute(select(table))).scalars().all()


async def alarms(database: Database) -> dict[str, DeliveryAlarm]:
    """Return the alarms that stand, by kind."""
    found = await rows_of(database, DeliveryAlarm)
    standing = {row.kind: row for row in found if row.cleared_us is None}
    assert len(standing) == sum(row.cleared_us is None for row in found), "one of a kind at most"
    return standing


async def counted(database: Database, name: str) -> int:
    """Return what was counted for the gateway under `name`."""
    found = {row.name: int(row.value) for row in await rows_of(database, Counter)}
    return found.get(f"ingest.{name}/{GATEWAY}", 0)


async def values(database: Database) -> list[float]:
    """Return the stored values in order."""
    return sorted(row.value for row in await rows_of(database, SampleRow))


def hello(*epochs: str, session: str = EPOCH, **more: Any) -> Any:
    """Return a hello of the last of `epochs`."""
    held = [wire.Holding(ep=name) for name in epochs]
    message = wire.Hello(**({"session": session, "agent": "1", "epochs": held} | more))
    return incoming("hello", wire.encode(message))


class TestForks:
    """The same order numbers with other rows."""

    @pytest.mark.parametrize("again", [(1, 5), (1, 3), (3, 3), (4, 9), (1, 20)])
    async def test_other_rows_under_known_numbers_are_refused(
        self, database: Database, store: Store, home: Home, again: tuple[int, int]
    ) -> None:
        """However they are cut: nothing is overwritten, nothing acknowledged, somebody is told."""
        await store.store([inv(site.dictionary(1)), tel(1, 5)])
        s0, n = again
        forked = tel(s0, n, at=NOW - 1_800_000_000)
        for _ in range(2):
            answers = await store.store([forked])
        assert answers.acks == {}
        ((gateway, nack),) = answers.nacks
        assert (gateway, nack.st, nack.nack, nack.s0, nack.have) == (GATEWAY, "tel", "fork", s0, 0)
        assert await values(database) == [1, 2, 3, 4, 5]
        alarm = (await alarms(database))["stream_fork"]
        assert (alarm.count, alarm.since_us, alarm.gateway_id) == (2, NOW, GATEWAY)
        assert alarm.details == {"epoch": EPOCH, "stream": "tel", "s0": s0, "n": n}
        assert await counted(database, "fork") == 2

    @pytest.mark.parametrize("again", [(1, 5), (1, 3), (3, 3), (4, 9), (1, 20), (9, 2)])
    async def test_the_same_rows_cut_in_another_way_are_none(
        self, database: Database, store: Store, home: Home, again: tuple[int, int]
    ) -> None:
        """They are stored as far as they are new, and acknowledged."""
        await store.store([inv(site.dictionary(1)), tel(1, 5), tel(9, 2)])
        await store.store([tel(*again)])
        await store.store([tel(1, 30)])
        assert await values(database) == list(range(1, 31))
        assert await alarms(database) == {}

    async def test_two_in_one_batch(self, database: Database, store: Store, home: Home) -> None:
        """Whoever came first is kept."""
        forked = tel(1, 5, at=NOW - 1_800_000_000)
        answers = await store.store([inv(site.dictionary(1)), tel(1, 5), forked, tel(1, 5)])
        assert answers.acks[GATEWAY, EPOCH, "tel"] == [(1, 5)]
        assert [nack.nack for _, nack in answers.nacks] == ["fork"]
        assert min(row.ts_us for row in await rows_of(database, SampleRow)) < NOW - 3_000_000_000

    async def test_rows_that_are_not_samples_have_no_excuse(
        self, database: Database, store: Store, home: Home
    ) -> None:
        """A row in quarantine, in a gap or too old to be looked for is no contradiction."""
        old = NOW - 90 * 86_400_000_000
        gap = wire.encode(wire.Gap(ep=EPOCH, st="tel", s0=1, n=4, gap="quota"))
        broken = site.tampered(site.samples(5, 4), q=[])
        await store.store(
            [
                inv(site.dictionary(1)),
                incoming("tel", gap),
                incoming("tel", broken),
                tel(9, 4, at=old),
            ]
        )
        async with as_owner(database).write() as session:
            await session.execute(delete(SampleRow))  # by their age
            await session.execute(delete(StreamMessage))
        answers = await store.store([tel(1, 3), tel(4, 3), tel(6, 3), tel(9, 4, at=old)])
        assert answers.nacks == []
        assert await alarms(database) == {}

    async def test_gap_over_stored_rows_is_none(
        self, database: Database, store: Store, home: Home
    ) -> None:
        """The gateway has lost what we have: good for it."""
        gap = wire.encode(wire.Gap(ep=EPOCH, st="tel", s0=1, n=5, gap="quota"))
        answers = await store.store([inv(site.dictionary(1)), tel(1, 5), incoming("tel", gap)])
        assert answers.acks[GATEWAY, EPOCH, "tel"] == [(1, 5)]
        assert (await alarms(database), await rows_of(database, GapRecord)) == ({}, [])

    async def test_records_and_findings(self, database: Database, store: Store, home: Home) -> None:
        """They fork like samples."""

        def audit(s0: int, *kinds: str) -> Any:
            rows = [wire.Record(at=NOW, kind=kind) for kind in kinds]
            message = wire.Records(ep=EPOCH, st="aud", s0=s0, n=len(rows), rc=rows)
            return incoming("aud", wire.encode(message))

        def found(name: str) -> Any:
            return incoming("evt", site.findings(1, [site.finding(name)]))

        await store.store([audit(1, "a", "b", "c"), found("f1")])
        good = await store.store([audit(2, "b", "c"), audit(1, "a", "b", "c"), found("f1")])
        assert good.nacks == []
        bad = await store.store([audit(2, "b", "x"), audit(1, "x", "b", "c"), found("f2")])
        assert [(nack.st, nack.nack) for _, nack in bad.nacks] == [
            ("aud", "fork"),
            ("aud", "fork"),
            ("evt", "fork"),
        ]
        assert [row.kind for row in await rows_of(database, EdgeRecord)] == ["a", "b", "c"]
        assert (await alarms(database))["stream_fork"].count == 3

    async def test_what_cannot_be_compared_is_no_fork(
        self, database: Database, store: Store, home: Home
    ) -> None:
        """Findings in another cut, and records that are bad rows, only come again."""
        pair = [site.finding("f1"), site.finding("f2")]
        record = {"at": NOW, "kind": "Not A Kind"}
        head = {"v": 1, "ep": EPOCH, "st": "aud", "s0": 1}
        sent = [
            incoming("evt", site.findings(1, pair)),
            incoming("aud", wire.pack(head | {"n": 2, "rc": [record] * 2})),
        ]
        again = [
            incoming("evt", site.findings(1, pair[:1])),
            incoming("aud", wire.pack(head | {"n": 1, "rc": [record]})),
        ]
        await store.store(sent)
        answers = await store.store(again)
        assert answers.nacks == []
        assert set(answers.acks) == {(GATEWAY, EPOCH, "aud"), (GATEWAY, EPOCH, "evt")}
        assert await alarms(database) == {}

    async def test_another_point_at_an_alias_is_an_alarm(
        self, database: Database, store: Store, home: Home
    ) -> None:
        """A dictionary forks like rows do."""
        await store.store([inv(site.dictionary(2)), inv(site.dictionary(2, first=7))])
        assert (await alarms(database))["stream_fork"].details["stream"] == "inv"


class TestTwins:
    """Two agents with one certificate."""

    async def greeted(self, store: Store, *messages: Any) -> Answers:
        """Store one hello at a time."""
        answers = Answers()
        for message in messages:
            answers.add(await store.store([message]))
        return answers

    async def test_restarts_and_reconnects_are_no_twins(
        self, database: Database, store: Store, home: Home
    ) -> None:
        """A new epoch takes the place of the old one, for good; hellos may be repeated."""
        await self.greeted(
            store,
            hello(FIRST, session="1" * 16, at=NOW),
            hello(FIRST, session="1" * 16, at=NOW + 5_000_000),
            hello(FIRST, session="2" * 16, at=NOW + 6_000_000),
            hello(FIRST, SECOND, session="3" * 16, at=NOW + 7_000_000),
            hello(FIRST, SECOND, THIRD, session="4" * 16, at=NOW + 8_000_000),
            hello(session="5" * 16, at=NOW + 9_000_000),
        )
        assert "duplicate_identity" not in await alarms(database)

    async def test_an_epoch_that_comes_back_is_an_alarm_and_both_are_kept(
        self, database: Database, store: Store, home: Home
    ) -> None:
        """A copy that was started beside the original: each takes the connection of the other."""
        answers = await self.greeted(
            store,
            hello(FIRST, SECOND, session="1" * 16, at=NOW),
            hello(FIRST, THIRD, session="2" * 16, at=NOW + 1_000_000),
            hello(FIRST, SECOND, session="3" * 16, at=NOW + 2_000_000),
        )
        assert len(answers.resumes) == 3, "each is served"
        alarm = (await alarms(database))["duplicate_identity"]
        assert alarm.details == {"epoch": SECOND, "other_epoch": THIRD}
        await store.store(
            [inv(site.dictionary(1, epoch=name)) for name in (SECOND, THIRD)]
            + [tel(1, 3, epoch=name) for name in (SECOND, THIRD)]
        )
        assert await values(database) == [1, 1, 2, 2, 3, 3]
        await self.greeted(store, hello(FIRST, THIRD, session="4" * 16, at=NOW + 3_000_000))
        assert (await alarms(database))["duplicate_identity"].count == 2

    async def test_a_late_hello_is_no_twin(
        self, database: Database, store: Store, home: Home
    ) -> None:
        """Another process may have held it; the same one twice says nothing more."""
        late = hello(FIRST, session="1" * 16, at=NOW)
        again = hello(FIRST, session="2" * 16, at=NOW + 1_000_000)
        await self.greeted(store, late, hello(FIRST, SECOND, session="3" * 16, at=NOW + 2_000_000))
        await self.greeted(store, late, again, again)
        assert "duplicate_identity" not in await alarms(database)
        await self.greeted(store, hello(FIRST, SECOND, session="3" * 16, at=NOW + 2_000_000))
        assert "duplicate_identity" not in await alarms(database)

    @pytest.mark.parametrize("at", [0, NOW - 3_600_000_000])
    async def test_a_twin_whose_clock_is_behind_is_found_at_its_second_return(
        self, database: Database, store: Store, home: Home, at: int
    ) -> None:
        """Clocks of two machines need not agree, and one may have none."""
        original = [
            hello(FIRST, SECOND, session=f"{n:016x}", at=at + n if at else 0) for n in range(3)
        ]
        copy = [hello(FIRST, THIRD, session=f"{n:016x}", at=NOW + n) for n in range(10, 13)]
        await self.greeted(store, original[0], copy[0], original[1], copy[1])
        assert "duplicate_identity" not in await alarms(database)
        await self.greeted(store, original[2])
        assert (await alarms(database))["duplicate_identity"].details["epoch"] == SECOND

    async def test_a_gateway_set_back_has_accepted_less_than_it_sent(
        self, database: Database, store: Store, home: Home
    ) -> None:
        """Its former epochs tell; what runs now may have been overtaken."""
        await store.store([inv(site.dictionary(1, epoch=FIRST)), tel(1, 9, epoch=FIRST)])
        for accepted, alarmed in ((9, False), (12, False), (4, True)):
            former = wire.Holding(ep=FIRST, accepted={"tel": accepted})
            running = wire.Holding(ep=SECOND, accepted={"tel": 0})
            await store.store([hello(epochs=[former, running])])
            assert ("restored" in await alarms(database)) is alarmed
        found = (await alarms(database))["restored"]
        assert found.details == {"epoch": FIRST, "stream": "tel", "accepted": 4, "here": 9}
        await store.store([hello(epochs=[wire.Holding(ep=FIRST, accepted={"tel": 1})])])
        assert (await alarms(database))["restored"].count == 1

    @pytest.mark.parametrize(
        ("epochs", "more", "alarmed"),
        [
            ((FIRST, THIRD), {"boot": 2}, True),  # the start as SECOND is gone, and its count
            ((FIRST, THIRD), {"boot": 1}, True),
            ((FIRST, SECOND, THIRD), {"boot": 3}, False),
            ((THIRD,), {"boot": 1}, False),  # a new disk
            ((FIRST, THIRD), {"boot": 0}, False),  # tells no count
            ((FIRST, SECOND), {"boot": 2}, False),  # no new start
            ((FIRST, THIRD), {"boot": 2, "at": NOW - 60_000_000}, False),  # late, not set back
        ],
    )
    async def test_a_new_start_that_counts_no_further_is_an_old_image(
        self,
        database: Database,
        store: Store,
        home: Home,
        epochs: tuple[str, ...],
        more: dict[str, int],
        *,
        alarmed: bool,
    ) -> None:
        """The count of starts only grows: an image that lacks a whole epoch is known by it."""
        await self.greeted(
            store,
            hello(FIRST, boot=1, at=NOW - 9),
            hello(FIRST, SECOND, session="2" * 16, boot=2, at=NOW),
            hello(*epochs, session="3" * 16, **({"at": NOW + 9} | more)),
        )
        found = await alarms(database)
        assert ("restored" in found) is alarmed
        if alarmed:
            details = {"epoch": THIRD, "boot": more["boot"], "here": 2}
            assert found["restored"].details == details


class TestAlarms:
    """How alarms are kept."""

    async def test_cleared_alarms_are_history(self, database: Database, home: Home) -> None:
        """What comes up again is a new alarm; another company sees and clears none of it."""
        mine, theirs = Scope(home.company_id), Scope(home.company_id + 1)
        for step in range(2):
            async with as_owner(database).write() as session:
                repository = AlarmRepository(session, mine)
                await repository.note(GATEWAY, "restored", {"step": step}, NOW + step)
                assert not await AlarmRepository(session, theirs).clear(GATEWAY, "restored", NOW)
                assert await AlarmRepository(session, theirs).standing(GATEWAY) == []
                (standing,) = await repository.standing(GATEWAY)
                assert (standing.since_us, standing.details) == (NOW + step, {"step": step})
                assert await repository.clear(GATEWAY, "restored", NOW + 5)
                assert not await repository.clear(GATEWAY, "restored", NOW + 6)
        assert len(await rows_of(database, DeliveryAlarm)) == 2


def signature(issued: Issued, gap: wire.Gap, gateway: str = GATEWAY) -> str:
    """Return what the gateway's key signs `gap` with."""
    key = load_pem_private_key(issued.key, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    made = key.sign(gap.signed_part(gateway), ec.ECDSA(hashes.SHA256()))
    return base64.b64encode(made).decode()


class TestSignedGaps:
    """Gap records and the certificates by which they are checked."""

    GAP = wire.Gap(ep=EPOCH, st="tel", s0=3, n=6, gap="quota", from_us=NOW - 9, to_us=NOW)

    async def declared(self, database: Database, store: Store, gap: wire.Gap) -> GapRecord:
        """Store `gap` and return its record; it is acknowledged in any case."""
        answers = await store.store([incoming("tel", wire.encode(gap))])
        assert answers.acks[GATEWAY, EPOCH, "tel"][-1][1] >= gap.s0 + gap.n - 1
        (row,) = await rows_of(database, GapRecord)
        assert isinstance(row, GapRecord)
        return row

    async def test_signature_is_checked_and_kept_with_its_proof(
        self, database: Database, store: Store, home: Home, issued: Issued
    ) -> None:
        """Anybody can check it again: record as signed, signature and certificate are there."""
        await store.store([hello(FIRST, certificate=issued.certificate.decode())])
        await store.store([inv(site.dictionary(1)), tel(1, 4)])
        gap = self.GAP.model_copy(update={"sig": signature(issued, self.GAP)})
        row = await self.declared(database, store, gap)
        assert (row.lo, row.hi, row.signed) == (5, 8, True), "rows 3 and 4 are here"
        assert (row.from_us, row.to_us, row.cause) == (NOW - 9, NOW, "quota")
        (kept,) = await rows_of(database, GatewayCertificate)
        assert row.certificate_serial == kept.serial == issued.serial
        again = wire.Gap(
            ep=row.epoch,
            st="tel",
            s0=row.message_s0,
            n=row.message_n,
            gap=row.cause,
            from_us=row.from_us,
            to_us=row.to_us,
        )
        assert is_signed(kept.pem, again.signed_part(GATEWAY), row.signature)
        assert await counted(database, "gap_unsigned") == 0

    async def test_hello_and_gap_in_one_batch_and_a_renewed_certificate(
        self, database: Database, store: Store, home: Home, authority: Authority, issued: Issued
    ) -> None:
        """Of the certificates that were shown any that fits is good."""
        renewed = authority.issue_gateway(GATEWAY)
        gap = self.GAP.model_copy(update={"sig": signature(issued, self.GAP)})
        shown = [hello(FIRST, certificate=item.certificate.decode()) for item in (issued, renewed)]
        await store.store([*shown, incoming("tel", wire.encode(gap))])
        (row,) = await rows_of(database, GapRecord)
        assert row.certificate_serial == issued.serial

    @pytest.mark.parametrize(
        "case",
        [
            ("", "gap_unsigned"),
            ("no base64!", "gap_bad_signature"),
            ("AAAA", "gap_bad_signature"),
            ("other", "gap_bad_signature"),
        ],
    )
    async def test_no_good_signature_never_loses_the_record(
        self, database: Database, home: Home, store: Store, issued: Issued, case: tuple[str, str]
    ) -> None:
        """It is stored as unsigned, acknowledged, and counted."""
        sig, name = case
        await store.store([hello(FIRST, certificate=issued.certificate.decode())])
        if sig == "other":
            sig = signature(issued, self.GAP.model_copy(update={"n": 7}))
        row = await self.declared(database, store, self.GAP.model_copy(update={"sig": sig}))
        assert (row.signed, row.certificate_serial, row.signature) == (False, "", sig)
        assert await counted(database, name) == 1

    async def test_without_a_certificate_or_an_authority_nothing_is_signed(
        self, database: Database, store: Store, home: Home, issued: Issued
    ) -> None:
        """A signature alone proves nothing."""
        gap = self.GAP.model_copy(update={"sig": signature(issued, self.GAP)})
        untrusting = Store(database, TestClock())
        await untrusting.store([hello(FIRST, certificate=issued.certificate.decode())])
        assert not (await self.declared(database, store, gap)).signed

    def test_only_the_gateways_own_certificate_counts(
        self, authority: Authority, issued: Issued, tmp_path: Path
    ) -> None:
        """Another's, a foreign authority's, the authority's own and rubbish are refused."""
        trust, foreign = Trust(authority.issuer_pem), Authority(tmp_path)
        foreign.prepare()
        assert trust.serial(GATEWAY, issued.certificate.decode()) == issued.serial
        for pem in (
            authority.issue_gateway("gw-south-0002").certificate,
            foreign.issue_gateway(GATEWAY).certificate,
            authority.ca_pem,
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            b"rubbish",
        ):
            with pytest.raises(Rejected) as caught:
                trust.serial(GATEWAY, pem.decode())
            assert caught.value.reason == "certificate"

    async def test_a_certificate_that_is_refused_is_counted(
        self, database: Database, store: Store, home: Home
    ) -> None:
        """The hello is answered all the same."""
        answers = await store.store([hello(FIRST, certificate="rubbish")])
        assert len(answers.resumes) == 1
        assert await counted(database, "certificate") == 1
        assert await rows_of(database, GatewayCertificate) == []


class TestClocks:
    """How far a gateway's clock is off."""

    def state(self, at: int, **more: Any) -> Any:
        """Return a state message."""
        return incoming("state", wire.encode(wire.State(**({"online": True, "at": at} | more))))

    async def gateway(self, database: Database) -> Gateway:
        """Return the gateway's row."""
        (row,) = await rows_of(database, Gateway)
        assert isinstance(row, Gateway)
        return row

    async def test_a_clock_ahead_is_an_alarm_until_it_is_right(
        self, database: Database, store: Store, clock: TestClock, home: Home
    ) -> None:
        """Two seconds are the limit."""
        answers = await store.store([hello(FIRST, at=NOW + SKEW_US, clock="holdover")])
        assert answers.resumes[0][1].hello_at == NOW + SKEW_US
        assert answers.resumes[0][1].time == NOW
        row = await self.gateway(database)
        assert (row.clock_state, row.clock_skew_us) == ("holdover", SKEW_US)
        assert await alarms(database) == {}
        await store.store([hello(FIRST, at=NOW + SKEW_US + 1)])
        found = (await alarms(database))["clock_skew"]
        assert found.details == {"skew_us": SKEW_US + 1}
        clock.now += 1_000_000
        await store.store([self.state(clock.now + 5, clock="sync", oldest_us=NOW - 7)])
        row = await self.gateway(database)
        assert (row.clock_state, row.clock_skew_us, row.clock_seen_us) == ("sync", 5, clock.now)
        assert row.oldest_us == NOW - 7
        assert await alarms(database) == {}

    async def test_a_hello_that_was_long_on_its_way_is_no_clock_behind(
        self, database: Database, store: Store, home: Home
    ) -> None:
        """The next state tells: by the gateway's own measure of the round trip if it has one."""
        await store.store([hello(FIRST, at=NOW - 9_000_000)])
        assert await alarms(database) == {}
        await store.store([self.state(NOW - 9_000_000, counters={"clock_skew_us": 4000.0})])
        assert await alarms(database) == {}
        assert (await self.gateway(database)).clock_skew_us == 4000
        await store.store([self.state(NOW - 9_000_000)])
        assert (await alarms(database))["clock_skew"].details == {"skew_us": -9_000_000}

    async def test_when_it_came_counts_not_when_it_is_stored(
        self, database: Database, store: Store, clock: TestClock, home: Home
    ) -> None:
        """A slow database makes no clock slow."""
        message = self.state(NOW)
        assert isinstance(message, Incoming)
        clock.now += 60_000_000
        await store.store([replace(message, received_us=NOW + 100)])
        assert (await self.gateway(database)).clock_skew_us == -100

    async def test_a_clock_that_was_never_set_has_no_skew(
        self, database: Database, store: Store, home: Home
    ) -> None:
        """It says so itself."""
        await store.store([hello(FIRST, at=5, clock="unset"), self.state(9, clock="unset")])
        row = await self.gateway(database)
        assert (row.clock_state, row.clock_skew_us) == ("unset", None)
        assert await alarms(database) == {}

    async def test_impossible_measures_do_no_harm(
        self, database: Database, store: Store, home: Home
    ) -> None:
        """Numbers that no database holds are bounded, or no measure at all."""
        await store.store([hello(FIRST, at=2**63 - 1)])
        assert (await self.gateway(database)).clock_skew_us == 2**62
        endless = wire.pack(
            {"v": 1, "online": True, "at": NOW, "counters": {"clock_skew_us": "inf", "n": "nan"}}
        )
        await store.store([incoming("state", endless)])
        row = await self.gateway(database)
        assert (row.clock_skew_us, row.report) == (0, {})
        assert await alarms(database) == {}
