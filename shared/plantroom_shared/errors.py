"""The few kinds of error, each named for what the caller does next.

::

    PlantroomError
    ├── ConfigError      fix the file: ends the process with exit code 2 before any task starts
    ├── Unavailable      try again later (after `retry_after` seconds where the far end said so)
    └── Rejected         never try this again: quarantine it and count it

Device trouble is no error: a point that cannot be read is a sample with bad quality.
Third-party exceptions become one of these at the rim, with ``raise ... from``.
"""

from __future__ import annotations


class PlantroomError(Exception):
    """Base of every error that Plantroom raises on purpose."""


class ConfigError(PlantroomError):
    """A setting is wrong; the text names the file, the key and the fix."""

    def __init__(self, what: str, *, file: str = "", key: str = "", fix: str = "") -> None:
        self.what, self.file, self.key, self.fix = what, file, key, fix
        where = ": ".join(part for part in (file, key) if part)
        text = f"{where}: {what}" if where else what
        super().__init__(f"{text}; {fix}" if fix else text)


class Unavailable(PlantroomError):
    """The far end cannot answer now; trying again is right."""

    def __init__(self, what: str, *, retry_after: float | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(what)


class Rejected(PlantroomError):
    """The far end, or a check of ours, refused this input; trying again is pointless.

    Args:
        what: what is wrong, for a person.
        reason: a short stable code for counters and quarantine (``schema``, ``too_big`` ...).
        indices: the refused rows, where only some were; empty means all.
    """

    def __init__(self, what: str, *, reason: str, indices: tuple[int, ...] = ()) -> None:
        self.reason, self.indices = reason, indices
        super().__init__(what)
