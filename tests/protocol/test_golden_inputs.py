"""The inputs are those of vise itself, called with the same knowledge and nothing but its defaults otherwise."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
from pymatgen.io.vasp import Incar, Poscar

from hibana.documents.spec import Prior
from hibana.protocol.binding import load_vise
from hibana.protocol.inputs import build_inputs
from hibana.protocol.options import vise_options
from hibana.protocol.protocol import load_protocol
from hibana.structures.convert import from_pymatgen
from hibana.structures.standardise import standardise
from prototypes import make_prototypes

PROTOTYPES = make_prototypes()
MATERIALS = ["rock salt MgO", "wurtzite ZnO", "rutile TiO2", "anatase TiO2", "beta-Ga2O3", "corundum Al2O3", "body-centred W"]
PRIORS = {
    "unknown": (Prior(), {}),
    "metal": (Prior(band_gap=0.0), {}),
    "small gap": (Prior(band_gap=0.1, vbm=1.0, cbm=1.1), {}),
    "gap": (Prior(band_gap=4.5), {"band_gap": 4.5}),
    "edges": (Prior(band_gap=4.5, vbm=2.2, cbm=6.7), {"band_gap": 4.5, "vbm_cbm": [2.2, 6.7]}),
    "edges only": (Prior(vbm=2.2, cbm=6.7), {"vbm_cbm": [2.2, 6.7]}),
    "magnet": (Prior(band_gap=1.0, magnetization=-4.0), {"band_gap": 1.0, "is_magnetization": True, "time_reversal": False}),
}


DEPARTURES = {
    "dos": {"LCHARG": True, "LAECHG": True},  # densities for Bader charges
    "dielectric_finite_field": {"IBRION": 6},  # with the ions' part
    "defect": {"NSW": 50},
    "cluster_opt": {"SIGMA": 0.01},  # integer occupations of an open shell
}
"""Tags in which the protocol `pbesol` departs from vise; all others are vise's."""


def plain_vise(structure, task, **options):
    load_vise()
    make = importlib.import_module("vise.input_set.vasp_input_files").VaspInputFiles
    categorise = importlib.import_module("vise.input_set.input_options").CategorizedInputOptions
    tasks, functionals = load_vise().task, load_vise().xc
    return make(categorise(structure=structure, task=tasks(task), xc=functionals.pbesol, auto_kpar=False, **options))


def assert_same_inputs(ours, theirs, task):
    expected = {tag: Incar({tag: value})[tag] for tag, value in theirs.incar.items()}
    assert ours.stages[0].incar == expected | DEPARTURES.get(task, {})
    assert all(expected.get(tag) != value for tag, value in DEPARTURES.get(task, {}).items())
    kpoints = ours.stages[0].kpoints
    assert (kpoints.style, kpoints.num_kpts, kpoints.kpts_shift) == (
        theirs.kpoints.style,
        theirs.kpoints.num_kpts,
        theirs.kpoints.kpts_shift,
    )
    np.testing.assert_allclose(kpoints.kpts, theirs.kpoints.kpts)
    assert kpoints.kpts_weights == theirs.kpoints.kpts_weights
    assert kpoints.labels == theirs.kpoints.labels
    assert list(ours.potcar_labels) == list(theirs.potcar.symbols)
    np.testing.assert_allclose(ours.structure.lattice.matrix, theirs.poscar.structure.lattice.matrix)
    np.testing.assert_allclose(ours.structure.frac_coords, theirs.poscar.structure.frac_coords)
    assert ours.structure.species == theirs.poscar.structure.species


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("task", ["structure_opt", "band", "dos"])
@pytest.mark.parametrize("name", MATERIALS)
def test_inputs_are_those_of_vise(library, name, task, prior):
    primitive = standardise(PROTOTYPES[name]).primitive
    known, options = PRIORS[prior]
    ours = build_inputs(from_pymatgen(primitive), task, "pbesol", load_protocol("pbesol"), known)
    assert_same_inputs(ours, plain_vise(primitive, task, **options), task)


@pytest.mark.parametrize(
    "task", ["structure_opt_tight", "dielectric_dfpt", "dielectric_finite_field", "dielectric_function", "phonon_force"]
)
def test_inputs_of_other_tasks_are_those_of_vise(library, task):
    primitive = standardise(PROTOTYPES["rutile TiO2"]).primitive
    ours = build_inputs(from_pymatgen(primitive), task, "pbesol", load_protocol("pbesol"), Prior(band_gap=1.8))
    assert_same_inputs(ours, plain_vise(primitive, task, band_gap=1.8), task)


def test_inputs_of_a_charged_defect_are_those_of_vise(library):
    supercell = (PROTOTYPES["rock salt MgO"] * 2).get_sorted_structure()
    supercell.remove_sites([40])
    ours = build_inputs(
        from_pymatgen(supercell), "defect", "pbesol", load_protocol("pbesol"), Prior(band_gap=4.5), options={"charge": 2.0}
    )
    assert_same_inputs(ours, plain_vise(supercell, "defect", band_gap=4.5, charge=2.0), "defect")
    assert ours.stages[0].incar["NELECT"] == 32 * 2 + 31 * 6 - 2


def test_hubbard_u_is_that_of_vise(library):
    primitive = standardise(PROTOTYPES["wurtzite ZnO"]).primitive
    with_u = load_protocol("pbesol").model_copy(update={"hubbard_u": True})
    ours = build_inputs(from_pymatgen(primitive), "dos", "pbesol", with_u)
    assert_same_inputs(ours, plain_vise(primitive, "dos", set_hubbard_u=True), "dos")
    assert ours.stages[0].incar["LDAUU"] == [5, 0]


def test_interleaved_species_are_counted_once(library):
    """vise given Mg O Mg O ... repeats the potentials and miscounts NELECT; hibana sorts first."""
    rock_salt = PROTOTYPES["rock salt MgO"]
    interleaved = type(rock_salt).from_sites([rock_salt[i] for i in (0, 4, 1, 5, 2, 6, 3, 7)])
    ours = build_inputs(from_pymatgen(interleaved), "defect", "pbesol", load_protocol("pbesol"), options={"charge": 1.0})
    assert ours.potcar_labels == ("Mg", "O")
    assert ours.stages[0].incar["NELECT"] == 4 * 8 - 1


def test_every_option_of_vise_is_given():
    """A new option of vise would take vise's default unseen: this tells."""
    from_the_structure = {"initial_structure", "structure", "symbol_list", "num_kpts", "num_kpt_multiplication_factor"}
    elsewhere = {"task", "xc", "potcar"}
    given = vise_options("dos", load_protocol("pbesol"), Prior(), ["Mg", "O"])
    assert set(given) == load_vise().generator_options - from_the_structure - elsewhere


def test_the_files_say_what_vise_says(library, tmp_path):
    primitive = standardise(PROTOTYPES["wurtzite ZnO"]).primitive
    known, options = PRIORS["edges"]
    build_inputs(from_pymatgen(primitive), "structure_opt", "pbesol", load_protocol("pbesol"), known).write(tmp_path / "hibana")
    plain_vise(primitive, "structure_opt", **options).create_input_files(tmp_path / "vise")
    ours, theirs = (Incar.from_file(tmp_path / folder / "INCAR") for folder in ("hibana", "vise"))
    assert ours == theirs
    ours, theirs = (Poscar.from_file(tmp_path / folder / "POSCAR").structure for folder in ("hibana", "vise"))
    np.testing.assert_allclose(ours.frac_coords, theirs.frac_coords, atol=1e-9)
    assert (tmp_path / "hibana" / "POTCAR").read_text().split() == (tmp_path / "vise" / "POTCAR").read_text().split()
