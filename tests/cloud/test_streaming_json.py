"""Plain JSON devices: what they may send, and what becomes of it in both databases."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from plantroom_cloud import streaming
from plantroom_cloud.db import Database, Scope
from plantroom_cloud.gateways.account import account
from plantroom_cloud.ingest.messages import Refused
from plantroom_cloud.ingest.store import Store
from plantroom_cloud.streaming import devices
from plantroom_cloud.streaming.messages import DeviceData, Unreadable, epoch_of
from plantroom_cloud.streaming.readings import MAX_KEY, key_of
from plantroom_cloud.streaming.schema import MAX_SAMPLES, SAMPLE, json_schema
from plantroom_cloud.tables import Outbox, Target
from support.cloud_site import GATEWAY, NOW, Home, TestClock, add_home
from support.servers import as_owner
from support.streaming import METER, MS, Shelf, add_streaming, sent

DOCS = Path(__file__).parents[2] / "docs"
TEMPERATURE = "mqtt:temperature"


@pytest.fixture
async def home(database: Database) -> Home:
    """A site with a gateway and a JSON device."""
    place = await add_home(database)
    await add_streaming(database, place)
    return place


@pytest.fixture
async def shelf(database: Database, home: Home) -> Shelf:
    """A store for that site."""
    return Shelf(database, Store(database, TestClock()))


def sample(value: Any = 21.5, *, point: str = "temperature", **more: Any) -> dict[str, Any]:
    """Return one sample as a device writes it."""
    return {"point": point, "value": value, "ts": MS} | more


async def test_one_sample_becomes_a_point_with_a_value(shelf: Shelf) -> None:
    """The point comes into being with its unit, and its value is the latest."""
    await shelf.take(sent(sample(unit="°C")))
    (row,) = await shelf.samples()
    assert (row.point, row.ts_us, row.value, row.quality) == (TEMPERATURE, NOW, 21.5, 0)
    point = (await shelf.points())[TEMPERATURE]
    assert (point.name, point.unit, point.gateway_id) == ("temperature", "°C", METER)
    assert await shelf.latest() == {TEMPERATURE: 21.5}
    device = await shelf.device(METER)
    assert device.online
    assert device.seen_us == NOW


async def test_every_kind_of_value_and_quality(shelf: Shelf) -> None:
    """Numbers, booleans and texts as they are; nothing to read is a bad sample."""
    await shelf.take(
        sent(
            [
                sample(7, point="a"),
                sample(True, point="b"),
                sample("on\x00", point="c"),
                sample(None, point="d"),
                sample(2**60, point="e"),
                sample(1.0, point="f", quality="uncertain", reason="drift"),
            ]
        )
    )
    found = {row.point: (row.value, row.quality, row.reason) for row in await shelf.samples()}
    assert found == {
        "mqtt:a": (7.0, 0, ""),
        "mqtt:b": (1.0, 0, ""),
        "mqtt:c": ("on\ufffd", 0, ""),
        "mqtt:d": (None, 2, "null"),
        "mqtt:e": (str(2**60), 0, ""),
        "mqtt:f": (1.0, 1, "drift"),
    }


@pytest.mark.parametrize(
    ("ts", "micros"),
    [
        (MS, NOW),
        ("2026-01-01T00:00:00Z", NOW),
        ("2026-01-01t01:00:00.000250+01:00", NOW + 250),
        ("2025-12-31 23:59:59.999999999z", NOW - 1),
    ],
)
def test_times_of_a_sample(ts: int | str, micros: int) -> None:
    """Milliseconds, or RFC 3339 down to the microsecond."""
    message = sent(sample(ts=ts))
    assert isinstance(message, DeviceData)
    assert [row.ts_us for row in message.readings(NOW).good] == [micros]


@given(st.datetimes(datetime(2020, 1, 2), datetime(2025, 12, 31), timezones=st.just(UTC)))  # noqa: DTZ001 - hypothesis adds the zone
def test_any_rfc_3339_time_is_exact(moment: datetime) -> None:
    """To the microsecond."""
    message = sent(sample(ts=moment.isoformat()))
    assert isinstance(message, DeviceData)
    whole = int(moment.replace(microsecond=0).timestamp()) * 1_000_000 + moment.microsecond
    assert message.readings(NOW).good[0].ts_us == whole


async def test_one_poison_row_costs_only_itself(shelf: Shelf) -> None:
    """998 rows around two bad ones are stored, once; the bad ones lie in the quarantine as sent."""
    rows = [sample(float(n), ts=MS - n) for n in range(1000)]
    rows[500] = sample({"nested": 1})
    rows[501] = sample(1.0, ts="2026-02-30T00:00:00Z")
    await shelf.take(sent(rows))
    await shelf.take(sent([*rows, sample(7.0, ts=MS + 1)]))  # nearly all of it once more
    assert len(await shelf.samples()) == 999
    assert await shelf.refused() == [
        ("value", orjson.dumps(rows[500])),
        ("time", orjson.dumps(rows[501])),
    ]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("no object", "schema"),
        ({"value": 1}, "name"),
        (sample(point=""), "name"),
        (sample(point="x" * 129), "name"),
        ({"point": "a"}, "value"),
        (sample([1]), "value"),
        (sample("x" * 4097), "text_too_long"),
        (sample(ts=0), "time"),
        (sample(ts=MS + 301_000), "future_ts"),
        (sample(ts=True), "time"),
        (sample(ts="yesterday, around noon"), "time"),
        (sample(ts="9999-12-31T23:59:59-23:59"), "future_ts"),
        (sample(ts="0001-01-01T00:00:00+23:59"), "time"),
        (sample(ts="2026-01-01T00:00:00+99:99"), "time"),
        (sample(ts=1.5), "time"),
        (sample(quality="splendid"), "quality"),
        (sample(unit=5), "schema"),
        (sample(reason="x" * 65), "schema"),
    ],
)
def test_what_a_row_may_not_be(row: Any, reason: str) -> None:
    """Each with its own word, and quoted."""
    message = sent([row])
    assert isinstance(message, DeviceData)
    (unfit,) = message.readings(NOW).unfit
    assert (unfit.reason, unfit.quote) == (reason, orjson.dumps(row))


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "malformed"),
        (b"\xff{", "malformed"),
        (b"[" * 5000, "malformed"),
        (b"7", "schema"),
        (b"[]", "schema"),
        (b'{"samples": []}', "schema"),
        (b'{"samples": 1}', "schema"),
        (b'{"seq": 0, "samples": [{}]}', "schema"),
        (b'{"seq": true, "samples": [{}]}', "schema"),
        (b'{"session": 1, "samples": [{}]}', "schema"),
        (orjson.dumps([{}] * (MAX_SAMPLES + 1)), "too_many"),
        (b" " * (120 * 1024 + 1), "too_big"),
    ],
)
async def test_what_a_message_may_not_be(shelf: Shelf, payload: bytes, reason: str) -> None:
    """It lies in the quarantine whole, and its neighbour is stored."""
    await shelf.take(sent(payload), sent(sample()))
    assert [why for why, _ in await shelf.refused()] == [reason]
    assert len(await shelf.samples()) == 1


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_bytes_stop_the_reader(payload: bytes) -> None:
    """Whatever a device sends, it is a message or a refusal."""
    for channel in ("data", "state"):
        message = sent(payload, channel=channel)
        if isinstance(message, DeviceData):
            message.readings(NOW)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["point", "value", "ts", "unit", "quality", "samples", "seq", "session"]
            ),
            inner,
            max_size=6,
        )
    ),
)


@given(JSON)
def test_every_row_is_good_or_refused(document: Any) -> None:
    """And nothing raises, whatever JSON it is."""
    message = sent(document)
    if isinstance(message, DeviceData):
        assert len(message.readings(NOW)) == len(message.rows)
    else:
        assert isinstance(message, Unreadable)


async def test_the_same_message_again_stores_nothing(shelf: Shelf) -> None:
    """Without numbers a row is known by point, time and content, stored or refused."""
    message = sent([sample(), sample([])])
    await shelf.take(message, message)
    await shelf.take(message)
    assert len(await shelf.samples()) == 1
    assert len(await shelf.refused()) == 1
    assert (await shelf.counters())["duplicates"] == 4


async def test_two_values_of_one_moment_are_both_stored(shelf: Shelf) -> None:
    """They are different rows."""
    await shelf.take(sent([sample(1.0), sample(2.0), sample(1), sample("1.0")]))
    assert {row.value for row in await shelf.samples()} == {1.0, 2.0, "1.0"}
    assert len(await shelf.samples()) == 4


async def test_a_number_is_stored_once_per_session(shelf: Shelf) -> None:
    """A repetition tells no times, and still stores nothing; a new session begins anew."""

    def numbered(seq: int, session: str = "") -> Any:
        row = {"point": "temperature", "value": float(seq) + 10.0 * bool(session)}
        return sent({"seq": seq, "session": session, "samples": [row]})

    await shelf.take(numbered(2), numbered(1), numbered(2))
    clock = shelf.store._memory.clock
    assert isinstance(clock, TestClock)
    clock.now += 5_000_000
    await shelf.take(numbered(1), numbered(3), numbered(1, "after a restart"))
    rows = [(row.ts_us - NOW, row.value) for row in await shelf.samples()]
    assert sorted(rows) == [(0, 1.0), (0, 2.0), (5_000_000, 3.0), (5_000_000, 11.0)]


async def test_a_numbered_message_is_acknowledged(shelf: Shelf) -> None:
    """Each time it comes, with the rows that were refused when it came first."""
    message = sent({"seq": 9, "session": "s", "samples": [sample(), sample([])]})
    (topic, first), (_, second) = (await shelf.take(message, message)).commands
    assert topic == f"dev1/{METER}/down/ack"
    assert orjson.loads(first) == {"session": "s", "seq": 9, "refused": 1}
    assert orjson.loads(second) == {"session": "s", "seq": 9, "refused": 0}
    assert (await shelf.take(sent(sample(ts=MS + 1)))).commands == []


@pytest.mark.parametrize(
    ("samples", "error"), [([], "schema"), ([{}] * (MAX_SAMPLES + 1), "too_many")]
)
async def test_a_numbered_message_that_is_refused_is_answered(
    shelf: Shelf, samples: Any, error: str
) -> None:
    """Or the device would send it for ever; the same where the database refuses it."""
    message = sent({"seq": 4, "samples": samples})
    ((topic, answer),) = (await shelf.take(message)).commands
    assert topic == f"dev1/{METER}/down/ack"
    assert orjson.loads(answer) == {"session": "", "seq": 4, "refused": 0, "error": error}
    good = sent({"seq": 5, "samples": [sample()]})
    assert isinstance(good, DeviceData)
    ((_, answer),) = (await shelf.take(good.set_aside("store"))).commands
    assert orjson.loads(answer)["error"] == "store"
    assert [reason for reason, _ in await shelf.refused()] == [error, "store"]


@pytest.mark.parametrize(
    ("value", "reason", "quote"),
    [
        (b"NaN", "value", b'{"point":"a","value":null}'),
        (b"-Infinity", "value", b'{"point":"a","value":null}'),
        (b"1e999", "value", b'{"point":"a","value":null}'),
        (b"-1" + b"0" * 400, "value", b'"cannot be shown"'),
        (b'"\\ud800"', "value", b'"cannot be shown"'),
        (b"[" * 300 + b"]" * 300, "value", b'"cannot be shown"'),
    ],
)
async def test_what_json_cannot_say_costs_only_its_row(
    shelf: Shelf, value: bytes, reason: str, quote: bytes
) -> None:
    """No number, half a character, what is nested too deep: the neighbour is stored."""
    await shelf.take(sent(b'[{"point":"a","value":' + value + b'},{"point":"b","value":1}]'))
    assert await shelf.refused() == [(reason, quote)]
    assert [row.value for row in await shelf.samples()] == [1.0]


def test_a_session_can_be_written() -> None:
    """Half a character is no session."""
    message = sent(b'{"session": "\\udfff", "seq": 1, "samples": [1]}')
    assert isinstance(message, Unreadable)
    assert (message.reason, message.answer) == ("schema", None)


async def test_latest_never_goes_back(shelf: Shelf) -> None:
    """An older sample is stored and changes nothing else."""
    await shelf.take(sent(sample(1.0)))
    await shelf.take(sent(sample(2.0, ts=MS - 1000)))
    assert await shelf.latest() == {TEMPERATURE: 1.0}
    assert len(await shelf.samples()) == 2


async def test_the_account_balances(shelf: Shelf, home: Home) -> None:
    """Accepted = stored + quarantined, whatever comes twice."""
    await shelf.take(sent([sample(1.0), sample([]), sample(3.0, ts=MS + 1)]))
    await shelf.take(sent([sample(1.0), sample([])]), sent(b"rubbish"))
    async with as_owner(shelf.database).read() as session:
        books = await account(session, Scope(home.company_id), METER)
    assert books is not None
    assert (books.accepted, books.stored, books.quarantined, books.on_edge) == (4, 2, 2, 0)
    assert books.duplicates == 2
    assert books.balanced


async def test_a_unit_may_be_told_later_and_change(shelf: Shelf) -> None:
    """A sample that tells none leaves it as it is, in this process and the next."""
    await shelf.take(sent(sample()))
    await shelf.take(sent(sample(ts=MS + 1, unit="K")))
    await shelf.take(sent(sample(ts=MS + 2)))
    again = Shelf(shelf.database, Store(shelf.database, TestClock()))
    await again.take(sent(sample(ts=MS + 3)))
    assert (await shelf.points())[TEMPERATURE].unit == "K"
    await again.take(sent(sample(ts=MS + 4, unit="°C")))
    assert (await shelf.points())[TEMPERATURE].unit == "°C"
    assert len(await shelf.samples()) == 5


async def test_a_device_has_room_for_so_many_points(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond that its rows are refused; the points it has go on."""
    monkeypatch.setattr(devices, "MAX_POINTS", 2)
    await shelf.take(sent([sample(point=name) for name in "abc"]))
    await shelf.take(sent([sample(point=name, ts=MS + 1) for name in "abd"]))
    assert len(await shelf.samples()) == 4
    assert [reason for reason, _ in await shelf.refused()] == ["too_many_points"] * 2


async def test_who_is_not_a_streaming_device_is_counted(shelf: Shelf, home: Home) -> None:
    """An edge agent's certificate, or nobody's, streams nothing; nor does a node speak JSON."""
    await add_streaming(shelf.database, home, "node-pump-0001", group="g")
    await shelf.take(
        sent(sample(), GATEWAY), sent(sample(), "dev-stranger"), sent(sample(), "node-pump-0001")
    )
    assert await shelf.samples() == []
    counters = await shelf.counters()
    assert (counters["not_streaming"], counters["protocol"]) == (1, 1)
    assert shelf.store.statistics.strangers == {"dev-stranger": 1}


async def test_state(shelf: Shelf) -> None:
    """A device says that it is there; its will says that it is not."""
    await shelf.take(sent({"online": True}, channel="state"))
    assert (await shelf.device(METER)).online
    await shelf.take(sent({"online": False}, channel="state"))
    assert not (await shelf.device(METER)).online
    await shelf.take(sent({"online": "perhaps"}, channel="state"))
    assert [reason for reason, _ in await shelf.refused()] == ["schema"]


async def test_what_is_stored_is_left_for_a_target(shelf: Shelf, home: Home) -> None:
    """A device's samples are published like any other's."""
    async with as_owner(shelf.database).write() as session:
        session.add(Target(company_id=home.company_id, kind="enos"))
    await shelf.take(sent([sample(), sample([])]))
    async with as_owner(shelf.database).read() as session:
        (row,) = (await session.execute(select(Outbox))).scalars()
    assert (row.gateway_id, row.rows) == (METER, 1)


@pytest.mark.parametrize(
    "topic",
    [
        "dev1",
        f"dev1/{METER}",
        f"dev1/{METER}/up/else",
        f"dev1/{METER}/up/data/x",
        "dev1/UP/up/data",
    ],
)
def test_topics_that_are_none(topic: str) -> None:
    """They are refused by the name of whoever wrote them, where there is one."""
    assert streaming.read(topic, b"{}") == Refused(METER if METER in topic else "", "topic")


def test_a_database_that_refuses_a_message_leaves_its_bytes() -> None:
    """It is set aside whole, then only counted."""
    message = sent(sample())
    assert isinstance(message, DeviceData)
    aside = message.set_aside("store")
    assert (aside.gateway, aside.reason, aside.payload) == (METER, "store", message.payload)
    assert aside.set_aside("store") == Refused(METER, "store")
    state = sent({"online": True}, channel="state")
    assert not isinstance(state, Refused)
    assert state.set_aside("store") == Refused(METER, "store")


def test_sessions_and_keys() -> None:
    """A session is an epoch of the account; a key too long keeps its beginning and stays unique."""
    assert epoch_of("a") != epoch_of("b")
    long = ["x" * 300 + tail for tail in "ab"]
    assert len({key_of(text) for text in long}) == 2
    assert all(len(key_of(text)) == MAX_KEY for text in long)


def test_the_published_schema_is_what_is_checked() -> None:
    """`docs/device-message.schema.json` is the model that reads every row."""
    published = json.loads((DOCS / "device-message.schema.json").read_text())
    assert published == json_schema()


def test_the_documented_examples_hold() -> None:
    """Every JSON example of the document is a message of good rows only."""
    text = (DOCS / "devices.md").read_text()
    examples = [part.partition("```")[0] for part in text.split("```json\n")[1:]]
    assert len(examples) >= 3
    for example in examples:
        message = sent(example.encode())
        assert isinstance(message, DeviceData)
        assert message.readings(1_769_861_000_000_000).unfit == []


def test_a_row_is_checked_strictly() -> None:
    """A text is no number, and true is no time."""
    assert SAMPLE.validate_python(sample("21.5")).value == "21.5"
    assert SAMPLE.validate_python(sample(True)).value is True
