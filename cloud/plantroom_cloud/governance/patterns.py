"""Patterns of names: ``*`` any characters, ``?`` one, ``#`` a digit, ``@`` a letter. Pure.

There are no regular expressions here: the work is at most the pattern's length times the text's.
"""

from __future__ import annotations

from typing import Final

MAX_PATTERN: Final = 200
MAX_TEXT: Final = 256
"""Characters of a text that are looked at."""


def like(text: str, pattern: str) -> bool:
    """Say whether the whole of `text` fits `pattern`; capitals and small letters are the same."""
    text, pattern = text[:MAX_TEXT].casefold(), pattern[:MAX_PATTERN].casefold()
    at = place = 0
    star, back = -1, 0
    while at < len(text):
        if place < len(pattern) and pattern[place] == "*":
            star, back = place, at
            place += 1
        elif place < len(pattern) and _fits(text[at], pattern[place]):
            at, place = at + 1, place + 1
        elif star >= 0:  # the last star takes one character more
            back += 1
            at, place = back, star + 1
        else:
            return False
    return all(sign == "*" for sign in pattern[place:])


def _fits(character: str, sign: str) -> bool:
    if sign == "?":
        return True
    if sign == "#":
        return character.isdigit()
    if sign == "@":
        return character.isalpha()
    return character == sign
