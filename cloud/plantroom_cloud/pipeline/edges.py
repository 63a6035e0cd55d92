"""Which EnOS Edges a job has search their networks, and what their points are called. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from plantroom_cloud.kit.problems import InvalidRequest
from plantroom_cloud.publishing.enos.discovery import MAX_NET, MAX_NETWORKS
from plantroom_shared.errors import ConfigError

MAX_EDGES: Final = 100
_AssetId = Annotated[
    str, StringConstraints(min_length=1, max_length=128, pattern=r"\A[A-Za-z0-9_.\-]+\z")
]
_Text = Annotated[str, StringConstraints(max_length=MAX_NET, pattern=r"\A[^\x00-\x1f\x7f]*\z")]


class EdgeIn(BaseModel):
    """An EnOS Edge that finds the points of one building."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: _AssetId = Field(examples=["edgeAst01"], description="Asset id of the Edge in your EnOS.")
    nets: tuple[_Text, ...] = Field(
        default=(),
        max_length=MAX_NETWORKS,
        examples=[["eth0-10.20.0.5/24"]],
        description="Networks to search, as the Edge names them; all it has where left out.",
    )
    name: _Text = Field(default="", description="Of the building; the id where left out.")

    @property
    def building(self) -> dict[str, Any]:
        """The building of a job."""
        nets = list(dict.fromkeys(net for net in self.nets if net.strip()))
        name = self.name.strip() or self.id
        return {"name": name, "site": None, "edge": self.id, "nets": nets}


@dataclass(frozen=True, slots=True)
class Edges:
    """The buildings of a job whose points Edges find.

    Raises:
        InvalidRequest: an Edge stands there twice: its searches would disturb each other.
    """

    asked: tuple[EdgeIn, ...]

    def __post_init__(self) -> None:
        ids = [one.id for one in self.asked]
        twice = next((name for name in ids if ids.count(name) > 1), None)
        if twice is not None:
            what = f"the Edge {twice} stands there twice; name all its networks in one entry"
            raise InvalidRequest(what)

    @property
    def buildings(self) -> list[dict[str, Any]]:
        """By number."""
        return [one.building for one in self.asked]


def edges_of(ids: Sequence[str], nets: Sequence[str]) -> Edges:
    """Return Edges by their asset ids, all with the same networks.

    Raises:
        ConfigError: an id or a network is none, or there are too many.
    """
    if len(ids) > MAX_EDGES:
        what = f"more than {MAX_EDGES} Edges"
        raise ConfigError(what, key="edge", fix="start a job for each part of them")
    try:
        asked = tuple(EdgeIn(id=name, nets=tuple(nets)) for name in dict.fromkeys(ids))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        key = "edge" if first["loc"][0] == "id" else "net"
        fix = "give the asset id of the Edge, and networks as the Edge names them"
        raise ConfigError(first["msg"], key=key, fix=fix) from error
    return Edges(asked)


def identity_of(key: str) -> tuple[str, str, str]:
    """Return device instance, object type and instance of a point's key; empty where it is no object's."""
    match key.split(":"):
        case ["bacnet", device, kind, instance]:
            return device, kind, instance
    return "", "", ""
