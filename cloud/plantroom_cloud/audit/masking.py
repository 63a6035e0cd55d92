"""Keeping secrets out of the audit: by the name they stand under, and by what they look like. Pure.

Callers are to give none. This is the second lock: whoever forgets writes ``***``.
"""

from __future__ import annotations

import re
from typing import Any, Final

HIDDEN: Final = "***"

_NAMES: Final = re.compile(
    r"pass(?:word|wd|phrase|code)|(?<![a-z])pwd(?![a-z])|secret|token|credential|authori[sz]ation"
    r"|cookie|api[-_ .]?key|access[-_ .]?key|private[-_ .]?key|signing[-_ .]?key|claim[-_ .]?code"
    r"|key[-_ .]?plain|plain[-_ .]?key|(?<![a-z])(?:otp|totp|pin|csrf|jwt|bearer)(?![a-z])",
    re.IGNORECASE,
)
"""Names under which nothing is shown but numbers of things (``tokens: 12``), flags and nothing."""

_NUMBERS_TOO: Final = re.compile(
    r"pass(?:word|wd|phrase|code)|secret|(?<![a-z])(?:pwd|otp|totp|pin)(?![a-z])", re.IGNORECASE
)
"""Names of secrets that may be a number."""

_SHAPES: Final = (
    # Keys and tokens that carry a prefix: ours and those of webhooks.
    (re.compile(r"\b(?:pk|sk|rt|at|st|wt|ws|whsec)_[A-Za-z0-9+/=_-]{16,}"), HIDDEN),
    # Signed tokens (JWT).
    (re.compile(r"\beyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?"), HIDDEN),
    # Private keys, to their end or to that of the text.
    (
        re.compile(
            r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)",
            re.DOTALL,
        ),
        HIDDEN,
    ),
    # What follows the scheme in a header.
    (re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE), rf"\1 {HIDDEN}"),
    # Passwords of hash functions that are stored as text.
    (re.compile(r"\$(?:argon2\w*|2[aby]|scrypt|pbkdf2\w*)\$\S+"), HIDDEN),
    # User and password in a URL.
    (re.compile(r"(?<=://)[^\s/@]{1,500}@"), f"{HIDDEN}@"),
    # A password in a query or a connection string.
    (
        re.compile(r"\b(password|passwd|pwd|secret|token|api_?key)=[^\s&;,'\"]+", re.IGNORECASE),
        rf"\1={HIDDEN}",
    ),
)


def hides(name: str, value: Any) -> bool:
    """Tell whether what stands under `name` is a secret, whatever it looks like."""
    if value is None or isinstance(value, bool) or not _NAMES.search(name):
        return False
    return not isinstance(value, int | float) or _NUMBERS_TOO.search(name) is not None


def mask(text: str) -> str:
    """Return `text` with everything that looks like a secret replaced by ``***``."""
    for shape, instead in _SHAPES:
        text = shape.sub(instead, text)
    return text
