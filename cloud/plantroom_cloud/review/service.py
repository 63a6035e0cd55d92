"""The review of a site: read, decide, take back. A decision and all that follows are one transaction."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud import audit
from plantroom_cloud.conventions.etags import ANY, Precondition
from plantroom_cloud.db import Scope
from plantroom_cloud.identity.permissions import Principal
from plantroom_cloud.kit.problems import ApiError, InvalidRequest, NotFound
from plantroom_cloud.kit.times import rfc3339
from plantroom_cloud.mapping.llm.repository import LlmRepository
from plantroom_cloud.review.picture import Group, Picture, differs
from plantroom_cloud.review.repository import ReviewRepository
from plantroom_cloud.review.schemas import AnswerIn, AnswersIn, RulesIn, UndoIn
from plantroom_cloud.review.show import show_group, show_overview, show_rules, show_why
from plantroom_cloud.review.standing import (
    NAMING,
    RULE,
    UNDO,
    UNRULE,
    Event,
    fold,
    of_point,
    undone,
)
from plantroom_shared.clock import Clock
from plantroom_shared.mapping import RuleError, canonical, is_point_class, parse_rules, read_key

SAMPLES = 8
"""Points of a template that are shown."""
_MOST_TOLD = 100


class Conflict(ApiError):
    """What is asked for does not fit what stands."""

    status: ClassVar[int] = 409
    code: ClassVar[str] = "conflict"
    title: ClassVar[str] = "This cannot be done as things stand"


@dataclass(slots=True)
class Reading:
    """A site as it was read, with its history."""

    id: int
    picture: Picture
    events: list[Event]

    @property
    def last(self) -> str:
        """The newest request that can be taken back; empty if there is none."""
        gone = undone(self.events)
        able = (e.request for e in reversed(self.events) if e.action != UNDO)
        return next((request for request in able if request not in gone), "")


def no_site(site: int) -> NotFound:
    """Return the error of a site that the company does not have."""
    return NotFound(f"there is no site {site}; GET /v1/sites lists yours")


class ReviewService:
    """The review of one company's sites, in the transaction of `session`."""

    def __init__(self, session: AsyncSession, scope: Scope, clock: Clock) -> None:
        self._session, self._scope = session, scope
        self._rows, self._clock = ReviewRepository(session, scope), clock
        self._llm = LlmRepository(session, scope)

    # ------------------------------------------------------------ reading

    async def overview(self, site: int) -> dict[str, Any]:
        """Return how far the review has come; NotFound if the company has no such site."""
        read = await self.read(site)
        return show_overview(site, read.picture, read.last)

    async def queue(self, site: int, state: str) -> list[Group]:
        """Return the templates in a state, the most worthwhile first."""
        return (await self.read(site)).picture.queue(state)

    async def shown(self, groups: Sequence[Group]) -> list[dict[str, Any]]:
        """Return templates for people, each with the name of one of its points."""
        names = await self._rows.names([group.points[0] for group in groups])
        return [show_group(group, names.get(group.points[0], "")) for group in groups]

    async def why(self, site: int, template: str, read: Reading | None = None) -> dict[str, Any]:
        """Return everything there is to say about a template.

        Args:
            site: the site.
            template: id of one of its templates.
            read: what was read of the site just now, where that will do.

        Raises:
            NotFound: the company has no such site, or the site no such template.
        """
        read = read or await self.read(site)
        group = read.picture.groups.get(template)
        if group is None:
            raise _no_template(template)
        rows = await self._rows.of_template(site, template)
        samples = await self._rows.samples(_spread(group.points))
        return show_why(group, rows, samples, read.picture, read.events)

    async def rules(self, site: int) -> dict[str, Any]:
        """Return the rules of a site."""
        return show_rules((await self.read(site)).picture)

    # ------------------------------------------------------------ deciding

    async def answer(self, site: int, asked: AnswersIn, who: Principal | str) -> dict[str, Any]:
        """Take decisions, all or none, and apply what follows from them.

        Raises:
            NotFound: there is no such site, template or point.
            InvalidRequest: an answer does not say enough.
            Conflict: the request's name was used for another, or what was seen is not so any more.
        """
        read, before = await self._begin(site, asked.request, asked.model_dump())
        if before is not None:
            return before
        events = [event for one in asked.answers for event in _decisions(read.picture, one)]
        if asked.accept_from is not None:
            events += _accepted(read.picture, asked.accept_from, {e["subject"] for e in events})
        touched = {event["subject"] for event in events}
        return await self._end(read, asked, who, events, touched)

    async def undo(self, site: int, asked: UndoIn, who: Principal | str) -> dict[str, Any]:
        """Take a request back: everything is as if it had not been made.

        Raises:
            NotFound: there is no such site.
            Conflict: there is no such request, or it was taken back before.
        """
        read, before = await self._begin(site, asked.request, asked.model_dump())
        if before is not None:
            return before
        target = asked.undoes or read.last
        own = [event for event in read.events if event.request == target and event.action != UNDO]
        if not own or target in undone(read.events):
            what = f"there is nothing of {target!r}" if target else "nothing was decided"
            msg = f"{what} that could be taken back; the history says what was"
            raise Conflict(msg, code="nothing_to_undo")
        touched = {event.subject for event in own}
        return await self._end(read, asked, who, [_event(UNDO, target)], touched)

    async def set_rules(
        self, site: int, asked: RulesIn, who: Principal | str, seen: Precondition = ANY
    ) -> dict[str, Any]:
        """Take the rules of a site as somebody has edited them, and apply them.

        Raises:
            NotFound: there is no such site.
            Changed: the rules are not those any more that were `seen`.
            InvalidRequest: a line is no rule; says which, and what to write.
        """
        read, before = await self._begin(site, asked.request, asked.model_dump())
        if before is not None:
            return before
        seen.check(show_rules(read.picture))
        try:
            wanted = {rule.text for rule in parse_rules(asked.text)}
        except RuleError as error:
            raise InvalidRequest(str(error), code="no_rule") from error
        standing = read.picture.standing
        there = {*standing.own, *(rule.text for rule in standing.learned)}
        events = [_event(UNRULE, line) for line in sorted(there - wanted)]
        events += [_event(RULE, line) for line in sorted(wanted - there)]
        return await self._end(read, asked, who, events, set())

    # ------------------------------------------------------------ plumbing

    async def read(self, site: int) -> Reading:
        """Return all of a site's review; NotFound if the company has no such site."""
        if not await self._rows.exists(site):
            raise no_site(site)
        basis = await self._rows.basis(site)
        said = await self._rows.said(site)
        events = await self._rows.events(site)
        known = frozenset(t for key in {row.key for row in basis} if (t := read_key(key)))
        return Reading(site, Picture(basis, said, fold(events, known)), events)

    async def _begin(
        self, site: int, request: str, asked: Mapping[str, Any]
    ) -> tuple[Reading, dict[str, Any] | None]:
        """Lock and read a site; also return the answer if the request was heard before."""
        if not await self._rows.lock(site):
            raise no_site(site)
        read = await self.read(site)
        found = await self._rows.request(site, request)
        if found is None:
            return read, None
        if found.digest != _digest(asked):
            msg = f"request {request!r} was another before; give each request a name of its own"
            raise Conflict(msg, code="request_reused")
        return read, dict(found.answer)

    async def _end(
        self,
        read: Reading,
        asked: AnswersIn | UndoIn | RulesIn,
        who: Principal | str,
        events: Sequence[dict[str, Any]],
        touched: set[str],
    ) -> dict[str, Any]:
        """Note the events, apply them, and keep the answer."""
        now_us, before = self._clock.now_us(), read.picture.standing
        actor = audit.display_name(who)
        await self._rows.note(
            read.id,
            [{**e, "request": asked.request, "actor": actor, "at_us": now_us} for e in events],
        )
        standing = await self._rows.standing(read.id, before.known)
        picture = Picture(read.picture.basis, read.picture.said, standing)
        # Pure Python over a whole site: not in the loop that serves requests.
        back = isinstance(asked, UndoIn)
        changes = await asyncio.to_thread(picture.changes, touched, back=back)
        found = await self._rows.evidence([row["point_id"] for row in changes])
        await self._rows.say(
            [row | {"evidence": row["evidence"] + found[row["point_id"]]} for row in changes]
        )
        verdicts = {key: _verdict(standing.decided.get(key)) for key in touched if key[:1] != "@"}
        await self._llm.decided(verdicts, now_us)
        changed = [row for row in changes if differs(picture.said[row["point_id"]], row)]
        was = [rule.text for rule in before.learned]
        now = [rule.text for rule in standing.learned]
        answer = {
            "request": asked.request,
            "at": rfc3339(now_us),
            "actor": actor,
            "decided": 0 if isinstance(asked, UndoIn | RulesIn) else len(events),
            "changed": len(changed),
            "learned": [line for line in now if line not in set(was)],
            "forgotten": [line for line in was if line not in set(now)],
            "undone": events[0]["subject"] if isinstance(asked, UndoIn) else "",
            "open": sum(standing.is_open(group.template) for group in read.picture.groups.values()),
        }
        await self._rows.heard(read.id, asked.request, _digest(asked.model_dump()), answer)
        self._record(who, asked, read.id, answer | {"events": _told(events)})
        return answer

    def _record(
        self, who: Principal | str, asked: AnswersIn | UndoIn | RulesIn, site: int, after: Any
    ) -> None:
        verb = {AnswersIn: "answer", UndoIn: "undo", RulesIn: "rules"}[type(asked)]
        audit.record(
            self._session,
            self._scope,
            who=who,
            action=f"review.{verb}",
            subject=f"site/{site}",
            after=after,
        )


def _told(events: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return events for the audit, a line each; the site's own history has all of them."""
    told = [f"{e['action']} {e['subject']} {e['point_class']}".strip() for e in events]
    return told if len(told) <= _MOST_TOLD else [*told[:_MOST_TOLD], f"and {len(told)} in all"]


def _verdict(event: Event | None) -> str:
    """Return the class that a template has by a decision: what an LLM said of it is judged by that."""
    return event.point_class if event is not None and event.action in NAMING else ""


def _digest(asked: Mapping[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _no_template(template: str) -> NotFound:
    return NotFound(f"this site has no template {template}; its queue lists them")


def _spread(points: Sequence[int]) -> list[int]:
    """Return a few points from all over the site: neighbours are alike."""
    step = max(1, len(points) // SAMPLES)
    return list(points[::step][:SAMPLES])


def _event(
    action: str,
    subject: str,
    point_class: str = "",
    before: Mapping[str, Any] | None = None,
    note: str = "",
) -> dict[str, Any]:
    return {
        "action": action,
        "subject": subject,
        "point_class": point_class,
        "before": dict(before or {}),
        "note": note,
    }


def _decisions(picture: Picture, answer: AnswerIn) -> list[dict[str, Any]]:
    """Return what one answer decides: about a template, or about each of its points."""
    if bool(answer.points) == bool(answer.template):
        msg = "answers: give a template or points, not both and not neither"
        raise InvalidRequest(msg)
    if answer.template:
        group = picture.groups.get(answer.template)
        if group is None:
            raise _no_template(answer.template)
        before = {
            "point_class": group.point_class,
            "confidence": group.confidence,
            "source": group.source,
            "points": len(group.points),
        }
        name = _meant(answer, group.point_class)
        return [_event(answer.action, group.template.key, name, before, answer.note)]
    known = {row.point_id for row in picture.basis}
    events = []
    for point in dict.fromkeys(answer.points):
        now = picture.said.get(point)
        if now is None or point not in known:
            msg = f"this site has no mapped point {point}"
            raise NotFound(msg)
        before = {"point_class": now.point_class, "confidence": now.confidence}
        before |= {"source": now.source, "points": 1}
        name = _meant(answer, now.point_class)
        events.append(_event(answer.action, of_point(point), name, before, answer.note))
    return events


def _meant(answer: AnswerIn, now: str) -> str:
    """Return the class that an answer is about; what was seen must still be so."""
    seen = answer.point_class
    if seen and not is_point_class(seen):
        msg = f"point_class: there is no Brick class {seen[:80]!r}"
        raise InvalidRequest(msg)
    seen = canonical(seen) if seen else ""
    if answer.action == "correct":
        if not seen:
            msg = "point_class: say which class it is, or defer"
            raise InvalidRequest(msg)
        return seen
    if answer.action == "defer":
        return ""
    if not now:
        msg = "nothing is proposed that could be accepted or rejected: correct it or defer"
        raise InvalidRequest(msg)
    if seen and seen != now:
        msg = f"{seen} is not proposed any more, but {now}; look again"
        raise Conflict(msg, code="changed")
    return now


def _accepted(picture: Picture, least: float, besides: set[str]) -> list[dict[str, Any]]:
    """Return the acceptance of every open template that is as sure as that, all of it."""
    events = []
    for group in picture.queue("open"):
        sure = group.sure
        if sure is None or sure < least or group.template.key in besides:
            continue
        before = {
            "point_class": group.point_class,
            "confidence": group.confidence,
            "source": group.source,
            "points": len(group.points),
        }
        note = f"all from {least:g} on"
        events.append(_event("accept", group.template.key, group.point_class, before, note))
    return events
