"""Reads what EnOS should hold for a site and what it holds."""

from __future__ import annotations

from plantroom_cloud.config import EnosTarget
from plantroom_cloud.publishing.enos import drift
from plantroom_cloud.publishing.enos.devices import device_rows, find_product
from plantroom_cloud.publishing.enos.equipment import Equipment, device_name, zone
from plantroom_cloud.publishing.enos.gateway import Gateway
from plantroom_cloud.publishing.enos.policies import model_points, stored_points
from plantroom_cloud.publishing.enos.trees import find_tree, shown_name
from plantroom_cloud.publishing.plan import Plan


def desired_of(
    plan: Plan, site_id: int, equipment: Equipment, target: EnosTarget
) -> drift.Desired | None:
    """Return what EnOS should hold for a site; None where nothing of it is published."""
    wanted, rows = equipment.of_site(site_id)
    if not wanted:
        return None
    renamed = {new: old for (site, new), (_, old) in plan.renamed.items() if site == site_id}
    devices: dict[str, drift.Device] = {}
    for name, want in wanted.items():
        row = rows.get(renamed.get(name, name))
        keeps = row is not None and row.model_id in want.models
        model_id = row.model_id if row is not None and keeps else want.model_id
        key = equipment.key_of(want.mapped.site_slug, (site_id, renamed.get(name, name)))
        devices[name] = drift.Device(
            name,
            model_id,
            key,
            device_name(name),
            zone(want.mapped.timezone, target.timezone),
            frozenset(want.points.get(model_id, ())),
            want.parent,
        )
    any_of = next(iter(wanted.values())).mapped
    known = {
        name: drift.Known(name, row.model_id, row.asset_id, row.name, row.gone_us is not None)
        for name, row in rows.items()
    }
    return drift.Desired(
        any_of.site_slug,
        any_of.site_name or any_of.site_slug,
        zone(any_of.timezone, target.timezone),
        target.site_model,
        devices,
        known,
        {new: old for new, old in renamed.items() if old in rows},
        target.storage_policy,
    )


async def found_of(gateway: Gateway, desired: drift.Desired) -> drift.Found:
    """Return what EnOS holds of what it should.

    Raises:
        Unavailable: EnOS is away.
        Rejected: EnOS will not tell.
    """
    found = drift.Found()
    keys: dict[str, list[str]] = {}
    for device in desired.devices.values():
        keys.setdefault(device.model_id, []).append(device.device_key)
    for model_id in sorted(keys):
        found.models[model_id] = await model_points(gateway, model_id)
        product_key = await find_product(gateway, model_id)
        if product_key is None:
            continue
        found.products[model_id] = product_key
        for row in await device_rows(gateway, product_key, sorted(keys[model_id])):
            found.devices[row["deviceKey"]] = drift.FoundDevice(
                row["assetId"],
                product_key,
                row["deviceKey"],
                model_id,
                shown_name(row.get("deviceName")),
                str(row.get("timezone", "")),
            )
    found.tree = await find_tree(gateway, desired.site)
    found.stored = await stored_points(gateway, sorted(keys))
    return found
