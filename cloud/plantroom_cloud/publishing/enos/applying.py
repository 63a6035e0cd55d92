"""Carries out the steps of a plan, each of them harmless where it is done already."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from plantroom_cloud.publishing.enos import drift, policies, trees
from plantroom_cloud.publishing.enos.devices import product_for, update_device
from plantroom_cloud.publishing.enos.equipment import Equipment
from plantroom_cloud.publishing.enos.gateway import Gateway
from plantroom_cloud.publishing.plan import Place
from plantroom_cloud.publishing.steps import Step
from plantroom_shared.errors import Rejected


class Applier:
    """Takes a site from what was found to what is desired.

    Args:
        gateway: the way to EnOS.
        equipment: the devices we know.
        site_id: the site.
        desired: what EnOS should hold.
        found: what it held when the plan was made; kept up to date with every step.
        history_us: how much history a device gets that is made again.
    """

    def __init__(
        self,
        gateway: Gateway,
        equipment: Equipment,
        site_id: int,
        *,
        desired: drift.Desired,
        found: drift.Found,
        history_us: int,
    ) -> None:
        self._gateway, self._equipment, self._site_id = gateway, equipment, site_id
        self._desired, self._found, self._history_us = desired, found, history_us
        self._renamed = dict(desired.renamed)
        self._actions: dict[str, Callable[[Step], Awaitable[None]]] = {
            "create_product": self._create_product,
            "create_device": self._create_device,
            "adopt_device": self._adopt_device,
            "rename_equipment": self._rename_equipment,
            "rename_device": self._write_device,
            "set_timezone": self._write_device,
            "create_tree": self._create_tree,
            "link_device": self._link_device,
            "move_device": self._move_device,
            "unlink_device": self._unlink_device,
            "store_points": self._store_points,
        }

    async def carry_out(self, step: Step) -> None:
        """Do one step.

        Raises:
            Unavailable: EnOS is away; the step is done or not, and may be done again.
            Rejected: EnOS will not have it.
        """
        action = self._actions.get(step.action)
        if action is None:
            msg = f"{step.action} is for a person to do in EnOS"
            raise Rejected(msg, reason="by_hand")
        await action(step)

    # ------------------------------------------------------------ devices

    async def _create_product(self, step: Step) -> None:
        self._found.products[step.subject] = await product_for(self._gateway, step.subject)

    async def _create_device(self, step: Step) -> None:
        device = self._desired.devices[step.subject]
        made = await self._equipment.make(self._place(step.subject), device, self._history_us)
        self._found.devices[device.device_key] = made

    async def _adopt_device(self, step: Step) -> None:
        there = self._found.devices[self._desired.devices[step.subject].device_key]
        await self._equipment.adopt(self._place(step.subject), there, self._history_us)

    async def _rename_equipment(self, step: Step) -> None:
        before = self._renamed.pop(step.subject)
        await self._equipment.rename(self._site_id, before, step.subject)

    def _place(self, equipment: str) -> Place:
        """Return equipment under the name by which we know it, so far."""
        return self._site_id, self._renamed.get(equipment, equipment)

    async def _write_device(self, step: Step) -> None:
        """Write what a device is called and where it is, both: EnOS wants both."""
        device = self._desired.devices[step.subject]
        there = self._found.devices[device.device_key]
        name = device.name if step.action == "rename_device" else there.name
        timezone = device.timezone if step.action == "set_timezone" else there.timezone
        await update_device(self._gateway, there.asset_id, name=name, timezone=timezone)
        there.name, there.timezone = name, timezone
        if step.action == "rename_device":
            await self._equipment.note_name(self._place(step.subject), name)

    # ------------------------------------------------------------ tree

    async def _create_tree(self, _step: Step) -> None:
        wanted = self._desired
        self._found.tree = await trees.create_tree(
            self._gateway,
            wanted.site,
            name=wanted.site_name,
            timezone=wanted.timezone,
            model_id=wanted.model_id,
        )

    async def _link_device(self, step: Step) -> None:
        tree, asset_id, parent = self._node(step)
        await trees.link(self._gateway, tree, asset_id, parent)

    async def _move_device(self, step: Step) -> None:
        tree, asset_id, parent = self._node(step)
        await trees.move(self._gateway, tree, asset_id, parent)

    async def _unlink_device(self, step: Step) -> None:
        await trees.unlink(self._gateway, self._tree(step), step.details["asset_id"])

    def _node(self, step: Step) -> tuple[drift.FoundTree, str, str]:
        """Return the tree, the asset to put into it and the one to put it under."""
        tree, under = self._tree(step), step.details["under"]
        return tree, self._asset(step.subject), self._asset(under) if under else tree.root

    def _tree(self, step: Step) -> drift.FoundTree:
        if self._found.tree is None:
            msg = f"there is no asset tree to {step.action} in"
            raise Rejected(msg, reason="no_tree")
        return self._found.tree

    def _asset(self, equipment: str) -> str:
        there = self._found.devices.get(self._desired.devices[equipment].device_key)
        if there is None:
            msg = f"EnOS has no device for {equipment}"
            raise Rejected(msg, reason="no_device")
        return there.asset_id

    # ------------------------------------------------------------ storage

    async def _store_points(self, step: Step) -> None:
        policy, points = self._desired.storage_policy, step.details["points"]
        await policies.store(self._gateway, policy, {step.subject: points})
