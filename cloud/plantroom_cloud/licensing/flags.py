"""Features that can be switched per company: declared here, and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.db import Scope
from plantroom_cloud.licensing.errors import FeatureOff
from plantroom_cloud.licensing.repository import LicenceRepository


@dataclass(frozen=True, slots=True)
class Flag:
    """A feature that can be switched."""

    name: str
    default: bool
    owner: str
    """The package that asks for it."""
    about: str


LLM: Final = "llm"
COMMANDS: Final = "commands"
FLAGS: Final = {
    flag.name: flag
    for flag in (
        Flag(LLM, True, "mapping", "Names of points may be shown to the language model."),
        Flag(COMMANDS, True, "commands", "Points may be written from the cloud."),
    )
}


async def enabled(session: AsyncSession, scope: Scope, name: str) -> bool:
    """Tell whether a feature is on; KeyError for one that is not declared."""
    default = FLAGS[name].default
    switched = await LicenceRepository(session, Scope(scope.company_id)).feature(name)
    return default if switched is None else switched


async def require(session: AsyncSession, scope: Scope, name: str) -> None:
    """Raise FeatureOff where a feature is off."""
    if not await enabled(session, scope, name):
        msg = f"{name} is switched off for your company; PUT /v1/features/{name} switches it on"
        raise FeatureOff(msg)
