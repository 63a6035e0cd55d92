"""The terminal reviewer, drawn: rich texts out of a view. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from plantroom_cloud.review.view import HELP, View
from plantroom_shared.mapping.learned import SHORT

_SHORT: Final = {name: short for short, name in SHORT.items()}
_BAR: Final = 24
_SHAPES: Final[dict[str, dict[str, Any]]] = {
    "": {"width": 2},
    "points": {"justify": "right", "width": 7},
    "wrong?": {"justify": "right", "width": 7},
    "name": {"ratio": 4},
    "in": {"ratio": 2},
    "means": {"ratio": 4},
    "sure": {"justify": "right", "width": 5},
    "by": {"width": 8},
}
_COLUMNS: Final = tuple(_SHAPES)
_FEW: Final = ("", "points", "name", "means", "sure")
"""For a narrow window."""
_WIDE: Final = 70
_LOW: Final = 18
"""Lines of a window in which there is room for the queue and little else."""
_WHY: Final = 13
"""Lines of the why-panel."""


def plain(text: object) -> str:
    """Return text from the field without anything that moves the cursor."""
    return "".join(one if one.isprintable() else "\ufffd" for one in str(text))


def equipment(name: str) -> str:
    """Return an equipment class as people say it."""
    return _SHORT.get(name, name.replace("_", " ")) or "-"


def sureness(value: float | None) -> Text:
    """Return a confidence in its colour."""
    if value is None:
        return Text("  - ", "dim")
    colour = "green" if value >= 0.9 else "yellow" if value >= 0.6 else "red"
    return Text(f"{value:4.0%}", colour)


def promise_text(promise: Mapping[str, Any]) -> str:
    """Return a promise as a sentence."""
    return (
        f"{promise['share']:.0%} of the open points ({promise['points']:,}) "
        f"at {promise['precision']:.0%} precision"
    )


def render(view: View, width: int, height: int) -> RenderableType:
    """Return the screen."""
    head = list(_head(view, width))
    foot = list(_foot(view, width))[: 4 if height > _LOW else 2]
    room = max(3, height - len(head) - len(foot))
    if view.mode == "pages":
        body: list[RenderableType] = list(_pages(view, room))
    else:
        panel = list(_panel(view))[: max(0, min(_WHY, room - 4))]
        body = [*_queue(view, room - len(panel) - 1, width), Text("─" * width, "dim"), *panel]
    lines = [*head, *body, *foot]
    for line in lines:
        if isinstance(line, Text):
            line.truncate(width, overflow="ellipsis")
            line.no_wrap = True
    return Group(*lines)


def _head(view: View, width: int) -> Iterator[Text]:
    over = view.overview
    if not over:
        yield Text.assemble((" plantroom review ", "bold reverse"), f" {plain(view.site)}")
        return
    total, decided = max(1, over["points"]), over["decided"] + over["ruled"]
    full = round(_BAR * decided / total)
    yield Text.assemble(
        (" plantroom review ", "bold reverse"),
        f" {plain(view.site)}  ",
        ("█" * full, "green"),
        ("░" * (_BAR - full), "dim"),
        f" {decided / total:.0%} of {over['points']:,} points settled  ",
        (f"{over['open_templates']:,} templates open", "bold"),
        f", about {over['expected_wrong']:,.0f} points wrong",
    )
    promises = [promise_text(one) for one in over["promises"] if one["points"]]
    told = "Can be accepted unseen: " + "; ".join(promises[-2:]) if promises else ""
    yield Text(told or "Nothing is sure enough to be accepted unseen yet.", "cyan")
    yield Text("─" * width, "dim")


def _queue(view: View, room: int, width: int) -> Iterator[RenderableType]:
    if not view.queue:
        yield Text("  Nothing is open: every template is decided.  H shows who decided what.")
        return
    room = max(1, room - 1)
    view.top = max(min(view.top, view.at), view.at - room + 1, 0)
    table = Table(box=None, pad_edge=False, show_edge=False, expand=True, width=width)
    shown = _COLUMNS if width >= _WIDE else _FEW
    for heading in shown:
        table.add_column(heading, no_wrap=True, **_SHAPES[heading])
    for index, row in enumerate(view.queue[view.top : view.top + room], view.top):
        cells = dict(zip(_COLUMNS, _cells(view, row), strict=True))
        style = "reverse" if index == view.at else ""
        table.add_row(*(cells[heading] for heading in shown), style=style)
    yield table


def _cells(view: View, row: Mapping[str, Any]) -> Iterator[Text]:
    put_off = row["state"] == "deferred"
    mark = "●" if row["template"] in view.marked else "…" if put_off else " "
    yield Text(mark, "bold magenta")
    yield Text(f"{row['points']:,}")
    yield Text(f"{row['worth']:,.1f}", "dim")
    yield Text(plain(row["name"]), "dim" if put_off else "bold")
    yield Text(equipment(row["equip_class"]), "cyan")
    mixed = f"  (+{len(row['also'])})" if row["also"] else ""
    yield Text((row["point_class"] or "?") + mixed, "" if row["point_class"] else "red")
    yield sureness(row["confidence"])
    yield Text(row["source"], "dim")


def _panel(view: View) -> Iterator[Text]:
    """Yield why the template under the cursor means what it does, or the search."""
    if view.mode == "search":
        yield Text.assemble(("class: ", "bold"), f"{view.typed}▏", ("  words of its name", "dim"))
        for index, name in enumerate(view.found):
            yield Text(f"  {name}", "reverse" if index == view.chosen else "")
        if not view.found:
            yield Text("  no class has all these words", "red")
        return
    why, row = view.why, view.current
    if row is None or why.get("template", {}).get("template") != row["template"]:
        return
    yield from _about(row, why)
    yield _choices(view)
    for sample in why["samples"][:5]:
        yield _sample(sample)
    for event in why["history"][-2:]:
        gone = " (taken back)" if event["undone"] else ""
        said = f"  {event['at'][:16]} {event['actor']}: {event['action']} {event['point_class']}"
        yield Text(plain(f"{said}{gone}"), "magenta")


def _about(row: Mapping[str, Any], why: Mapping[str, Any]) -> Iterator[Text]:
    facts = (row["description"], row["unit"], row["object_type"], row["states"])
    yield Text.assemble(
        (plain(row["name"]), "bold"),
        (f"   {plain(row['example'])}", "dim"),
        plain("   " + "  ·  ".join(fact for fact in facts if fact)),
    )
    evidence = why["samples"][0]["evidence"] if why["samples"] else why["found"]["evidence"]
    notes = ", ".join(map(str, evidence)) if isinstance(evidence, list) else ""
    yield Text.assemble(("why: ", "bold"), plain(notes) or "nothing speaks for any class")
    found = why["found"]
    if found["point_class"] != row["point_class"] and found["point_class"]:
        yield Text(f"     the mapper by itself says {found['point_class']}", "dim")
    if row["also"]:
        others = ", ".join(f"{name or 'nothing'} ({n})" for name, n in row["also"].items())
        yield Text(f"     other points: {others}", "yellow")


def _choices(view: View) -> Text:
    line = Text()
    for number, name in enumerate(view.choices, 1):
        line.append(f"{number}", "bold green").append(f" {name}  ")
    return line if view.choices else Text("/ searches a class", "dim")


def _sample(sample: Mapping[str, Any]) -> Text:
    value = sample["value"]
    shown = "-" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
    return Text.assemble(
        f"  {plain(sample['name'])}",
        (f"   {plain(sample['equipment'])}", "cyan"),
        (f"   {plain(shown)} {plain(sample['unit'])}", "bold"),
        (f"   {plain(sample['description'])}", "dim"),
    )


def _pages(view: View, room: int) -> Iterator[Text]:
    yield Text(view.heading, "bold")
    lines: Sequence[str] = view.pages[view.top : view.top + room - 1]
    for line in lines:
        yield Text(plain(line))


def _foot(view: View, width: int) -> Iterator[Text]:
    if view.mode == "sure" and view.sure is not None:
        least = view.sure["min_confidence"]
        question = f"Accept {promise_text(view.sure)}, all from {least:.0%} on?  y / n"
        yield Text(question, "bold yellow")
    elif view.trouble:
        yield Text(plain(view.trouble), "red")
    else:
        yield Text(plain(view.told), "green")
    if view.mode == "search":
        yield Text("enter takes it, arrows choose, escape leaves it", "dim")
    elif view.mode == "pages":
        edit = ", e edits" if view.heading == "rules" else ""
        yield Text(f"arrows and page keys move{edit}, q goes back", "dim")
    else:
        yield from _help(width)


def _help(width: int) -> Iterator[Text]:
    """Yield what the keys do, in as many lines as it takes."""
    line = Text()
    for key, meaning in HELP:
        if line and len(line) + len(key) + len(meaning) + 3 > width:
            yield line
            line = Text()
        line.append(key, "bold").append(f" {meaning}  ")
    yield line
