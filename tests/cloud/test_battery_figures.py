"""Figures of batteries: known results come out, and what is not known is said to be so."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plantroom_cloud.battery.analytic import (
    ANALYTICS,
    BatteryData,
    Figure,
    evaluate,
    grade_of,
    worst,
)
from plantroom_cloud.battery.flow import count, integrate
from plantroom_cloud.battery.series import Raw, Series, clean, gap_limit, nominal_step
from support.api_battery import HOUR, RATED, SECOND, T0, cycling, data_of, figures, sampled

_LEVEL, _SOC = cycling(12)


def _cycles(hours: float = 12, step_s: int = 10, efficiency: float = 0.9) -> BatteryData:
    level, soc = cycling(hours, efficiency=efficiency)
    return data_of(hours, power=sampled(level, hours, step_s), soc=sampled(soc, hours, step_s))


def _counter(
    rate_kw: float, hours: float, start: float = 0.0, step_s: int = 60
) -> list[tuple[int, float, int]]:
    readings = sampled(lambda t: start + rate_kw * t, hours, step_s)
    return [(ts, value or 0.0, quality) for ts, value, quality in readings]


# ---------------------------------------------------------------- known results


def test_one_full_cycle() -> None:
    """An hour in at 40 kW, a rest, 0.95 h out: 40 in, 38 out, 0.975 cycles, 95 % efficiency."""

    def level(t: float) -> float:
        return -40.0 if t < 1 else 40.0 if 2 <= t < 2.95 else 0.0

    def soc(t: float) -> float:
        return min(t, 1.0) * 100 - min(max(t - 2, 0.0) / 0.95, 1.0) * 100

    found = figures(data_of(3.5, power=sampled(level, 3.5, 1), soc=sampled(soc, 3.5, 1)))
    assert found["energy_in"].value == pytest.approx(40, rel=1e-3)
    assert found["energy_out"].value == pytest.approx(38, rel=1e-3)
    assert found["efc"].value == pytest.approx(0.975, rel=1e-3)
    assert found["efc_discharge"].value == pytest.approx(0.95, rel=1e-3)
    assert found["rte"].value == pytest.approx(95, abs=0.1)
    assert found["rte"].flags == ("closed", "few_cycles")
    assert found["rte"].grade == "C"
    assert found["energy_in"].grade == "A"
    assert found["energy_in"].coverage == 1.0
    assert found["energy_in"].method == "energy.integral/1"
    assert found["energy_in"].points == (1,)


@pytest.mark.parametrize("efficiency", [0.7, 0.85, 0.95])
def test_the_efficiency_of_full_cycles(efficiency: float) -> None:
    """Over closed cycles the efficiency that was built in comes out, graded for use."""
    found = figures(_cycles(efficiency=efficiency))["rte"]
    assert found.value == pytest.approx(100 * efficiency, abs=0.3)
    assert found.flags == ("closed",)
    assert found.grade == "A"
    assert set(found.points) == {1, 2}


def test_a_window_that_starts_full_is_corrected() -> None:
    """Starting at 10 % and ending at 90 %, what stayed inside is made good, within 2 %."""
    level, soc = cycling(12)
    power = sampled(level, 10.2, 10)
    data = data_of(10.2, power=power, soc=sampled(soc, 10.2, 10), rated_kwh=45.0)
    naive = figures(data)["energy_out"].value or 0.0
    assert naive / (figures(data)["energy_in"].value or 1) < 0.72
    found = figures(data)["rte"]
    assert found.value == pytest.approx(90, abs=2)


def test_without_a_closed_part_the_rated_energy_makes_it_good() -> None:
    """A state of charge that never comes back is corrected by what stayed inside."""

    def level(t: float) -> float:
        return -40.0 if t % 2 < 1 else 34.2

    def soc(t: float) -> float:
        whole, part = divmod(t, 2)
        return 5 + 4 * whole + 80 * min(part, 1) - 76 * max(part - 1, 0)

    data = data_of(7, power=sampled(level, 7), soc=sampled(soc, 7), rated_kwh=45.0)
    found = figures(data)["rte"]
    assert found.value == pytest.approx(90, abs=0.3)
    assert found.flags == ("soc_corrected",)
    assert (found.start, found.end) == (T0, T0 + 7 * HOUR)
    unknown = figures(replace(data, rated_kwh=None))["rte"]
    assert unknown.value is None
    assert "rated_energy_unknown" in unknown.flags


def test_counters_win_and_bridge_gaps() -> None:
    """Where counters stand beside power, they count, also across a hole of twenty minutes."""
    hole = [s for s in sampled(lambda _: -30.0, 2, 10) if not HOUR <= s[0] - T0 <= HOUR * 4 // 3]
    without = figures(data_of(2, power=hole))["energy_in"]
    assert without.value == pytest.approx(50, rel=0.01)
    assert without.coverage == pytest.approx(1 - 1 / 6, abs=0.01)
    assert without.grade == "C"
    assert without.flags == ("gaps",)
    charge = [s for s in _counter(30, 2) if not HOUR <= s[0] - T0 <= HOUR * 4 // 3]
    counted = figures(data_of(2, power=hole, charge=charge))["energy_in"]
    assert counted.value == pytest.approx(60)
    assert (counted.method, counted.grade, counted.points) == ("energy.counter/1", "A", (3,))
    assert counted.flags == ()


def test_a_counter_for_half_the_window_gives_way_to_the_integral() -> None:
    """A counter that came late says less than power over the whole window."""
    power = sampled(lambda _: -30.0, 2, 10)
    late = [sample for sample in _counter(30, 2) if sample[0] >= T0 + HOUR]
    found = figures(data_of(2, power=power, charge=late))["energy_in"]
    assert found.method == "energy.integral/1"
    assert found.value == pytest.approx(60)
    alone = figures(data_of(2, charge=late))["energy_in"]
    assert alone.value == pytest.approx(30)
    assert (alone.grade, alone.flags) == ("C", ("gaps",))


def test_meters_that_disagree_are_flagged() -> None:
    """Counter and integral more than 2 % apart: the counter counts, the flag says so."""
    power = sampled(lambda _: -30.0, 2, 10)
    same = figures(data_of(2, power=power, charge=_counter(30.3, 2)))["energy_in"]
    assert same.flags == ()
    other = figures(data_of(2, power=power, charge=_counter(33, 2)))["energy_in"]
    assert other.flags == ("meter_mismatch",)
    assert other.value == pytest.approx(66)


def test_a_window_inside_of_the_samples_counts_its_share() -> None:
    """Samples beyond both ends fill the window to its edges, and count no further."""
    start = T0 - 600 * SECOND
    wide = sampled(lambda _: -30.0, 2, 45, start)
    data = replace(data_of(1), power=Series(1, wide))
    found = figures(data)["energy_in"]
    assert found.value == pytest.approx(30)
    assert found.coverage == 1.0
    narrow = [(ts, value, 0) for ts, value, _ in sampled(lambda t: 30 * t, 1, 7, T0 - 3 * SECOND)]
    counted = replace(data, power=None, charge_counter=Series(3, narrow))
    assert figures(counted)["energy_in"].value == pytest.approx(30, rel=2e-3)


# ---------------------------------------------------------------- counters that misbehave


def test_a_counter_reset_starts_anew() -> None:
    """After a reset nothing is negative, and only the step itself is unknown."""
    before = _counter(30, 1, start=500.0)
    after = [(ts + HOUR + 60 * SECOND, value, q) for ts, value, q in _counter(30, 1)]
    found = figures(data_of(2, charge=before + after))["energy_in"]
    assert found.value == pytest.approx(60, rel=0.02)
    assert "counter_reset" in found.flags
    assert found.coverage == pytest.approx(1 - 1 / 120, abs=0.001)


@pytest.mark.parametrize(("bits", "scale"), [(16, 0.1), (16, 1.0), (32, 0.001)])
def test_a_register_overflow_is_no_reset(bits: int, scale: float) -> None:
    """A register of 16 or 32 bits that turns over goes on counting."""
    full = 2**bits
    counts = 30 / scale / 60
    readings = [
        (T0 + n * 60 * SECOND, float(round(full - 30 * counts + n * counts) % full), 0)
        for n in range(121)
    ]
    data = data_of(2, charge=readings, counter_scale=scale)
    found = figures(data)["energy_in"]
    assert found.value == pytest.approx(60, rel=0.02)
    assert found.flags == ("counter_wrap",)
    assert figures(replace(data, rated_kw=None, rated_kwh=None))["energy_in"].value == found.value


def test_a_counter_jump_is_dropped() -> None:
    """More energy than the battery can move in the time is no energy."""
    readings = [
        (ts, value + (1000 if ts > T0 + HOUR else 0), q) for ts, value, q in _counter(30, 2)
    ]
    found = figures(data_of(2, charge=readings))["energy_in"]
    assert found.value == pytest.approx(60, rel=0.02)
    assert found.flags == ("counter_jump",)


def test_a_coarse_counter_is_no_jump() -> None:
    """A counter of whole kWh read every second rises in steps that no second could hold."""
    readings = [(ts, float(math.floor(value)), q) for ts, value, q in _counter(40, 2, step_s=1)]
    found = figures(data_of(2, charge=readings))["energy_in"]
    assert found.value == pytest.approx(80, abs=1)
    assert found.flags == ()


# ---------------------------------------------------------------- samples that misbehave


def test_order_and_duplicates_change_nothing() -> None:
    """Shuffled and doubled samples give the same figures to the last bit."""
    data = _cycles(6)
    assert data.power is not None
    assert data.soc is not None
    mixed = list(data.power.samples) * 2
    random.Random(7).shuffle(mixed)
    again = replace(data, power=Series(1, mixed), soc=Series(2, list(data.soc.samples)[::-1]))
    assert evaluate(again) == evaluate(data)


def test_bad_samples_and_sentinels_are_missing_not_zero() -> None:
    """Bad quality, NaN, none, and the values that mean "not implemented" count as nothing."""
    base = sampled(lambda _: -30.0, 1, 10)
    junk: list[Raw] = [(T0 + n * 10 * SECOND + 1, value, quality) for n, (value, quality) in enumerate(
        [(math.nan, 0), (math.inf, 0), (None, 0), (9e9, 2), (5.0, 1), (65535.0, 0), (-32768.0, 0),
         (4294967295.0, 0), (1e300, 0)])]  # fmt: skip
    assert figures(data_of(1, power=base + junk)) == figures(data_of(1, power=base))
    odd: list[Raw] = [(T0 + n, value, 0) for n, value in enumerate((255.0, 511.0, 65535.0, -5.0))]
    assert data_of(1, soc=odd).soc_samples == []


def test_two_values_of_one_moment_give_one() -> None:
    """Of two good values of one moment always the same one stays."""
    pair: list[Raw] = [(T0, 2.0, 0), (T0, 1.0, 0), (T0, 0.5, 2)]
    assert clean(Series(1, pair), -10, 10) == clean(Series(1, pair[::-1]), -10, 10) == [(T0, 1.0)]


def test_gap_limits() -> None:
    """Three steps, at least a minute, at most two hours."""
    assert gap_limit(SECOND) == 60 * SECOND
    assert gap_limit(300 * SECOND) == 900 * SECOND
    assert gap_limit(365 * 24 * HOUR) == 2 * HOUR
    assert nominal_step([(T0, 1.0)]) == 0
    year: list[Raw] = [(T0, -1.0, 0), (T0 + 365 * 24 * HOUR, -1.0, 0)]
    assert figures(data_of(365 * 24, power=year))["energy_in"].value is None


def test_grades() -> None:
    """Coverage and step decide; a counter needs no fine step."""
    minute = 60 * SECOND
    assert grade_of(0.0, SECOND, counted=True) == "N"
    assert grade_of(0.99, minute, counted=False) == "A"
    assert grade_of(0.99, minute + 1, counted=False) == "B"
    assert grade_of(0.95, 5 * minute, counted=False) == "B"
    assert grade_of(1.0, 15 * minute, counted=False) == "C"
    assert grade_of(1.0, 15 * minute, counted=True) == "A"
    assert grade_of(0.94, SECOND, counted=True) == "C"
    assert worst("A", "C", "B") == "C"


def test_what_a_value_stands_for() -> None:
    """A mean counts for the interval after it, an end value for the one before, else both."""
    steps = [(T0, -10.0), (T0 + 60 * SECOND, -20.0), (T0 + 120 * SECOND, -20.0)]
    expected = {"sampled": 15 + 20, "mean": 10 + 20, "interval_end": 20 + 20}
    for kind, minutes in expected.items():
        charge, _ = integrate(steps, kind, 100.0)  # type: ignore[arg-type] # keys are the kinds
        assert charge.within(T0, T0 + HOUR).kwh == pytest.approx(minutes / 60)
    ramp = [(T0, -10.0), (T0 + 60 * SECOND, -11.0)]
    charge, _ = integrate(ramp, "interval_end", 100.0)
    assert charge.within(T0, T0 + HOUR).kwh == pytest.approx(10.5 / 60)
    assert integrate([], "interval_end", None)[0].within(T0, T0 + 1).covered_us == 0


# ---------------------------------------------------------------- the sign of power


def test_an_inverted_sign_blocks_results() -> None:
    """Power that charges while the state of charge falls gives no figures but a flag."""
    data = _cycles()
    assert data.power is not None
    assert data.sign == "ok"
    flipped = replace(data, power=replace(data.power, scale=-1.0))
    assert flipped.sign == "sign_inverted"
    for figure in evaluate(flipped):
        assert figure.value is None
        assert figure.grade == "N"
        assert "sign_inverted" in figure.flags
    counted = replace(flipped, charge_counter=Series(3, _counter(10, 12)))
    assert figures(counted)["energy_in"].value == pytest.approx(120)


def test_a_state_of_charge_that_ignores_power_is_suspect() -> None:
    """Where both move without each other, figures are shown and not for trends."""
    wave = sampled(lambda t: 50 + 20 * math.sin(t * 5), 12)
    data = data_of(12, power=sampled(lambda t: 30 * math.cos(t * 17), 12), soc=wave)
    assert data.sign == "sign_suspect"
    assert figures(data)["energy_in"].grade == "C"


@pytest.mark.parametrize("resolution", [0.1, 1.0])
def test_a_coarse_state_of_charge_tells_the_sign(resolution: float) -> None:
    """Steps of a whole per cent in one short charge are enough."""
    soc = sampled(lambda t: 40 + math.floor(10 * t / resolution) * resolution, 1, 1)
    assert data_of(1, power=sampled(lambda _: -4.0, 1, 1), soc=soc).sign == "ok"
    assert data_of(1, power=sampled(lambda _: 4.0, 1, 1), soc=soc).sign == "sign_inverted"
    still = sampled(lambda _: 50.0, 1, 1)
    assert data_of(1, power=sampled(lambda _: -4.0, 1, 1), soc=still).sign == "untested"


# ---------------------------------------------------------------- no efficiency, and why


def test_why_there_is_no_efficiency() -> None:
    """Each reason has its flag, and the value is null."""
    data = _cycles()
    assert data.power is not None
    assert data.soc is not None
    short = _cycles(0.5)
    half = [s for s in data.power.samples if s[0] < T0 + 6 * HOUR]
    better = replace(data, power=replace(data.power, scale=-1.0))
    cases = {
        "soc_unknown": replace(data, soc=None),
        "energy_unknown": replace(data, power=None),
        "too_little_charged": short,
        "coverage_too_low": replace(data, power=Series(1, half[::40])),
        "sign_inverted": better,
    }
    for flag, case in cases.items():
        found = figures(case)["rte"]
        assert found.value is None, flag
        assert found.grade == "N"
        assert flag in found.flags


def test_an_efficiency_beyond_belief_is_not_shown() -> None:
    """More out than in, or less than half, is a fault of measurement."""
    for efficiency in (1.1, 0.4):
        found = figures(_cycles(efficiency=efficiency))["rte"]
        assert found.value is None
        assert "not_believable" in found.flags


def test_an_open_window_needs_three_cycles() -> None:
    """One and a half cycles that do not close say too little."""
    level, soc = cycling(4)
    open_soc = [
        (ts, (value or 0) / 2 + (ts - T0) / HOUR * 10, q) for ts, value, q in sampled(soc, 4)
    ]
    data = data_of(4, power=sampled(level, 4), soc=open_soc, rated_kwh=60.0)
    found = figures(data)["rte"]
    assert found.value is None
    assert set(found.flags) >= {"few_cycles", "not_closed"}


def test_without_a_rating_a_closed_window_still_tells() -> None:
    """The swing of the state of charge stands in for the rated energy."""
    found = figures(replace(_cycles(), rated_kwh=None))
    assert found["rte"].value == pytest.approx(90, abs=0.3)
    assert found["efc"].value is None
    assert "rated_energy_unknown" in found["efc"].flags
    little = figures(replace(_cycles(2.9), rated_kwh=None))["rte"]
    assert little.value is None


def test_a_jump_of_the_state_of_charge_cuts_the_window() -> None:
    """After a jump of 12 per cent the longer part alone is used."""
    data = _cycles(12)
    assert data.soc is not None
    jumped = [(ts, v + (12 if ts > T0 + 9 * HOUR - 1 and v is not None else 0), q)
              for ts, v, q in data.soc.samples if v is not None]  # fmt: skip
    shifted = [(ts, min(v, 101.0), q) for ts, v, q in jumped]
    found = figures(replace(data, soc=Series(2, shifted)))["rte"]
    assert "soc_reset" in found.flags
    assert found.value == pytest.approx(90, abs=0.5)
    assert found.end <= T0 + 9 * HOUR


# ---------------------------------------------------------------- the contract of every analytic


_HOSTILE = st.lists(
    st.tuples(
        st.integers(T0 - 10 * HOUR, T0 + 30 * HOUR),
        st.none() | st.floats() | st.sampled_from([0.0, -0.0, 65535.0, 1e308, -1e308, 50.0, 100.0]),
        st.integers(0, 3),
    ),
    max_size=25,
)


def _check(found: list[Figure], data: BatteryData) -> None:
    for figure in found:
        assert figure.name
        assert figure.unit
        assert "/" in figure.method
        assert 0 <= figure.coverage <= 1 + 1e-9
        assert data.start <= figure.start <= figure.end <= data.end
        assert (figure.value is None) == (figure.grade == "N")
        assert figure.value is None or (math.isfinite(figure.value) and figure.value >= 0)
        assert figure.flags == tuple(sorted(set(figure.flags)))
        assert set(figure.points) <= {1, 2, 3, 4}


@pytest.mark.parametrize("name", [name for name, _ in ANALYTICS])
def test_the_contract_on_plain_inputs(name: str) -> None:
    """Every analytic: nothing gives no values, something constant or full of holes is judged."""
    analytic = ANALYTICS.get(name)
    empty = data_of(24)
    assert all(figure.value is None for figure in analytic(empty))
    holey = [sample for n, sample in enumerate(sampled(_LEVEL, 24, 60)) if n % 97 < 11]
    for data in (
        empty,
        data_of(24, power=[], soc=[], charge=[], discharge=[]),
        data_of(24, power=[(T0, 1.0, 0)], soc=[(T0, 1.0, 0)], charge=[(T0, 1.0, 0)]),
        data_of(24, power=sampled(lambda _: 0.0, 24, 60), soc=sampled(lambda _: 50.0, 24, 60)),
        data_of(24, power=holey, soc=holey, charge=holey, discharge=holey),
        _cycles(24, 60),
        replace(_cycles(24, 60), rated_kwh=None, rated_kw=None),
    ):
        found = list(analytic(data))
        assert found
        _check(found, data)
        assert list(analytic(data)) == found


@settings(max_examples=150, deadline=None)
@given(_HOSTILE, _HOSTILE, _HOSTILE, _HOSTILE, st.sampled_from([None, RATED, 1e-9, 1e9]))
def test_the_contract_on_hostile_inputs(
    power: list[Raw], soc: list[Raw], charge: list[Raw], discharge: list[Raw], rated: float | None
) -> None:
    """Whatever stands in the samples, every analytic returns figures that keep their promises."""
    data = data_of(
        24, power=power, soc=soc, charge=charge, discharge=discharge, rated_kwh=rated, rated_kw=None
    )
    _check(evaluate(data), data)


def test_a_window_must_last() -> None:
    """A window that ends where it begins is a mistake of the caller."""
    with pytest.raises(ValueError, match="ends after its start"):
        BatteryData(T0, T0)


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=30))
def test_counted_energy_is_never_negative(readings: list[float]) -> None:
    """Whatever a counter shows, no interval gives energy back."""
    flow = count([(T0 + n * SECOND, value) for n, value in enumerate(readings)], None, 1.0)
    for n in range(len(readings)):
        assert flow.within(T0, T0 + n * SECOND).kwh >= 0
