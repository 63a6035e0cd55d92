"""Point names: cleaned, folded to templates, cut into tokens. Names are untrusted data."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final

MAX_NAME: Final = 128
"""Characters of a name that matching looks at."""

# Digits that mean something by themselves and so never become `#`.
_KEEP: Final = r"co2|no2|h2o|pm2[._]?5|pm10|(?<![a-z0-9])l[123](?![a-z0-9])|(?<=ph)[123](?![0-9])|(?<=phase)[ _-]?[123](?![0-9])"
_DIGITS: Final = re.compile(rf"(?P<keep>{_KEEP})|(?P<run>\d+)", re.IGNORECASE)
_RUN: Final = re.compile(r"(\d+)")
_MAY_KEEP: Final = re.compile(r"[OoHhMmLl][123]|[Ss][Ee][ _-]?[123]")
"""A quick look for digits that may have to stay."""
RUN: Final = re.compile(r"((?:[A-Za-z0-9%]+|[^\W\d_]|[\u3400-\u9fff]|(?i:(?<=pm2)[._](?=5)))+|#)")
"""Letters that nothing separates, a kept digit or ``%`` among them; or one number."""
_TOKEN: Final = re.compile(
    r"(?P<gas>co2|no2|h2o|pm2[._]?5|pm10)"
    r"|(?P<word>[A-ZÀ-ÖØ-Þ]+s(?![a-zß-öø-ÿ])|[A-ZÀ-ÖØ-Þ]?[a-zß-öø-ÿ]+|[A-ZÀ-ÖØ-Þ]+(?![a-zß-öø-ÿ])|[A-ZÀ-ÖØ-Þ])"
    r"|(?P<han>[\u3400-\u9fff]+)"
    r"|(?P<number>[0-9]+)"
    r"|(?P<other>[^\W\d_]+)"
    r"|(?P<percent>%)",
)
_GAS: Final = re.compile(r"(co2|no2|h2o|pm2[._]?5|pm10)", re.IGNORECASE)


def clean(name: str) -> str:
    """Return what matching may see of a name: one line of at most `MAX_NAME` plain characters.

    Compatibility forms are folded (NFKC); control, bidirectional and zero-width characters go.
    """
    if len(name) < MAX_NAME and name.isascii() and name.isprintable():
        return name.strip()
    return _plain(name[: 4 * MAX_NAME])


@lru_cache(maxsize=65536)
def _plain(name: str) -> str:
    folded = unicodedata.normalize("NFKC", name)
    kept = (" " if ch in "\t\r\n\v\f" else ch for ch in folded)
    # C: control, format (bidi, zero width), surrogate, private, unassigned.
    plain = "".join(ch for ch in kept if not unicodedata.category(ch).startswith("C"))
    return plain[:MAX_NAME].strip()


def fold(name: str) -> tuple[str, tuple[str, ...]]:
    """Return the template of a cleaned name (every number a ``#``) and the numbers taken out."""
    name = name.replace("#", " ")
    if not _MAY_KEEP.search(name):
        parts = _RUN.split(name)
        return "#".join(parts[::2]), tuple(parts[1::2])
    runs: list[str] = []

    def take(match: re.Match[str]) -> str:
        if match["keep"]:
            return match["keep"]
        runs.append(match["run"])
        return "#"

    return _DIGITS.sub(take, name), tuple(runs)


def fill(template: str, runs: tuple[str, ...], end: int, start: int = 0) -> str:
    """Return ``template[start:end]`` with its numbers put back."""
    skip = template.count("#", 0, start)
    pieces = template[start:end].split("#")
    out = [pieces[0]]
    for number, piece in zip(runs[skip:], pieces[1:], strict=False):
        out += (number, piece)
    return "".join(out)


def lower(text: str) -> str:
    """Return lower case of the same length: `ß` and `İ` would grow."""
    if text.isascii():
        return text.lower()
    return "".join(low if len(low := ch.lower()) == 1 else ch for ch in text)


def word_edges(run: str) -> frozenset[int]:
    """Return where camel case, digits and scripts cut a run as `RUN` finds it, both ends included."""
    found = {0, len(run)}
    position = 0
    while match := _TOKEN.search(run, position):
        start, end = match.span()
        if match.lastgroup in {"word", "other"}:
            # A gas in capitals (RACO2) is one word to the camel-case rule: cut before it.
            gas = _GAS.search(run, start, min(len(run), end + 3))
            if gas and gas.start() < end:
                end = gas.end() if gas.start() == start else gas.start()
        found.add(start)
        position = end
    return frozenset(found)
