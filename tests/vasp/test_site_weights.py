"""Site weights of the bands around the gap: what VASP printed of them, kept where a defect needs them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.io.vasp import Vasprun

from hibana.documents.arrays import pack
from hibana.vasp.edges import EDGE_BANDS, edge_bands
from hibana.vasp.reader import read_run

NAMES = {"site_weights", "site_weight_bands"}


def arrays_of(folder: Path) -> dict[str, np.ndarray]:
    run, arrays = read_run(folder / "outputs")
    assert set(run.arrays) == set(arrays)
    return arrays


@pytest.mark.parametrize("case", ["GaN_supercell", "GaN_Mg_Ga_q+0", "GaN_Mg_Ga_q-2", "MgO_conv_Va_O_0", "MgO_supercell_perfect"])
def test_weights_are_those_printed(recorded, case):
    folder = recorded / "vasp_runs" / case
    arrays = arrays_of(folder)
    vasprun = Vasprun(
        next((folder / "outputs").glob("vasprun.xml*")), parse_projected_eigen=True, parse_potcar_file=False, parse_dos=False
    )
    printed = np.array([vasprun.projected_eigenvalues[spin].sum(axis=-1) for spin in vasprun.eigenvalues])
    bands = arrays["site_weight_bands"]
    np.testing.assert_allclose(arrays["site_weights"], printed[:, :, bands], atol=1e-9)
    filled = int((arrays["occupations"][0, 0] > 0.5).sum())
    assert {filled - 1, filled} < set(bands.tolist())
    assert min(filled, EDGE_BANDS) + EDGE_BANDS <= len(bands) <= 2 * EDGE_BANDS + 2


def test_summed_over_sites_they_are_the_projections_of_the_band(recorded):
    arrays = arrays_of(recorded / "vasp_runs" / "GaN_Mg_Ga_q+0")
    by_element = arrays["projections"][:, :, arrays["site_weight_bands"]].sum(axis=(-2, -1))
    np.testing.assert_allclose(arrays["site_weights"].sum(axis=-1), by_element, atol=1e-9)


def test_they_are_small_beside_the_table_they_are_from(recorded):
    arrays = arrays_of(recorded / "vasp_runs" / "GaN_Mg_Ga_q+0")
    assert len(pack(arrays["site_weights"]).data) < 6000
    assert arrays["site_weights"].size < arrays["projections"].size


@pytest.mark.parametrize("case", ["MgO_dos_pbesol", "MgO_band_pbesol", "MgO_relax_pbesol", "CdTe_v_Cd_q-2_hse"])
def test_runs_that_do_not_relax_atoms_in_a_fixed_cell_have_none(recorded, case):
    assert not NAMES & set(arrays_of(recorded / "vasp_runs" / case))


@given(st.lists(st.integers(0, 60), min_size=1, max_size=6), st.integers(60, 80))
def test_bands_are_those_of_both_sides_of_every_gap(filled, nbands):
    occupations = (np.arange(nbands) < np.array(filled)[:, None]).astype(float)[None]
    bands = edge_bands(occupations)
    assert bands.tolist() == list(range(max(min(filled) - EDGE_BANDS, 0), min(max(filled) + EDGE_BANDS, nbands)))
    assert edge_bands(None) is None
