"""The breaker and the pacer by themselves: what a failure costs, and when the next may come."""

from __future__ import annotations

from plantroom_edge.breaker import (
    DEAR,
    LONGEST,
    OPEN_AFTER,
    PROVEN,
    STEP,
    Breaker,
    Change,
    Pacer,
)


def _even(_low: float, _high: float) -> float:
    return 1.0


def _fail(breaker: Breaker, times: int = 1, took: float = 0.0) -> Change:
    change = Change.NONE
    for _ in range(times):
        change = breaker.note(alive=False, now=0.0, took=took)
    return change


def test_a_dear_probe_is_rare() -> None:
    """A probe that takes a second is made no more than every fifty, one of a minute at the limit."""
    breaker = Breaker(_even)
    assert _fail(breaker, OPEN_AFTER, took=1.0) is Change.FAILED
    assert breaker.retry_at == DEAR
    _fail(breaker, took=60.0)
    assert breaker.retry_at == LONGEST


def test_who_flaps_is_given_up_at_the_first_silence() -> None:
    """After one answer a further silence opens the breaker at once, with a longer pause than before."""
    breaker = Breaker(_even)
    _fail(breaker, OPEN_AFTER)
    assert breaker.note(alive=True, now=0.0) is Change.RECOVERED
    assert _fail(breaker) is Change.FAILED
    assert breaker.retry_at == 2 * STEP


def test_trust_comes_back_with_answers() -> None:
    """After ten answers in a row all is as in the beginning."""
    breaker = Breaker(_even)
    _fail(breaker, OPEN_AFTER)
    for _ in range(PROVEN + 1):
        breaker.note(alive=True, now=0.0)
    assert _fail(breaker, OPEN_AFTER - 1) is Change.NONE
    assert _fail(breaker) is Change.FAILED
    assert breaker.retry_at == STEP


def test_a_poll_that_was_not_made_is_no_failure() -> None:
    """A device that failed once and was not asked again is not given up, however long that lasts."""
    breaker = Breaker(_even)
    for failures in range(OPEN_AFTER - 1):
        for _ in range(20):
            assert breaker.note(alive=False, now=0.0, asked=False) is Change.NONE
        assert breaker.failures == failures
        _fail(breaker)
    assert not breaker.is_open
    # After all its chances but one, the line has no time for it: that is known as well.
    assert breaker.note(alive=False, now=0.0, asked=False) is Change.FAILED
    assert breaker.note(alive=False, now=9.0, asked=False) is Change.NONE
    assert breaker.retry_at == STEP


def test_a_hastened_probe_is_never_later_than_it_was() -> None:
    """What was due soon stays so; what was due late comes within the time given."""
    soon, late = Breaker(_even, failures=3, retry_at=10.5), Breaker(_even, failures=3, retry_at=99)
    for breaker in (soon, late):
        breaker.hasten(10.0, STEP)
    assert (soon.retry_at, late.retry_at) == (10.5, 11.0)


def test_probes_are_spaced_by_what_they_cost_while_others_live() -> None:
    """Little of the line's time goes to the dead, yet each gets its probe; none waits for nobody."""
    dead, alive = Breaker(failures=OPEN_AFTER), Breaker()
    pacer = Pacer()
    pacer.probed(Change.PROBED, [dead, alive], now=10.0, took=0.1)
    assert pacer.free_at == 10.0 + 2 * DEAR * 0.1
    pacer.probed(Change.PROBED, [dead] * 10 + [alive], now=10.0, took=1.0)
    assert pacer.free_at == 10.0 + LONGEST / 10
    pacer.probed(Change.PROBED, [dead, dead], now=20.0, took=1.0)
    assert pacer.free_at == 20.0
    pacer.probed(Change.RECOVERED, [dead, alive], now=30.0, took=1.0)
    assert pacer.free_at == 30.0
