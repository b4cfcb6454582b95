from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from recorded_defects import pydefect

from hibana.defects.transition_levels import (
    crossing,
    energy_at,
    lines_of,
    pair_levels,
    pinning_levels,
    stable_ranges,
    transition_levels,
)

STATES = st.dictionaries(st.integers(-3, 3), st.floats(-20, 20).map(lambda energy: round(energy, 3)), min_size=1, max_size=7)
GAP = st.floats(0.1, 12).map(lambda gap: round(gap, 3))
MGO = lines_of({0: 7.2, 1: 4.6, 2: 3.4})


def test_levels_of_a_vacancy_with_three_stable_charges():
    found = transition_levels(MGO, 0.0, 7.9)
    assert [(level.charges, round(level.level, 9), round(level.energy, 9)) for level in found] == [
        ((2, 1), 1.2, 5.8),
        ((1, 0), 2.6, 7.2),
    ]
    ranges = stable_ranges(MGO, 0.0, 7.9)
    assert [(part.charge, round(part.low, 9), round(part.high, 9)) for part in ranges] == [
        (2, 0, 1.2),
        (1, 1.2, 2.6),
        (0, 2.6, 7.9),
    ]


def test_a_negative_u_leaves_the_middle_charge_out():
    lines = lines_of({0: 7.2, 1: 6.0, 2: 3.4})
    assert [(level.charges, round(level.level, 9)) for level in transition_levels(lines, 0.0, 7.9)] == [((2, 0), 1.9)]
    assert [level.charges for level in pair_levels(lines)] == [(2, 1), (2, 0), (1, 0)]
    assert [round(level.level, 9) for level in pair_levels(lines)] == [2.6, 1.9, 1.2]


def test_levels_outside_the_gap_are_none_of_it():
    assert [level.charges for level in transition_levels(MGO, 0.0, 2.0)] == [(2, 1)]
    assert transition_levels(lines_of({0: 1.0, 2: 3.0}), 0.0, 5.0) == ()
    assert [part.charge for part in stable_ranges(lines_of({0: 1.0, 2: 3.0}), 0.0, 5.0)] == [0]


@given(STATES, GAP)
def test_the_envelope_is_the_lowest_everywhere(states, gap):
    lines = lines_of(states)
    ranges = stable_ranges(lines, 0.0, gap)
    assert (ranges[0].low, ranges[-1].high) == (0.0, pytest.approx(gap))
    assert [part.low for part in ranges[1:]] == [part.high for part in ranges[:-1]]
    charges = [part.charge for part in ranges]
    assert charges == sorted(charges, reverse=True)
    for fermi in np.linspace(0, gap, 41):
        lowest = min(energy + charge * fermi for charge, energy in states.items())
        part = next(part for part in ranges if part.low - 1e-12 <= fermi <= part.high + 1e-12)
        assert states[part.charge] + part.charge * fermi == pytest.approx(lowest, abs=1e-7)
        assert energy_at(lines, fermi)[1] == pytest.approx(lowest)


@given(STATES, GAP)
def test_the_energy_is_continuous_and_its_slope_is_the_charge(states, gap):
    ranges = stable_ranges(lines_of(states), 0.0, gap)
    for part in ranges:
        assert part.energy_high - part.energy_low == pytest.approx(part.charge * (part.high - part.low), abs=1e-9)
    for first, second in pairwise(ranges):
        assert first.energy_high == pytest.approx(second.energy_low, abs=1e-7)


@given(STATES, GAP)
def test_levels_are_where_the_energies_are_equal(states, gap):
    lines = lines_of(states)
    for level in (*transition_levels(lines, 0.0, gap), *pair_levels(lines)):
        high, low = level.charges
        assert high > low
        assert states[high] + high * level.level == pytest.approx(level.energy, abs=1e-8)
        assert states[low] + low * level.level == pytest.approx(level.energy, abs=1e-8)
    in_gap = [level.level for level in transition_levels(lines, 0.0, gap)]
    assert in_gap == sorted(in_gap)
    assert all(0 < level < gap for level in in_gap)


@given(STATES, GAP, st.floats(-5, 5))
def test_levels_do_not_depend_on_chemical_potentials(states, gap, shift):
    one = transition_levels(lines_of(states), 0.0, gap)
    two = transition_levels(lines_of({charge: energy + shift for charge, energy in states.items()}), 0.0, gap)
    tight = [level for level in one if min(level.level, gap - level.level) < 1e-6]
    assume(not tight and len({round(level.level, 6) for level in one}) == len(one) == len(two))
    for first, second in zip(one, two, strict=True):
        assert (second.charges, second.level) == (first.charges, pytest.approx(first.level, abs=1e-6))
        assert second.energy == pytest.approx(first.energy + shift, abs=1e-6)


def of_pydefect(states, gap):
    single = pydefect("analyzer.defect_energy", "SingleChargeEnergies")(list(states.items()))
    return pydefect("analyzer.defect_energy", "ChargeEnergies")({"Va_O1": single}, 0.0, gap)


@given(STATES, GAP)
def test_levels_and_pinning_are_pydefects(states, gap):
    lines = lines_of(states)
    ours = transition_levels(lines, 0.0, gap)
    assume(all(0.002 < level.level < gap - 0.002 for level in pair_levels(lines) if -0.01 < level.level < gap + 0.01))
    theirs = of_pydefect(states, gap)
    points = sorted(theirs.cross_point_dicts["Va_O1"].inner_cross_points)
    assume(len({round(x, 6) for x, _ in points}) == len(points))
    assert [level.level for level in ours] == pytest.approx([x for x, _ in points], abs=1e-6)
    assert [level.energy for level in ours] == pytest.approx([y for _, y in points], abs=1e-6)
    low, high = theirs.pinning_levels["Va_O1"]
    assert pinning_levels(lines, 0.0, gap) == (
        None if low is None else pytest.approx(low),
        None if high is None else pytest.approx(high),
    )


def test_states_of_one_charge_give_the_lowest():
    assert lines_of([(2, 3.4), (0, 7.0), (2, 3.1)]) == lines_of({0: 7.0, 2: 3.1})
    assert [line.charge for line in lines_of({2: 1.0, -1: 2.0, 0: 3.0})] == [-1, 0, 2]


def test_three_lines_through_one_point():
    lines = lines_of({0: 2.0, 1: 1.0, 2: 0.0})
    assert [level.charges for level in transition_levels(lines, 0.0, 3.0)] == [(2, 0)]
    assert transition_levels(lines, 1.0, 3.0) == ()
    assert energy_at(lines, 1.0) == (2, 2.0)


def test_pinning_levels():
    lines = lines_of({0: 1.0, 2: -1.0, -1: 2.0})
    assert pinning_levels(lines, 0.0, 4.0) == (0.5, 2.0)
    assert pinning_levels(lines, 0.0, 1.5) == (0.5, None)
    assert pinning_levels(lines_of({0: 1.0, 2: 1.0}), 0.0, 4.0) == (None, None)


def test_what_cannot_be_asked():
    assert stable_ranges((), 0.0, 1.0) == ()
    with pytest.raises(ValueError, match="no Fermi level"):
        stable_ranges(MGO, 1.0, 1.0)
    with pytest.raises(ValueError, match="do not cross"):
        crossing(MGO[0], MGO[0])
