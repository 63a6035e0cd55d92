"""What a rule says: of which points, findings or gateways something is an alarm."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from plantroom_cloud.alarms.conditions import SECOND, Kind, Limit, Watch
from plantroom_cloud.kit.parameters import MAX_ID

Priority = Literal["low", "medium", "high", "critical"]
PRIORITIES: Final[tuple[Priority, ...]] = ("low", "medium", "high", "critical")

Text = Annotated[str, StringConstraints(pattern=r"\A[^\x00]*\z")]
Name = Annotated[Text, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]
Note = Annotated[Text, StringConstraints(max_length=2000)]
PointId = Annotated[int, Field(ge=1, le=MAX_ID)]
Number = Annotated[float, Field(ge=-1e300, le=1e300, allow_inf_nan=False)]
Delay = Annotated[float, Field(ge=0, le=86_400)]

Condition = Literal["offline", "clock", "clone", "fork", "restored", "gap"]


def priority_number(name: Priority) -> int:
    """Return 1 for low up to 4 for critical."""
    return PRIORITIES.index(name) + 1


def priority_name(number: int) -> Priority:
    """Return the name of a priority."""
    return PRIORITIES[min(max(number, 1), len(PRIORITIES)) - 1]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Compared(_Strict):
    compare: Kind = Field(examples=["above"])
    high: Number | None = Field(default=None, description="Of above and outside.", examples=[8.0])
    low: Number | None = Field(default=None, description="Of below and outside.")
    dead_band: float = Field(default=0, ge=0, le=1e300, description="Back within by so much.")
    value: bool | Number | Text | None = Field(default=None, description="Of equals and differs.")

    @model_validator(mode="after")
    def _complete(self) -> _Compared:
        needed = {
            "above": ("high",),
            "below": ("low",),
            "outside": ("low", "high"),
            "equals": ("value",),
            "differs": ("value",),
        }[self.compare]
        limits = ("high", "low", "value")
        if any((getattr(self, name) is not None) is not (name in needed) for name in limits):
            msg = f"compare: {self.compare} takes exactly: {', '.join(needed)}"
            raise ValueError(msg)
        if self.compare == "outside" and (self.high or 0.0) <= (self.low or 0.0):
            msg = "low must be below high"
            raise ValueError(msg)
        return self

    @property
    def limit(self) -> Limit:
        """Return the limit as the evaluation has it."""
        value = self.value if isinstance(self.value, str) else float(self.value or 0)
        return Limit(self.compare, self.high or 0.0, self.low or 0.0, self.dead_band, value)


class Suppression(_Compared):
    """The state of the equipment in which there is no alarm: a fan that is off."""

    point: PointId | None = Field(default=None, description="Its state counts; or:")
    point_class: Annotated[Text, StringConstraints(max_length=200)] | None = Field(
        default=None,
        examples=["Fan_On_Off_Status"],
        description="that of the point of this class on the same equipment.",
    )
    hold_s: Delay = Field(default=0, description="Seconds to go on after it has left that state.")

    @model_validator(mode="after")
    def _one(self) -> Suppression:
        if (self.point is None) is (self.point_class is None):
            msg = "give either point or point_class"
            raise ValueError(msg)
        return self


class Threshold(_Compared):
    """Values of points beyond a limit. Only good samples count; others change nothing."""

    kind: Literal["threshold"] = "threshold"
    points: list[PointId] = Field(min_length=1, max_length=1000, examples=[[1, 2]])
    on_delay_s: Delay = Field(default=0, description="Seconds beyond the limit before it alarms.")
    off_delay_s: Delay = Field(default=0, description="Seconds within it before it is over.")
    suppress: Suppression | None = None

    @property
    def watch(self) -> Watch:
        """Return limit and delays as the evaluation has them."""
        delays = (round(self.on_delay_s * SECOND), round(self.off_delay_s * SECOND))
        return Watch(self.limit, *delays)


class Findings(_Strict):
    """What detectors find: an alarm for each detector and device."""

    kind: Literal["finding"] = "finding"
    detector: Annotated[Text, StringConstraints(max_length=200)] | None = Field(
        default=None, examples=["pca"], description="None: any."
    )
    least_score: float = Field(default=0, ge=0, le=1e300)


class GatewayConditions(_Strict):
    """What is wrong with a gateway or its delivery: an alarm for each gateway and condition."""

    kind: Literal["gateway"] = "gateway"
    conditions: list[Condition] = Field(
        default=["offline", "clock", "clone", "fork", "restored", "gap"], min_length=1, max_length=6
    )
    gateways: list[Annotated[Text, StringConstraints(max_length=40)]] | None = Field(
        default=None, min_length=1, max_length=1000, description="None: all."
    )
    offline_s: Delay = Field(default=120, description="Seconds offline before it alarms.")


class AlarmRuleIn(_Strict):
    """What is an alarm, how urgent it is, and what is to be done."""

    name: Name = Field(examples=["Chilled water too warm"])
    site: Annotated[int, Field(ge=1, le=MAX_ID)] | None = Field(
        default=None, description="Only of this site."
    )
    priority: Priority = "medium"
    latching: bool = Field(default=False, description="It stays until somebody resets it.")
    enabled: bool = True
    response: Note = Field(default="", description="What the operator is to do.")
    consequence: Note = Field(default="", description="What happens if nobody does.")
    longest_shelf_s: float = Field(default=86_400, ge=60, le=30 * 86_400)
    when: Annotated[Threshold | Findings | GatewayConditions, Field(discriminator="kind")]


def read_rule(config: Any) -> AlarmRuleIn:
    """Return a rule as the table keeps it."""
    return AlarmRuleIn.model_validate(config)
