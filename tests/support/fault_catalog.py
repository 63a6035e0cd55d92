"""Every fault case there is: importing this module enters them all into `CASES`."""

from __future__ import annotations

from importlib import import_module

from support.fault_case import CASES, Case, Setting

for _name in (
    "powercut", "disk", "space", "month", "store", "cloud", "network", "identity", "devices",
    "fuzz", "fleet", "kills", "commands", "hostile", "dead_units",
    "claims", "renewals",
    "dependencies",
):  # fmt: skip
    import_module(f"support.fault_{_name}")

__all__ = ["CASES", "Case", "Setting"]
