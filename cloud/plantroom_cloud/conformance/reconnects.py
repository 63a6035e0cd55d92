"""The scenarios in which a connection ends: what was not acked must come in the next one."""

from __future__ import annotations

from collections.abc import Callable

from plantroom_cloud.conformance.kit import Kit
from plantroom_cloud.conformance.played import Rows
from plantroom_cloud.conformance.steps import NoClient, answer_late, came
from plantroom_cloud.conformance.told import WINDOW, Lane, holdings
from plantroom_shared import ranges
from plantroom_shared.ranges import Range


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
        await answer_late(kit, waiting)
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
        left = {lane: ranges.subtract(spans, came(kit, mark, lane)) for lane, spans in owed.items()}
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
