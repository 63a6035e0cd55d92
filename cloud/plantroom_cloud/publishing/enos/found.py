"""What an EnOS Edge says of devices and objects: checked, bounded, and ours to read. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, TypeVar

from pydantic import (
    AliasGenerator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)
from pydantic.alias_generators import to_camel

_LONGEST: Final = 512


def _text(value: Any) -> str | None:
    """Return a text without end and NUL; None for what is no text: that costs no record."""
    return value[:_LONGEST].replace("\0", "") if isinstance(value, str) else None


def _scalar(value: Any) -> float | int | bool | str | None:
    return value if isinstance(value, float | int) else _text(value)


Instance = Annotated[int, Field(ge=0, le=4_194_303)]
"""BACnet gives instances 22 bits."""
Text = Annotated[str | None, BeforeValidator(_text)]


class _Record(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="ignore", alias_generator=AliasGenerator(validation_alias=to_camel)
    )


class FoundDevice(_Record):
    """A BACnet device as the Edge reports it; most of it may be missing."""

    ot_device_inst: Instance
    ot_device_name: Text = None
    address: Text = None
    vendor_name: Text = None
    device_model: Text = None
    description: Text = None


class FoundPoint(_Record):
    """A BACnet object as the Edge reports it."""

    ot_device_inst: Instance
    object_type: Annotated[str, Field(pattern="^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
    object_inst: Instance
    object_name: Text = None
    description: Text = None
    unit: Text = None
    present_value: Annotated[float | int | bool | str | None, BeforeValidator(_scalar)] = Field(
        default=None, union_mode="left_to_right"
    )

    @property
    def key(self) -> tuple[int, str, int]:
        """Device, object type, instance: an instance alone stands for several objects."""
        return self.ot_device_inst, self.object_type, self.object_inst


R = TypeVar("R", bound=_Record)


def checked(kind: type[R], records: Sequence[Any]) -> tuple[list[R], int]:
    """Return the records that make sense, and how many do not; one costs no other."""
    good: list[R] = []
    for record in records:
        try:
            good.append(kind.model_validate(record))
        except ValidationError:
            continue
    return good, len(records) - len(good)
