"""Brick out of Turtle, ours or anybody's.

The file is read triple by triple and only what is needed is kept: a whole graph of a large
building would be a gigabyte. Nothing that a file names is ever fetched.
"""

from __future__ import annotations

import functools
import importlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from plantroom_cloud.exchange import terms
from plantroom_cloud.exchange.brick import BrickWriter
from plantroom_cloud.exchange.record import (
    FEEDS,
    MAX_POINTS,
    PART_OF,
    SOURCES,
    STATES,
    Content,
    Equipment,
    Format,
    PointMeaning,
    SiteAbout,
    check_size,
    confidence_of,
    cut,
    one_of,
    states_of,
)
from plantroom_shared.errors import ConfigError, Rejected
from plantroom_shared.mapping import canonical, is_equip_class, is_point_class
from plantroom_shared.mapping.classes import parents
from plantroom_shared.mapping.crosswalk import unit_of_qudt

_BASE: Final = "urn:plantroom:file:"
_MAX_THINGS: Final = 4 * MAX_POINTS
_OLD: Final = re.compile(
    r"https?://brickschema\.org/schema/(?:\d[\w.]*/)?Brick(?:Frame)?#(?=[A-Za-z])"
)
"""Brick 1.0 had its version in every name, and its verbs elsewhere."""
_BOOLS: Final = {"true": True, "1": True, "false": False, "0": False}


@dataclass(slots=True)
class _Thing:
    """What the file says of one subject: predicate → values, of those that matter."""

    types: list[str] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    links: dict[str, list[str]] = field(default_factory=dict)


@functools.lru_cache(maxsize=8192)
def _name(iri: str) -> str:
    """Return `brick:…`, `pr:…` … for what we know, empty for the rest of the world."""
    found = _OLD.match(iri)
    if found:
        return "brick:" + iri[found.end() :]
    for prefix, start in terms.PREFIXES.items():
        if iri.startswith(start):
            return f"{prefix}:{iri[len(start) :]}"
    return "a" if iri == terms.RDF_TYPE else ""


_LINKS: Final = frozenset(
    {
        *("brick:isPointOf", "brick:hasPoint", "brick:feeds", "brick:isFedBy", "brick:isPartOf"),
        *("brick:hasPart", "brick:hasUnit", "ref:hasExternalReference", "bacnet:objectOf"),
        *("pr:isPointOf", "pr:isFedBy", "pr:isPartOf"),
    }
)
_TEXTS: Final = frozenset(
    {"rdfs:label", "bacnet:object-identifier", "bacnet:object-name", "bacnet:device-instance"}
)


def read_brick(data: bytes) -> Content:
    """Return what a Turtle (or N-Triples) file says of a site.

    Raises:
        Rejected: it is no Turtle, or there is nothing of Brick in it.
        ConfigError: pyoxigraph is not installed.
    """
    check_size(data)
    things: dict[str, _Thing] = {}
    for subject, predicate, value, linked in _triples(data):
        thing = things.setdefault(subject, _Thing())
        if predicate == "a":
            thing.types.append(_name(value))
        elif linked:
            thing.links.setdefault(predicate, []).append(value)
        else:
            thing.texts.setdefault(predicate, cut(value))
        if len(things) > _MAX_THINGS:
            msg = "more things than a site can have; split the file"
            raise Rejected(msg, reason="too_large")
    return _Reading(things).content()


def _triples(data: bytes) -> Iterator[tuple[str, str, str, bool]]:
    """Yield subject, predicate, value and whether the value is a link, of what matters."""
    rdf = _library()
    try:
        for quad in rdf.parse(input=data, format=rdf.RdfFormat.TURTLE, base_iri=_BASE):
            predicate = _name(quad.predicate.value)
            value = quad.object
            linked = not isinstance(value, rdf.Literal)
            wanted = predicate == "a" or (
                predicate in _LINKS
                if linked
                else predicate in _TEXTS or predicate.startswith("pr:")
            )
            if wanted:
                subject = quad.subject
                yield _key(rdf, subject), predicate, _key(rdf, value), linked
    except (SyntaxError, ValueError) as error:
        msg = f"no Turtle: {str(error)[:200]}"
        raise Rejected(msg, reason="format") from error


def _key(rdf: Any, node: Any) -> str:
    return f"_:{node.value}" if isinstance(node, rdf.BlankNode) else str(node.value)


def _library() -> Any:
    try:
        return importlib.import_module("pyoxigraph")
    except ImportError as error:
        what = "reading Turtle needs the package pyoxigraph, which is not installed"
        raise ConfigError(what, key="import", fix="run: pip install 'plantroom[cloud]'") from error


class _Reading:
    """Makes the record of the things of one file."""

    def __init__(self, things: dict[str, _Thing]) -> None:
        self._things = things
        self._content = Content()
        self._keys: dict[str, str] = {}
        """IRI of an equipment → its key."""
        self._taken: set[str] = set()
        self._placed: dict[str, str] = {}
        """IRI of a point → that of its equipment, as the equipment says."""

    def content(self) -> Content:
        """Return everything."""
        points = {iri: t for iri, t in self._things.items() if _is_point(t)}
        if len(points) > MAX_POINTS:
            msg = f"more than {MAX_POINTS} points; split the file"
            raise Rejected(msg, reason="too_large")
        self._equip(points)
        if not points and not self._keys:
            what = "there is no point and no equipment of Brick in it"
            raise Rejected(what, reason="empty")
        for iri, thing in self._things.items():
            for child in thing.links.get("brick:hasPoint", ()):
                self._placed.setdefault(child, iri)
            if "brick:Site" in thing.types:
                slug = thing.texts.get("pr:site", "") or terms.slug_of(iri) or terms.name_of(iri)
                label, zone = thing.texts.get("rdfs:label", ""), thing.texts.get("pr:timezone", "")
                self._content.site = SiteAbout(slug, label, zone)
        self._relate()
        self._content.points = [self._point(iri, thing) for iri, thing in points.items()]
        return self._content

    # ------------------------------------------------------------ equipment

    def _equip(self, points: dict[str, _Thing]) -> None:
        """Find what is equipment: by its class, or because points are of it."""
        wanted = {iri: None for iri, thing in self._things.items() if _is_equipment(thing)}
        for iri, thing in points.items():
            wanted |= dict.fromkeys(_of(thing))
            wanted.pop(iri, None)
        for iri, thing in self._things.items():
            if "brick:hasPoint" in thing.links:
                wanted.setdefault(iri)
        for iri in wanted:
            thing = self._things.get(iri, _Thing())
            key = self._free_key(iri, thing)
            self._keys[iri] = key
            equip_class = thing.texts.get("pr:equipClass") or _class(thing, is_equip_class)
            self._content.equipment[key] = Equipment(key, equip_class)

    def _free_key(self, iri: str, thing: _Thing) -> str:
        own = thing.texts.get("pr:equipment", "")
        for key in (own, thing.texts.get("rdfs:label", ""), terms.name_of(iri), iri):
            if key and key not in self._taken:
                self._taken.add(key)
                return key
        return iri

    def _relate(self) -> None:
        """Say what feeds or contains what; of several the first."""
        for iri, thing in self._things.items():
            for verb, relation, up in _VERBS:
                for other in thing.links.get(verb, ()):
                    child, parent = (iri, other) if up else (other, iri)
                    self._link(child, parent, relation)

    def _link(self, child: str, parent: str, relation: str) -> None:
        below, above = self._keys.get(child), self._keys.get(parent)
        if below is None or above is None:
            return
        known = self._content.equipment[below]
        if known.parent:
            if known.parent != above:
                self._content.note(f"{below}: {above} is a second parent and is left out")
            return
        self._content.equipment[below] = Equipment(below, known.equip_class, above, relation)

    # ------------------------------------------------------------ points

    def _point(self, iri: str, thing: _Thing) -> PointMeaning:
        texts = thing.texts
        place = next(
            (at for at in _of(thing) if at in self._keys),
            self._placed.get(iri, ""),
        )
        equipment = self._keys.get(place, "")
        known = self._content.equipment.get(equipment, Equipment(""))
        key, object_name = self._bus(thing)
        name = texts.get("pr:name") or ("" if "pr:key" in texts else texts.get("rdfs:label", ""))
        return PointMeaning(
            gateway=texts.get("pr:gateway", ""),
            key=texts.get("pr:key", "") or key,
            device=texts.get("pr:device", ""),
            name=name or ("" if "pr:key" in texts else object_name or terms.name_of(iri)),
            description=texts.get("pr:description", ""),
            unit=texts.get("pr:unit", "") or _unit(thing),
            object_type=texts.get("pr:objectType", ""),
            states=_states(texts.get("pr:states", "")),
            writable=_BOOLS.get(texts.get("pr:writable", "")),
            equipment=equipment,
            equip_class=texts.get("pr:equipClass", known.equip_class),
            point_class=texts.get("pr:pointClass", "") or self._class(iri, thing),
            model_id=texts.get("pr:thingModel", ""),
            model_point=texts.get("pr:modelPoint", ""),
            confidence=confidence_of(texts.get("pr:confidence")),
            source=one_of(texts.get("pr:source"), SOURCES),
            state=one_of(texts.get("pr:state"), STATES),
        )

    def _class(self, iri: str, thing: _Thing) -> str:
        found = _class(thing, is_point_class)
        said = [name for name in thing.types if name.startswith("brick:") and name != "brick:Point"]
        if not found and said:
            self._content.note(f"{terms.name_of(iri)}: no one class of {', '.join(said)[:120]}")
        return found

    def _bus(self, thing: _Thing) -> tuple[str, str]:
        """Return the key on the bus and the object's name, where the file has a BACnet reference."""
        for link in thing.links.get("ref:hasExternalReference", ()):
            reference = self._things.get(link, _Thing())
            object_name = reference.texts.get("bacnet:object-name", "")
            kind, _, number = reference.texts.get("bacnet:object-identifier", "").partition(",")
            device = next(iter(reference.links.get("bacnet:objectOf", ())), "")
            instance = self._things.get(device, _Thing()).texts.get("bacnet:device-instance", "")
            key = f"bacnet:{instance}:{kind.strip()}:{number.strip()}"
            if terms.bacnet_object(key) or object_name:
                return (key if terms.bacnet_object(key) else ""), object_name
        return "", ""


_POINT_OF: Final = ("brick:isPointOf", "pr:isPointOf")
_VERBS: Final = (
    ("pr:isFedBy", FEEDS, True),
    ("pr:isPartOf", PART_OF, True),
    ("brick:isFedBy", FEEDS, True),
    ("brick:feeds", FEEDS, False),
    ("brick:isPartOf", PART_OF, True),
    ("brick:hasPart", PART_OF, False),
)
"""Verb, what it says, and whether the parent is its object."""


def _of(thing: _Thing) -> list[str]:
    """Return the IRIs of what a point says it is of."""
    return [iri for verb in _POINT_OF for iri in thing.links.get(verb, ())]


def _is_point(thing: _Thing) -> bool:
    return "pr:key" in thing.texts or any(
        name.startswith("brick:") and is_point_class(name[6:]) for name in thing.types
    )


def _is_equipment(thing: _Thing) -> bool:
    return "pr:equipment" in thing.texts or any(
        name == "brick:Equipment" or (name.startswith("brick:") and is_equip_class(name[6:]))
        for name in thing.types
    )


def _class(thing: _Thing, known: Any) -> str:
    """Return the one class that says most; empty where there is none or more than one."""
    named = {canonical(name[6:]) for name in thing.types if name.startswith("brick:")}
    found = {name for name in named if known(name)} - {"Point", "Equipment"}
    best = found - {above for name in found for above in _above(name)}
    return best.pop() if len(best) == 1 else ""


@functools.cache
def _above(name: str) -> frozenset[str]:
    """Return every class above a point class."""
    direct = parents(name)
    return frozenset(direct) | {far for near in direct for far in _above(near)}


def _unit(thing: _Thing) -> str:
    names: Iterable[str] = thing.links.get("brick:hasUnit", ())
    return next((unit_of_qudt(_name(name).removeprefix("unit:")) for name in names), "")


def _states(text: str) -> tuple[str, ...]:
    try:
        return states_of(json.loads(text)) if text else ()
    except (ValueError, RecursionError):
        return ()


BRICK: Final = Format(
    "brick", "Brick 1.4 in Turtle", "text/turtle; charset=utf-8", ".ttl", BrickWriter, read_brick
)
