"""Formation energies, transition levels and chemical potentials of recorded runs, number by number against pydefect's."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from pymatgen.core import Composition
from recorded_defects import bare, document, pydefect, pydefect_vasprun, recorded_run

from flow_documents import task
from hibana.defects.charge_states import ChargeState, site_levels
from hibana.defects.chemical_potentials import diagram
from hibana.defects.correction import extended_fnv
from hibana.defects.edge_outcome import band_edge_outcome
from hibana.defects.formation import FormationEnergy, GapEdges, formation_energy
from hibana.defects.phases import PhaseEnergy, phase_of
from hibana.defects.run import DefectRun, defect_run
from hibana.protocol.protocol import load_protocol

RULE = load_protocol("pbesol").defects
ZEROS = {"Ga": -3.32, "N": -8.71, "Mg": -1.74, "Cd": -0.91, "V": -9.42, "O": -5.14}
GAN, CDTE, V2O5 = np.diag([9.28, 9.28, 10.1]), 10.3 * np.eye(3), np.diag([20.0, 7.0, 30.0])
GAN_EDGES, CDTE_EDGES, V2O5_EDGES = (
    GapEdges("pbesol", 4.5714, 8.4147),
    GapEdges("pbesol", 1.5968, 3.0658),
    GapEdges("pbesol", 0.9, 3.1),
)
CASES = (
    *(("GaN_supercell", f"GaN_Mg_Ga_q{charge:+d}", charge, GAN, GAN_EDGES, {"Ga": 1, "Mg": -1}) for charge in (0, 1, -1, -2)),
    ("CdTe_supercell_hse", "CdTe_v_Cd_q-2_hse", -2, CDTE, CDTE_EDGES, {"Cd": 1}),
    *(("V2O5_supercell", f"V2O5_v_O_{site}", 0, V2O5, V2O5_EDGES, {"O": 1}) for site in (1, 2, 3)),
)
GAP = GAN_EDGES.gap


@cache
def with_states(folder: Path) -> DefectRun:
    run, arrays = document(folder, projections=True)
    by_hash = {run.arrays[name].sha256: array for name, array in arrays.items()}
    return defect_run(run, lambda ref: by_hash[ref.sha256])


def results_of(run: DefectRun) -> object:
    potentials = None if run.site_potentials is None else run.site_potentials.tolist()
    return pydefect("analyzer.calc_results", "CalcResults")(bare(run.crystal), run.energy, 0.0, potentials, True, True)


def energy_info(charge, perfect, defect, edges, epsilon, is_shallow=None):
    """pydefect's chain: correction, where there are potentials, and formation energy."""
    cells = [results_of(run) for run in (defect, perfect)]
    if defect.site_potentials is None:
        correction = pydefect("corrections.no_correction", "NoCorrection")()
    else:
        correction = pydefect("cli.vasp.make_efnv_correction", "make_efnv_correction")(charge, *cells, epsilon)
    states = None if is_shallow is None else SimpleNamespace(is_shallow=is_shallow)
    make = pydefect("analyzer.make_defect_energy_info", "make_defect_energy_info")
    entry = SimpleNamespace(name="Mg_Ga1", charge=charge)
    return make(entry, cells[0], correction, cells[1], ZEROS, SimpleNamespace(vbm=edges.vbm), states)


def energy_of(charge, perfect, defect, edges, epsilon, removed) -> FormationEnergy:
    correction = extended_fnv(charge, perfect, defect, epsilon, RULE)
    standard = {element: ZEROS[element] for element in removed}
    found = formation_energy(charge, perfect, defect, edges, standard, correction, removed=removed)
    assert isinstance(found, FormationEnergy), found
    return found


@pytest.mark.parametrize(("perfect", "defect", "charge", "epsilon", "edges", "removed"), CASES)
def test_formation_energies(recorded, perfect, defect, charge, epsilon, edges, removed):
    runs = [recorded_run(recorded / "vasp_runs" / case) for case in (perfect, defect)]
    found = energy_of(charge, *runs, edges, epsilon, removed)
    info = energy_info(charge, *runs, edges, epsilon)
    assert info.atom_io == {element: -number for element, number in removed.items()}
    assert found.at() - found.correction == pytest.approx(info.defect_energy.formation_energy, abs=1e-9)
    assert found.correction == pytest.approx(info.defect_energy.total_correction, abs=1e-9)
    assert found.at() == pytest.approx(info.defect_energy.energy(with_correction=True), abs=1e-9)
    assert runs[1].charge is None or runs[1].charge == charge


def test_levels_of_magnesium_in_gan(recorded):
    """The whole chain: corrections, perturbed host states, energies, transition and pinning levels, with and without them."""
    folders = {charge: recorded / "vasp_runs" / f"GaN_Mg_Ga_q{charge:+d}" for charge in (0, 1, -1, -2)}
    whole = recorded / "vasp_runs" / "GaN_supercell"
    perfect, make_edges = (
        with_states(whole),
        pydefect("cli.vasp.make_perfect_band_edge_state", "make_perfect_band_edge_state_from_vasp"),
    )
    vasprun = pydefect_vasprun(whole)
    outcar = SimpleNamespace(nelect=vasprun.parameters["NELECT"], total_mag=0.0)
    edges = make_edges(SimpleNamespace(data=vasprun.projected_eigenvalues), vasprun, outcar)
    states, infos = [], []
    for charge, folder in folders.items():
        run, theirs = with_states(folder), pydefect_vasprun(folder)
        outcome = band_edge_outcome(perfect, run, RULE)
        orbitals = pydefect("cli.vasp.make_band_edge_orbital_infos", "make_band_edge_orbital_infos")(
            SimpleNamespace(data=theirs.projected_eigenvalues), theirs, edges.vbm_info.energy, edges.cbm_info.energy
        )
        shallow = pydefect("analyzer.make_band_edge_states", "make_band_edge_states")(orbitals, edges).is_shallow
        assert outcome.is_perturbed_host == shallow
        energy = energy_of(charge, perfect, run, GAN_EDGES, GAN, {"Ga": 1, "Mg": -1})
        states.append(ChargeState(f"Mg_Ga1_{charge}", "Ga1", charge, energy, outcome.kind, outcome.reason))
        infos.append(energy_info(charge, perfect, run, GAN_EDGES, GAN, shallow))
    assert {info.defect_energy.is_shallow for info in infos} == {True, False}
    summary = pydefect("analyzer.make_defect_energy_summary", "make_defect_energy_summary")(
        infos,
        SimpleNamespace(chem_pots={"A": {"Ga": 0.0, "N": 0.0, "Mg": 0.0}}),
        SimpleNamespace(system="GaN", vbm=GAN_EDGES.vbm, cbm=GAN_EDGES.cbm),
        edges,
    )
    for allowed in (True, False):
        ours = site_levels("Ga1", states, GAP, perturbed=allowed)
        theirs = summary.charge_energies("A", allowed, True, (0.0, GAP), name_style=False)
        lines = {line.charge: line.energy for line in ours.lines}
        assert lines == pytest.approx(dict(theirs.charge_energies_dict["Mg_Ga1"].charge_energies), abs=1e-9)
        points = sorted(theirs.cross_point_dicts["Mg_Ga1"].inner_cross_points)
        levels = [(level.level, level.energy) for level in ours.levels]
        np.testing.assert_allclose(np.reshape(levels, (-1, 2)), np.reshape(points, (-1, 2)), atol=1e-7)


def phases(recorded, *cases: str) -> list[PhaseEnergy]:
    """Phases of recorded relaxations, as from hibana's own competing phases."""
    found = []
    for case in cases:
        run, _ = document(recorded / "vasp_runs" / case)
        about = {name: getattr(run, name) for name in ("formula", "elements", "n_sites", "final", "energy", "energy_per_atom")}
        found.append(phase_of(task("structure_opt", **about)))
    return found


def test_chemical_potentials_of_recorded_magnesia(recorded):
    """MgO between Mg and O2, PBEsol: energies per atom of -1.736, -5.135 and -6.258 eV."""
    given = phases(recorded, "Mg_relax_pbesol", "O2_relax_pbesol", "MgO_relax_pbesol")
    assert [(phase.formula, round(phase.energy, 3)) for phase in given] == [("Mg", -1.736), ("O", -5.135), ("MgO", -6.258)]
    names = ("CompositionEnergies", "CompositionEnergy", "ChemPotDiagMaker")
    energies, energy, maker = (pydefect("chem_pot_diag.chem_pot_diag", name) for name in names)
    table = {Composition(phase.formula): energy(phase.energy * Composition(phase.formula).num_atoms, "") for phase in given}
    standard, relative = energies(table).std_rel_energies
    expected = maker(relative, ["Mg", "O"], "MgO").chem_pot_diag
    found = diagram(given, "MgO")
    assert found.standard_energies == pytest.approx(dict(standard))
    assert found.formation_energy_per_atom == pytest.approx(dict(relative)["MgO"])
    ours = sorted(tuple(vertex.chemical_potentials.values()) for vertex in found.vertices)
    theirs = sorted((vertex.chem_pot["Mg"], vertex.chem_pot["O"]) for vertex in expected.target_vertices_dict.values())
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    poor = found.limit("O-poor").chemical_potentials["O"]
    assert poor == pytest.approx(2 * given[2].energy - given[0].energy - given[1].energy)
