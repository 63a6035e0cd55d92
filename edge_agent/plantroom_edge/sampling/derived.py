"""Derived points at work: calculated when an operand is read, good as the worst of the operands."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from plantroom_edge.sampling.checking import Term
from plantroom_edge.sampling.definition import DerivedPoint
from plantroom_edge.sampling.expression import BadExpression
from plantroom_edge.sampling.gate import RowGate
from plantroom_edge.sampling.kinds import to_si
from plantroom_edge.sampling.order import checked, in_order, operand_keys
from plantroom_shared.model import Batch, Quality, Value

log = logging.getLogger(__name__)

_GOOD, _UNCERTAIN, _BAD = map(int, Quality)
_BACK: Final = 60_000_000
"""Microseconds: further back is a clock that was set, which is followed."""

Feeds = Sequence[tuple[int, str]]
"""Rows of a poll that are operands, and their keys."""


@dataclass(slots=True)
class _State:
    """What an operand said last."""

    value: float | None = None
    ts: int = 0
    quality: int = _BAD


@dataclass(slots=True)
class _Running:
    """One derived point at work."""

    config: DerivedPoint
    keys: frozenset[str]
    gate: RowGate | None
    """Under report by exception."""
    term: Term | None = None
    operands: list[tuple[_State, float, float]] = field(default_factory=list)
    """State of each operand, factor and offset to SI."""
    scale: tuple[float, float] = (1.0, 0.0)
    problem: str = ""
    alias: int | None = None
    last_ts: int = 0
    slot: int = -1
    told: tuple[int, str] | None = None
    """Quality and reason of the last result."""


class Derivation:
    """All derived points of the gateway; their operands may be on different buses.

    Args:
        derived: from the configuration.
        gate_of: makes the gate of one, None where every result is a sample.
    """

    def __init__(
        self,
        derived: Iterable[DerivedPoint],
        gate_of: Callable[[DerivedPoint], RowGate | None] = lambda _one: None,
    ) -> None:
        self._running = [
            _Running(one, frozenset(key for key, _ in operand_keys(one).values()), gate_of(one))
            for one in in_order(derived)
        ]
        self._states = {key: _State() for one in self._running for key in one.keys}
        self._units = {one.config.key: one.config.unit for one in self._running}

    @property
    def operands(self) -> frozenset[str]:
        """The keys of all operands."""
        return frozenset(self._states)

    def problems(self) -> dict[str, str]:
        """Return what keeps derived points from being calculated, by id."""
        out = {}
        for one in self._running:
            if one.problem:
                out[one.config.id] = one.problem
            elif one.term is None:
                missing = sorted(key for key in one.keys if key not in self._units)
                out[one.config.id] = f"no bus has {', '.join(missing)}"
        return out

    def learn(self, units: Mapping[str, str]) -> list[DerivedPoint]:
        """Take note of points and their units; return the derived points that use one of them."""
        self._units |= {key: unit for key, unit in units.items() if key in self._states}
        for one in self._running:
            if one.term is None and not one.problem and one.keys <= self._units.keys():
                self._build(one)
        touched: set[str] = set(units)
        out = []
        for one in self._running:
            if one.keys & touched:
                touched.add(one.config.key)
                out.append(one.config)
        return out

    def _build(self, one: _Running) -> None:
        try:
            one.term, operands = checked(one.config, self._units)
        except BadExpression as error:
            one.problem = str(error)
            log.error(  # noqa: TRY400 - the trace would say no more
                "a derived point cannot be calculated", extra={"error": one.problem}
            )
            return
        one.operands = [(self._states[key], *to_si(unit)) for key, unit in operands]
        one.scale = to_si(one.config.unit)

    def bind(self, aliases: Mapping[str, int]) -> None:
        """Take note of the aliases of derived points."""
        for one in self._running:
            one.alias = aliases.get(one.config.key, one.alias)

    def take(
        self, feeds: Feeds, values: Sequence[Value], bad: Mapping[int, tuple[int, str]], ts: int
    ) -> Batch:
        """Take note of operands that were read; return what follows from them.

        Args:
            feeds: which rows are operands.
            values: of the poll, in the points' units.
            bad: row → (`Quality`, reason) of rows that are not good.
            ts: of the poll, microseconds since 1970-01-01 UTC.
        """
        touched = set()
        for row, key in feeds:
            touched.add(key)
            _note(self._states[key], values[row], bad.get(row, (_GOOD, ""))[0], ts)
        out = Batch()
        for one in self._running:
            if one.alias is not None and one.keys & touched and self._calculate(one, out):
                touched.add(one.config.key)
        return out

    def _calculate(self, one: _Running, out: Batch) -> bool:
        """Calculate one point; return whether there is a result, reported or not."""
        states = [self._states[key] for key in one.keys]
        ts = max(state.ts for state in states)
        if ts <= one.last_ts and one.last_ts - ts < _BACK:
            ts = one.last_ts + 1
        worst = max(state.quality for state in states)
        flaw = None if worst == _GOOD else (worst, "operand")
        if one.config.interval is not None:
            slot = ts // round(one.config.interval * 1e6)
            before = one.told[0] if one.told else None
            if slot == one.slot and before == worst:
                return False
            one.slot = slot
        value: Value = None
        if one.term is None:
            flaw = (_BAD, "unit" if one.problem else "operand")
        elif worst != _BAD:
            value = _run(one, one.term, ts)
            if value is None:
                flaw = (_BAD, "undefined")
        one.last_ts, same = ts, one.told == flaw
        self._pass_on(one, value, flaw, ts)
        if self._reports(one, value, flaw, same=same):
            if flaw:
                out.quality[len(out)] = flaw
            out.points.append(one.alias or 0)
            out.times.append(ts)
            out.values.append(value)
        one.told = flaw or (_GOOD, "")
        return True

    def _reports(
        self, one: _Running, value: Value, flaw: tuple[int, str] | None, *, same: bool
    ) -> bool:
        """Say whether a result is a sample: what stays bad for one reason is told once."""
        if one.gate is not None:
            return bool(one.gate.changed([value], {0: flaw} if flaw else {}))
        return not (same and flaw is not None and flaw[0] == _BAD)

    def _pass_on(self, one: _Running, value: Value, flaw: tuple[int, str] | None, ts: int) -> None:
        state = self._states.get(one.config.key)
        if state is not None:
            _note(state, value, flaw[0] if flaw else _GOOD, ts)


def _note(state: _State, value: Value, quality: int, ts: int) -> None:
    state.ts = ts
    number = float(value) if isinstance(value, int | float) else math.nan
    if quality == _BAD or not math.isfinite(number):
        state.value, state.quality = None, _BAD
    else:
        state.value, state.quality = number, quality


def _run(one: _Running, term: Term, ts: int) -> Value:
    """Return the result in the point's unit; None where there is none."""
    values = [(state.value or 0.0) * factor + offset for state, factor, offset in one.operands]
    try:
        result = term.run(values, ts / 1e6)
    except (ArithmeticError, ValueError):
        return None
    factor, offset = one.scale
    result = (result - offset) / factor
    if not math.isfinite(result):
        return None
    return bool(result) if term.kind.truth else float(f"{result:.12g}")  # no binary dust
