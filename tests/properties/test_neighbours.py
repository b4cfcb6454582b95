"""Statistics over Voronoi neighbours: the rule of 1/12, and published Born charges."""

from __future__ import annotations

import csv
import gzip
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Structure

from hibana.properties.neighbours import neighbour_statistics, weights_by_element
from hibana.properties.voronoi import voronoi_weights
from hibana.structures.convert import from_pymatgen


def test_extremes_are_those_of_significant_neighbours():
    weights = np.array([0.90, 0.02, 0.08])
    found = neighbour_statistics(weights, np.array([1.0, 9.0, -9.0]))
    assert found.average == pytest.approx(0.9 + 0.18 - 0.72)
    assert (found.maximum, found.minimum) == (1.0, 1.0)


def test_images_by_lattice_translations_are_merged():
    weights = np.array([0.8, 0.05, 0.05, 0.05, 0.05])
    values = np.array([1.0, 3.0, 3.0, -2.0, 0.0])
    assert neighbour_statistics(weights, values).maximum == 1.0
    merged = neighbour_statistics(weights, values, np.array([0, 1, 1, 2, 3]))
    assert (merged.maximum, merged.minimum) == (3.0, 1.0)


def test_exactly_a_twelfth_is_not_enough():
    weights = np.full(13, 1 / 12)
    weights[0], weights[1] = 1 / 12 - 1e-6, 1e-6
    found = neighbour_statistics(weights, np.arange(13.0))
    assert found.average == pytest.approx((weights @ np.arange(13.0)) / weights.sum())
    weights = np.array([1 / 12, 11 / 12])
    assert neighbour_statistics(weights, np.array([5.0, 2.0])).maximum == 2.0


def test_many_small_neighbours_leave_the_largest_ones():
    weights = np.full(16, 1 / 16)
    found = neighbour_statistics(weights, np.arange(16.0))
    assert (found.maximum, found.minimum) == (15.0, 0.0)


def test_an_unknown_neighbour_makes_it_unknown_and_an_unseen_one_does_not():
    values = np.array([1.0, np.nan])
    assert neighbour_statistics(np.array([0.99, 0.01]), values) is None
    assert neighbour_statistics(np.array([1.0, 1e-12]), values).average == 1.0


@given(st.lists(st.tuples(st.floats(0.01, 1), st.floats(-5, 5)), min_size=1, max_size=20), st.randoms())
def test_order_of_sites_does_not_matter_and_the_mean_is_within_the_values(pairs, random):
    weights, values = np.array(pairs).T
    weights = weights / weights.sum()
    found = neighbour_statistics(weights, values)
    assert found.minimum <= found.maximum
    assert values.min() - 1e-9 <= found.average <= values.max() + 1e-9
    order = list(range(len(values)))
    random.shuffle(order)
    again = neighbour_statistics(weights[order], values[order])
    assert again.average == pytest.approx(found.average, abs=1e-12)
    assert (again.maximum, again.minimum) == (found.maximum, found.minimum)


def test_weights_by_element_leave_out_what_is_not_seen():
    assert weights_by_element(np.array([0.25, 1e-12, 0.5, 0.25]), ("O", "Zn", "Mg", "O")) == {"O": 0.5, "Mg": 0.5}


@pytest.mark.parametrize(("formula", "own", "cation"), [("MgO", -1.9619, 1.0), ("Al2O3", -1.9625, 1.5), ("SnO2", -2.1210, 2.0)])
def test_published_born_charges(recorded, formula, own, cation):
    """Oxygen's charges of Phys. Rev. Materials 5, 123803 (2021) in the independent set of 4, 103801 (2020).

    By the acoustic sum rule the cation's charge is that of oxygen times the stoichiometric ratio; it is the largest neighbour.
    """
    folder = recorded / "ml_data" / "oxide_dielectric_pbesol"
    with (folder / "table.csv").open(newline="") as lines:
        (identity,) = (row["material_id"] for row in csv.DictReader(lines) if row["formula"] == formula)
    entry = {}
    for name in ("structures", "tensors"):
        with gzip.open(folder / f"{name}.jsonl.gz", "rt") as lines:
            entry |= next(item for item in map(json.loads, lines) if item["material_id"] == identity)
    cell = from_pymatgen(Structure.from_dict(entry["structure"]))
    charges = np.trace(np.array(entry["born_charge_tensors_e"]), axis1=1, axis2=2) / 3
    site = cell.species.index("O")
    assert charges[site] == pytest.approx(own, abs=2e-3)
    found = neighbour_statistics(voronoi_weights(cell, site), charges)
    assert found.maximum == pytest.approx(-cation * own, abs=5e-3)
    shares = weights_by_element(voronoi_weights(cell, site), cell.species)
    assert found.average == pytest.approx(own * shares.get("O", 0) - cation * own * (1 - shares.get("O", 0)), abs=5e-3)
