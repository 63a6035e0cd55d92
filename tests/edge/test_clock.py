"""The gateway's clock: starts in 1970, steps by years, is put right by the system or the cloud."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from plantroom_edge import clock as clock_module
from plantroom_edge.clock import BUILT_US, LATEST_US, EdgeClock, kernel_synced
from support.edge_time import T0

S = 1_000_000
HOUR, YEAR = 3600 * S, 365 * 86_400 * S


class Machine:
    """A wall clock and a monotonic one that go on together, until somebody sets the wall clock."""

    def __init__(self, wall: int = T0) -> None:
        self.wall, self.mono, self.steered = wall, 1000.0, False

    def now_us(self) -> int:
        return self.wall

    def monotonic(self) -> float:
        return self.mono

    def synced(self) -> bool:
        return self.steered

    def pass_seconds(self, seconds: float) -> None:
        self.wall += round(seconds * S)
        self.mono += seconds

    def clock(self, file: Path | None = None) -> EdgeClock:
        return EdgeClock(self, file, synced=self.synced)


def test_a_steered_clock_is_followed() -> None:
    """Where the kernel's clock is steered, time is the system's, state sync, steps and all."""
    machine = Machine()
    machine.steered = True
    clock = machine.clock()
    assert (clock.state, clock.now_us(), clock.follows_system) == ("sync", T0, True)
    machine.pass_seconds(5)
    assert clock.look() is None
    machine.wall += HOUR
    assert clock.look() is None
    assert clock.now_us() == T0 + 5 * S + HOUR
    assert clock.counters["clock_steps"] == 1
    assert clock.look() is None
    assert clock.counters["clock_steps"] == 1
    assert clock.monotonic() == 1005.0


def test_a_believable_clock_that_nobody_steers_runs_free() -> None:
    """A wall clock from a battery is used, as holdover; the cloud's word makes it sync for an hour."""
    machine = Machine()
    clock = machine.clock()
    assert str(clock.state) == "holdover"
    assert clock.hear(T0 + 300_000, waited=0.2) is None
    assert str(clock.state) == "sync"
    assert clock.skew_us == -400_000
    assert clock.now_us() == T0  # half a second is no reason to leave the system's clock
    machine.pass_seconds(3600)
    assert clock.state == "holdover"


def test_unset_until_the_system_is_set() -> None:
    """A machine that starts in 1970 stamps from its start; when its clock is set, all is shifted."""
    machine = Machine(wall=12 * S)
    clock = machine.clock()
    assert (clock.state, clock.follows_system) == ("unset", False)
    assert clock.now_us() == 1000 * S  # the monotonic clock
    machine.pass_seconds(60)
    assert clock.look() is None
    stamped = clock.now_us()
    machine.pass_seconds(1)
    machine.wall = T0
    shift = clock.look()
    assert shift is not None
    assert stamped + shift == T0 - S
    assert clock.now_us() == T0
    assert str(clock.state) == "holdover"
    assert clock.look() is None
    machine.steered = True
    assert clock.state == "sync"


def test_unset_until_the_cloud_tells() -> None:
    """Where only the cloud knows the time the system's clock is left alone, and ours is right."""
    machine = Machine(wall=0)
    clock = machine.clock()
    shift = clock.hear(T0, waited=4.0)
    assert shift == T0 + 2 * S - 1000 * S
    assert clock.now_us() == T0 + 2 * S
    assert machine.wall == 0
    assert (clock.state, clock.follows_system) == ("sync", False)
    machine.pass_seconds(10)
    assert clock.look() is None
    assert clock.now_us() == T0 + 12 * S
    machine.wall = T0 + 12 * S + 5000
    assert clock.look() is None  # set at last, and to the same time
    assert clock.follows_system


@pytest.mark.parametrize("step", [-10 * YEAR, -HOUR, HOUR, 10 * YEAR])
def test_a_step_nobody_vouches_for_is_not_followed(step: int) -> None:
    """A clock the cloud has confirmed goes on as it was when somebody sets the system's."""
    machine = Machine()
    clock = machine.clock()
    clock.hear(T0, waited=0.0)
    machine.pass_seconds(1)
    clock.look()
    machine.pass_seconds(1)
    machine.wall += step
    assert clock.now_us() == T0 + 2 * S  # at once, not at the next look
    assert clock.look() is None
    assert clock.now_us() == T0 + 2 * S
    assert not clock.follows_system
    machine.pass_seconds(4000)
    clock.look()
    assert clock.state == "holdover"
    assert clock.now_us() == T0 + 4002 * S
    machine.wall -= step
    clock.look()
    assert clock.follows_system


def test_a_step_of_a_clock_nobody_ever_confirmed_is_followed() -> None:
    """A battery clock that is set by hand is believed: nobody knew better."""
    machine = Machine()
    clock = machine.clock()
    machine.wall += HOUR
    clock.look()
    assert clock.now_us() == T0 + HOUR
    assert clock.counters["clock_steps"] == 1


def test_the_cloud_corrects_a_clock_that_nobody_steers() -> None:
    """More than two seconds off and not steered: the cloud's time is taken, not the system's."""
    machine = Machine(wall=T0 + HOUR)
    clock = machine.clock()
    assert clock.hear(T0, waited=0.0) is None
    assert clock.now_us() == T0
    assert clock.counters["clock_corrected"] == 1
    machine.mono += 100
    machine.wall += 100 * S
    clock.look()
    clock.hear(T0 + 100 * S + 40_000, waited=0.02)  # drifted by 50 ms since
    assert clock.now_us() == T0 + 100 * S + 50_000


def test_a_steered_clock_is_not_corrected_but_told_of() -> None:
    """Where the cloud and a steered clock disagree, the gateway only says by how much."""
    machine = Machine(wall=T0 + HOUR)
    machine.steered = True
    clock = machine.clock()
    assert clock.hear(T0, waited=0.0) is None
    assert clock.now_us() == T0 + HOUR
    assert clock.skew_us == HOUR


@pytest.mark.parametrize(
    ("cloud_us", "waited"), [(0, 1.0), (LATEST_US, 1.0), (T0, 31.0), (T0, -1.0), (2**62, 0.1)]
)
def test_an_answer_that_cannot_be_is_not_believed(cloud_us: int, waited: float) -> None:
    """A cloud with a clock of its own trouble, or an answer that took too long, sets nothing."""
    clock = Machine(wall=0).clock()
    assert clock.hear(cloud_us, waited) is None
    assert clock.state == "unset"
    assert clock.counters["clock_answers_useless"] == 1


def test_the_last_good_time_outlives_a_restart(tmp_path: Path) -> None:
    """A clock behind the last good time is unset at the next start, even in a year that could be."""
    file = tmp_path / "clock.json"
    machine = Machine()
    machine.steered = True
    clock = machine.clock(file)
    clock.look()
    assert json.loads(file.read_text()) == {"last_good_us": T0}
    machine.pass_seconds(599)
    clock.look()
    assert json.loads(file.read_text()) == {"last_good_us": T0}
    machine.pass_seconds(1)
    clock.look()
    assert json.loads(file.read_text()) == {"last_good_us": T0 + 600 * S}
    late = Machine(wall=T0 + 600 * S - HOUR).clock(file)
    assert (late.state, late.floor_us) == ("unset", T0 + 600 * S)
    assert Machine(wall=T0 + 570 * S).clock(file).state == "holdover"
    steered = Machine(wall=T0 - HOUR)
    steered.steered = True
    again = steered.clock(file)
    assert again.state == "sync"  # who steers the clock knows better than the file
    again.look()
    assert again.floor_us == T0 - HOUR


@pytest.mark.parametrize(
    "content", [b"", b"\xff", b"[]", b"{}", b'{"last_good_us": "1"}', b'{"last_good_us": 9e99}']
)
def test_a_damaged_file_says_nothing(tmp_path: Path, content: bytes) -> None:
    """Rubbish, and times that cannot be, are as good as no file."""
    file = tmp_path / "clock.json"
    file.write_bytes(content)
    assert Machine().clock(file).floor_us == BUILT_US


def test_a_disk_that_takes_no_note_is_counted(tmp_path: Path) -> None:
    """A clock that cannot be noted goes on all the same."""
    machine = Machine()
    machine.steered = True
    clock = machine.clock(tmp_path / "nowhere" / "clock.json")
    clock.look()
    assert clock.counters["clock_file_errors"] == 1
    assert clock.now_us() == T0


def test_the_kernel_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the kernel says is a plain yes or no; where there is none to ask it is no."""
    assert kernel_synced() in (True, False)

    class Libc:
        @staticmethod
        def adjtimex(where: object) -> int:
            where._obj.status = 0  # type: ignore[attr-defined] # what byref holds
            return 0

    monkeypatch.setattr(clock_module, "_libc", Libc)
    assert kernel_synced()
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not kernel_synced()


class Turbulence(RuleBasedStateMachine):
    """Whatever happens to the wall clock: ours is right whenever it says sync, after one look."""

    def __init__(self) -> None:
        super().__init__()
        self.true = T0
        self.machine = Machine(wall=0)
        self.edge = self.machine.clock()
        self.stamps: list[tuple[int, int]] = []
        """What was stamped while unset, and the true time then."""
        self.shifted = False

    def shift(self, shift: int | None) -> None:
        if shift is not None:
            assert not self.shifted, "set twice"
            self.shifted = True
            for stamp, true in self.stamps:
                assert abs(stamp + shift - true) <= 100_000

    @rule(seconds=st.floats(0.1, 5000))
    def wait(self, seconds: float) -> None:
        self.true += round(seconds * S)
        self.machine.pass_seconds(seconds)
        self.shift(self.edge.look())

    @rule(wrong=st.sampled_from([-40 * YEAR, -HOUR, HOUR, 10 * YEAR]))
    def set_wrong(self, wrong: int) -> None:
        if self.edge.state == "unset":
            return  # a wrong time that could be right is believed where nobody knows better
        self.machine.steered = False
        self.machine.wall = self.true + wrong
        self.shift(self.edge.look())

    @rule()
    def steer(self) -> None:
        self.machine.wall, self.machine.steered = self.true, True
        self.shift(self.edge.look())

    @rule(waited=st.floats(0, 0.1))
    def cloud(self, waited: float) -> None:
        self.true += round(waited * S)
        self.machine.pass_seconds(waited)
        self.shift(self.edge.hear(self.true - round(waited * 5e5), waited))

    @rule()
    def stamp(self) -> None:
        if self.edge.state == "unset":
            self.stamps.append((self.edge.now_us(), self.true))

    @invariant()
    def right_when_it_says_so(self) -> None:
        now = self.edge.now_us()
        if self.edge.state == "unset":
            assert now < BUILT_US
        elif self.edge.state == "sync":
            assert abs(now - self.true) <= 100_000


TestTurbulence = Turbulence.TestCase
