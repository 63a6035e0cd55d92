"""Mosquitto's files, written by a serialiser: what a name holds can never become a line. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from plantroom_shared.errors import ConfigError

_KEY: Final = re.compile(r"[a-z][a-z0-9_]{0,40}")
_USER: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,60}")
_TOPIC: Final = re.compile(r"[A-Za-z0-9.%+#/_-]{1,200}")
_ACCESS: Final = ("read", "write", "readwrite", "deny")


def settings(lines: Iterable[tuple[str, object]]) -> str:
    """Return settings as a configuration file.

    Raises:
        ConfigError: one cannot stand in a file of lines.
    """
    return "".join(f"{_checked_key(key)} {_checked_value(key, value)}\n" for key, value in lines)


def _checked_key(key: str) -> str:
    if not _KEY.fullmatch(key):
        what = f"{key[:40]!r} is no setting of Mosquitto"
        raise ConfigError(what, key="broker")
    return key


def _checked_value(key: str, value: object) -> str:
    text = str(value)
    if not text or not text.isprintable() or text != text.strip():
        what = f"a {key} with control characters or blanks around it cannot stand in its file"
        raise ConfigError(what, key="broker", fix="use a folder and a host with plain names")
    return text


def rules(
    patterns: Iterable[tuple[str, str]], users: Mapping[str, Iterable[tuple[str, str]]]
) -> str:
    """Return an access list.

    Args:
        patterns: access and topic, ``%u`` for the name of whoever asks.
        users: name → access and topic, for him alone.

    Raises:
        ConfigError: a name or a topic is none.
    """
    lines = [f"pattern {_access(access)} {_topic(topic)}" for access, topic in patterns]
    for user, theirs in users.items():
        if not _USER.fullmatch(user):
            what = f"{user[:80]!r} is no name of a client"
            raise ConfigError(what, key="broker")
        lines += ["", f"user {user}"]
        lines += [f"topic {_access(access)} {_topic(topic)}" for access, topic in theirs]
    return "\n".join(lines) + "\n"


def _access(access: str) -> str:
    if access not in _ACCESS:
        what = f"there is no access {access[:40]!r}"
        raise ConfigError(what, key="broker")
    return access


def _topic(topic: str) -> str:
    if not _TOPIC.fullmatch(topic):
        what = f"{topic[:80]!r} is no topic"
        raise ConfigError(what, key="broker")
    return topic
