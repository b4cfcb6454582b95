"""Formal charges, electrostatic levels, Penn's model."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Composition, Lattice, Structure

from hibana.learn.dataset import read_dataset
from hibana.learn.features.charges import formal_charges
from hibana.learn.features.ions import COULOMB, IONIC, IONIC_SITE, find_ions, penn_constant
from hibana.learn.features.sites import site_features
from hibana.learn.features.structure import structure_features


def rocksalt(cation="Mg", anion="O", length=4.212):
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(length), [cation, anion], [[0, 0, 0], [0.5, 0.5, 0.5]])


def caesium_chloride():
    return Structure(Lattice.cubic(4.123), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def zincblende(cation="Zn", anion="S"):
    return Structure.from_spacegroup("F-43m", Lattice.cubic(5.409), [cation, anion], [[0, 0, 0], [0.25, 0.25, 0.25]])


@pytest.mark.parametrize(
    ("structure", "charge", "distance", "madelung"),
    [
        (rocksalt(), 2, 4.212 / 2, 1.747565),
        (caesium_chloride(), 1, 4.123 * np.sqrt(3) / 2, 1.762675),
        (zincblende(), 2, 5.409 * np.sqrt(3) / 4, 1.638055),
    ],
)
def test_levels_are_those_of_madelung(structure, charge, distance, madelung):
    ions = find_ions(structure)
    level = madelung * charge * COULOMB / distance
    assert ions.levels == pytest.approx(np.sign(ions.charges) * level, rel=1e-5)
    assert ions.energy == pytest.approx(-charge * level * len(structure) / 2, rel=1e-5)


@pytest.mark.parametrize(
    ("amounts", "charges"),
    [
        ({"Sr": 1, "Ti": 1, "O": 3}, {"Sr": 2, "Ti": 4, "O": -2}),
        ({"Pb": 1, "Ti": 1, "O": 3}, {"Pb": 2, "Ti": 4, "O": -2}),
        ({"Cu": 1, "In": 1, "O": 2}, {"Cu": 1, "In": 3, "O": -2}),
        ({"K": 1, "Cl": 1, "O": 4}, {"K": 1, "Cl": 7, "O": -2}),
        ({"La": 1, "Ta": 1, "O": 1, "N": 2}, {"La": 3, "Ta": 5, "O": -2, "N": -3}),
        ({"Fe": 3, "O": 4}, {"Fe": 8 / 3, "O": -2}),
        ({"Ni": 3, "Al": 1}, None),
        ({"Ba": 1, "O": 2}, None),
        ({"Xe": 1, "Kr": 1}, None),
        ({"Si": 2}, None),
    ],
)
def test_formal_charges(amounts, charges):
    assert formal_charges(amounts) == (None if charges is None else pytest.approx(charges))


def test_an_alloy_of_many_metals_is_not_searched():
    """None of them is ever negative; all choices of their states are some hundred million."""
    assert formal_charges(dict.fromkeys(("Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Nb", "Mo", "Ta", "W", "Re"), 1)) is None


def test_every_choice_is_neutral(recorded):
    formulas = read_dataset(recorded / "ml_data/mp_formation_energy/table.csv.gz").frame["reduced_formula"][::300]
    found = 0
    for formula in formulas:
        amounts = {symbol: int(many) for symbol, many in Composition(formula).get_el_amt_dict().items()}
        if (charges := formal_charges(amounts)) is not None:
            found += 1
            assert sum(amounts[symbol] * charge for symbol, charge in charges.items()) == pytest.approx(0, abs=1e-9)
            assert min(charges.values()) < 0 < max(charges.values())
    assert found > len(formulas) / 4


def test_magnesia_as_ions():
    """Level of an electron at O 23.898 eV down; the second ionisation energy of Mg is 15.035 eV, the third 80.144 eV (NIST)."""
    features = structure_features([rocksalt()]).loc[0]
    assert features["anion level mean"] == features["anion level highest"] == pytest.approx(-23.8977, abs=1e-3)
    assert features["anion level spread"] == 0
    assert features["cation level lowest"] == pytest.approx(23.8977 - 15.0353, abs=1e-3)
    assert features["charge transfer energy mean"] == pytest.approx(2 * 23.8977 - 15.0353, abs=1e-3)
    assert features["Madelung energy per atom"] == pytest.approx(-23.8977, abs=1e-3)
    assert features["cation softness largest"] == pytest.approx(1 / 80.144**2, rel=1e-4)
    assert features["cation softness per volume"] == pytest.approx(4 / 80.144**2 / 4.212**3, rel=1e-4)
    site = site_features(rocksalt(), 4)
    assert (site["site charge"], site["site level above anions"]) == (-2, 0)
    assert site["site charge transfer energy lowest"] == features["charge transfer energy lowest"]
    assert site["crystal charge transfer energy"] == features["charge transfer energy mean"]


def test_wider_gaps_cost_more_charge_transfer():
    """Experimental gaps fall from MgO (7.8 eV) to CaO (7.1), SrO (5.3) and BaO (3.9)."""
    oxides = [("Mg", 4.212), ("Ca", 4.811), ("Sr", 5.160), ("Ba", 5.539)]
    energies = structure_features([rocksalt(cation, "O", length) for cation, length in oxides])["charge transfer energy mean"]
    assert energies.is_monotonic_decreasing


def test_heavier_cations_are_softer():
    """Polarisabilities of alkali ions in halides: 0.03, 0.41, 1.33, 1.98 and 3.34 Å^3 (Tessman, Kahn and Shockley, 1953)."""
    softness = [find_ions(rocksalt(cation, "F", 5.0)).softness[0] for cation in ("Li", "Na", "K", "Rb", "Cs")]
    assert softness == sorted(softness)
    assert softness[3] / softness[4] == pytest.approx(1.98 / 3.34, abs=0.2)


def test_silicon_in_the_model_of_penn():
    """Plasmon energy 16.6 eV and mean gap 4.77 eV (Phillips, 1970)."""
    length = 5.431
    found = penn_constant(32 / length**3, length * np.sqrt(3) / 4, 0.0)
    assert found == pytest.approx(1 + (16.6 / 4.77) ** 2, rel=0.01)
    assert penn_constant(0.2, 2.35, 1.0) < found


def test_a_bare_proton_is_not_soft():
    assert find_ions(rocksalt("H", "F", 4.0)).softness[0] == 0


def test_an_alloy_has_no_ions():
    alloy = Structure.from_spacegroup("Pm-3m", Lattice.cubic(3.57), ["Al", "Ni"], [[0, 0, 0], [0.5, 0.5, 0]])
    assert find_ions(alloy) is None
    features = structure_features([alloy]).loc[0]
    assert features[list(IONIC)].isna().all()
    assert features["volume per atom"] == pytest.approx(3.57**3 / 4)
    site = site_features(alloy, 0)
    assert all(np.isnan(site[name]) for name in IONIC_SITE)
