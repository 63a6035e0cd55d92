"""Energy in and energy out, kWh."""

from __future__ import annotations

from plantroom_cloud.battery.analytic import ANALYTICS, BatteryData, Figure
from plantroom_cloud.battery.throughput import Energy, charged_and_discharged


@ANALYTICS.register("energy")
def energy(data: BatteryData) -> list[Figure]:
    """Return ``energy_in`` (charged) and ``energy_out`` (discharged)."""
    charge, discharge = charged_and_discharged(data)
    return [_figure("energy_in", charge), _figure("energy_out", discharge)]


def _figure(name: str, energy: Energy) -> Figure:
    return Figure(
        name=name,
        value=energy.value,
        unit="kWh",
        start=energy.data.start,
        end=energy.data.end,
        method=energy.method,
        coverage=energy.coverage,
        grade=energy.grade,
        points=energy.points,
        flags=tuple(sorted(energy.flags)),
    )
