"""What a cloud is put through by a gateway that the kit plays; see `scenarios` for the other side."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any, Final

from plantroom_cloud.conformance.played_gateway import PlayedGateway, now_us
from plantroom_cloud.conformance.shapes import MAX_PLAIN, pack
from plantroom_cloud.conformance.steps import RUBBISH
from plantroom_shared.ranges import covers, intersect, subtract

ELSEWHERE: Final = "0f1e2d3c4b5a6978"
LATER: Final[dict[str, Any]] = {"later": {"key": [1, {"deep": None}]}}


async def greets(kit: PlayedGateway) -> str:
    """Say hello with keys and streams of a later version, about two epochs; return why to stop."""
    at = now_us()
    both = [
        {"ep": ELSEWHERE, "accepted": {"tel": 0}, "held": {}, **LATER},
        {"ep": kit.epoch, "accepted": {"tel": 0, "vid": 7}, "held": {"vid": [[1, 7]], "odd": 5}},
    ]
    session = await kit.hello(epochs=both, at=at, **LATER)
    good = await kit.until(lambda: kit.resumes)
    if not kit.verdicts.judge("SV1-H-11", good, "a resume came", "no resume of that session"):
        return "no answer to hello: is the gateway known to this cloud?"
    resume = kit.resumes[-1]
    own = resume["session"] == session
    kit.verdicts.judge("SV1-H-11", own, "it is of our session", "it is of another session")
    kit.verdicts.holds("SV1-V-11", "a hello with later keys was answered")
    kit.verdicts.holds("SV1-V-12", "a hello with later streams was answered")
    named = [known["ep"] for known in resume["epochs"]]
    good = sorted(named) == sorted([ELSEWHERE, kit.epoch])
    kit.verdicts.judge("SV1-H-12", good, "both epochs are named", f"named are {named}")
    good = resume.get("hello_at") == at
    kit.verdicts.judge("SV1-H-15", good, "at came back", f"hello_at is {resume.get('hello_at')}")
    return ""


async def learns(kit: PlayedGateway) -> str:
    """Send chunks with a hole, in order, and with a changed meaning."""
    await kit.describe(2, ["kit:2"])
    good = await kit.until(lambda: kit.refused("need_dict", "inv"))
    good = good and kit.refused("need_dict", "inv")[0].get("have", 0) == 0
    kit.verdicts.judge("SV1-D-12", good, "need_dict, have 0", "no need_dict with have 0")
    await kit.describe(0, ["kit:0", "kit:1"], **LATER)
    good = await kit.until(lambda: covers(kit.acked("inv"), 1, 2))
    kit.verdicts.judge("SV1-D-11", good, "positions 1 to 2 are acked", "no ack of the chunk")
    await kit.describe(0, ["kit:other"])
    good = await kit.until(lambda: kit.refused("fork", "inv"))
    kit.verdicts.judge("SV1-D-14", good, "fork", "no fork for another meaning")
    return ""


async def asks(kit: PlayedGateway) -> str:
    """Send rows with an alias that no chunk has explained, then the chunk, then the rows."""
    since = len(kit.nacks)
    await kit.samples(1, 10, alias=2)
    good = await kit.until(lambda: kit.refused("need_dict", "tel", since))
    good = good and not kit.acked("tel")
    kit.verdicts.judge("SV1-D-13", good, "need_dict and no ack", "acked, or no need_dict")
    await kit.describe(2, ["kit:2"])
    await kit.until(lambda: covers(kit.acked("inv"), 1, 3))
    await kit.samples(1, 10, alias=2)
    good = await kit.until(lambda: covers(kit.acked("tel"), 1, 10))
    kit.verdicts.judge("SV1-A-11", good, "rows 1 to 10 are acked", "rows 1 to 10 never acked")
    return ""


async def takes_rows(kit: PlayedGateway) -> str:
    """Send rows out of order, again, on both channels, and with one bad among them."""
    await kit.samples(41, 10)
    await kit.samples(31, 10, channel="fill", **LATER)
    await kit.samples(11, 20)
    good = await kit.until(lambda: covers(kit.acked("tel"), 1, 50))
    kit.verdicts.judge("SV1-A-14", good, "rows 11 to 50 are acked", f"only {kit.acked('tel')}")
    since = len(kit.acks)
    await kit.samples(41, 10)
    good = await kit.until(lambda: covers(kit.acked("tel", since), 41, 50))
    kit.verdicts.judge("SV1-A-13", good, "acked again", "rows that came again were not acked")
    await kit.samples(51, 3, x=[1.0, {"no": "value"}, 3.0])
    good = await kit.until(lambda: covers(kit.acked("tel"), 51, 53))
    kit.verdicts.judge("SV1-A-16", good, "acked whole", "not acked: one bad row blocks")
    return ""


async def takes_others(kit: PlayedGateway) -> str:
    """Send a finding, records and a gap record."""
    finding = {
        "id": f"kit-{kit.epoch}",
        "detector": "kit",
        "subject": "kit",
        "started": now_us() - 1_000_000,
        "score": 1.0,
        "text": "The conformance kit was here.",
    }
    record = {"at": now_us(), "kind": "kit.run", "doc": {}}
    await kit.rows("evt", 1, 1, ev=[{**finding, **LATER}])
    await kit.rows("aud", 1, 1, rc=[record])
    await kit.rows("cmd", 1, 1, rc=[record])
    await kit.rows("tel", 54, 7, gap="conformance")
    wanted = {"evt": (1, 1), "aud": (1, 1), "cmd": (1, 1), "tel": (54, 60)}
    for stream, span in wanted.items():
        good = await kit.until(functools.partial(kit.has_ack, stream, span))
        kit.verdicts.judge("SV1-A-15", good, f"{stream} {span} acked", f"{stream} not acked")
    return ""


async def finds_forks(kit: PlayedGateway) -> str:
    """Send other rows under numbers that are taken."""
    acks = len(kit.acks)
    await kit.samples(41, 10, x=[-1.0] * 10)
    good = await kit.until(lambda: kit.refused("fork", "tel"))
    good = good and not covers(kit.acked("tel", acks), 41, 50)
    kit.verdicts.judge("SV1-N-11", good, "fork and no ack", "acked, or no fork")
    return ""


async def ignores_snapshots(kit: PlayedGateway) -> str:
    """Send a snapshot: nothing may come of it."""
    acks = len(kit.acks)
    columns = {"t0": now_us() - 1000, "p": [0], "dt": [0], "x": [5.0], "q": {}}
    await kit.send("now", {"v": 1, "ep": kit.epoch, "n": 1, "s": [50], **columns})
    await kit.quiet()
    good = len(kit.acks) == acks
    kit.verdicts.judge("SV1-S-11", good, "no ack", "a snapshot was acked")
    return ""


async def survives(kit: PlayedGateway) -> str:
    """Send rubbish on every channel, then a row."""
    bomb = pack({"v": 1, "bomb": "x" * (2 * MAX_PLAIN)})
    wrong: tuple[Any, ...] = ([], {"v": 2}, {"v": 1}, {"v": 1, "ep": kit.epoch, "st": "vid"})
    for channel in ("hello", "now", "cmd", "evt", "aud", "tel", "fill", "inv", "state"):
        for payload in (*RUBBISH, bomb, *(pack(item) for item in wrong)):
            await kit.line.send(channel, payload)
    await kit.samples(61, 1)
    good = await kit.until(lambda: covers(kit.acked("tel"), 61, 61))
    kit.verdicts.judge("SV1-P-12", good, "a row behind it is acked", "nothing is acked any more")
    return ""


async def remembers(kit: PlayedGateway) -> str:
    """Say hello again, naming samples alone, and compare."""
    count = len(kit.resumes)
    session = await kit.hello("tel")
    if not await kit.until(lambda: len(kit.resumes) > count):
        kit.verdicts.fails("SV1-H-11", "no resume for a second hello")
        return ""
    kit.verdicts.judge("SV1-H-11", kit.resumes[-1]["session"] == session, "answered again")
    known = next((item for item in kit.resumes[-1]["epochs"] if item["ep"] == kit.epoch), None)
    if known is None:
        kit.verdicts.fails("SV1-H-12", "our epoch is not named")
        return ""
    said = [(lo, hi) for lo, hi in known.get("ranges", {}).get("tel", [])]
    acked = intersect(kit.acked("tel"), kit.sent[kit.lane("tel")])
    good = not subtract(said, acked) and not subtract(acked, said)
    kit.verdicts.judge("SV1-H-13", good, f"{said}", f"{said} where {acked} were acked")
    extra = sorted(known.get("ranges", {}).keys() - {"evt", "tel"})
    kit.verdicts.judge("SV1-H-14", not extra, "no others", f"{extra} were not asked for")
    size = known.get("dictionary", 0)
    kit.verdicts.judge("SV1-H-16", size == 3, "3 aliases", f"{size} where 3 were acked")
    return ""


SCENARIOS: Final[dict[str, Callable[[PlayedGateway], Awaitable[str]]]] = {
    "hello": greets,
    "dictionary": learns,
    "need-dict": asks,
    "rows": takes_rows,
    "others": takes_others,
    "fork": finds_forks,
    "snapshot": ignores_snapshots,
    "rubbish": survives,
    "resume": remembers,
}
"""The scenarios by name, in the order in which they run."""


async def run(kit: PlayedGateway) -> str:
    """Run all scenarios; return why the run ended early, if it did."""
    for scenario in SCENARIOS.values():
        if why := await scenario(kit):
            return why
    return ""
