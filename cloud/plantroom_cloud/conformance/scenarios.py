"""What a gateway is put through: each scenario brings something about and waits for what must follow.

They run in this order over one life of the client, each leaving the played cloud in its ordinary
ways. A scenario that a client gives no occasion for leaves its assertions not exercised.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Final

from plantroom_cloud.conformance.kit import Kit, Scenario
from plantroom_cloud.conformance.played import Rows, ack, need_dict
from plantroom_cloud.conformance.watch import SETTLE, WINDOW, Lane, holdings
from plantroom_shared import ranges
from plantroom_shared.ranges import Range

log = logging.getLogger(__name__)

STRANGER: Final = "fedcba9876543210"
"""An epoch and a session that no gateway has drawn."""
FAR: Final = 1_000_000
CLAIM: Final = 20
"""Rows that a resume claims beyond what was accepted."""
SOME: Final = 3
"""Messages of rows that show that delivery goes on."""
RUBBISH: Final = (
    b"",
    b"not gzip at all",
    b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03cut",
)


class NoClient(Exception):
    """There is nothing to judge: no client came, or none with rows."""


async def opening(kit: Kit) -> None:
    """The handshake with every mistake that a cloud or a stranger can make, then the right one."""
    watch, verdicts = kit.watch, kit.verdicts
    if not await kit.until(lambda: watch.hellos, kit.patience.client):
        msg = f"no client said hello within {kit.patience.client:.0f} s"
        raise NoClient(msg)
    await kit.quiet()
    verdicts.holds("SV1-H-02", "nothing came before the resume")
    for payload in RUBBISH:
        await kit.line.send("resume", payload)
    watch.misled()
    await kit.tell("resume", kit.cloud.resume(watch.told.hello, 0) | {"session": STRANGER})
    await kit.quiet()
    verdicts.holds("SV1-H-05", "nothing came after a resume of another session")
    hellos = watch.hellos
    name, sessions = watch.told.session, len(watch.sessions)
    again = await kit.until(lambda: watch.hellos > max(hellos, 1), kit.patience.answer)
    same = len(watch.sessions) == sessions and watch.told.session == name
    if not verdicts.failed("SV1-H-05"):  # else it takes its hello for answered
        otherwise = "no hello of the same session"
        verdicts.judge("SV1-H-04", again and same, "hello came again", otherwise)
    await _false_claims(kit)


async def _false_claims(kit: Kit) -> None:
    """Answer as a cloud of 1.0 whose resume says more than it can know; rows must come all the same."""
    watch, cloud = kit.watch, kit.cloud
    cloud.greet = cloud.old = True
    epochs = cloud.resume(watch.told.hello, 0)["epochs"]
    claims: dict[Lane, Range] = {}
    for (epoch, stream), (accepted, _) in holdings(watch.told.hello).items():
        if stream == "tel" and epoch == epochs[-1]["ep"]:  # the running one: others get no rows
            claims[epoch, stream] = (accepted + 1, accepted + CLAIM)
            known = epochs[-1]
            known["ranges"] = {**known["ranges"], stream: [list(claims[epoch, stream])]}
    epochs.append({"ep": STRANGER, "ranges": {"tel": [[1, FAR]]}, "dictionary": 5})
    await kit.resume(epochs=epochs, later={"key": [1, {"x": None}]})
    if not await kit.next_rows(SOME):
        msg = f"no rows came within {kit.patience.rows:.0f} s of the resume: V-01, H-02 unknown"
        kit.verdicts.fails("SV1-V-01", "no rows came after a resume with unknown keys")
        raise NoClient(msg)
    kit.verdicts.holds("SV1-V-01", "rows came after a resume with unknown keys")

    await _false_claims_judged(kit, claims)
    if not watch.by_late():
        kit.verdicts.holds("SV1-H-10", "a cloud of 1.0 got no later channels")


async def _false_claims_judged(kit: Kit, claims: dict[Lane, Range]) -> None:
    """See that what was claimed comes all the same."""
    for lane, claim in claims.items():
        top = functools.partial(_beyond, kit, lane, claim[1])
        if not await kit.until(top, kit.patience.rows):
            continue
        missing = functools.partial(_missing, kit, lane, claim)
        good = await kit.until(functools.partial(_none, missing), kit.patience.answer)
        otherwise = f"never came: {missing()[:3]}"
        if not kit.verdicts.judge("SV1-H-09", good, "rows came that a resume claimed", otherwise):
            _forgive(kit, missing())


def _beyond(kit: Kit, lane: Lane, top: int) -> bool:
    return lane in kit.watch.seen and kit.watch.seen[lane][-1][1] > top


def _none(of: Callable[[], list[Range]]) -> bool:
    return not of()


def _missing(kit: Kit, lane: Lane, claim: Range) -> list[Range]:
    return ranges.subtract([claim], kit.watch.seen.get(lane, []))


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
    await _answer_late(kit, [rows])


async def _answer_late(kit: Kit, late: list[Rows]) -> None:
    """Go back to ordinary ways and ack what was left waiting."""
    kit.cloud.mute = lambda _: False
    for rows in late:
        await kit.tell("ack", kit.cloud.commit(rows))


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
        return ranges.covers(_came(kit, mark, rows.lane), *rows.whole)

    good = await kit.until(again, kit.patience.answer)
    otherwise = f"rows {rows.whole} did not come again within {kit.patience.answer:.0f} s"
    kit.verdicts.judge("SV1-A-01", good, f"rows {rows.whole} came again", otherwise)
    await _answer_late(kit, [rows])


def _came(kit: Kit, mark: int, lane: Lane) -> list[Range]:
    return ranges.merge(rows.whole for rows in kit.rows_since(mark) if rows.lane == lane)


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
        lambda: ranges.covers(_came(kit, mark, rows.lane), *rest), kit.patience.answer
    )
    otherwise = f"of {rows.whole} only the first row was acked, the others never came again"
    kit.verdicts.judge("SV1-A-03", good, f"rows {rest} came again", otherwise)
    await _answer_late(kit, [rows])


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
    await _answer_late(kit, waiting)
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
            _forgive(kit, missing())
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


def _forgive(kit: Kit, spans: list[Range]) -> None:
    """Take rows whose loss has been reported once for present."""
    for lane in kit.watch.seen:
        if lane[1] == "tel":
            kit.watch.forgiven[lane] = ranges.merge([*kit.watch.forgiven.get(lane, []), *spans])


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
    await _answer_late(kit, waiting)
    await kit.flow(0.0, None)
    for odd in ({"pause_ms": -1}, {"pause_ms": 10**9}, {"window": 0}, {"pause_ms": "9"}):
        await kit.line.send("flow", kit.packed({"v": 1, "pause_ms": 300_000, **odd}))
    await kit.sleep(SETTLE)
    goes_on = await kit.goes_on(kit.patience.answer)
    kit.verdicts.judge("SV1-F-04", goes_on, "rows came after false flows", "no more rows came")


async def breaks_the_line(kit: Kit) -> None:
    """Store two messages unheard, end the connection, and name one of them in the resume."""
    await _reconnect(kit, kit.line.kick, keep_first=True)


async def comes_back_empty(kit: Kit) -> None:
    """End the connection and come back as a cloud restored from an old backup: it knows nothing."""
    await _reconnect(kit, kit.line.kick, forget=True)


async def restarts_the_broker(kit: Kit) -> None:
    """Restart the broker under the connection."""
    await _reconnect(kit, kit.line.restart_broker)


async def kills_the_client(kit: Kit) -> None:
    """Kill the client and start it again: a new epoch, and all of the old one that it holds."""
    before = {epoch for epoch, _ in kit.watch.seen}
    if not await _reconnect(kit, kit.line.kill_client):
        return
    epochs = {item["ep"] for item in kit.watch.told.hello["epochs"]}
    await kit.until(lambda: {epoch for epoch, _ in kit.watch.seen} - before, kit.patience.rows)
    new = (epochs | {epoch for epoch, _ in kit.watch.seen}) - before
    kit.verdicts.judge("SV1-R-03", bool(new), f"new epoch {sorted(new)}", "no new epoch")


async def _reconnect(
    kit: Kit,
    end: Callable[[], object],
    *,
    keep_first: bool = False,
    forget: bool = False,
) -> bool:
    """Hold acks back, end the connection, answer the next hello, and see that all held rows come."""
    watch, waiting = kit.watch, list[Rows]()

    def mute(rows: Rows) -> bool:
        waiting.append(rows)
        return True

    kit.cloud.mute = mute
    await kit.until(lambda: len({rows.sent for rows in waiting}) >= WINDOW - 1, kit.patience.quiet)
    if keep_first and waiting:
        kit.cloud.commit(waiting[0])
    if forget:
        kit.cloud.forget()
    offline, sessions = watch.offline, len(watch.sessions)
    kit.cloud.old = kit.cloud.greet = False
    if not await end():  # type: ignore[misc]  # every way to end it is a coroutine function
        kit.cloud.greet = True
        await _answer_late(kit, waiting)
        return False
    good = await kit.until(lambda: len(watch.sessions) > sessions, kit.patience.connect)
    words = f"no hello within {kit.patience.connect:.0f} s"
    if not kit.verdicts.judge("SV1-T-05", good, "it came back", words):
        raise NoClient(words)
    willed = await kit.until(lambda: watch.offline > offline, kit.patience.quiet)
    if end != kit.line.restart_broker:  # a broker that ends takes the wills with it
        kit.verdicts.judge("SV1-T-04", willed, "the will came", "no state with online false")
    kit.cloud.mute = lambda _: False
    kit.cloud.greet = True
    await kit.resume()
    await _held_rows_come(kit)
    return True


async def _held_rows_come(kit: Kit) -> None:
    watch, mark = kit.watch, kit.place_of_hello()
    owed = {
        lane: ranges.subtract(held, watch.told.named.get(lane, []))
        for lane, (_, held) in holdings(watch.told.hello).items()
    }

    def missing() -> dict[Lane, list[Range]]:
        left = {
            lane: ranges.subtract(spans, _came(kit, mark, lane)) for lane, spans in owed.items()
        }
        return {lane: spans for lane, spans in left.items() if spans}

    good = await kit.until(lambda: not missing(), kit.patience.rows)
    otherwise = f"never came: {dict(list(missing().items())[:2])}"
    if any(owed.values()):
        kit.verdicts.judge("SV1-H-08", good, "all held rows came", otherwise)
    if any(watch.told.named.values()) and not kit.verdicts.failed("SV1-H-07"):
        kit.verdicts.holds("SV1-H-07", "what the resume named did not come again")
    running = watch.told.hello["epochs"][-1]["ep"] if watch.told.hello["epochs"] else ""
    if old := {lane for lane, spans in owed.items() if spans and lane[0] != running}:
        left = old & missing().keys()
        kit.verdicts.judge("SV1-R-04", not left, "rows of earlier epochs came", f"{left} did not")


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
