"""The review over the API: one answer decides a template, rules follow, nothing is forgotten."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import DBAPIError

from plantroom_cloud.db import Database, Scope
from plantroom_cloud.mapping.llm.repository import LlmRepository
from plantroom_cloud.mapping.questions import Question
from plantroom_cloud.tables import ApiKey, Mapping, MappingBasis, Point, ReviewEvent
from support.api_world import NOW, Stopped, Tenant, client_of
from support.review_site import BOXES, add_points, map_again, put_site
from support.servers import as_owner

PRESSURE, ALARM = "Supply_Air_Static_Pressure_Sensor", "High_Temperature_Alarm"


class Reviewer:
    """Calls the routes of one site."""

    def __init__(self, http: httpx.AsyncClient, site: int) -> None:
        self.http, self.path, self.count = http, f"/v1/sites/{site}/review", 0

    async def get(self, what: str = "", **params: Any) -> Any:
        """Return what a route says."""
        answer = await self.http.get(self.path + what, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def queue(self, **params: Any) -> dict[tuple[str, str], dict[str, Any]]:
        """Return (equipment class, name) → template, in the order of the queue."""
        items = (await self.get("/queue", **params))["items"]
        return {(item["equip_class"], item["name"]): item for item in items}

    async def send(self, what: str, status: int = 200, **body: Any) -> Any:
        """Send a request of a name of its own, unless one is given."""
        self.count += 1
        asked = {"request": f"r{self.count}"} | body
        method = "PUT" if what == "/rules" else "POST"
        answer = await self.http.request(method, self.path + what, json=asked)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def answer(self, template: str, action: str, status: int = 200, **more: Any) -> Any:
        """Decide about a template."""
        return await self.send(
            "/answers", status, answers=[{"template": template, "action": action} | more]
        )


@pytest.fixture
async def site(database: Database) -> Tenant:
    """A mapped site."""
    return await put_site(database)


@pytest.fixture
async def review(api: FastAPI, site: Tenant) -> AsyncIterator[Reviewer]:
    """The review of the site."""
    async with client_of(api, headers=site.headers) as http:
        yield Reviewer(http, site.site)


async def mapped(db: Database, *ids: int) -> list[tuple[str, str, str]]:
    """Return class, source and state of points."""
    async with as_owner(db).read() as session:
        found = select(Mapping).where(Mapping.point_id.in_(ids)).order_by(Mapping.point_id)
        return [(m.point_class, m.source, m.state) for m in await session.scalars(found)]


VAV, AHU = "Variable_Air_Volume_Box", "Air_Handling_Unit"


async def test_the_queue_begins_with_what_is_worth_most(review: Reviewer) -> None:
    """Six unknown points before two, and before six that are half known; pages go on in order."""
    queue = await review.queue()
    assert next(iter(queue))[0] == VAV
    assert next(iter(queue))[1].startswith("QXZW")
    worth = [item["worth"] for item in queue.values()]
    assert worth == sorted(worth, reverse=True)
    first = queue[VAV, "QXZW"]
    assert (first["points"], first["point_class"], first["confidence"]) == (BOXES, "", None)
    assert first["example"] == "VAV-1 QXZW"
    seen, after = [], None
    while True:
        page = await review.get("/queue", limit=2, **({"after": after} if after else {}))
        seen += [item["template"] for item in page["items"]]
        after = page["next"]
        if after is None:
            break
    assert seen == [item["template"] for item in queue.values()]


async def test_one_answer_decides_all_points_and_new_ones(
    review: Reviewer, database: Database, site: Tenant
) -> None:
    """Six boxes at once; a box that comes later has the answer from the start."""
    template = (await review.queue())[VAV, "QXZW"]["template"]
    done = await review.answer(template, "correct", point_class=PRESSURE, note="asked on site")
    assert (done["decided"], done["changed"], done["actor"]) == (1, BOXES, "first")
    assert done["learned"] == [f'in VAV: "QXZW" means {PRESSURE}']
    assert await mapped(database, site.points[2]) == [(PRESSURE, "person", "accepted")]
    new = await add_points(database, site, "VAV-77 QXZW", "VAV-78 qxzw")
    assert await mapped(database, *new) == [
        (PRESSURE, "person", "accepted"),
        (PRESSURE, "rule", "accepted"),
    ]
    overview = await review.get()
    assert (overview["decided"], overview["ruled"]) == (BOXES + 1, 1)


async def test_mapping_again_touches_nothing_that_was_decided(
    review: Reviewer, database: Database, site: Tenant
) -> None:
    """Neither what was decided nor what was refused, also where the point changed meanwhile."""
    queue = await review.queue()
    await review.answer(queue[VAV, "QXZW"]["template"], "correct", point_class=PRESSURE)
    refused = queue[VAV, "ZN-T"]
    await review.answer(refused["template"], "reject", point_class=refused["point_class"])
    async with as_owner(database).write() as session:
        changed = update(Point).where(Point.id == site.points[2])
        await session.execute(changed.values(name="VAV-1 SAT", changed_us=NOW + 1))
    await map_again(database, site)
    [decided, no] = await mapped(database, site.points[2], site.points[4])
    assert decided == (PRESSURE, "person", "accepted")
    assert no[2] == "rejected"


async def test_undo_brings_everything_back(
    review: Reviewer, database: Database, site: Tenant
) -> None:
    """Mapping, rules and queue are as before; the history keeps both; twice is refused."""
    before = await mapped(database, *site.points)
    queue = await review.queue()
    made = await review.answer(queue[VAV, "QXZW"]["template"], "correct", point_class=PRESSURE)
    await review.answer(queue[VAV, "ZN-T"]["template"], "reject")
    done = await review.send("/undo", undoes=made["request"])
    assert (done["undone"], done["changed"]) == (made["request"], BOXES)
    assert done["forgotten"] == made["learned"]
    assert (await review.send("/undo"))["undone"] == "r2"
    assert await mapped(database, *site.points) == before
    assert list(await review.queue()) == list(queue)
    again = await review.send("/undo", 409, undoes=made["request"])
    assert again["code"] == "nothing_to_undo"
    assert (await review.send("/undo", 409))["code"] == "nothing_to_undo"
    history = (await review.get("/history"))["items"]
    assert [(item["action"], item["undone"]) for item in history] == [
        ("undo", False),
        ("undo", False),
        ("reject", True),
        ("correct", True),
    ]


async def test_a_request_is_done_once(review: Reviewer, database: Database) -> None:
    """Sent again it is answered the same and nothing happens; its name is good for nothing else."""
    template = (await review.queue())[VAV, "QXZW"]["template"]
    body: dict[str, Any] = {
        "request": "mine",
        "answers": [{"template": template, "action": "defer"}],
    }
    first = await review.send("/answers", **body)
    assert await review.send("/answers", **body) == first
    async with as_owner(database).read() as session:
        assert await session.scalar(select(func.count()).select_from(ReviewEvent)) == 1
    body["answers"][0]["action"] = "reject"
    assert (await review.send("/answers", 409, **body))["code"] == "request_reused"
    assert (await review.send("/undo", 409, request="mine"))["code"] == "request_reused"


async def test_all_answers_are_taken_or_none(
    review: Reviewer, database: Database, site: Tenant
) -> None:
    """One wrong answer among good ones: the error says which, and nothing has changed."""
    queue = await review.queue()
    good = {"template": queue[VAV, "ZN-T"]["template"], "action": "accept"}
    unknown = queue[VAV, "QXZW"]["template"]
    wrong: list[tuple[int, dict[str, Any]]] = [
        (404, {"template": "0" * 16, "action": "accept"}),
        (404, {"points": [2**40], "action": "accept"}),
        (422, {"template": unknown, "action": "accept"}),
        (422, {"template": unknown, "action": "correct"}),
        (422, {"template": unknown, "action": "correct", "point_class": "Warmth"}),
        (422, {"template": unknown, "points": [site.points[0]], "action": "defer"}),
        (422, {"action": "defer"}),
        (409, good | {"point_class": ALARM}),
    ]
    for status, answer in wrong:
        await review.send("/answers", status, answers=[good, answer])
    assert (await review.get("/history"))["items"] == []
    assert await review.queue() == queue


async def test_single_points_are_decided_about_by_themselves(
    review: Reviewer, database: Database, site: Tenant
) -> None:
    """One box of six is an exception: the template's answer is not for it, and it makes no rule."""
    odd = site.points[2]
    template = (await review.queue())[VAV, "QXZW"]["template"]
    one = {"points": [odd], "action": "correct", "point_class": ALARM}
    done = await review.send("/answers", answers=[one])
    assert (done["decided"], done["changed"], done["learned"]) == (1, 1, [])
    assert (await review.queue())[VAV, "QXZW"]["points"] == BOXES - 1
    await review.answer(template, "correct", point_class=PRESSURE)
    assert [name for name, *_ in await mapped(database, odd, odd + 4)] == [ALARM, PRESSURE]
    await review.send("/answers", answers=[{"points": [odd], "action": "reject"}])
    assert await mapped(database, odd) == [(PRESSURE, "rule", "accepted")]
    await review.send("/answers", answers=[{"points": [odd], "action": "reject"}])
    assert (await mapped(database, odd))[0][2] == "rejected"


async def test_what_is_put_off_comes_last(review: Reviewer) -> None:
    """It stays open, behind everything else, and has a list of its own."""
    queue = await review.queue()
    first = next(iter(queue.values()))
    await review.answer(first["template"], "defer")
    after = await review.queue()
    assert list(after)[-1] == next(iter(queue))
    assert list(await review.queue(state="deferred")) == [next(iter(queue))]
    assert (await review.get())["deferred"] == 1
    assert first["template"] not in {t["template"] for t in (await review.queue(state="decided")).values()}  # fmt: skip


async def test_what_can_be_accepted_is_said_and_then_accepted(
    review: Reviewer, database: Database
) -> None:
    """The promise names points, share and confidence; accepting from there takes exactly those."""
    overview = await review.get()
    promise = overview["promises"][-1]
    assert promise["precision"] == 0.9
    assert 0 < promise["points"] < overview["open"]
    assert promise["share"] == pytest.approx(promise["points"] / overview["open"], abs=1e-3)
    done = await review.send("/answers", accept_from=promise["min_confidence"])
    assert done["decided"] > 0
    after = await review.get()
    assert after["decided"] == promise["points"]
    assert after["open"] == overview["open"] - promise["points"]
    history = (await review.get("/history"))["items"]
    assert {item["action"] for item in history} == {"accept"}
    assert all(item["before"]["confidence"] >= promise["min_confidence"] for item in history)


async def test_why_shows_all_that_is_known(review: Reviewer, site: Tenant) -> None:
    """Evidence, classes to choose from, points with values, the rule and what was decided."""
    queue = await review.queue()
    zone = queue[VAV, "ZN-T"]
    why = await review.get(f"/templates/{zone['template']}")
    assert why["template"] == zone
    assert why["found"]["evidence"]
    assert why["candidates"][0] == zone["point_class"]
    assert [sample["name"] for sample in why["samples"]] == [f"VAV-{n} ZN-T" for n in range(1, 7)]
    assert why["samples"][0]["value"] == float(site.points[0])
    assert (why["rule"], why["history"]) == ("", [])
    await review.answer(zone["template"], "correct", point_class=ALARM, note="hm")
    why = await review.get(f"/templates/{zone['template']}")
    assert why["rule"] == f'in VAV: "ZN-T" means {ALARM}'
    assert why["found"]["point_class"] == zone["point_class"]
    [event] = why["history"]
    assert (event["actor"], event["note"]) == ("first", "hm")
    assert event["before"]["point_class"] == zone["point_class"]
    assert event["name"] == f"{VAV}: ZN-T"


async def test_rules_are_text_that_people_edit(
    review: Reviewer, database: Database, site: Tenant
) -> None:
    """A line added is applied at once; a learned line that was taken out is not learned again."""
    queue = await review.queue()
    await review.answer(queue[VAV, "QXZW"]["template"], "correct", point_class=PRESSURE)
    rules = await review.get("/rules")
    assert rules["text"] == f'in VAV: "QXZW" means {PRESSURE}  # learned\n'
    mine = f'in AHU: "QXZW" means {ALARM}'
    done = await review.send("/rules", text=rules["text"] + mine)
    assert done["changed"] == 2
    assert (await mapped(database, site.points[-1]))[0] == (ALARM, "rule", "accepted")
    items = (await review.get("/rules"))["items"]
    assert [(item["text"], item["learned"], item["points"]) for item in items] == [
        (mine, False, 2),
        (f'in VAV: "QXZW" means {PRESSURE}', True, 0),
    ]
    done = await review.send("/rules", text="# none")
    assert (done["changed"], done["forgotten"]) == (2, [f'in VAV: "QXZW" means {PRESSURE}'])
    new = await add_points(database, site, "VAV-78 qxzw")
    assert (await mapped(database, *new))[0][1] == "offline"
    assert (await review.send("/rules", 422, text="in VAV: QXZW"))["code"] == "no_rule"
    await review.send("/undo")
    assert len((await review.get("/rules"))["items"]) == 2


async def test_contradicting_answers_make_no_rule(review: Reviewer) -> None:
    """The same name means something else in air handlers: neither rule reaches the other."""
    queue = await review.queue()
    one = await review.answer(queue[VAV, "QXZW"]["template"], "correct", point_class=PRESSURE)
    two = await review.answer(queue[AHU, "QXZW"]["template"], "correct", point_class=ALARM)
    assert (one["changed"], two["changed"]) == (BOXES, 2)
    assert len(one["learned"]) == len(two["learned"]) == 1


async def test_the_history_is_only_added_to(
    review: Reviewer, database: Database, site: Tenant
) -> None:
    """The database itself refuses to change or remove a line; it has pages."""
    queue = await review.queue()
    for item in queue.values():
        await review.answer(item["template"], "defer")
    page = await review.get("/history", limit=2)
    rest = await review.get("/history", after=page["next"])
    ids = [item["id"] for item in page["items"] + rest["items"]]
    assert ids == sorted(ids, reverse=True)
    assert len(ids) == len(queue)
    for statement in (update(ReviewEvent).values(actor="x"), delete(ReviewEvent)):
        with pytest.raises(DBAPIError):
            async with as_owner(database).write() as session:
                await session.execute(statement)


async def test_only_keys_that_may_write_decide(
    review: Reviewer, database: Database, site: Tenant
) -> None:
    """Others may look."""
    async with as_owner(database).write() as session:
        await session.execute(update(ApiKey).values(scopes=["viewer"]))
    template = next(iter((await review.queue()).values()))["template"]
    await review.answer(template, "defer", 403)
    await review.send("/undo", 403)
    await review.send("/rules", 403, text="")


async def test_a_site_mapped_before_there_was_a_review_is_mapped_again(
    review: Reviewer, database: Database, site: Tenant, clock: Stopped
) -> None:
    """Until then its queue is empty."""
    from plantroom_cloud.mapping.jobs import Mapper

    async with as_owner(database).write() as session:
        await session.execute(delete(MappingBasis))
    assert await review.queue() == {}
    assert await Mapper(database, None, clock).round() == 1
    assert await Mapper(database, None, clock).round() == 0
    assert len(await review.queue()) == 6


async def import_file(review: Reviewer, site: Tenant, *rows: str, **params: Any) -> None:
    """Take a CSV in, its plan looked at first."""
    data = "\n".join(("point_name,point_type", *rows)).encode()
    url, asked = f"/v1/sites/{site.site}/import", {"format": "csv"} | params
    plan = (await review.http.post(url, params=asked, content=data)).json()
    done = await review.http.post(url, params=asked | {"apply": plan["plan"]}, content=data)
    assert done.status_code == 200, done.text
    assert plan["changes"] == len(rows)


async def test_what_was_imported_stays_until_somebody_decides_about_it(
    review: Reviewer, database: Database, site: Tenant
) -> None:
    """Answers about other templates, and rules, leave it; one about its own template does not."""
    imported = site.points[2]
    await import_file(review, site, f"VAV-1 QXZW,{ALARM}")
    assert await mapped(database, imported) == [(ALARM, "import", "accepted")]
    queue = await review.queue()
    assert queue[VAV, "QXZW"]["points"] == BOXES - 1
    await review.answer(queue[AHU, "QXZW"]["template"], "correct", point_class=PRESSURE)
    await review.send("/rules", text=f'anywhere: "QXZW" means {PRESSURE}\n')
    await map_again(database, site)
    assert await mapped(database, imported) == [(ALARM, "import", "accepted")]
    await review.answer(queue[VAV, "QXZW"]["template"], "correct", point_class=PRESSURE)
    assert await mapped(database, imported) == [(PRESSURE, "person", "accepted")]


async def test_what_is_taken_back_is_not_what_was_imported_since(
    review: Reviewer, database: Database, site: Tenant
) -> None:
    """A file that wins against an answer goes on winning when the answer is undone."""
    queue = await review.queue()
    await review.answer(queue[VAV, "QXZW"]["template"], "correct", point_class=PRESSURE)
    await import_file(review, site, f"VAV-1 QXZW,{ALARM}", overwrite="true")
    imported, other = site.points[2], site.points[6]
    assert await mapped(database, imported, other) == [
        (ALARM, "import", "accepted"),
        (PRESSURE, "person", "accepted"),
    ]
    await review.send("/undo")
    assert (await mapped(database, imported))[0] == (ALARM, "import", "accepted")
    assert (await mapped(database, other))[0][1] != "person"


async def test_the_history_names_who_imported_what(review: Reviewer, site: Tenant) -> None:
    """Each point with what stood there before, beside what was answered."""
    await import_file(review, site, f"VAV-1 QXZW,{ALARM}", f"VAV-1 ZN-T,{ALARM}")
    items = (await review.get("/history"))["items"]
    assert {item["subject"] for item in items} == {
        f"@{n}" for n in (site.points[0], site.points[2])
    }
    assert {(item["action"], item["actor"], item["point_class"]) for item in items} == {
        ("import", "first", ALARM)
    }
    assert {item["before"]["point_class"] for item in items} == {"", "Zone_Air_Temperature_Sensor"}


async def test_an_answer_judges_what_an_llm_had_said(
    review: Reviewer, database: Database, site: Tenant
) -> None:
    """Its trust grows where it was right, and is what it was when the answer is taken back."""
    template = (await review.queue())[VAV, "QXZW"]["template"]
    async with as_owner(database).write() as session:
        found = select(MappingBasis.key).where(MappingBasis.template_id == template).limit(1)
        key = (await session.scalars(found)).one()
        question = Question("q", {}, (PRESSURE,), (0,), (key,))
        llm = LlmRepository(session, Scope(site.company))
        await llm.keep([question], {"q": PRESSURE}, "m", NOW)

    async def trust() -> float:
        async with as_owner(database).read() as session:
            return await LlmRepository(session, Scope(site.company)).trust("m")

    before = await trust()
    await review.answer(template, "correct", point_class=PRESSURE)
    right = await trust()
    await review.answer(template, "correct", point_class=ALARM)
    wrong = await trust()
    assert wrong < before < right
    await review.send("/undo")
    await review.send("/undo")
    assert await trust() == before
