"""Which answer of EnOS means what: the one place for its codes. Pure."""

from __future__ import annotations

from typing import Any

from plantroom_shared.errors import PlantroomError, Rejected, Unavailable

TOKEN_STALE = frozenset({"401", "1202", "1203", "1204", "4011", "4012"})
"""Codes of a request whose token is gone: get a new one, ask once more. On publishing replies
1204 means something else, see `judge`."""
TIMESTAMP_REUSED = "1001"
KEYS_WRONG = frozenset({"1002", "1003"})
KEY_EXISTS = "11702"
NO_MODEL = "11699"

_DENIED = frozenset({"403", "99403", "80401"})
_LATER = frozenset({"429", "500", "502", "503", "1005", "99500", "80500", "17762", "6205"})
_NEVER = frozenset(
    {
        "400", "460", "1004", "1008", "1200", "1204", "1206", "1207", "1208", "1212", "1220",
        "1251", "1257", "1260", "6207", "80400", "99400", "99404",
        "11611", "11619", "11699", "11702", "11704", "11714", "11738", "11739", "11794", "11795",
        "11858",
    }
)  # fmt: skip
GONE = frozenset({"1257", "99404", "11714"})
"""The device is not there (any more)."""


class Unclear(Unavailable):
    """EnOS refused with a code that no document explains: later, unless it is one poison value."""

    def __init__(self, what: str, code: str) -> None:
        self.code = code
        super().__init__(what)


class Denied(Unavailable):
    """The app may not do this; a person must change its rights, so asking often is pointless."""


class KeysRefused(Unavailable):
    """EnOS gives no token for the keys, or takes none it has given; for a person to put right."""


class Stale(PlantroomError):
    """The token was refused; never leaves the client unless a fresh token is refused too."""


def code_of(reply: dict[str, Any]) -> str:
    """Return the reply's result code as text: services write `code` or `status`, int or text."""
    code = reply.get("code", reply.get("status"))
    return str(code) if isinstance(code, int | str) and not isinstance(code, bool) else ""


def succeeded(reply: dict[str, Any]) -> bool:
    """Say whether a reply means success: 0, and 200 where event calls and devices use it."""
    return code_of(reply) in ("0", "200")


def judge(reply: dict[str, Any], what: str, *, publishing: bool = False) -> None:
    """Raise what a reply means, nothing if it means success.

    Args:
        reply: a JSON object EnOS has answered with.
        what: the call, for messages.
        publishing: the integration channel validates points, so 1204 there is about a value.

    Raises:
        Stale: the token is no longer taken.
        Unavailable: trying again later is right.
        Rejected: this very request will never be taken; `reason` is EnOS's code.
    """
    if succeeded(reply):
        return
    code = code_of(reply)
    text = str(reply.get("msg") or reply.get("message") or "")[:200]
    said = f"EnOS refused {what} with {code or 'no code'}: {text}"
    if code in TOKEN_STALE and not (publishing and code == "1204"):
        raise Stale(said)
    if code in KEYS_WRONG or code in _DENIED:
        fix = "check app_key, app_secret and the rights of the app in the enos settings"
        msg = f"{said}; {fix}"
        raise Denied(msg, retry_after=60.0)
    if code in _NEVER:
        raise Rejected(said, reason=code)
    if code in _LATER:
        raise Unavailable(said)
    raise Unclear(said, code)
