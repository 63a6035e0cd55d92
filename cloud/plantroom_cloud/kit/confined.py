"""The rows of some sites: for whoever is confined to them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, false, select

from plantroom_cloud.tables import Alarm, Gateway, Point, Site


def lies_at(table: Any, company: int, sites: Collection[int]) -> ColumnElement[bool]:
    """Return the condition that rows of `table` belong to some sites of a company.

    What belongs to no site, but to the company as a whole, belongs to none of them.
    """
    here = sorted(sites)
    if table is Site:
        return Site.id.in_(here)
    if hasattr(table, "site_id"):
        return table.site_id.in_(here)  # type: ignore[no-any-return] # of whichever table
    for name, owner in (("point_id", Point), ("gateway_id", Gateway), ("alarm_id", Alarm)):
        if hasattr(table, name):
            mine = (owner.company_id == company, owner.site_id.in_(here))
            return getattr(table, name).in_(select(owner.id).where(*mine))  # type: ignore[no-any-return] # as above
    return false()
