"""Names of things in RDF. Keys of points and equipment are untrusted: what an IRI may not hold is escaped."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote, unquote

BRICK: Final = "https://brickschema.org/schema/Brick#"
RDF_TYPE: Final = "http://www.w3.org/1999/02/22-rdf-syntax-ns#type"
RDFS: Final = "http://www.w3.org/2000/01/rdf-schema#"
XSD: Final = "http://www.w3.org/2001/XMLSchema#"
QUDT: Final = "http://qudt.org/schema/qudt/"
UNIT: Final = "http://qudt.org/vocab/unit/"
REF: Final = "https://brickschema.org/schema/Brick/ref#"
BACNET: Final = "http://data.ashrae.org/bacnet/2020#"
OWN: Final = "urn:plantroom:terms:"
"""What Brick has no word for: keys on the bus, thing models, confidence."""
PREFIXES: Final = {
    "brick": BRICK,
    "rdfs": RDFS,
    "xsd": XSD,
    "qudt": QUDT,
    "unit": UNIT,
    "ref": REF,
    "bacnet": BACNET,
    "pr": OWN,
}
_SITE: Final = "urn:plantroom:site:"
_ESCAPES: Final = str.maketrans(
    {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    | {chr(code): f"\\u{code:04X}" for code in (*range(9), 11, 12, *range(14, 32), 127)}
)
_BACNET_KEY: Final = re.compile(r"bacnet:(\d{1,7}):([a-z0-9-]{1,60}):(\d{1,7})")


def site_iri(slug: str) -> str:
    """Return the IRI of a site."""
    return f"{_SITE}{_safe(slug)}"


def equipment_iri(slug: str, key: str) -> str:
    """Return the IRI of an equipment."""
    return f"{site_iri(slug)}:equipment:{_safe(key)}"


def point_iri(slug: str, gateway: str, key: str) -> str:
    """Return the IRI of a point."""
    return f"{site_iri(slug)}:point:{_safe(gateway)}:{_safe(key)}"


def device_iri(slug: str, gateway: str, instance: str) -> str:
    """Return the IRI of a BACnet device."""
    return f"{site_iri(slug)}:device:{_safe(gateway)}:{_safe(instance)}"


def slug_of(iri: str) -> str:
    """Return the slug of a site's IRI of ours; empty for others."""
    return unquote(iri.removeprefix(_SITE)) if iri.startswith(_SITE) else ""


def name_of(iri: str) -> str:
    """Return what a foreign IRI calls a thing: what stands behind its last ``#``, ``/`` or ``:``."""
    return unquote(re.split(r"[#/:]", iri.rstrip("#/:"))[-1], errors="replace")


def _safe(text: str) -> str:
    """Escape whatever is not a letter, a digit or one of ``-._~``."""
    return quote(text, safe="", errors="replace")


def literal(text: str) -> str:
    """Return a text as a Turtle string."""
    return f'"{text.translate(_ESCAPES)}"'


def bacnet_object(key: str) -> tuple[str, str, str] | None:
    """Return (device instance, object type, instance) of a BACnet point's key; None for others."""
    found = _BACNET_KEY.fullmatch(key)
    return (found[1], found[2], found[3]) if found else None
