"""The first scenario: the handshake, with every mistake that the other side can make."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Final

from plantroom_cloud.conformance.kit import Kit
from plantroom_cloud.conformance.steps import FAR, RUBBISH, SOME, STRANGER, NoClient, forgive
from plantroom_cloud.conformance.told import Lane, holdings
from plantroom_shared import ranges
from plantroom_shared.ranges import Range

CLAIM: Final = 20
"""Rows that a resume claims beyond what was accepted."""


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
            forgive(kit, missing())


def _beyond(kit: Kit, lane: Lane, top: int) -> bool:
    return lane in kit.watch.seen and kit.watch.seen[lane][-1][1] > top


def _none(of: Callable[[], list[Range]]) -> bool:
    return not of()


def _missing(kit: Kit, lane: Lane, claim: Range) -> list[Range]:
    return ranges.subtract([claim], kit.watch.seen.get(lane, []))
