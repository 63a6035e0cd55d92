"""What is answered where a licence has no room."""

from __future__ import annotations

from typing import ClassVar

from plantroom_cloud.kit.problems import ApiError
from plantroom_cloud.licensing.model import Licence, Limit, Status


class LimitReached(ApiError):
    """The licence allows no more of it; `limit` and `plan` stand in the problem."""

    status: ClassVar[int] = 403
    code: ClassVar[str] = "limit_reached"
    title: ClassVar[str] = "The licence allows no more"

    def __init__(self, limit: Limit, licence: Licence, *, retry_after: int = 0) -> None:
        most = licence.amount(limit).most
        what = limit.value.replace("_", " ")
        detail = f"the plan {licence.plan!r} allows {most} {what}; ask for a larger one"
        members = {"limit": limit.value, "plan": licence.plan, "most": str(most)}
        headers = {"Retry-After": str(retry_after)} if retry_after else None
        super().__init__(detail, members=members, headers=headers)


class RequestsUsedUp(LimitReached):
    """No further request today."""

    status: ClassVar[int] = 429


class LicenceOver(ApiError):
    """The licence is suspended, or has ended."""

    status: ClassVar[int] = 403
    code: ClassVar[str] = "licence_over"
    title: ClassVar[str] = "There is no licence at the moment"

    def __init__(self, licence: Licence, status: Status) -> None:
        detail = (
            f"the plan {licence.plan!r} {'has ended' if status is Status.ENDED else 'is suspended'}:"
            " what there is can be read, and nothing is lost; ask who runs the service"
        )
        super().__init__(detail, members={"plan": licence.plan, "licence_status": status.value})


class FeatureOff(ApiError):
    """The feature is switched off for the company."""

    status: ClassVar[int] = 403
    code: ClassVar[str] = "feature_off"
    title: ClassVar[str] = "This feature is switched off"
