"""States around the gap of recorded supercells, one by one against pydefect's band-edge orbital infos."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from defect_hosts import defect_rule
from recorded_defects import document, pydefect, pydefect_vasprun, recorded_run, whole_mgo

from hibana.defects.band_edges import near_bands, run_states
from hibana.defects.edge_outcome import band_edge_outcome, eigenvalue_diagram
from hibana.defects.run import DefectRun, defect_run
from hibana.defects.structure_change import structure_change
from hibana.documents.arrays import pack, unpack
from hibana.documents.crystal import Crystal

RULE = defect_rule(edge_window=0.5, edge_dissimilarity=0.2, edge_occupation=0.2)
PRINTED_BY_PYDEFECT = 0.0005
"""Half of the last digit that pydefect keeps of projections."""

GAN = tuple(("GaN_supercell", f"GaN_Mg_Ga_q{charge:+d}") for charge in (0, 1, -1, -2))
PAIRS = (*GAN, ("CdTe_supercell_hse", "CdTe_v_Cd_q-2_hse"), ("MgO_dos_pbesol", "MgO_conv_Va_O_0"))
RELAXED = (*GAN, ("MgO_dos_pbesol", "MgO_conv_Va_O_0"))


def stored(folder: Path) -> DefectRun:
    """The run as it comes back from a store, with all arrays that hibana keeps."""
    run, arrays = document(folder, projections=True)
    packed = {run.arrays[name].sha256: pack(array) for name, array in arrays.items()}
    return defect_run(run, lambda ref: unpack(packed[ref.sha256]))


def neighbours_of(folder: Path, perfect: Path, run: DefectRun) -> tuple[int, ...]:
    if folder.name == "MgO_conv_Va_O_0":
        whole = whole_mgo(run.crystal, (0.5, 0.0, 0.0))
        start = Crystal(lattice=whole.lattice, species=whole.species[:-1], frac_coords=whole.frac_coords[:-1])
    else:
        whole, start = recorded_run(perfect).crystal, run.initial
    found = structure_change(
        whole, start, run.crystal, mapping_distance=1.0, neighbour_factor=1.3, symprec=0.1, angle_tolerance=5.0
    )
    return found.neighbours


def infos_of(perfect: Path, defect: Path, neighbours: tuple[int, ...] | None):
    """pydefect's perfect edges and orbital infos."""
    whole, vasprun = pydefect_vasprun(perfect), pydefect_vasprun(defect)
    make_edges = pydefect("cli.vasp.make_perfect_band_edge_state", "make_perfect_band_edge_state_from_vasp")
    outcar = SimpleNamespace(nelect=whole.parameters["NELECT"], total_mag=0.0)
    edges = make_edges(SimpleNamespace(data=whole.projected_eigenvalues), whole, outcar)
    change = None if neighbours is None else SimpleNamespace(neighbor_atom_indices=list(neighbours))
    make = pydefect("cli.vasp.make_band_edge_orbital_infos", "make_band_edge_orbital_infos")
    procar = SimpleNamespace(data=vasprun.projected_eigenvalues)
    return edges, make(procar, vasprun, edges.vbm_info.energy, edges.cbm_info.energy, change)


@pytest.mark.parametrize(("perfect", "defect"), PAIRS)
def test_energies_occupations_and_characters(recorded, perfect, defect):
    folders = [recorded / "vasp_runs" / case for case in (perfect, defect)]
    host, run = (stored(folder) for folder in folders)
    edges, infos = infos_of(*folders, None)
    diagram = eigenvalue_diagram(band_edge_outcome(host, run, RULE), run)
    printed = np.array(infos.energies_and_occupations)
    assert diagram.first_band == infos.lowest_band_index
    assert diagram.energies.shape == printed.shape[:3]
    np.testing.assert_allclose(diagram.energies, printed[..., 0] - edges.vbm_info.energy, atol=1.5e-4)
    np.testing.assert_allclose(diagram.occupations, printed[..., 1], atol=1e-9)
    np.testing.assert_allclose(diagram.kpoints, infos.kpt_coords, atol=1e-7)
    assert diagram.gap == pytest.approx(edges.cbm_info.energy - edges.vbm_info.energy, abs=1.5e-4)
    states = run_states(run)
    near = near_bands(diagram.energies, diagram.gap)
    assert near is not None
    ours = states.characters[:, :, diagram.first_band : diagram.first_band + diagram.energies.shape[-1]]
    for place in np.ndindex(diagram.energies.shape):
        theirs = infos.orbital_infos[place[0]][place[1]][place[2]].orbitals
        assert set(theirs) == set(states.elements)
        for number, element in enumerate(states.elements):
            shells = theirs[element]
            np.testing.assert_allclose(ours[place][number][: len(shells)], shells, atol=PRINTED_BY_PYDEFECT + 1e-9)


@pytest.mark.parametrize(("perfect", "defect"), RELAXED)
def test_participation_ratios_from_what_is_stored(recorded, perfect, defect):
    """Neighbours, shares of the stored bands, levels and band edges: all as the chain of pydefect has them."""
    folders = [recorded / "vasp_runs" / case for case in (perfect, defect)]
    host, run = (stored(folder) for folder in folders)
    neighbours = neighbours_of(folders[1], folders[0], run)
    assert neighbours
    edges, infos = infos_of(*folders, neighbours)
    weights = run.site_weights.weights
    shares = weights[..., list(neighbours)].sum(axis=-1) / weights.sum(axis=-1)
    compared = 0
    for number, band in enumerate(run.site_weights.bands.tolist()):
        index = band - infos.lowest_band_index
        if not 0 <= index < len(infos.orbital_infos[0][0]):
            continue
        for spin, at in np.ndindex(shares.shape[:2]):
            theirs = infos.orbital_infos[spin][at][index].participation_ratio
            assert shares[spin, at, number] == pytest.approx(theirs, abs=1e-6)
            compared += 1
    assert compared > 4
    outcome = band_edge_outcome(host, run, RULE)
    if outcome.kind == "undetermined":
        assert defect == "MgO_conv_Va_O_0"
        return
    theirs = pydefect("analyzer.make_band_edge_states", "make_band_edge_states")(infos, edges).states
    for channel, state in zip(outcome.channels, theirs, strict=True):
        for edge, info in ((channel.vbm, state.vbm_info), (channel.cbm, state.cbm_info)):
            assert edge.participation(neighbours) == pytest.approx(info.p_ratio, abs=1e-6)
        for level, orbital in zip(channel.levels, state.localized_orbitals, strict=True):
            assert level.participation(neighbours) == pytest.approx(orbital.participation_ratio, abs=1e-6)


@pytest.mark.parametrize(
    ("perfect", "defect", "words"),
    [
        ("V2O5_supercell", "V2O5_v_O_1", "the run has no projections"),
        ("MgO_supercell_perfect", "MgO_Va_O_transition_initial", "the run has no eigenvalues"),
        ("MgO_supercell_perfect", "MgO_Va_O_transition_final", "the run has no eigenvalues"),
    ],
)
def test_recorded_runs_without_states_are_undetermined(recorded, perfect, defect, words):
    runs = [stored(recorded / "vasp_runs" / case) for case in (perfect, defect)]
    outcome = band_edge_outcome(*runs, RULE)
    assert (outcome.kind, outcome.is_perturbed_host) == ("undetermined", None)
    assert words in outcome.reason
