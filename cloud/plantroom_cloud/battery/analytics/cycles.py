"""Equivalent full cycles on the nameplate energy: partial cycles count pro rata."""

from __future__ import annotations

from dataclasses import replace

from plantroom_cloud.battery.analytic import ANALYTICS, BatteryData, Figure, worst
from plantroom_cloud.battery.throughput import charged_and_discharged


@ANALYTICS.register("cycles")
def cycles(data: BatteryData) -> list[Figure]:
    """Return ``efc`` = (in + out) / (2 x rated energy) and ``efc_discharge`` = out / rated."""
    charge, discharge = charged_and_discharged(data)
    rated = data.rated_kwh
    both = half = None
    if rated and discharge.value is not None:
        half = discharge.value / rated
        if charge.value is not None:
            both = (charge.value + discharge.value) / (2 * rated)
    flags = charge.flags | discharge.flags
    if not rated:
        flags |= {"rated_energy_unknown"}
    common = Figure(
        name="efc",
        value=both,
        unit="cycles",
        start=data.start,
        end=data.end,
        method="cycles.energy/1",
        coverage=min(charge.coverage, discharge.coverage),
        grade="N" if both is None else worst(charge.grade, discharge.grade),
        points=tuple(dict.fromkeys(charge.points + discharge.points)),
        flags=tuple(sorted(flags)),
    )
    alone = replace(
        common,
        name="efc_discharge",
        value=half,
        coverage=discharge.coverage,
        grade="N" if half is None else discharge.grade,
        points=discharge.points,
    )
    return [common, alone]
