"""The EnOS simulator's asset trees and storage policies, as the documented API has them."""

from __future__ import annotations

from typing import Any

import pytest

from demo.enos_sim.app import Simulator
from demo.enos_sim.policies import Policies
from demo.enos_sim.trees import MAX_LAYERS, Trees
from demo.enos_sim.world import Device, Policy, Refused, World
from support import enos_site
from support.enos_site import AHU, TEMPERATURE

NAME = {"defaultValue": "x", "i18nValue": {}}
ROOT = {"modelId": "NULLMODEL", "name": NAME, "timezone": "UTC"} | {"timezone": "+00:00"}


def device(world: World, key: str) -> Device:
    """Add a device."""
    body = {
        "productName": NAME,
        "modelId": AHU,
        "dataFormat": "Json",
        "productType": "Device",
        "biDirectionalAuth": False,
    }
    product = next(iter(world.products.values()), None) or world.add_product(body)
    made = {"productKey": product.key, "deviceKey": key, "deviceName": NAME, "timezone": "+00:00"}
    return world.add_device(made)


@pytest.fixture
def trees() -> Trees:
    """A world with one tree."""
    made = Trees(enos_site.world())
    made.create({}, {"asset": ROOT, "tree": {"name": NAME, "tags": {"plantroom": "t"}}})
    return made


def query(trees: Trees, asset: str, parent: str = "") -> dict[str, str]:
    """Return the parameters of a call about an asset of the one tree."""
    (tree,) = trees.trees.values()
    return {
        "treeId": tree.tree_id,
        "assetId": asset,
        "parentAssetId": parent or tree.root["assetId"],
    }


def code(call: Any, *arguments: Any) -> int:
    """Return the code that a call is refused with."""
    with pytest.raises(Refused) as refused:
        call(*arguments)
    return refused.value.code


def test_assets_are_linked_moved_and_taken_out(trees: Trees) -> None:
    """A device stands in a tree once, under one asset; only leaves leave it."""
    first, second = (device(trees.world, key).asset_id for key in ("dev1", "dev2"))
    trees.associate(query(trees, first), {})
    trees.associate(query(trees, second, first), {})
    assert code(trees.associate, query(trees, first), {}) == 17558
    assert code(trees.delete, query(trees, first), {}) == 17766
    assert code(trees.move, query(trees, first, second), {}) == 99400
    trees.move(query(trees, second), {})
    trees.delete(query(trees, first), {})
    assert code(trees.delete, query(trees, first), {}) == 99400
    assert code(trees.move, query(trees, first), {}) == 99400
    (tree,) = trees.trees.values()
    assert tree.path(second) == [tree.root["assetId"], second]


def test_what_a_tree_refuses(trees: Trees) -> None:
    """Unknown trees, parents and assets, the root, and more than seven layers."""
    (tree,) = trees.trees.values()
    asset = device(trees.world, "dev1").asset_id
    assert code(trees.associate, {"treeId": "?"}, {}) == 17404
    assert code(trees.associate, query(trees, asset, "nowhere"), {}) == 17752
    assert code(trees.associate, query(trees, "nobody"), {}) == 1257
    assert code(trees.delete, query(trees, tree.root["assetId"]), {}) == 17764
    above = ""
    for layer in range(MAX_LAYERS - 1):
        at = device(trees.world, f"deep{layer}").asset_id
        trees.associate(query(trees, at, above), {})
        above = at
    assert code(trees.associate, query(trees, asset, above), {}) == 17770


@pytest.mark.parametrize(
    "asset",
    [
        None,
        ROOT | {"name": "x"},
        ROOT | {"timezone": "here"},
        ROOT | {"modelId": "no such model"},
    ],
)
def test_a_root_is_checked(trees: Trees, asset: Any) -> None:
    """A tree whose root makes no sense is not made."""
    assert code(trees.create, {}, {"asset": asset}) in (99400, 11699)
    assert len(trees.trees) == 1


def test_a_deleted_device_leaves_its_tree(trees: Trees) -> None:
    """What stood under a device that is deleted stands under what that stood under."""
    first, second = (device(trees.world, key).asset_id for key in ("dev1", "dev2"))
    trees.associate(query(trees, first), {})
    trees.associate(query(trees, second, first), {})
    trees.forget(first)
    (tree,) = trees.trees.values()
    assert tree.parents == {second: tree.root["assetId"]}


def test_a_policy_keeps_what_it_names() -> None:
    """Without any policy all is kept; with one only what it names, and saving replaces it."""
    world = enos_site.world()
    policies = Policies(world)
    (row,) = policies.get_points({"modelIds": AHU}, {})
    assert len(row["tsdb_metadata"]) > 20
    world.policies["p"] = Policy({AHU: {TEMPERATURE}})
    asked = {"modelIds": f"{AHU},unknown", "measurepoints": f"{TEMPERATURE},AHU_raw_status"}
    assert policies.get_points(asked, {}) == [
        {"modelId": AHU, "tsdb_metadata": {TEMPERATURE: ["AI_RAW"]}},
        {"modelId": "unknown", "tsdb_metadata": {}},
    ]
    policies.save({"policy": "p"}, {"models": [{"modelId": "m", "points": ["x"]}]})
    shown = policies.get({"policy": "p"}, {})
    assert shown["models"] == [{"modelId": "m", "points": ["x"]}]
    assert shown["retention"] == "6M"
    assert code(policies.get, {"policy": "q"}, {}) == 99404
    assert code(policies.save, {"policy": "p"}, {}) == 99400
    assert code(policies.get_points, {}, {}) == 99400
    many = {"modelIds": AHU, "measurepoints": ",".join(map(str, range(3001)))}
    assert code(policies.get_points, many, {}) == 99400


def test_products_and_models_are_deleted() -> None:
    """A product with devices stays; a deleted model takes its products and devices with it."""
    simulator = Simulator(enos_site.world())
    world, rest = simulator.world, simulator.rest
    made = device(world, "dev1")
    assert code(rest._delete_product, {"productKey": made.product.key}, {}) == 11619
    assert code(rest._delete_product, {"productKey": "?"}, {}) == 11611
    rest.delete_model(AHU)
    assert (world.products, world.devices) == ({}, {})
    assert code(world.model, AHU) == 11699
