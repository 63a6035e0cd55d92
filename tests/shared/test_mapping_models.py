"""Thing models: which point of a model a point is."""

from __future__ import annotations

import pytest

from plantroom_shared.mapping import map_points, model_point, thing_models
from plantroom_shared.mapping.models import counterpart
from plantroom_shared.model import Device, Point


@pytest.mark.parametrize(
    ("name", "unit", "object_type", "expected"),
    [
        ("Chiller 1 Chilled Water Supply Temp", "degF", "", "EnOS_HVAC_CH/CH_raw_temp_chws"),
        ("Chiller 1 CHW Entering Temp", "degF", "", "EnOS_HVAC_CH/CH_raw_temp_chwr"),
        ("Chiller 1 CDW Entering Temp", "degF", "", "EnOS_HVAC_CH/CH_raw_temp_cws"),
        ("Chiller 1 Total Energy", "kWh", "", "EnOS_HVAC_CH/CH_raw_energy_active_total"),
        ("Chiller 1 CHWST-SP", "degC", "", "EnOS_HVAC_CH/CH_raw_sp_temp_chws"),
        ("Chiller 1 Enable", "", "binary-output", ""),
        ("Chiller 1 Run Hours", "hours", "", ""),
        ("Chiller 1 Evap Refrig Pressure", "psi", "", ""),
        ("CDWP-3 On Off Command", "", "binary-output", "EnOS_HVAC_CWP/PUMP_raw_on_off_command"),
        ("CDWP-3 Status", "", "binary-input", "EnOS_HVAC_CWP/PUMP_raw_status"),
        ("CT-2 Leaving Water Temp", "degC", "", "EnOS_HVAC_CT/CT_raw_temp_cwl"),
        ("CT-2 Sump Level", "%", "", ""),
        ("AHU-9 Return Air CO2", "ppm", "", "EnOS_HVAC_AHU/AHU_raw_return_air_co2"),
        ("AHU-9 Exhaust Air Temp", "degC", "", ""),
        ("AHU-9 Mixed Air Temp", "degC", "", ""),
        ("FCU-9 Room Temp", "degC", "", "EnOS_HVAC_FCU/FCU_raw_zone_air_temp"),
        ("VAV-9 Zone Temp", "degC", "", ""),
        ("Power Meter 4 Active Power", "kW", "", "EnOS_Solar_METER_Generic/METER.ActivePW"),
        ("Power Meter 4 Current L2", "A", "", "EnOS_Solar_METER_Generic/METER.CurPh2"),
        ("Power Meter 4 Current Phase C", "A", "", "EnOS_Solar_METER_Generic/METER.CurPh3"),
        ("Power Meter 4 Reactive Power", "kvar", "", ""),
        ("Inverter 1 DC Power", "kW", "", "EnOS_Solar_RE_INV/INV.PVPowIn"),
        ("BESS 1 SOC", "%", "", "EnOS_Solar_RE_BS/BS.Soc"),
        ("BESS 1 String 3 SOC", "%", "", ""),
    ],
)
def test_points_get_their_counterpart_or_none(
    name: str, unit: str, object_type: str, expected: str
) -> None:
    """What the thing models have is found; what they lack gets nothing."""
    point = Point(key="p", device="d", name=name, unit=unit, object_type=object_type)
    item = map_points([point])[0]
    got = f"{item.model_id}/{item.model_point}" if item.model_point else ""
    assert got == expected


def test_weather_of_a_device() -> None:
    """A weather station names no equipment in its points: the device says what it is."""
    device = Device(key="d", name="Weather", protocol="bacnet")
    point = Point(key="p", device="d", name="Outside Humidity", unit="%RH")
    item = map_points([point], [device])[0]
    assert (item.model_id, item.model_point) == ("EnOS_CITY_WST", "WST_raw_outside_air_humidity")


def test_equipment_without_a_model_has_no_counterpart() -> None:
    """Words alone are not enough: the equipment must have a thing model."""
    words = ("Sensor", "Temperature", "Supply", "Air")
    assert counterpart("Variable_Air_Volume_Box", words) == ("", "")
    assert counterpart("", words) == ("", "")
    assert counterpart("Air_Handling_Unit", words)[1] == "AHU_raw_supply_air_temp"


def test_models_are_read_whole() -> None:
    """The public export of the chiller keeps its types."""
    point = model_point("EnOS_HVAC_CH", "CH_raw_trip")
    assert point is not None
    assert (point.data_type, point.signal_type) == ("INT", "DI")
    assert model_point("EnOS_HVAC_CH", "x") is None
    assert len(thing_models()) >= 12
