"""Plans: what EnOS should hold and what it holds, the steps between, and carrying them out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo.enos_sim.faults import Fault
from demo.enos_sim.world import Policy
from plantroom_cloud.db import Database
from plantroom_cloud.publishing.enos import drift
from plantroom_cloud.publishing.plan import Mapped, Meaning, renames
from plantroom_cloud.publishing.steps import Step
from plantroom_shared.errors import Rejected
from support.enos_plans import MINUTE, PlanWay, ids, opened
from support.enos_site import AHU, STATUS, TEMPERATURE

CHILLER = "EnOS_HVAC_CH"
RUNS = (CHILLER, "CH_raw_status")


def desired(**more: Any) -> drift.Desired:
    """Return a site with an AHU and a chiller under it."""
    devices = {
        "AHU-1": drift.Device("AHU-1", AHU, "t:AHU-1", "AHU-1", "UTC", frozenset({TEMPERATURE})),
        "CH-1": drift.Device(
            "CH-1", CHILLER, "t:CH-1", "CH-1", "UTC", frozenset({RUNS[1]}), "AHU-1"
        ),
    }
    parts: dict[str, Any] = {"devices": devices} | more
    return drift.Desired("t", "Tower", "UTC", "NULLMODEL", **parts)


def models() -> dict[str, frozenset[str] | None]:
    return {AHU: frozenset({TEMPERATURE}), CHILLER: frozenset({RUNS[1]})}


def settled() -> tuple[drift.Desired, drift.Found]:
    """Return a site of which EnOS holds all that it should."""
    known = {
        "AHU-1": drift.Known("AHU-1", AHU, "A1", "AHU-1"),
        "CH-1": drift.Known("CH-1", CHILLER, "A2", "CH-1"),
    }
    devices = {
        "t:AHU-1": drift.FoundDevice("A1", "pk1", "t:AHU-1", AHU, "AHU-1", "UTC"),
        "t:CH-1": drift.FoundDevice("A2", "pk2", "t:CH-1", CHILLER, "CH-1", "UTC"),
    }
    tree = drift.FoundTree("T", "L", {"A1": "L", "A2": "A1"})
    stored = {AHU: frozenset({TEMPERATURE}), CHILLER: frozenset({RUNS[1]})}
    products = {AHU: "pk1", CHILLER: "pk2"}
    return desired(known=known), drift.Found(models(), products, devices, tree, stored)


def named(steps: list[Step]) -> list[str]:
    return [step.id for step in steps]


# ------------------------------------------------------------ pure


def test_nothing_is_to_do_where_all_is_as_it_should_be() -> None:
    """A plan of what is already so is empty."""
    assert drift.diff(*settled()) == []


def test_a_site_that_is_new_is_all_new_steps() -> None:
    """Products come before devices, the tree before what stands in it, parents before children."""
    steps = drift.diff(desired(), drift.Found(models()))
    assert named(steps) == [
        f"create_product {AHU}",
        f"create_product {CHILLER}",
        "create_device AHU-1",
        "create_device CH-1",
        "create_tree t",
        "link_device AHU-1",
        "link_device CH-1",
    ]
    assert all(step.new and not step.by_hand for step in steps)
    assert steps[-1].details == {"under": "AHU-1"}


def test_a_deleted_model_is_for_a_person() -> None:
    """Of a thing model that EnOS lacks nothing is created; the plan says what a person must do."""
    wanted, found = settled()
    found.models[CHILLER] = None
    found.products.pop(CHILLER)
    found.devices.pop("t:CH-1")
    found.tree = drift.FoundTree("T", "L", {"A1": "L"})
    (step,) = drift.diff(wanted, found)
    assert (step.id, step.by_hand) == (f"import_model {CHILLER}", True)


def test_points_that_a_model_lost_are_named() -> None:
    """A point that is published and not in EnOS's model is named, once, for a person."""
    wanted, found = settled()
    found.models[AHU] = frozenset()
    assert named(drift.diff(wanted, found)) == [f"add_points {AHU}"]


@pytest.mark.parametrize(
    ("known", "said"),
    [("AHU-1", "somebody has changed it in EnOS"), ("Old", "called otherwise here now")],
)
def test_a_name_is_set_right_and_says_who_changed_it(known: str, said: str) -> None:
    """What we wrote last tells a name that was changed here from one that was changed there."""
    wanted, found = settled()
    before = {**wanted.known, "AHU-1": drift.Known("AHU-1", AHU, "A1", known)}
    found.devices["t:AHU-1"].name = "Old"
    (step,) = drift.diff(desired(known=before), found)
    assert step.id == "rename_device AHU-1"
    assert said in step.why
    assert not step.new


def test_a_lost_device_is_made_again_only_on_a_word() -> None:
    """A device that EnOS has lost is no new one: making it again is a step that changes things."""
    wanted, found = settled()
    del found.devices["t:CH-1"]
    found.tree = drift.FoundTree("T", "L", {"A1": "L"})
    create, link = drift.diff(wanted, found)
    assert (create.id, create.new) == ("create_device CH-1", False)
    assert link.id == "link_device CH-1"


def test_what_is_published_no_more_leaves_the_tree_alone() -> None:
    """Equipment that nothing is published of leaves the tree; its device stays."""
    wanted, found = settled()
    devices = {"CH-1": wanted.devices["CH-1"]}
    assert named(drift.diff(desired(known=wanted.known, devices=devices), found)) == [
        "move_device CH-1"
    ]
    assert found.tree is not None
    found.tree.parents["A2"] = "L"
    (step,) = drift.diff(desired(known=wanted.known, devices=devices), found)
    assert (step.id, step.details) == ("unlink_device AHU-1", {"asset_id": "A1"})


@pytest.mark.parametrize("policy", ["", "p1"])
def test_points_that_nothing_keeps_are_found(policy: str) -> None:
    """A point without a storage policy is a step; who does it is for the settings to say."""
    wanted, found = settled()
    found.stored = {AHU: frozenset({TEMPERATURE})}
    (step,) = drift.diff(desired(known=wanted.known, storage_policy=policy), found)
    assert step.id == f"store_points {CHILLER}"
    assert step.by_hand is not bool(policy)
    found.stored = None
    assert drift.diff(desired(known=wanted.known), found) == []


@given(st.dictionaries(st.integers(0, 12), st.integers(0, 12), min_size=1))
def test_any_parents_make_a_tree(parents: dict[int, int]) -> None:
    """Whatever is said of parents, circles too: each is linked once, after its parent, and not too deep."""
    devices = {
        str(n): drift.Device(str(n), AHU, f"t:{n}", str(n), "UTC", parent=str(parent))
        for n, parent in parents.items()
    }
    steps = drift.diff(desired(devices=devices), drift.Found({AHU: frozenset()}, {AHU: "pk"}))
    links = [step for step in steps if step.action == "link_device"]
    assert sorted(step.subject for step in links) == sorted(devices)
    depth = {"": 1}
    for step in links:
        depth[step.subject] = depth[step.details["under"]] + 1
    assert max(depth.values()) <= drift.MAX_DEPTH


def mapped(equipment: str, point: str) -> Mapped:
    return Mapped(1, 1, "t", "UTC", equipment, AHU, point)


def test_equipment_that_is_only_called_otherwise() -> None:
    """All points of one move to one that is new: a renaming. A part of them, or a merger, is none."""
    before = {
        1: Meaning(1, "a", AHU, "x"),
        2: Meaning(1, "a", AHU, "y"),
        3: Meaning(1, "b", AHU, "x"),
    }
    whole = {1: mapped("c", "x"), 2: mapped("c", "y"), 3: mapped("b", "x")}
    assert renames(whole, before) == {(1, "c"): (1, "a")}
    assert renames(whole | {2: mapped("a", "y")}, before) == {}
    assert renames(whole | {2: mapped("d", "y")}, before) == {}
    assert renames(whole | {2: mapped("c", "z")}, before) == {}
    assert renames({1: mapped("b", "x"), 2: mapped("b", "y"), 3: mapped("b", "x")}, before) == {}
    assert renames({1: mapped("c", "x"), 2: mapped("c", "y"), 3: mapped("c", "z")}, before) == {}
    assert renames({2: mapped("c", "y"), 3: mapped("b", "x")}, before) == {(1, "c"): (1, "a")}


# ------------------------------------------------------------ against EnOS


async def say(way: PlanWay, *names: str) -> None:
    """Have points say something, and publish it."""
    way.clock.us += 20_000_000
    rows = [(name, way.clock.us, 1.0) for name in names]
    await way.site.put(rows, created_us=way.clock.us)
    await way.drain()


async def two(way: PlanWay) -> None:
    """Publish an AHU and a chiller, in a tree."""
    await way.site.add_mapped("t")
    await way.site.add_mapped("c", equipment="CH-1", target=RUNS)
    await say(way, "t", "c")
    await way.plans.serve()


async def test_what_is_new_is_added_without_a_word(sqlite_database: Database) -> None:
    """Approved mappings make products, devices and the site's tree; a plan then has no steps."""
    async with opened(sqlite_database) as way:
        await two(way)
        assert way.enos.under() == {"AHU-1": "", "CH-1": ""}
        (tree,) = way.enos.world.trees.values()
        assert tree.root["name"]["defaultValue"] == "tower"
        assert ids(await way.ask()) == []


async def test_a_deleted_model_comes_back(sqlite_database: Database) -> None:
    """Somebody deletes a thing model with all that follows it, and imports it again: nothing is lost."""
    async with opened(sqlite_database) as way:
        await two(way)
        way.enos.running.rest.delete_model(CHILLER)
        await say(way, "t", "c")
        plan = await way.ask()
        assert ids(plan) == [f"import_model {CHILLER}"]
        done = await way.give_word(plan)
        assert done["result"] == {f"import_model {CHILLER}": "for a person to do there"}
        way.enos.world.hidden_models.clear()
        plan = await way.ask()
        wanted = [f"create_product {CHILLER}", "create_device CH-1", "link_device CH-1"]
        assert ids(plan) == wanted
        await way.give_word(plan)
        await say(way, "t", "c")
        chiller = [ms for device, _, ms in way.enos.values() if device == "CH-1"]
        assert len(chiller) == 3
        assert ids(await way.ask()) == []


async def test_steps_can_be_left_out(sqlite_database: Database) -> None:
    """Whoever gives the word may keep what was changed on the other side."""
    async with opened(sqlite_database) as way:
        await two(way)
        for name in ("AHU-1", "CH-1"):
            device = way.enos.world.devices[way.enos.device(name)]
            device.name = {"defaultValue": f"{name} (theirs)", "i18nValue": {}}
            device.timezone = "+08:00"
        plan = await way.ask()
        assert len(plan["steps"]) == 4
        done = await way.give_word(plan, ["rename_device CH-1"])
        assert done["result"]["rename_device CH-1"] == "left out"
        assert ids(await way.ask()) == ["rename_device CH-1"]
        shown = {device.name["defaultValue"] for device in way.enos.world.devices.values()}
        assert shown == {"AHU-1", "CH-1 (theirs)"}


async def test_what_nobody_has_seen_is_not_done(sqlite_database: Database) -> None:
    """Between plan and word somebody changes more: that is left for the next plan."""
    async with opened(sqlite_database) as way:
        await two(way)
        first, second = (way.enos.world.devices[way.enos.device(n)] for n in ("AHU-1", "CH-1"))
        first.name = {"defaultValue": "x", "i18nValue": {}}
        plan = await way.ask()
        second.name = {"defaultValue": "y", "i18nValue": {}}
        done = await way.give_word(plan)
        assert done["state"] == "done"
        assert done["result"]["rename_device AHU-1"] == "done"
        assert "plan again" in done["result"]["rename_device CH-1"]
        assert second.name["defaultValue"] == "y"


@pytest.mark.parametrize("path", ["/devices", "/asset-nodes", "/products", "/asset-paths"])
@pytest.mark.parametrize("mode", ["lost", "503"])
async def test_a_plan_that_is_broken_off_goes_on(
    sqlite_database: Database, path: str, mode: str
) -> None:
    """EnOS goes away within a plan, its answer lost or never given: it goes on, and ends as wanted."""
    async with opened(sqlite_database) as way:
        await two(way)
        way.enos.running.rest.delete_model(CHILLER)
        await say(way, "t", "c")
        way.enos.world.hidden_models.clear()
        plan = await way.ask()
        transport = way.publisher._gateway._transport
        patience, transport._deadline = transport._deadline, 0.3
        spoil = Fault.model_validate({"mode": mode, "count": 1, "path": path})
        way.enos.running.faults.waiting.append(spoil)
        done = await way.give_word(plan)
        transport._deadline = patience  # a busy machine may need longer than that to go on
        assert done["state"] == "approved"
        assert done["note"]
        done = await way.served(plan["id"])
        assert done["state"] == "done"
        assert ids(await way.ask()) == []
        assert way.enos.under() == {"AHU-1": "", "CH-1": ""}
        await say(way, "t", "c")
        said = [device for device, _, _ in way.enos.values()]
        assert sorted(said) == ["AHU-1"] * 3 + ["CH-1"] * 3


async def test_a_step_that_enos_refuses_costs_no_other(sqlite_database: Database) -> None:
    """One step is refused: the others are done, the plan says which and why."""
    async with opened(sqlite_database, site_model="NO_SUCH_MODEL") as way:
        await two(way)
        assert way.enos.world.trees == {}
        plan = await way.ask()
        assert ids(plan) == ["create_tree tower", "link_device AHU-1", "link_device CH-1"]
        done = await way.give_word(plan)
        assert done["state"] == "failed"
        assert all(text.startswith("refused: ") for text in done["result"].values())


async def test_points_get_a_storage_policy(sqlite_database: Database) -> None:
    """Points that EnOS would forget are added to the policy of the settings; others stay in it."""
    async with opened(sqlite_database, storage_policy="p1") as way:
        way.enos.world.policies["p1"] = Policy({AHU: {STATUS}, "other": {"x"}}, "12M")
        await two(way)
        plan = await way.ask()
        assert ids(plan) == [f"store_points {AHU}", f"store_points {CHILLER}"]
        await way.give_word(plan)
        kept = way.enos.world.policies["p1"]
        assert kept.models == {AHU: {STATUS, TEMPERATURE}, CHILLER: {RUNS[1]}, "other": {"x"}}
        assert kept.retention == "12M"
        assert ids(await way.ask()) == []


async def test_equipment_stands_under_what_feeds_it(sqlite_database: Database) -> None:
    """The mapper's parents are the tree's, and one who learns better moves the device."""
    async with opened(sqlite_database) as way:
        await way.site.add_mapped("t")
        await way.site.add_mapped("s", equipment="AHU-2", target=(AHU, STATUS), parent="AHU-1")
        await say(way, "t", "s")
        await way.plans.serve()
        assert way.enos.under() == {"AHU-1": "", "AHU-2": "AHU-1"}
        await way.site.map_point("s", equipment="AHU-2", target=(AHU, STATUS))
        way.clock.us += MINUTE
        plan = await way.ask()
        assert ids(plan) == ["move_device AHU-2"]
        await way.give_word(plan)
        assert way.enos.under() == {"AHU-1": "", "AHU-2": ""}


async def test_a_plan_waits_while_enos_is_away(sqlite_database: Database) -> None:
    """A plan that is asked for while EnOS is away is made when it is back."""
    async with opened(sqlite_database) as way:
        await two(way)
        await way.enos.off()
        plan = await way.ask()
        assert plan["state"] == "wanted"
        assert "cannot be reached" in plan["note"]
        await way.enos.on()
        made = await way.served(plan["id"])
        assert (made["state"], made["note"]) == ("made", "")


async def test_a_site_without_mappings_has_no_steps(sqlite_database: Database) -> None:
    """Where nothing is published there is nothing to do, and no step can be carried out."""
    async with opened(sqlite_database) as way:
        assert ids(await way.ask()) == []
        with pytest.raises(Rejected, match="nothing to do"):
            await way.publisher.carry_out(Step("create_tree", "tower", ""))


async def test_renamed_equipment_keeps_its_device(sqlite_database: Database) -> None:
    """Before the word its values go on to the device it had; a later namesake gets one of its own."""
    async with opened(sqlite_database) as way:
        await way.site.add_mapped("t")
        await say(way, "t")
        (asset,) = way.enos.world.devices
        await way.site.map_point("t", equipment="AHU North")
        await say(way, "t")
        assert {where for where, _, _ in way.enos.world.values} == {asset}
        plan = await way.ask()
        assert ids(plan)[:2] == ["rename_equipment AHU North", "rename_device AHU North"]
        await way.give_word(plan)
        await say(way, "t")
        assert [where for where, _, _ in way.enos.world.values] == [asset] * 3
        await way.site.add_mapped("s", equipment="AHU-1", target=(AHU, STATUS))
        await say(way, "s")
        names = {device.name["defaultValue"] for device in way.enos.world.devices.values()}
        assert names == {"AHU North", "AHU-1"}
        assert len(way.enos.world.devices) == 2
        # And back again, over the one that nothing is published of any more.
        await way.site.map_point("s", equipment="AHU-1", target=(AHU, STATUS), state="rejected")
        await say(way)
        await way.site.map_point("t", equipment="AHU-1")
        await say(way, "t")
        await way.give_word(await way.ask())
        await say(way, "t")
        assert way.enos.world.devices[asset].name["defaultValue"] == "AHU-1"
        said = [where for where, point, _ in way.enos.world.values if point == TEMPERATURE]
        assert said == [asset] * 5


async def test_a_point_of_another_equipment_is_no_renaming(sqlite_database: Database) -> None:
    """One point moves, the others stay: its equipment gets a device, and its history goes there."""
    async with opened(sqlite_database) as way:
        await way.site.add_mapped("t")
        await way.site.add_mapped("s", target=(AHU, STATUS))
        await say(way, "t", "s")
        await way.site.map_point("s", equipment="AHU-2", target=(AHU, STATUS))
        await say(way, "t", "s")
        assert sorted(way.enos.values()) == [
            (device, point, ms)
            for device, point in (("AHU-1", STATUS), ("AHU-1", TEMPERATURE), ("AHU-2", STATUS))
            for ms in sorted({ms for _, _, ms in way.enos.values()})
            if (device, point) != ("AHU-1", STATUS) or ms == min(m for _, _, m in way.enos.values())
        ]
