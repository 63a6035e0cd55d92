"""The names and numbers of BACnet (ANSI/ASHRAE 135) that reading points needs.

A table of our own rather than an import of bacpypes3's: that costs a gateway 12 MB and brings the
whole stack. The tests hold both against each other.
"""

from __future__ import annotations

from typing import Final

INSTANCE_BITS: Final = 22
MAX_INSTANCE: Final = (1 << INSTANCE_BITS) - 2
"""The highest instance there is; the one above means "unknown"."""

DEVICE: Final = 8

# properties
ACTIVE_TEXT: Final = 4
APPLICATION_SOFTWARE: Final = 12
COV_INCREMENT: Final = 22
DESCRIPTION: Final = 28
FIRMWARE: Final = 44
INACTIVE_TEXT: Final = 46
MAX_PRESENT_VALUE: Final = 65
MIN_PRESENT_VALUE: Final = 69
MODEL_NAME: Final = 70
OBJECT_IDENTIFIER: Final = 75
OBJECT_LIST: Final = 76
OBJECT_NAME: Final = 77
OUTPUT_UNITS: Final = 82
PRESENT_VALUE: Final = 85
PRIORITY_ARRAY: Final = 87
RELIABILITY: Final = 103
SCALE: Final = 187
SERVICES_SUPPORTED: Final = 97
STATE_TEXT: Final = 110
STATUS_FLAGS: Final = 111
UNITS: Final = 117
VENDOR_IDENTIFIER: Final = 120
VENDOR_NAME: Final = 121
DATABASE_REVISION: Final = 155

# confirmed services
CONFIRMED_COV_NOTIFICATION: Final = 1
SUBSCRIBE_COV: Final = 5
READ_PROPERTY: Final = 12
READ_PROPERTY_MULTIPLE: Final = 14
WRITE_PROPERTY: Final = 15

# unconfirmed services
UNCONFIRMED_COV_NOTIFICATION: Final = 2
TIME_SYNCHRONIZATION: Final = 6
UTC_TIME_SYNCHRONIZATION: Final = 9

POINT_TYPES: Final[dict[int, str]] = {
    0: "analog-input", 1: "analog-output", 2: "analog-value",
    3: "binary-input", 4: "binary-output", 5: "binary-value", 12: "loop",
    13: "multi-state-input", 14: "multi-state-output", 19: "multi-state-value",
    21: "life-safety-point", 23: "accumulator", 24: "pulse-converter",
    40: "characterstring-value", 42: "date-value", 44: "datetime-value",
    45: "integer-value", 46: "large-analog-value", 48: "positive-integer-value",
    50: "time-value", 54: "lighting-output", 55: "binary-lighting-output",
}  # fmt: skip
"""The object types that become points."""

LEFT_OUT: Final[dict[int, str]] = {
    6: "calendar: dates, no value", 7: "command: an action, no value",
    9: "event-enrollment: about another object", 10: "file: octets, no value",
    11: "group: copies of other objects", 15: "notification-class: whom to alarm",
    16: "program: a state of software", 17: "schedule: a plan, no value",
    18: "averaging: computed from another object", 20: "trend-log: history, no value",
    22: "life-safety-zone: computed from other objects", 25: "event-log: history, no value",
    26: "global-group: copies of other objects", 27: "trend-log-multiple: history, no value",
    29: "structured-view: a folder", 39: "bitstring-value: no number and no text",
    47: "octetstring-value: no number and no text", 51: "notification-forwarder: whom to alarm",
    52: "alert-enrollment: about another object", 56: "network-port: a setting",
}  # fmt: skip
"""Why the usual object types that are no points are none; others are unknown or rare."""

BINARY_TYPES: Final = frozenset({3, 4, 5})
MULTI_STATE_TYPES: Final = frozenset({13, 14, 19})
INPUT_TYPES: Final = frozenset({0, 3, 13, 21, 23, 24})
OUTPUT_TYPES: Final = frozenset({1, 4, 14, 54, 55})
VALUE_TYPES: Final = frozenset({2, 5, 19, 40, 42, 44, 45, 46, 48, 50})
"""These can be commanded if they have a priority array; each device decides."""
UNIT_TYPES: Final = frozenset({0, 1, 2, 23, 24, 45, 46, 48})
RANGED_TYPES: Final = frozenset({0, 1, 2, 45, 46, 48})
"""They may have a lowest and a highest value, and a change that is worth telling."""
LOOP: Final = 12
ACCUMULATOR: Final = 23
DATETIME_VALUE: Final = 44
LIGHTING_OUTPUT: Final = 54


def object_id(object_type: int, instance: int) -> int:
    """Return the 32 bits that name an object within its device."""
    return object_type << INSTANCE_BITS | instance


def split(oid: int) -> tuple[int, int]:
    """Return the object type and the instance in an object identifier."""
    return oid >> INSTANCE_BITS, oid & (1 << INSTANCE_BITS) - 1


def unit_name(number: int) -> str:
    """Return the BACnet name of engineering units; the empty text for none and for a vendor's own."""
    if number == _NO_UNITS:
        return ""
    return _UNITS[number] if 0 <= number < len(_UNITS) else _LATER_UNITS.get(number, "")


def reliability_reason(number: int) -> str:
    """Return why an object is not reliable: ``no-sensor``; the empty text where it is."""
    if number == 0:
        return ""
    name = _RELIABILITY[number] if 0 < number < len(_RELIABILITY) else ""
    return name or f"reliability-{number}"


def error_reason(code: int) -> str:
    """Return the stable text for an error code: ``error-unknown-object``, ``error-200``."""
    return f"error-{_ERRORS.get(code, code)}"


def refusal_reason(kind: str, code: int) -> str:
    """Return the stable text for an ``abort`` or ``reject``: ``abort-buffer-overflow``."""
    names = _ABORTS if kind == "abort" else _REJECTS
    return f"{kind}-{names[code] if code < len(names) else code}"


UNKNOWN_OBJECT: Final = 31
"""The error code for an object that the device does not have."""
UNRECOGNIZED_SERVICE: Final = 9
"""The reject reason of a device that lacks the service as a whole."""

_ABORTS: Final = (
    "other", "buffer-overflow", "invalid-apdu-in-this-state", "preempted-by-higher-priority-task",
    "segmentation-not-supported", "security-error", "insufficient-security",
    "window-size-out-of-range", "application-exceeded-reply-time", "out-of-resources",
    "tsm-timeout", "apdu-too-long",
)  # fmt: skip
_REJECTS: Final = (
    "other", "buffer-overflow", "inconsistent-parameters", "invalid-parameter-datatype",
    "invalid-tag", "missing-required-parameter", "parameter-out-of-range", "too-many-arguments",
    "undefined-enumeration", "unrecognized-service",
)  # fmt: skip

# The error codes that reading, writing and subscribing meet; the others keep their number.
_ERRORS: Final = {
    0: "other", 2: "configuration-in-progress", 3: "device-busy", 7: "inconsistent-parameters",
    9: "invalid-data-type", 16: "missing-required-parameter", 18: "no-space-for-object",
    19: "no-space-to-add-list-element", 20: "no-space-to-write-property",
    25: "operational-problem", 27: "read-access-denied", 29: "service-request-denied",
    30: "timeout", 31: "unknown-object", 32: "unknown-property", 36: "unsupported-object-type",
    37: "value-out-of-range", 40: "write-access-denied", 41: "character-set-not-supported",
    42: "invalid-array-index", 43: "cov-subscription-failed", 44: "not-cov-property",
    45: "optional-functionality-not-supported", 46: "invalid-configuration-data",
    47: "datatype-not-supported", 50: "property-is-not-an-array", 51: "abort-buffer-overflow",
    53: "abort-preempted-by-higher-priority-task", 54: "abort-segmentation-not-supported",
    56: "abort-other", 58: "network-down", 67: "reject-unrecognized-service",
    72: "value-not-initialized", 79: "unknown-subscription", 82: "busy",
    83: "communication-disabled", 85: "access-denied",
    114: "security-error", 131: "internal-error", 132: "not-configured", 133: "out-of-memory",
    134: "value-too-long",
}  # fmt: skip

_RELIABILITY: Final = """
no-fault-detected no-sensor over-range under-range open-loop shorted-loop no-output
unreliable-other process-error multi-state-fault configuration-error reliability-11
communication-failure member-fault monitored-object-fault tripped lamp-failure activation-failure
renew-dhcp-failure renew-fd-registration-failure restart-auto-negotiation-failure restart-failure
proprietary-command-failure faults-listed referenced-object-fault multi-state-out-of-range
""".split()  # noqa: SIM905 - quoted names would be no easier to read

_NO_UNITS: Final = 95
_LATER_UNITS: Final = {
    254: "million-standard-cubic-feet-per-minute", 47808: "standard-cubic-feet-per-day",
    47809: "million-standard-cubic-feet-per-day", 47810: "thousand-cubic-feet-per-day",
    47811: "thousand-standard-cubic-feet-per-day", 47812: "pounds-mass-per-day",
    47814: "millirems", 47815: "millirems-per-hour",
}  # fmt: skip

# By number, from 0.
_UNITS: Final = """
square-meters square-feet milliamperes amperes ohms volts kilovolts megavolts volt-amperes
kilovolt-amperes megavolt-amperes volt-amperes-reactive kilovolt-amperes-reactive
megavolt-amperes-reactive degrees-phase power-factor joules kilojoules watt-hours kilowatt-hours
btus therms ton-hours joules-per-kilogram-dry-air btus-per-pound-dry-air cycles-per-hour
cycles-per-minute hertz grams-of-water-per-kilogram-dry-air percent-relative-humidity millimeters
meters inches feet watts-per-square-foot watts-per-square-meter lumens luxes foot-candles
kilograms pounds-mass tons kilograms-per-second kilograms-per-minute kilograms-per-hour
pounds-mass-per-minute pounds-mass-per-hour watts kilowatts megawatts btus-per-hour horsepower
tons-refrigeration pascals kilopascals bars pounds-force-per-square-inch centimeters-of-water
inches-of-water millimeters-of-mercury centimeters-of-mercury inches-of-mercury degrees-celsius
degrees-kelvin degrees-fahrenheit degree-days-celsius degree-days-fahrenheit years months weeks
days hours minutes seconds meters-per-second kilometers-per-hour feet-per-second feet-per-minute
miles-per-hour cubic-feet cubic-meters imperial-gallons liters us-gallons cubic-feet-per-minute
cubic-meters-per-second imperial-gallons-per-minute liters-per-second liters-per-minute
us-gallons-per-minute degrees-angular degrees-celsius-per-hour degrees-celsius-per-minute
degrees-fahrenheit-per-hour degrees-fahrenheit-per-minute no-units parts-per-million
parts-per-billion percent percent-per-second per-minute per-second psi-per-degree-fahrenheit
radians revolutions-per-minute currency1 currency2 currency3 currency4 currency5 currency6
currency7 currency8 currency9 currency10 square-inches square-centimeters btus-per-pound
centimeters pounds-mass-per-second delta-degrees-fahrenheit delta-degrees-kelvin kilohms megohms
millivolts kilojoules-per-kilogram megajoules joules-per-degree-kelvin
joules-per-kilogram-degree-kelvin kilohertz megahertz per-hour milliwatts hectopascals millibars
cubic-meters-per-hour liters-per-hour kilowatt-hours-per-square-meter
kilowatt-hours-per-square-foot megajoules-per-square-meter megajoules-per-square-foot
watts-per-square-meter-degree-kelvin cubic-feet-per-second percent-obscuration-per-foot
percent-obscuration-per-meter milliohms megawatt-hours kilo-btus mega-btus
kilojoules-per-kilogram-dry-air megajoules-per-kilogram-dry-air kilojoules-per-degree-kelvin
megajoules-per-degree-kelvin newton grams-per-second grams-per-minute tons-per-hour
kilo-btus-per-hour hundredths-seconds milliseconds newton-meters millimeters-per-second
millimeters-per-minute meters-per-minute meters-per-hour cubic-meters-per-minute
meters-per-second-per-second amperes-per-meter amperes-per-square-meter ampere-square-meters
farads henrys ohm-meters siemens siemens-per-meter teslas volts-per-degree-kelvin volts-per-meter
webers candelas candelas-per-square-meter degrees-kelvin-per-hour degrees-kelvin-per-minute
joule-seconds radians-per-second square-meters-per-newton kilograms-per-cubic-meter newton-seconds
newtons-per-meter watts-per-meter-per-degree-kelvin micro-siemens cubic-feet-per-hour
us-gallons-per-hour kilometers micrometers grams milligrams milliliters milliliters-per-second
decibels decibels-millivolt decibels-volt millisiemens watt-hours-reactive kilowatt-hours-reactive
megawatt-hours-reactive millimeters-of-water per-mille grams-per-gram kilograms-per-kilogram
grams-per-kilogram milligrams-per-gram milligrams-per-kilogram grams-per-milliliter
grams-per-liter milligrams-per-liter micrograms-per-liter grams-per-cubic-meter
milligrams-per-cubic-meter micrograms-per-cubic-meter nanograms-per-cubic-meter
grams-per-cubic-centimeter becquerels kilobecquerels megabecquerels gray milligray microgray
sieverts millisieverts microsieverts microsieverts-per-hour decibels-a
nephelometric-turbidity-unit ph grams-per-square-meter minutes-per-degree-kelvin
ohm-meter-per-square-meter ampere-seconds volt-ampere-hours kilovolt-ampere-hours
megavolt-ampere-hours volt-ampere-hours-reactive kilovolt-ampere-hours-reactive
megavolt-ampere-hours-reactive volts-square-hours ampere-square-hours joules-per-hours
cubic-feet-per-day cubic-meters-per-day watt-hours-per-cubic-meter joules-per-cubic-meter
mole-percent pascal-seconds
""".split()  # noqa: SIM905 - 254 quoted names would be no easier to read
