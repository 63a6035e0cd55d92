"""What a company says about mappings as a whole: another model, another point, sign, unit. Pure data."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from plantroom_shared.mapping.conversion import NOTHING, Adjustment


@dataclass(frozen=True, slots=True)
class Override:
    """One row: for whom it holds, and what it says; empty means "any" and "as it is"."""

    site_id: int | None = None
    point_id: int | None = None
    equipment: str = ""
    model_id: str = ""
    """Mapped to this model ..."""
    model_point: str = ""
    """... and this point of it."""
    to_model: str = ""
    """Publish to this model in its place."""
    to_point: str = ""
    """Publish to this point in its place."""
    adjustment: Adjustment = NOTHING

    @property
    def rank(self) -> tuple[bool, bool, bool, bool, bool]:
        """What is said of less counts more: a point, equipment, a site, a model point, a model."""
        return (
            self.point_id is not None,
            bool(self.equipment),
            self.site_id is not None,
            bool(self.model_point),
            bool(self.model_id),
        )


class Meaning(NamedTuple):
    """What a point is published as, overrides applied."""

    model_id: str
    model_point: str
    adjustment: Adjustment


class Overrides:
    """The overrides of a company that hold now."""

    def __init__(self, rows: Iterable[Override] = ()) -> None:
        self._by_model: defaultdict[str, list[Override]] = defaultdict(list)
        for row in sorted(rows, key=lambda row: row.rank):
            self._by_model[row.model_id].append(row)

    def apply(
        self, point_id: int, site_id: int, equipment: str, model_id: str, model_point: str
    ) -> Meaning:
        """Return what a point is published as.

        Each of target model, target point and adjustment comes from the most special row that says
        something of it. `model_id` and `model_point` are those of the mapping, for every row: one
        override never sees what another one made of it.
        """
        to_model, to_point, adjustment = model_id, model_point, NOTHING
        rows = [*self._by_model.get("", ()), *self._by_model.get(model_id, ())]
        for row in sorted(rows, key=lambda row: row.rank):
            if not _holds(row, point_id, site_id, equipment, model_point):
                continue
            to_model = row.to_model or to_model
            to_point = row.to_point or to_point
            adjustment = row.adjustment if row.adjustment != NOTHING else adjustment
        return Meaning(to_model, to_point, adjustment)


def _holds(row: Override, point_id: int, site_id: int, equipment: str, model_point: str) -> bool:
    return (
        row.point_id in (None, point_id)
        and row.site_id in (None, site_id)
        and row.equipment in ("", equipment)
        and row.model_point in ("", model_point)
    )
