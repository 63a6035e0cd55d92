"""What EnOS should hold for a site, what it holds, and the steps from one to the other. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from plantroom_cloud.publishing.steps import Step

MAX_DEPTH: Final = 7
"""Layers of an asset tree, the root included."""
_SHOWN = 20
"""Points named in a step."""


@dataclass(frozen=True, slots=True)
class Device:
    """A device as it should be."""

    equipment: str
    model_id: str
    device_key: str
    name: str
    timezone: str
    points: frozenset[str] = frozenset()
    """Thing-model points that are published."""
    parent: str = ""
    """Equipment under which it stands; empty for the root."""


@dataclass(frozen=True, slots=True)
class Known:
    """What we know of a device from before."""

    equipment: str
    model_id: str
    asset_id: str = ""
    name: str = ""
    """As we wrote it last."""
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Desired:
    """What EnOS should hold for a site."""

    site: str
    site_name: str
    timezone: str
    model_id: str
    """Of the root asset."""
    devices: Mapping[str, Device] = field(default_factory=dict)
    """Equipment → device."""
    known: Mapping[str, Known] = field(default_factory=dict)
    """Equipment → what we know of it, under the name it had."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Equipment → what it was called."""
    storage_policy: str = ""
    """Id of a policy to which points may be added; empty where a person does that."""


@dataclass(slots=True)
class FoundDevice:
    """A device as EnOS has it."""

    asset_id: str
    product_key: str
    device_key: str
    model_id: str
    name: str
    timezone: str


@dataclass(slots=True)
class FoundTree:
    """A site's asset tree as EnOS has it."""

    tree_id: str
    root: str
    parents: dict[str, str] = field(default_factory=dict)
    """Asset → the asset above it; the root stands under nothing."""


@dataclass(slots=True)
class Found:
    """What EnOS holds for a site."""

    models: dict[str, frozenset[str] | None] = field(default_factory=dict)
    """Thing model → its measurement points; None where there is no such model."""
    products: dict[str, str] = field(default_factory=dict)
    """Thing model → key of the product for it."""
    devices: dict[str, FoundDevice] = field(default_factory=dict)
    """Device key → device."""
    tree: FoundTree | None = None
    stored: dict[str, frozenset[str]] | None = None
    """Thing model → points that a storage policy keeps; None where EnOS does not tell."""


def diff(desired: Desired, found: Found) -> list[Step]:
    """Return the steps that make EnOS hold what it should, each after those it needs."""
    steps = [*_models(desired, found), *_products(desired, found)]
    for equipment in sorted(desired.devices):
        steps += _device(desired, found, desired.devices[equipment])
    steps += _tree(desired, found)
    steps += _retired(desired, found)
    steps += _storage(desired, found)
    return steps


def parents_in_order(desired: Desired) -> list[str]:
    """Return equipment so that each comes after the one it stands under."""
    return sorted(desired.devices, key=lambda name: (len(path(desired.devices, name)), name))


def path(devices: Mapping[str, Device], equipment: str) -> list[str]:
    """Return the equipment above `equipment`, the nearest first; nothing is above a circle."""
    above: list[str] = []
    at = equipment
    while not _circles(devices, at) and devices[at].parent in devices:
        at = devices[at].parent
        above.append(at)
    return above


def _circles(devices: Mapping[str, Device], equipment: str) -> bool:
    """Say whether equipment is said to stand, in the end, under itself."""
    seen: set[str] = set()
    at = devices[equipment].parent
    while at in devices and at not in seen and at != equipment:
        seen.add(at)
        at = devices[at].parent
    return at == equipment


def _usable(device: Device, found: Found) -> bool:
    return found.models.get(device.model_id) is not None


def _by_model(desired: Desired) -> dict[str, list[Device]]:
    models: dict[str, list[Device]] = {}
    for equipment in sorted(desired.devices):
        device = desired.devices[equipment]
        models.setdefault(device.model_id, []).append(device)
    return models


def _models(desired: Desired, found: Found) -> Iterator[Step]:
    for model_id, devices in sorted(_by_model(desired).items()):
        points = found.models.get(model_id)
        if points is None:
            why = (
                f"EnOS has no thing model {model_id}; the values of {len(devices)} equipment wait "
                "until it is imported there, or their mapping says another model"
            )
            names = [device.equipment for device in devices][:_SHOWN]
            yield Step("import_model", model_id, why, {"equipment": names}, by_hand=True)
            continue
        missing = sorted(set().union(*(device.points for device in devices)) - points)
        if missing:
            why = (
                f"{len(missing)} points that are published are not in EnOS's {model_id}; it "
                "refuses their values until they are added there, or their mapping changes"
            )
            details = {"points": missing[:_SHOWN], "count": len(missing)}
            yield Step("add_points", model_id, why, details, by_hand=True)


def _products(desired: Desired, found: Found) -> Iterator[Step]:
    for model_id, devices in sorted(_by_model(desired).items()):
        if found.models.get(model_id) is not None and model_id not in found.products:
            why = f"no product follows {model_id}, of which {len(devices)} devices are to be"
            yield Step("create_product", model_id, why, new=True)


# ---------------------------------------------------------------- devices


def _device(desired: Desired, found: Found, device: Device) -> Iterator[Step]:
    name, there = device.equipment, found.devices.get(device.device_key)
    known = desired.known.get(desired.renamed.get(name, name))
    if there is None:
        if _usable(device, found):
            yield _create(device, known)
        return
    if known is None or known.gone or known.asset_id != there.asset_id:
        was = known.asset_id if known is not None else ""
        why = f"EnOS has the device as asset {there.asset_id}"
        why += f", we know it as {was}" if was and was != there.asset_id else ""
        why += ", and said before that it is gone" if known is not None and known.gone else ""
        details = {"asset_id": there.asset_id, "was": was}
        yield Step(
            "adopt_device",
            name,
            f"{why}; its history is sent",
            details,
            instead_of=f"create_device {name}",
        )
    before = desired.renamed.get(name)
    if before is not None:
        why = f"equipment {before} is called {name} now; its device and all it holds stay"
        yield Step("rename_equipment", name, why, {"before": before})
    yield from _changed(device, known, there)


def _create(device: Device, known: Known | None) -> Step:
    details = {"model_id": device.model_id, "device_key": device.device_key}
    if known is None or not known.asset_id:
        why = f"{len(device.points)} points are published of it, and EnOS has no device for it"
        return Step("create_device", device.equipment, why, details, new=True)
    why = (
        f"EnOS has lost its device (asset {known.asset_id}); it is made again and its history "
        f"of {len(device.points)} points is sent again"
    )
    return Step("create_device", device.equipment, why, details)


def _changed(device: Device, known: Known | None, there: FoundDevice) -> Iterator[Step]:
    if there.name != device.name:
        ours = known is not None and known.name in ("", there.name)
        why = "it is called otherwise here now" if ours else "somebody has changed it in EnOS"
        why = f"EnOS calls it {there.name!r}, and it should be {device.name!r}: {why}"
        details = {"from": there.name, "to": device.name, "asset_id": there.asset_id}
        yield Step("rename_device", device.equipment, why, details)
    if there.timezone != device.timezone:
        why = f"EnOS has it in time zone {there.timezone}, and the site is in {device.timezone}"
        details = {"from": there.timezone, "to": device.timezone, "asset_id": there.asset_id}
        yield Step("set_timezone", device.equipment, why, details)


# ---------------------------------------------------------------- tree, storage


def _tree(desired: Desired, found: Found) -> Iterator[Step]:
    if not desired.devices:
        return
    if found.tree is None:
        why = f"EnOS has no asset tree for site {desired.site}"
        details = {"model_id": desired.model_id, "name": desired.site_name}
        yield Step("create_tree", desired.site, why, details, new=True)
    for name in parents_in_order(desired):
        device = desired.devices[name]
        there = found.devices.get(device.device_key)
        if there is None and not _usable(device, found):
            continue  # it is not made either
        where = _place(desired, device)
        shown = where or f"site {desired.site}"
        parent = found.tree.parents.get(there.asset_id) if found.tree and there else None
        if parent is None:
            why = f"it stands nowhere in the tree; it belongs under {shown}"
            yield Step("link_device", name, why, {"under": where}, new=True)
        elif found.tree is not None and parent != _asset(desired, found, where):
            why = f"it stands under another asset ({parent}); it belongs under {shown}"
            yield Step("move_device", name, why, {"under": where, "from": parent})


def _place(desired: Desired, device: Device) -> str:
    """Return the equipment under which a device stands: the root's where the tree gets too deep."""
    above = path(desired.devices, device.equipment)
    return above[0] if above and len(above) + 2 <= MAX_DEPTH else ""


def _asset(desired: Desired, found: Found, equipment: str) -> str:
    """Return the asset of equipment, the root's for none."""
    if not equipment:
        return found.tree.root if found.tree else ""
    there = found.devices.get(desired.devices[equipment].device_key)
    return there.asset_id if there else ""


def _retired(desired: Desired, found: Found) -> Iterator[Step]:
    old = set(desired.renamed.values())
    for name in sorted(desired.known.keys() - desired.devices.keys() - old):
        asset_id = desired.known[name].asset_id
        if found.tree is None or asset_id not in found.tree.parents:
            continue
        if asset_id in found.tree.parents.values():
            continue  # others stand under it; they are moved first
        why = "nothing is published of it any more; its device and what it holds stay in EnOS"
        yield Step("unlink_device", name, why, {"asset_id": asset_id})


def _storage(desired: Desired, found: Found) -> Iterator[Step]:
    if found.stored is None:
        return
    for model_id, devices in sorted(_by_model(desired).items()):
        wanted = set().union(*(device.points for device in devices))
        wanted &= found.models.get(model_id) or frozenset()
        lacking = sorted(wanted - found.stored.get(model_id, frozenset()))
        if not lacking:
            continue
        why = f"no storage policy keeps {len(lacking)} points of {model_id}: EnOS forgets their values"
        details = {"points": lacking, "count": len(lacking), "policy": desired.storage_policy}
        by_hand = not desired.storage_policy
        why += "; name a policy as storage_policy in the enos settings" if by_hand else ""
        yield Step("store_points", model_id, why, details, by_hand=by_hand)
