"""What a gateway is put through: each scenario brings something about and waits for what must follow.

They run in this order over one life of the client, each leaving the played cloud in its ordinary
ways. A scenario that a client gives no occasion for leaves its assertions not exercised.
"""

from __future__ import annotations

import functools
import logging
from typing import Final

from plantroom_cloud.conformance.kit import Kit, Scenario
from plantroom_cloud.conformance.opening import opening
from plantroom_cloud.conformance.played import Rows, ack, need_dict
from plantroom_cloud.conformance.reconnects import (
    breaks_the_line,
    comes_back_empty,
    kills_the_client,
    restarts_the_broker,
)
from plantroom_cloud.conformance.steps import (
    FAR,
    RUBBISH,
    SOME,
    STRANGER,
    NoClient,
    answer_late,
    came,
    forgive,
)
from plantroom_cloud.conformance.told import SETTLE, WINDOW, Lane
from plantroom_shared import ranges
from plantroom_shared.ranges import Range

log = logging.getLogger(__name__)


async def asks_for_dictionary(kit: Kit) -> None:
    """Forget the dictionary for one message: it must come again, and the rows behind it."""
    asked: list[Rows] = []

    def mute(rows: Rows) -> bool:
        if rows.st == "tel" and not asked:
            asked.append(rows)
        return bool(asked) and rows.sent == asked[0].sent

    kit.cloud.mute = mute
    if not await kit.until(lambda: asked, kit.patience.rows):
        return
    mark, rows = len(kit.log), asked[0]
    await kit.tell("ack", need_dict(rows, 0))

    def served() -> bool:
        chunks = [
            place
            for place, (channel, item) in enumerate(kit.log[mark:])
            if channel == "inv" and item["ep"] == rows.ep and item["a0"] == 0
        ]
        return bool(chunks) and any(
            again.sent == rows.sent for again in kit.rows_since(mark + chunks[0])
        )

    good = await kit.until(served, kit.patience.answer)
    otherwise = f"no dictionary from 0 and rows {rows.whole} after need_dict"
    kit.verdicts.judge("SV1-D-03", good, "dictionary and rows came", otherwise)
    await answer_late(kit, [rows])


async def loses_an_ack(kit: Kit) -> None:
    """Store a message without saying so: it must come again, the same, and is then acked."""
    lost: list[Rows] = []

    def mute(rows: Rows) -> bool:
        if rows.st == "tel" and not lost:
            lost.append(rows)
        return bool(lost) and rows.sent == lost[0].sent

    kit.cloud.mute = mute
    if not await kit.until(lambda: lost, kit.patience.rows):
        return
    mark, rows = len(kit.log), lost[0]

    def again() -> bool:
        return ranges.covers(came(kit, mark, rows.lane), *rows.whole)

    good = await kit.until(again, kit.patience.answer)
    otherwise = f"rows {rows.whole} did not come again within {kit.patience.answer:.0f} s"
    kit.verdicts.judge("SV1-A-01", good, f"rows {rows.whole} came again", otherwise)
    await answer_late(kit, [rows])


async def acks_in_part(kit: Kit) -> None:
    """Ack the first row of a message: the others must come again."""
    part: list[Rows] = []

    def mute(rows: Rows) -> bool:
        if rows.st == "tel" and rows.n > 1 and not part:
            part.append(rows)
        return bool(part) and rows.sent == part[0].sent

    kit.cloud.mute = mute
    await kit.until(lambda: part, kit.patience.rows)
    if not part:
        kit.cloud.mute = lambda _: False
        return
    mark, rows = len(kit.log), part[0]
    await kit.tell("ack", ack(rows.ep, rows.st, (rows.s0, rows.s0)))
    rest = (rows.s0 + 1, rows.whole[1])
    good = await kit.until(
        lambda: ranges.covers(came(kit, mark, rows.lane), *rest), kit.patience.answer
    )
    otherwise = f"of {rows.whole} only the first row was acked, the others never came again"
    kit.verdicts.judge("SV1-A-03", good, f"rows {rest} came again", otherwise)
    await answer_late(kit, [rows])


async def fills_the_window(kit: Kit) -> None:
    """Ack nothing until no more comes, then ack what never went out: later rows must still come."""
    waiting: list[Rows] = []

    def mute(rows: Rows) -> bool:
        waiting.append(rows)
        return True

    kit.cloud.mute = mute
    await _come_to_rest(kit, waiting)
    lanes = {rows.lane for rows in waiting}
    tops = {lane: kit.watch.seen[lane][-1][1] for lane in lanes}
    mark = len(kit.log)
    for epoch, stream in lanes:
        await kit.tell("ack", ack(epoch, stream, (1, tops[epoch, stream] + FAR)))
    await kit.tell("ack", ack(STRANGER, "tel", (1, FAR)))
    await answer_late(kit, waiting)
    await kit.next_rows(SOME)

    def missing() -> list[Range]:
        return [
            span
            for lane, top in tops.items()
            if (seen := kit.watch.seen[lane])[-1][1] > top
            for span in ranges.subtract([(top + 1, seen[-1][1])], seen)
        ]

    good = await kit.until(lambda: not missing(), kit.patience.answer)
    came = any(kit.watch.seen[lane][-1][1] > top for lane, top in tops.items())
    if came:
        otherwise = f"rows {missing()[:3]} were acked before they were sent and never came"
        if not kit.verdicts.judge("SV1-A-04", good, "rows acked too early came", otherwise):
            forgive(kit, missing())
    for _ in range(2):
        for rows in waiting:
            await kit.tell("ack", kit.cloud.commit(rows))
    goes_on = bool(await kit.next_rows(SOME)) and len(kit.log) > mark
    kit.verdicts.judge("SV1-A-05", goes_on, "rows came after repeated acks", "no more rows came")


async def _come_to_rest(kit: Kit, waiting: list[Rows]) -> None:
    """Wait until no new message comes any more, or more than there is room for have come."""
    while (count := len({rows.sent for rows in waiting})) <= WINDOW:
        more = functools.partial(_more_than, waiting, count)
        if not await kit.until(more, kit.patience.quiet * 2):
            return


def _more_than(waiting: list[Rows], count: int) -> bool:
    return len({rows.sent for rows in waiting}) > count


async def refuses(kit: Kit) -> None:
    """Refuse a message with fork, and a message that never was with a reason of a later version."""
    refused: list[Rows] = []

    def mute(rows: Rows) -> bool:
        if rows.st == "tel" and not refused:
            refused.append(rows)
        return bool(refused) and rows.sent == refused[0].sent

    kit.cloud.mute = mute
    if not await kit.until(lambda: refused, kit.patience.rows):
        return
    rows = refused[0]
    await kit.refuse(rows, "fork")
    odd = {"v": 1, "ep": rows.ep, "st": "tel", "nack": "later", "s0": rows.whole[1] + 1}
    await kit.tell("ack", odd)
    await kit.line.send("later", b"a channel of a later version")
    good = len(await kit.next_rows(SOME)) >= SOME
    kit.verdicts.judge("SV1-N-03", good, "others came", "no more rows after a fork")
    kit.verdicts.judge("SV1-V-02", good, "rows came after them", "no more rows came")


async def sends_rubbish(kit: Kit) -> None:
    """Send what is no message, and messages that make no sense, on every down-channel."""
    wrong: tuple[object, ...] = ([], {"v": 2}, {"v": 1}, {"v": 1, "session": 5, "ep": [], "st": {}})
    bomb = b"\x1f\x8b" + bytes(2000)
    for channel in ("resume", "ack", "flow"):
        for payload in (*RUBBISH, bomb):
            await kit.line.send(channel, payload)
        for document in wrong:
            await kit.line.send(channel, kit.packed(document))
    for ranges_ in ([[5, 1]], [["a", 2]], 7, [[1, 2, 3]], [[-1, 4]]):
        lane = next(iter(kit.watch.seen), (STRANGER, "tel"))
        document = {"v": 1, "ep": lane[0], "st": lane[1], "ranges": ranges_}
        await kit.line.send("ack", kit.packed(document))
    sessions = len(kit.watch.sessions)
    good = bool(await kit.next_rows(SOME)) and len(kit.watch.sessions) == sessions
    kit.verdicts.judge("SV1-P-03", good, "rows came after rubbish", "it stopped or reconnected")


async def slows_down(kit: Kit) -> None:
    """Ask for a pause, then for a window of one, then say what cannot be meant."""
    pause = kit.patience.pause
    before = kit.verdicts.failed("SV1-F-01")
    await kit.flow(pause)
    await kit.sleep(pause)
    if kit.verdicts.failed("SV1-F-01") == before:
        kit.verdicts.holds("SV1-F-01", f"nothing came in a pause of {pause:.0f} s")
    good = await kit.goes_on(10.0)
    kit.verdicts.judge("SV1-F-02", good, "rows came after the pause", "no rows within 10 s")
    waiting: list[Rows] = []

    def mute(rows: Rows) -> bool:
        waiting.append(rows)
        return True

    await kit.flow(0.0, 1)
    await kit.sleep(1.5)
    kit.cloud.mute = mute
    for _ in range(SOME):
        await kit.until(lambda: waiting, kit.patience.rows)
        await kit.quiet(0.25)
        late, waiting[:] = list(waiting), []
        for rows in late:
            await kit.tell("ack", kit.cloud.commit(rows))
    await answer_late(kit, waiting)
    await kit.flow(0.0, None)
    for odd in ({"pause_ms": -1}, {"pause_ms": 10**9}, {"window": 0}, {"pause_ms": "9"}):
        await kit.line.send("flow", kit.packed({"v": 1, "pause_ms": 300_000, **odd}))
    await kit.sleep(SETTLE)
    goes_on = await kit.goes_on(kit.patience.answer)
    kit.verdicts.judge("SV1-F-04", goes_on, "rows came after false flows", "no more rows came")


async def ends(kit: Kit) -> None:
    """Let everything come, look back on the whole run, and ask the client to end."""
    watch = kit.watch

    def holes() -> dict[Lane, list[Range]]:
        found = {lane: watch.holes(lane) for lane in watch.seen}
        return {lane: spans for lane, spans in found.items() if spans}

    good = await kit.until(lambda: not holes(), kit.patience.answer)
    if watch.seen:
        rows = sum(ranges.count(spans) for spans in watch.seen.values())
        otherwise = f"never came: {dict(list(holes().items())[:2])}"
        kit.verdicts.judge("SV1-R-01", good, f"{rows} rows without a hole", otherwise)
    if not kit.verdicts.failed("SV1-A-02"):
        kit.verdicts.holds("SV1-A-02", "no acked message came again")
    if watch.refusals and not kit.verdicts.failed("SV1-N-01"):
        kit.verdicts.holds("SV1-N-01", "no refused message came again in its session")
    quiet = watch.longest_without_state(kit.now())
    words = f"{quiet:.0f} s without a state at most"
    kit.verdicts.judge("SV1-C-01", quiet <= kit.patience.answer, words)
    offline = watch.offline
    if await kit.line.stop_client():
        last = await kit.until(lambda: watch.offline > offline, kit.patience.answer)
        kit.verdicts.judge("SV1-C-02", last, "it said so", "no state with online false")


SCENARIOS: Final[dict[str, Scenario]] = {
    "opening": opening,
    "dictionary": asks_for_dictionary,
    "window": fills_the_window,
    "rubbish": sends_rubbish,
    "fork": refuses,
    "lost-ack": loses_an_ack,
    "partial-ack": acks_in_part,
    "flow": slows_down,
    "line": breaks_the_line,
    "restored": comes_back_empty,
    "broker": restarts_the_broker,
    "kill": kills_the_client,
    "end": ends,
}
"""The scenarios by name, in the order in which they run."""


async def run(kit: Kit, skip: frozenset[str] = frozenset()) -> str:
    """Run all scenarios but those in `skip`; return why the run ended early, if it did."""
    for name, scenario in SCENARIOS.items():
        if name in skip:
            continue
        begun = kit.now()
        try:
            await scenario(kit)
        except NoClient as error:
            return str(error)
        log.info("scenario done", extra={"scenario": name, "seconds": round(kit.now() - begun, 1)})
    return ""
