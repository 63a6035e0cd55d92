"""Brick 1.4 as Turtle, piece by piece; it passes Brick's own SHACL shapes.

Written by hand, not with an RDF library: a graph of 100,000 points is a million triples, which
would all have to be in memory, and what is written is a few fixed sentences.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final

from plantroom_cloud.exchange import terms
from plantroom_cloud.exchange.record import FEEDS, Equipment, Outline, PointMeaning, plain
from plantroom_shared.mapping import canonical, is_equip_class, is_point_class
from plantroom_shared.mapping.crosswalk import qudt_unit
from plantroom_shared.mapping.shapes import may_be_point_of, may_relate

_ANY_POINT: Final = "Point"
_ANY_EQUIPMENT: Final = "Equipment"


class BrickWriter:
    """Writes Turtle: the site, its equipment and what feeds what, then the points."""

    def __init__(self, outline: Outline) -> None:
        self._outline = outline
        self._slug = outline.site.slug
        self._units: set[str] = set()
        self._devices: set[str] = set()

    def head(self) -> str:
        """Return prefixes, site and equipment."""
        site = self._outline.site
        lines = [f"@prefix {name}: <{iri}> .\n" for name, iri in terms.PREFIXES.items()]
        says = [_type("Site"), _text("rdfs:label", site.name or site.slug)]
        says += [_text("pr:site", site.slug), _text("pr:timezone", site.timezone)]
        lines.append(_block(terms.site_iri(self._slug), says))
        lines += [self._equipment(item) for item in self._outline.equipment.values()]
        return "".join(lines)

    def points(self, points: Iterable[PointMeaning]) -> str:
        """Return a block per point."""
        return "".join(self._point(point) for point in points)

    def tail(self) -> str:
        """Return nothing: all is said."""
        return ""

    def _equipment(self, item: Equipment) -> str:
        known = canonical(item.equip_class)
        says = [_type(known if is_equip_class(known) else _ANY_EQUIPMENT)]
        says += [_text("rdfs:label", item.key), _text("pr:equipment", item.key)]
        says.append(f"brick:hasLocation <{terms.site_iri(self._slug)}>")
        shown = known if is_equip_class(known) and known != _ANY_EQUIPMENT else ""
        if item.equip_class != shown:
            says.append(_text("pr:equipClass", item.equip_class))
        if item.parent:
            says.append(self._relation(item))
        return _block(terms.equipment_iri(self._slug, item.key), says)

    def _relation(self, item: Equipment) -> str:
        """Say what the parent does, in a word of ours where Brick's shapes forbid its own."""
        above = self._outline.equipment.get(item.parent, Equipment("")).equip_class
        verb = "isFedBy" if item.relation == FEEDS else "isPartOf"
        prefix = "brick" if may_relate(item.relation, above, item.equip_class) else "pr"
        return f"{prefix}:{verb} <{terms.equipment_iri(self._slug, item.parent)}>"

    def _point(self, point: PointMeaning) -> str:
        known = canonical(point.claimed)
        says = [_type(known if is_point_class(known) else _ANY_POINT)]
        says.append(_text("rdfs:label", point.name or point.key))
        if point.equipment:
            of = self._outline.equipment.get(point.equipment, Equipment("")).equip_class
            prefix = "brick" if may_be_point_of(known, of) else "pr"
            says.append(f"{prefix}:isPointOf <{terms.equipment_iri(self._slug, point.equipment)}>")
        extra = self._unit(point, says) + self._reference(point, says)
        says += self._own(point, known)
        iri = terms.point_iri(self._slug, point.gateway, point.key or point.name)
        return _block(iri, says) + extra

    def _unit(self, point: PointMeaning, says: list[str]) -> str:
        """Say the unit; QUDT's units are no part of Brick's file, so each is said to be one."""
        name = qudt_unit(point.unit)
        if not name:
            return ""
        says.append(f"brick:hasUnit unit:{name}")
        if name in self._units:
            return ""
        self._units.add(name)
        return f"unit:{name} a qudt:Unit .\n"

    def _reference(self, point: PointMeaning, says: list[str]) -> str:
        """Say which BACnet object it is."""
        found = terms.bacnet_object(point.key)
        if found is None:
            return ""
        instance, kind, number = found
        device = terms.device_iri(self._slug, point.gateway, instance)
        says.append(
            "ref:hasExternalReference [ a ref:BACnetReference ; "
            f'bacnet:object-identifier "{kind},{number}" ; bacnet:objectOf <{device}> ]'
        )
        if device in self._devices:
            return ""
        self._devices.add(device)
        return f"<{device}> a bacnet:BACnetDevice ; bacnet:device-instance {instance} .\n"

    def _own(self, point: PointMeaning, known: str) -> list[str]:
        """Return what Brick has no words for."""
        equipment = self._outline.equipment.get(point.equipment, Equipment(""))
        shown = known if is_point_class(known) and known != _ANY_POINT else ""
        texts = {
            "gateway": point.gateway,
            "key": point.key,
            "device": point.device,
            "name": point.name,
            "description": point.description,
            "unit": point.unit,
            "objectType": point.object_type,
            "states": json.dumps(point.states, ensure_ascii=False) if point.states else "",
            "thingModel": point.model_id,
            "modelPoint": point.model_point,
            "source": point.source,
            "state": point.state,
        }
        says = [_text(f"pr:{name}", text) for name, text in texts.items() if text]
        if point.point_class != shown:
            says.append(_text("pr:pointClass", point.point_class))
        if point.equip_class != equipment.equip_class:
            says.append(_text("pr:equipClass", point.equip_class))
        if point.writable is not None:
            says.append(f"pr:writable {'true' if point.writable else 'false'}")
        if point.confidence is not None:
            says.append(f'pr:confidence "{point.confidence!r}"^^xsd:double')
        return says


def _type(name: str) -> str:
    # `PM2.5_Sensor`: a name with a dot, or any that is unusual, is written in full.
    plain_name = name.replace("_", "").replace("-", "").isalnum()
    return f"a brick:{name}" if plain_name else f"a <{terms.BRICK}{name}>"


def _text(predicate: str, text: str) -> str:
    return f"{predicate} {terms.literal(plain(text))}"


def _block(subject: str, says: list[str]) -> str:
    return f"<{subject}> " + " ;\n    ".join(says) + " .\n"
