"""What a receiver is told: one alarm in a message, or many in a digest. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from typing import Any, Final, NamedTuple

import orjson

from plantroom_cloud.alarms.rules import priority_name
from plantroom_cloud.kit.times import rfc3339
from plantroom_cloud.webhooks.signing import headers

LISTED: Final = 20
"""Alarms that a digest names; it counts the others."""


class Notice(NamedTuple):
    """One event that a receiver is to be told of."""

    id: int
    event: int
    alarm: int
    kind: str
    """``raised``, ``returned`` or ``acknowledged`` ..."""
    at: int
    priority: int
    title: str
    site: str
    standing: str
    """How the alarm stands now."""
    response: str
    value: float | None
    actor: str
    created: int
    due: int
    escalated: bool = False


@dataclass(frozen=True, slots=True)
class Letter:
    """Notices that go in one message."""

    notices: tuple[Notice, ...]
    digest: bool = False

    @property
    def key(self) -> str:
        """Return what is the same however often it is sent: by that receivers tell copies."""
        ids = ",".join(str(notice.id) for notice in self.notices)
        return f"alarm-{hashlib.sha256(ids.encode()).hexdigest()[:32]}"


def subject_of(letter: Letter) -> str:
    """Return the subject line: one line, whatever plants call their points."""
    first = letter.notices[0]
    if not letter.digest:
        mark = "not acknowledged" if first.escalated else first.kind
        text = f"[{priority_name(first.priority)}] {first.title}: {mark}"
    else:
        worst = priority_name(max(notice.priority for notice in letter.notices))
        text = f"[{worst}] {len(letter.notices)} alarms"
    return plain(text)[:180]


def plain(text: str) -> str:
    """Return a text without anything that is no letter of one line."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def body_of(letter: Letter, link: str) -> str:
    """Return the text of a mail."""
    worst_first = sorted(letter.notices, key=lambda notice: (-notice.priority, notice.at))
    shown = worst_first[:LISTED] if letter.digest else worst_first
    parts = ["\n".join(_lines(notice)) for notice in shown]
    if len(worst_first) > len(shown):
        parts.append(f"and {len(worst_first) - len(shown)} more")
    if link:
        parts.append(plain(link))
    return "\n\n".join(parts) + "\n"


def _lines(notice: Notice) -> list[str]:
    value = "" if notice.value is None else f", {notice.value:g}"
    lines = [
        plain(notice.title),
        f"{notice.kind} {rfc3339(notice.at)}{value}; priority {priority_name(notice.priority)}",
        f"site {plain(notice.site)}; alarm {notice.alarm}; now {notice.standing.replace('_', ' ')}",
    ]
    if notice.escalated:
        lines.append("nobody has acknowledged it yet")
    if notice.response:
        lines.append(f"to do: {plain(notice.response)}")
    return lines


def mail_of(letter: Letter, *, sender: str, to: str, link: str) -> EmailMessage:
    """Return the mail; its id is the same whenever it is sent."""
    message = EmailMessage(policy=SMTP)
    message["From"], message["To"] = sender, to
    message["Subject"] = subject_of(letter)
    message["Message-ID"] = f"<{letter.key}@{sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(body_of(letter, link))
    return message


def request_of(letter: Letter, secret: str, now_us: int) -> tuple[bytes, dict[str, str]]:
    """Return body and headers of a webhook, signed as https://www.standardwebhooks.com says."""
    kind = "alarm.digest" if letter.digest else f"alarm.{letter.notices[0].kind}"
    document = {
        "type": kind,
        "timestamp": rfc3339(now_us),
        "data": {"alarms": [_document(notice) for notice in letter.notices]},
    }
    body = orjson.dumps(document)
    return body, headers(letter.key, now_us // 1_000_000, body, [secret])


def _document(notice: Notice) -> Mapping[str, Any]:
    return {
        "alarm": notice.alarm,
        "event": notice.event,
        "kind": notice.kind,
        "at": rfc3339(notice.at),
        "priority": priority_name(notice.priority),
        "title": notice.title,
        "site": notice.site,
        "standing": notice.standing,
        "escalated": notice.escalated,
        "value": notice.value,
        "actor": notice.actor,
        "response": notice.response,
    }
