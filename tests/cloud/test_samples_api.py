"""Latest values and history: raw in pages, or summed up by intervals, on both databases."""

from __future__ import annotations

import statistics
from typing import Any

import httpx
import pytest

from plantroom_cloud.db import Database
from support.api_world import HOUR, MINUTE, NOW, ONE_ENGINE, Stopped, Tenant, put_samples
from support.servers import as_owner

_DAY = 24 * HOUR
SECOND = 1_000_000


def _url(tenant: Tenant) -> str:
    return f"/v1/points/{tenant.points[1]}/samples"


async def _items(client: httpx.AsyncClient, url: str, **params: Any) -> list[dict[str, Any]]:
    answer = await client.get(url, params=params)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def test_latest_of_one_and_of_many(client: httpx.AsyncClient, acme: Tenant) -> None:
    """The newest sample comes with unit, quality and time, of one point, some, a site or all."""
    one = (await client.get(f"/v1/points/{acme.points[0]}/latest")).json()
    assert one == {
        "point": acme.points[0],
        "key": "bacnet:1001:analog-input:0",
        "name": "CH1.SupplyTemp",
        "unit": "degrees-celsius",
        "ts": "2026-01-31T11:59:00.000000Z",
        "value": 6.5,
        "quality": "good",
        "reason": "",
    }
    every = await _items(client, "/v1/latest")
    assert len(every) == len(await _items(client, "/v1/latest", site=acme.site)) == 5
    some = await _items(client, "/v1/latest", point=[acme.points[1], acme.points[0], 10**9])
    assert [item["point"] for item in some] == acme.points
    page = (await client.get("/v1/latest", params={"limit": 2})).json()
    rest = await _items(client, "/v1/latest", limit=3, after=page["next"])
    assert page["items"] + rest == every


@ONE_ENGINE
async def test_no_sample_is_told_apart_from_no_point(
    client: httpx.AsyncClient, database: Database, acme: Tenant
) -> None:
    """A point that never said anything is a 404 of its own kind."""
    from sqlalchemy import delete

    from plantroom_cloud.tables import Latest

    async with as_owner(database).write() as session:
        await session.execute(delete(Latest).where(Latest.point_id == acme.points[0]))
    codes = []
    for point in (acme.points[0], 10**9):
        answer = await client.get(f"/v1/points/{point}/latest")
        assert answer.status_code == 404
        codes.append(answer.json()["code"])
    assert codes == ["no_sample", "not_found"]


async def test_raw_history_in_pages(
    client: httpx.AsyncClient, database: Database, acme: Tenant
) -> None:
    """Pages hold every sample of from <= ts < to once, ties in order; the link leads through."""
    start = NOW - HOUR
    rows = [{"ts_us": start + n * SECOND, "value": float(n)} for n in range(-1, 25)]
    rows += [{"ts_us": start + 7 * SECOND, "value": 7.5, "tie": 9}]
    await put_samples(database, acme, acme.points[1], rows)
    params = {"from": str(start // SECOND), "to": str(start // SECOND + 24), "limit": "10"}
    seen: list[float] = []
    url: Any = httpx.URL(_url(acme), params=params)
    while url:
        answer = await client.get(url)
        body = answer.json()
        assert body["from"] == "2026-01-31T11:00:00.000000Z"
        assert len(body["items"]) <= 10
        seen += [item["value"] for item in body["items"]]
        link = answer.links.get("next")
        assert (link is None) == (body["next"] is None)
        url = link and link["url"]
    assert seen == [*map(float, range(8)), 7.5, *map(float, range(8, 24))]


async def test_a_page_is_not_moved_by_time_or_arrivals(
    client: httpx.AsyncClient, database: Database, acme: Tenant, clock: Stopped
) -> None:
    """While "now" moves and samples arrive, going on shows the rest of the first window, once."""
    rows = [{"ts_us": NOW - 10 * SECOND + n * SECOND, "value": float(n)} for n in range(10)]
    await put_samples(database, acme, acme.points[1], rows)
    first = (await client.get(_url(acme), params={"limit": 6})).json()
    clock.now += _DAY
    late = [{"ts_us": NOW - _DAY + n, "value": -1.0} for n in range(1, 5)]
    await put_samples(database, acme, acme.points[1], late)
    await put_samples(database, acme, acme.points[1], [{"ts_us": NOW + SECOND, "value": 99.0}])
    second = (await client.get(_url(acme), params={"limit": 100, "after": first["next"]})).json()
    values = [item["value"] for item in first["items"] + second["items"]]
    assert values == [7.5, *map(float, range(10))]
    assert second["to"] == first["to"]


async def test_values_of_every_kind(
    client: httpx.AsyncClient, database: Database, acme: Tenant
) -> None:
    """Numbers, texts, exact big integers and nothing at all come out as they went in."""
    kinds: list[tuple[Any, ...]] = [
        (21.5, None, 0, "good"),
        (None, "auto", 0, "good"),
        (None, "9007199254740993", 1, "uncertain"),
        (None, None, 2, "bad"),
        (1.0, None, 7, "bad"),
    ]
    rows = [
        {
            "ts_us": NOW - HOUR + n,
            "value": v,
            "text": t,
            "quality": q,
            "reason": "timeout" * (q > 0),
        }
        for n, (v, t, q, _) in enumerate(kinds)
    ]
    await put_samples(database, acme, acme.points[1], rows)
    items = await _items(client, _url(acme), to=str((NOW - MINUTE) // SECOND))
    assert [item["value"] for item in items] == [21.5, "auto", "9007199254740993", None, 1.0]
    assert [item["quality"] for item in items] == [kind[-1] for kind in kinds]
    assert [item["reason"] for item in items] == ["", "", "timeout", "timeout", "timeout"]


async def test_intervals_against_plain_arithmetic(
    client: httpx.AsyncClient, database: Database, acme: Tenant
) -> None:
    """Min, max, mean, last and counts of each interval agree with Python over the same rows."""
    start = NOW - 6 * HOUR
    rows: list[dict[str, Any]] = []
    for n in range(200):
        quality = (0, 0, 0, 1, 2)[n % 5]
        value = float((n * 7919) % 101) - 50
        rows.append({"ts_us": start + n * 97 * SECOND, "value": value, "quality": quality})
    await put_samples(database, acme, acme.points[1], rows)
    length = 15 * MINUTE
    window = {"from": str(start // SECOND), "to": str((NOW - 2 * MINUTE) // SECOND)}
    items = await _items(
        client, _url(acme), interval="15m", agg="min,max,mean,last,count", **window
    )
    groups: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row["ts_us"] // length, []).append(row)
    assert len(items) == len(groups) > 10
    for item, group in zip(items, groups.values(), strict=True):
        good = [row["value"] for row in group if row["quality"] == 0]
        assert item["min"] == min(good)
        assert item["max"] == max(good)
        assert item["mean"] == pytest.approx(statistics.fmean(good))
        assert item["last"] == good[-1]
        counts = [sum(row["quality"] == code for row in group) for code in (0, 1, 2)]
        assert [item["count"], item["uncertain"], item["bad"]] == counts
        assert item["ts"].endswith(
            ("00:00.000000Z", "15:00.000000Z", "30:00.000000Z", "45:00.000000Z")
        )


async def test_last_is_by_time_and_then_by_tie(
    client: httpx.AsyncClient, database: Database, acme: Tenant
) -> None:
    """Of two good samples of the last moment the greater tie counts; bad ones never do."""
    rows: list[dict[str, Any]] = [
        {"ts_us": NOW - HOUR, "tie": 5, "value": 5.0},
        {"ts_us": NOW - HOUR, "tie": -5, "value": -5.0},
        {"ts_us": NOW - HOUR, "tie": 9, "value": 9.0, "quality": 2},
        {"ts_us": NOW - HOUR + 1, "value": 10.0, "quality": 1},
        {"ts_us": NOW - 2 * HOUR, "text": "heating"},
        {"ts_us": NOW - 3 * HOUR, "value": 1.0, "quality": 2},
    ]
    await put_samples(database, acme, acme.points[1], rows)
    items = await _items(client, _url(acme), interval="PT1H", agg="last,mean", to="1769857201")
    assert [item["last"] for item in items] == [None, "heating", 5.0]
    assert [item["mean"] for item in items] == [None, None, 0.0]
    assert [item["count"] for item in items] == [0, 1, 2]
    assert "min" not in items[0]


async def test_huge_numbers_do_not_break_the_sum(
    client: httpx.AsyncClient, database: Database, acme: Tenant
) -> None:
    """Values whose sum no double holds have no mean, and cost the other intervals nothing."""
    rows = [{"ts_us": NOW - HOUR + n, "value": 1.7e308} for n in range(3)]
    rows += [{"ts_us": NOW - 2 * HOUR, "value": 2.0}]
    await put_samples(database, acme, acme.points[1], rows)
    items = await _items(client, _url(acme), interval="1h", to=str((NOW - 2 * MINUTE) // SECOND))
    assert [item["mean"] for item in items] == [2.0, None]
    assert items[1]["max"] == 1.7e308


@pytest.mark.parametrize(
    ("params", "name", "fix"),
    [
        ({"from": "0", "to": "86400000"}, "from", "give an interval"),
        ({"from": "0", "to": "86400000", "interval": "1s"}, "interval", "take at least 8642s"),
        ({"from": "100", "to": "100"}, "from", "before 'to'"),
        ({"interval": "1y"}, "interval", "ISO 8601"),
        ({"interval": "1h", "agg": "min,median"}, "agg", "min,max,mean,last,count"),
        ({"interval": "1h", "after": "x"}, "after", "leave it out"),
        ({"after": "x"}, "after", "take `next`"),
        ({"from": "soon"}, "from", "seconds since 1970"),
        ({"to": "2026-01-31T12:00"}, "to", "2026-01-31T12:00:00Z"),
    ],
)
async def test_too_much_or_nonsense_is_refused_with_what_to_change(
    sqlite_database: Database, acme_on_sqlite: Tenant, params: dict[str, str], name: str, fix: str
) -> None:
    """A window too long or an interval too fine says what would be accepted."""
    from support.api_world import client_of, make_app

    async with client_of(make_app(sqlite_database), headers=acme_on_sqlite.headers) as client:
        answer = await client.get(_url(acme_on_sqlite), params=params)
        assert answer.status_code == 422
        error = answer.json()["errors"][0]
        assert error["name"] == name
        assert fix in error["detail"]


@ONE_ENGINE
async def test_the_suggested_interval_is_accepted(client: httpx.AsyncClient, acme: Tenant) -> None:
    """What a refusal suggests works, and so does exactly ten thousand intervals."""
    for window in ({"from": "0", "to": "86400000"}, {"from": "1", "to": "123456789"}):
        answer = await client.get(_url(acme), params=window | {"interval": "1s"})
        suggestion = answer.json()["detail"].partition("at least ")[2].partition(",")[0]
        again = await client.get(_url(acme), params=window | {"interval": suggestion})
        assert again.status_code == 200
    exact = {"from": "0", "to": "10000", "interval": "1s"}
    assert (await client.get(_url(acme), params=exact)).status_code == 200
    assert (await client.get(_url(acme), params=exact | {"to": "10001"})).status_code == 422
