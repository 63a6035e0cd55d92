"""Asset trees of the simulated EnOS: logical assets at the roots, devices below. No HTTP."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fastapi.responses import JSONResponse

from demo.enos_sim.replies import answer
from demo.enos_sim.search import matches, page
from demo.enos_sim.world import TIMEZONE, Refused, World, check_name

MAX_LAYERS = 7
_PAGE = 1000
NULL_MODEL = "NULLMODEL"
"""The model of assets without properties, which every organisation has."""


@dataclass
class Tree:
    """A tree: its root and what stands under what."""

    tree_id: str
    name: dict[str, Any]
    tags: dict[str, str]
    root: dict[str, Any]
    """The logical asset at the root, as the API shows it."""
    parents: dict[str, str] = field(default_factory=dict)
    """Asset → the asset above it."""

    def holds(self, asset_id: str) -> bool:
        """Say whether an asset stands in the tree."""
        return asset_id == self.root["assetId"] or asset_id in self.parents

    def path(self, asset_id: str) -> list[str]:
        """Return the assets from the root to `asset_id`."""
        found = [asset_id]
        while found[0] in self.parents:
            found.insert(0, self.parents[found[0]])
        return found


class Trees:
    """All trees of an organisation."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.trees: dict[str, Tree] = world.trees

    def create(self, _query: dict[str, str], body: dict[str, Any]) -> str:
        """Make a tree and the logical asset at its root; return the tree's id."""
        asset, tree = body.get("asset"), body.get("tree")
        if not isinstance(asset, dict):
            raise Refused(99400, "Invalid Argument: asset")
        check_name(asset.get("name"))
        if not TIMEZONE.match(str(asset.get("timezone", ""))):
            raise Refused(99400, "Invalid Argument: timezone")
        model_id = str(asset.get("modelId"))
        if model_id != NULL_MODEL:
            self.world.model(model_id)
        info: dict[str, Any] = tree if isinstance(tree, dict) else {}
        serial = self.world.next_serial()
        root = {
            "assetId": f"L{serial:07d}",
            "modelId": model_id,
            "modelIdPath": f"/{model_id}",
            "name": asset["name"],
            "timezone": asset["timezone"],
            "attributes": asset.get("attributes") or {},
            "tags": asset.get("tags") or {},
            "label": "1",
            "inValid": False,
        }
        made = Tree(
            f"T{serial:07d}", info.get("name") or asset["name"], info.get("tags") or {}, root
        )
        self.trees[made.tree_id] = made
        return made.tree_id

    def search(self, _query: dict[str, str], body: dict[str, Any]) -> JSONResponse:
        """Return trees as ``asset-trees?action=search`` shows them."""
        shown = [
            {"treeId": t.tree_id, "name": t.name, "tags": t.tags, "asset": t.root}
            for t in self.trees.values()
        ]
        expression = str(body.get("expression") or "")
        matches(expression, {})
        rows, pagination = page([row for row in shown if matches(expression, row)], body, _PAGE)
        return answer(rows, pagination=pagination)

    def associate(self, query: dict[str, str], _body: dict[str, Any]) -> str:
        """Put an existing device under an asset of the tree."""
        tree, asset_id, parent = self._node(query)
        if tree.holds(asset_id):
            raise Refused(17558, "AssetId is existed in the tree")
        if len(tree.path(parent)) >= MAX_LAYERS:
            raise Refused(17770, "Exceeding the layer limit(7)")
        tree.parents[asset_id] = parent
        return asset_id

    def move(self, query: dict[str, str], _body: dict[str, Any]) -> None:
        """Put an asset of the tree under another one of it."""
        tree, asset_id, parent = self._node(query)
        if asset_id not in tree.parents:
            raise Refused(99400, "Invalid Argument: assetId is not in the tree")
        if asset_id in tree.path(parent):
            raise Refused(99400, "Invalid Argument: parentAssetId is below assetId")
        tree.parents[asset_id] = parent

    def delete(self, query: dict[str, str], _body: dict[str, Any]) -> None:
        """Take a leaf out of the tree."""
        tree, asset_id = self._tree(query), query.get("assetId", "")
        if asset_id == tree.root["assetId"]:
            raise Refused(17764, "The root asset node cannot be deleted.")
        if asset_id in tree.parents.values():
            raise Refused(17766, "The noleaf asset node cannot be deleted.")
        if tree.parents.pop(asset_id, None) is None:
            raise Refused(99400, "Invalid Argument: assetId is not in the tree")

    def paths(self, query: dict[str, str], body: dict[str, Any]) -> JSONResponse:
        """Return the ways from the root to every leaf."""
        tree = self._tree(query)
        leaves = sorted(tree.parents.keys() - set(tree.parents.values()))
        rows, pagination = page([tree.path(leaf) for leaf in leaves], body, _PAGE)
        return answer({"assets": {}, "assetPaths": rows}, pagination=pagination)

    def forget(self, asset_id: str) -> None:
        """Take a deleted device out of every tree; what stood under it stands under its parent."""
        for tree in self.trees.values():
            above = tree.parents.pop(asset_id, None)
            for child in [c for c, parent in tree.parents.items() if parent == asset_id]:
                tree.parents[child] = above or tree.root["assetId"]

    def _node(self, query: dict[str, str]) -> tuple[Tree, str, str]:
        tree, parent = self._tree(query), query.get("parentAssetId", "")
        if not tree.holds(parent):
            raise Refused(17752, "Parent assetId is not existed in the tree")
        return tree, self.world.find(dict(query)).asset_id, parent

    def _tree(self, query: dict[str, str]) -> Tree:
        tree = self.trees.get(query.get("treeId", ""))
        if tree is None:
            raise Refused(17404, "TreeId is not exist")
        return tree
