"""Characters of band edges and centres of p bands: constructed cases and recorded MgO."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.io.vasp import Vasprun

from hibana.properties.edge_characters import EdgeCharacter, window_character
from hibana.properties.p_centre import p_centre_below
from hibana.vasp.reader import read_run

GRID = np.arange(-30, 10, 0.01)


@cache
def run(folder: Path, name: str):
    return read_run(folder / "vasp_runs" / name / "outputs")


def elements(document) -> list[str]:
    return list(dict.fromkeys(document.final.species))


def box(low: float, high: float, height: float) -> np.ndarray:
    return np.where((low <= GRID) & (high >= GRID), height, 0.0)


def site(s=0.0, p=0.0) -> np.ndarray:
    dos = np.zeros((1, 4, len(GRID)))
    dos[0, 0] += s
    dos[0, 1] += p
    return dos


@given(st.lists(st.floats(0, 5), min_size=8, max_size=8).filter(lambda values: sum(values) > 1e-3))
def test_shares_sum_to_one_and_do_not_depend_on_the_scale(values):
    weights = np.array(values).reshape(2, 4)
    found = EdgeCharacter.of(weights, ("Mg", "O"))
    assert found.s + found.p + found.d + found.f == pytest.approx(1)
    assert sum(map(sum, found.elements.values())) == pytest.approx(1)
    assert EdgeCharacter.of(7 * weights, ("Mg", "O")).p == pytest.approx(found.p)


def test_nothing_and_no_numbers_have_no_character():
    assert EdgeCharacter.of(np.zeros((1, 4)), ("O",)) is None
    assert EdgeCharacter.of(np.full((1, 4), np.nan), ("O",)) is None


def test_published_character_of_the_conduction_band_of_mgo(recorded):
    """0.88 in the table with Phys. Rev. Materials 5, 123803 (2021): the value that the width was chosen by."""
    document, arrays = run(recorded, "MgO_dos_pbesol")
    edges, dos = document.edges, (arrays["dos_energies"], arrays["dos_partial"], elements(document))
    cbm, vbm = window_character(*dos, edges.cbm, 1), window_character(*dos, edges.vbm, -1)
    assert cbm.s == pytest.approx(0.88, abs=0.006)
    assert cbm.s + cbm.p + cbm.d + cbm.f == pytest.approx(1)
    # Published extremes over all oxides: vbm_p at most 0.998, vbm_s at least 0.001.
    assert 0.95 < vbm.p <= 0.998
    assert vbm.s > 0.0005


def test_window_must_lie_within_the_energies():
    energies, dos = np.arange(0, 1, 0.01), np.ones((1, 1, 4, 100))
    assert window_character(energies, dos, ("O",), 0.3, -1) is None
    assert window_character(energies, dos, ("O",), 0.3, 1).s == pytest.approx(0.25)
    assert window_character(energies, 0 * dos, ("O",), 0.3, 1) is None


@given(top=st.floats(-3, 3), width=st.floats(0.5, 6))
def test_centre_of_a_box_is_its_middle(top, width):
    dos = site(p=box(top - width, top, 1.0))
    assert p_centre_below(GRID, dos, top + 0.005) == pytest.approx(width / 2, abs=0.02)


@given(shift=st.integers(-200, 200))
def test_centre_does_not_depend_on_the_zero_of_energy(shift):
    dos = site(p=box(-4, 0, 1.0) + box(-8, -6, 0.5))
    moved = p_centre_below(GRID + shift / 100, dos, shift / 100)
    assert moved == pytest.approx(p_centre_below(GRID, dos, 0.0), abs=1e-6)


def test_own_s_states_and_semicore_states_are_left_out_and_conduction_states_too():
    valence = box(-4, 0, 1.0)
    pure = p_centre_below(GRID, site(p=valence), 0.0)
    others = site(s=box(-20, -17, 2.0), p=valence + box(-20, -17, 0.3) + box(-11, -10.5, 0.3) + box(3, 6, 1.0))
    assert p_centre_below(GRID, others, 0.0) == pytest.approx(pure, abs=1e-9)


def test_bonding_manifold_of_a_silicate_counts():
    dos = site(p=box(-4, 0, 1.0) + box(-9, -6, 1.0))
    assert p_centre_below(GRID, dos, 0.0) == pytest.approx((4 * 2 + 3 * 7.5) / 7, abs=0.02)


def test_cation_states_at_the_top_of_the_valence_band_count():
    dos = site(p=box(-6, -2, 1.0) + box(-0.8, 0, 0.3))
    assert p_centre_below(GRID, dos, 0.0) == pytest.approx((4 * 4 + 0.24 * 0.4) / 4.24, abs=0.03)


@pytest.mark.parametrize(
    ("dos", "vbm", "message"),
    [
        (site(), 0.0, "no p states"),
        (site(p=box(1, 2, 1.0)), 0.0, "no p states"),
        (site(s=box(-4, 0, 2.0), p=box(-4, 0, 1.0)), 0.0, "more s than p"),
        (site(p=box(-40, 0, 1.0)), 0.0, "begins inside"),
    ],
)
def test_what_has_no_centre_says_why(dos, vbm, message):
    with pytest.raises(ValueError, match=message):
        p_centre_below(GRID, dos, vbm)


def test_published_centre_of_mgo(recorded):
    """1.800 eV in the table with Phys. Rev. Materials 5, 123803 (2021), read here from the site's densities by pymatgen."""
    document, arrays = run(recorded, "MgO_dos_pbesol")
    file = next((recorded / "vasp_runs" / "MgO_dos_pbesol" / "outputs").glob("vasprun.xml*"))
    dos = Vasprun(file, parse_eigen=False, parse_potcar_file=False).complete_dos
    oxygen = next(atom for atom in dos.structure if atom.specie.symbol == "O")
    shells = {str(shell): np.sum(list(part.densities.values()), axis=0) for shell, part in dos.get_site_spd_dos(oxygen).items()}
    table = np.array([[shells.get(name, np.zeros(len(dos.energies))) for name in "spdf"]])
    found = p_centre_below(np.array(dos.energies), table, document.edges.vbm)
    assert found == pytest.approx(1.800, abs=0.02)
    by_element = arrays["dos_partial"][elements(document).index("O")]
    assert p_centre_below(arrays["dos_energies"], by_element, document.edges.vbm) == pytest.approx(found, abs=1e-3)
