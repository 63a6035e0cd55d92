"""Asset trees of EnOS: look up, create, link, move."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plantroom_cloud.publishing.enos.devices import i18n, quoted
from plantroom_cloud.publishing.enos.drift import FoundTree
from plantroom_cloud.publishing.enos.gateway import Gateway
from plantroom_shared.errors import Rejected, Unavailable

_TREES = "/asset-tree-service/v2.1/asset-trees"
_NODES = "/asset-tree-service/v2.1/asset-nodes"
_PATHS = "/asset-tree-service/v2.1/asset-paths"
_PAGE = 1000
_MAX_PAGES = 200
_TAG = "plantroom"
_LINKED = "17558"
"""The asset stands in the tree already."""


async def find_tree(gateway: Gateway, site: str) -> FoundTree | None:
    """Return the tree of a site with all that stands in it; None where there is none.

    Raises:
        Unavailable: later.
        Rejected: EnOS will not tell.
    """
    body = {
        "expression": f"tags.{_TAG} = '{quoted(site)}'",
        "pagination": {"pageNo": 1, "pageSize": 10},
    }
    reply = await gateway.call("POST", _TREES, {"action": "search"}, body)
    data = reply.get("data")
    for row in data if isinstance(data, list) else []:
        match row:
            case {"treeId": str(tree_id), "asset": {"assetId": str(root)}}:
                return FoundTree(tree_id, root, await _parents(gateway, tree_id))
            case {"asset": {"assetId": str(root), "treeId": str(tree_id)}}:
                return FoundTree(tree_id, root, await _parents(gateway, tree_id))
    return None


async def _parents(gateway: Gateway, tree_id: str) -> dict[str, str]:
    """Return asset → the asset above it, of a whole tree."""
    parents: dict[str, str] = {}
    for page in range(1, _MAX_PAGES + 1):
        body = {"pagination": {"pageNo": page, "pageSize": _PAGE}, "projection": ["assetPaths"]}
        query = {"action": "search", "treeId": tree_id}
        data = (await gateway.call("POST", _PATHS, query, body)).get("data")
        found = data.get("assetPaths") if isinstance(data, dict) else None
        paths = (
            [path for path in found if isinstance(path, list)] if isinstance(found, list) else []
        )
        for path in paths:
            parents.update(zip(map(str, path[1:]), map(str, path), strict=False))
        if len(paths) < _PAGE:
            break
    return parents


async def create_tree(
    gateway: Gateway, site: str, *, name: str, timezone: str, model_id: str
) -> FoundTree:
    """Make the tree of a site with an asset that stands for it at the root; return it."""
    body = {
        "asset": {
            "modelId": model_id,
            "name": i18n(name),
            "timezone": timezone,
            "tags": {_TAG: site},
        },
        "tree": {"name": i18n(name), "tags": {_TAG: site}},
    }
    await gateway.call("POST", _TREES, {"action": "create"}, body)
    # The answer names the tree, not its root.
    made = await find_tree(gateway, site)
    if made is None:
        msg = f"EnOS created an asset tree for site {site} and does not find it"
        raise Unavailable(msg)
    return made


async def link(gateway: Gateway, tree: FoundTree, asset_id: str, parent: str) -> None:
    """Put an asset under another one; harmless where it stands in the tree already."""
    query = _query("associateAsset", tree, asset_id) | {"parentAssetId": parent}
    try:
        await gateway.call("POST", _NODES, query)
    except Rejected as error:
        if error.reason != _LINKED:
            raise
    tree.parents[asset_id] = parent


async def move(gateway: Gateway, tree: FoundTree, asset_id: str, parent: str) -> None:
    """Put an asset that stands in the tree under another one."""
    query = _query("move", tree, asset_id) | {"parentAssetId": parent}
    await gateway.call("POST", _NODES, query)
    tree.parents[asset_id] = parent


async def unlink(gateway: Gateway, tree: FoundTree, asset_id: str) -> None:
    """Take an asset out of the tree; the asset itself stays."""
    await gateway.call("POST", _NODES, _query("delete", tree, asset_id))
    tree.parents.pop(asset_id, None)


def _query(action: str, tree: FoundTree, asset_id: str) -> dict[str, str]:
    return {"action": action, "treeId": tree.tree_id, "assetId": asset_id}


def shown_name(name: Any) -> str:
    """Return a StringI18n as we write names."""
    text = name.get("defaultValue") if isinstance(name, Mapping) else name
    return text if isinstance(text, str) else ""
