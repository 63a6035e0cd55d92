"""The manifest: what the site serves and where, for whoever talks to it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .catalogue import keys_of
from .entry import Entry
from .modbus_devices import ModbusDevice

Manifest = dict[str, Any]

WATCHED_MACHINE = "chiller-1"
"""The machine whose fault is planted."""


def site_manifest(
    entries: list[Entry],
    bacnet: list[dict[str, Any]],
    modbus: Iterable[tuple[int, list[ModbusDevice]]],
) -> Manifest:
    """Return the manifest of a running site.

    Args:
        entries: its points.
        bacnet: ``{instance, address, name}`` of each device.
        modbus: each TCP port with the devices behind it.
    """
    watched = keys_of(entries, WATCHED_MACHINE)
    return {
        "points": len(entries),
        "bacnet": bacnet,
        "modbus": [
            {
                "name": devices[0].host,
                "host": "127.0.0.1",
                "port": port,
                "devices": [
                    {"name": one.name, "unit": one.unit, "profile": one.profile_name}
                    for one in devices
                ],
            }
            for port, devices in modbus
        ],
        "watch": {WATCHED_MACHINE: watched} if watched else {},
        "mappable": [{"key": one.key, "enos": one.enos} for one in entries if one.enos],
    }


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write `manifest` so that a reader sees all of it or nothing."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    part.replace(path)


def read_manifest(path: Path) -> Manifest:
    """Return the manifest in the file at `path`."""
    manifest: Manifest = json.loads(path.read_text(encoding="utf-8"))
    return manifest


def agent_config(
    manifest: Manifest,
    *,
    bacnet_interval: float = 1.0,
    modbus_interval: float = 1.0,
    watch_interval: float = 0.5,
) -> dict[str, Any]:
    """Return the ``buses`` of an agent's configuration that reads all of the site.

    Args:
        manifest: of the running site.
        bacnet_interval: seconds between two reads of a BACnet device.
        modbus_interval: seconds between two reads of a Modbus device.
        watch_interval: seconds between two reads of a device with a watched machine.
    """
    watched = {key.split(":")[1] for keys in manifest["watch"].values() for key in keys}
    bms = {
        "name": "bms",
        "driver": "bacnet",
        "bind": "127.0.0.1:0",
        "who_is": [device["address"] for device in manifest["bacnet"]],
        "interval": bacnet_interval,
        "devices": {int(instance): {"interval": watch_interval} for instance in sorted(watched)},
    }
    meters = [
        {
            "name": bus["name"],
            "driver": "modbus",
            "host": bus["host"],
            "port": bus["port"],
            "devices": [{**device, "interval": modbus_interval} for device in bus["devices"]],
        }
        for bus in manifest["modbus"]
    ]
    return {"buses": [bms, *meters]}


def detector_config(manifest: Manifest, *, every: float = 0.5) -> dict[str, Any]:
    """Return a ``pca`` detector that learns the watched machine in 22 s and sees its fault in 6.

    The margin is for the demo's hurry: half a minute's lesson at the default speed is a few
    hours of the site's time, and what follows it may lie a little beyond (no false finding in
    100 seeds, the fault scores ten times the threshold).

    Args:
        manifest: of the running site.
        every: seconds between two vectors.
    """
    machine, points = next(iter(manifest["watch"].items()))
    return {
        "name": machine,
        "detector": "pca",
        "subject": machine,
        "points": points,
        "every": every,
        "window": 4,
        "fit_after": 22.0,
        "variance": 0.98,
        "margin": 8.0,
        "persist": 3,
    }
