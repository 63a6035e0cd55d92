"""What can be followed, and what that needs. Pure.

::

    samples/{site}   the newest sample of each point, commit by commit
    alarms           findings, alarms, troubles of delivery
    jobs             jobs and how far they have come
    gateways         who connects, who is gone
"""

from __future__ import annotations

import re
from typing import Final

from plantroom_cloud.identity.permissions import Permission, Principal

ALARMS: Final = "alarms"
JOBS: Final = "jobs"
GATEWAYS: Final = "gateways"
ACCESS: Final = "~access"
"""Of the service itself: somebody's rights have changed, who is connected is looked at again."""
MOST: Final = 50
"""Topics of one connection."""

_SITE: Final = re.compile(r"samples/([1-9]\d{0,17})", re.ASCII)
_NEEDS: Final = {
    ALARMS: Permission.ALARM_READ,
    JOBS: Permission.JOB_READ,
    GATEWAYS: Permission.GATEWAY_READ,
}


def samples(site: int) -> str:
    """Return the topic of a site's samples."""
    return f"samples/{site}"


def site_of(topic: str) -> int | None:
    """Return the site whose samples `topic` is about; None where it is about none."""
    found = _SITE.fullmatch(topic)
    return int(found[1]) if found else None


def permission_of(topic: str) -> Permission | None:
    """Return what following `topic` needs; None if there is no such topic."""
    return Permission.POINT_READ if _SITE.fullmatch(topic) else _NEEDS.get(topic)


def may_follow(who: Principal, topic: str) -> bool:
    """Tell whether `who` may follow `topic`; whether the site is its company's is not asked."""
    needed, site = permission_of(topic), site_of(topic)
    if needed is None or not who.may(needed):
        return False
    return site is None or who.sites is None or site in who.sites


def may_see(who: Principal, sites: tuple[int, ...]) -> bool:
    """Tell whether an event about `sites` is for `who`: one confined to sites sees these alone."""
    if who.sites is None:
        return True
    return bool(sites) and who.sites.issuperset(sites)
