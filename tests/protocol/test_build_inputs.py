"""Numbers of inputs worked out by hand or recorded from others' runs, and what has to be refused."""

from __future__ import annotations

import json
from math import ceil, pi, sqrt

import numpy as np
import pytest
from custodian.vasp.interpreter import VaspModder
from pymatgen.core import Lattice, Structure
from pymatgen.io.vasp import Incar, Kpoints, Poscar, Potcar, VaspInput

from hibana.core.errors import HibanaError
from hibana.documents.spec import Prior
from hibana.protocol.inputs import build_inputs
from hibana.protocol.protocol import load_protocol
from hibana.structures.convert import from_pymatgen
from hibana.structures.standardise import standardise
from prototypes import make_prototypes

PBESOL = load_protocol("pbesol")
GAP = Prior(band_gap=4.5, vbm=2.5, cbm=7.1)
PROTOTYPES = make_prototypes()
MGO = from_pymatgen(
    standardise(Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.21), ["Mg", "O"], [[0, 0, 0], [0.5] * 3])).primitive
)


UNKNOWN = Prior()


def inputs(task, prior=UNKNOWN, functional="pbesol", crystal=MGO, protocol=PBESOL, **more):
    return build_inputs(crystal, task, functional, protocol, prior, **more)


def mesh(made):
    return tuple(made.stages[0].kpoints.kpts[0])


def refusal(*arguments, **more):
    with pytest.raises(HibanaError) as caught:
        inputs(*arguments, **more)
    return caught.value.kind.code


@pytest.mark.parametrize(
    ("task", "unknown", "gapped"),
    [("structure_opt", 13, 7), ("dos", 26, 14), ("dielectric_dfpt", 26, 14), ("dielectric_function", 39, 21)],
)
def test_meshes_of_magnesia(library, task, unknown, gapped):
    reciprocal = 2 * pi * sqrt(3) / 4.21
    factor = {"structure_opt": 1, "dos": 2, "dielectric_dfpt": 2, "dielectric_function": 3}[task]
    assert (unknown, gapped) == (factor * ceil(5.0 * reciprocal), factor * ceil(2.5 * reciprocal))
    assert mesh(inputs(task)) == mesh(inputs(task, Prior(band_gap=0.0))) == (unknown,) * 3
    assert mesh(inputs(task, Prior(band_gap=0.2))) == (unknown,) * 3
    assert mesh(inputs(task, GAP)) == (gapped,) * 3


def test_band_path_of_magnesia(library):
    """Even mesh: 29 irreducible points of 8^3 with a gap, 104 of 14^3 without; 261 points of weight 0 on the path."""
    for prior, weighted, total in ((GAP, 29, 8**3), (Prior(), 104, 14**3)):
        kpoints = inputs("band", prior).stages[0].kpoints
        weights = np.array(kpoints.kpts_weights)
        assert ((weights > 0).sum(), (weights == 0).sum(), weights.sum()) == (weighted, 261, total)


def test_cutoffs_bands_smearing_and_window(library):
    relax, band, dos = (inputs(task, GAP).stages[0].incar for task in ("structure_opt", "band", "dos"))
    assert (relax["ENCUT"], band["ENCUT"], dos["ENCUT"]) == (520, 400, 400)
    assert (relax["ISMEAR"], band["ISMEAR"], dos["ISMEAR"]) == (-5, 0, -4)
    assert (band["NBANDS"], dos["NBANDS"]) == (12, 12)
    assert (dos["EMIN"], dos["EMAX"], dos["NEDOS"]) == (-12.01, 23, 3502)
    unknown = inputs("dos").stages[0].incar
    assert (unknown["ISMEAR"], unknown["EMIN"], unknown["EMAX"], unknown["NEDOS"]) == (0, -20.01, 20, 4002)
    assert (relax["EDIFF"], relax["EDIFFG"], relax["NSW"], relax["ISIF"]) == (1e-7, -0.005, 20, 3)
    assert relax["GGA"].upper() == band["GGA"].upper() == "PS"


def test_spin_follows_the_moment_found_before(library):
    for moment, expected in ((None, None), (0.0, None), (0.1, None), (0.11, 2), (-2.0, 2)):
        assert inputs("structure_opt", Prior(magnetization=moment)).stages[0].incar.get("ISPIN") == expected


def test_a_moment_that_nobody_looked_for_is_not_taken_for_none(library):
    """NiO starts spin-polarised until a run has found its moment; what a run found then decides."""
    nickel_oxide = from_pymatgen(
        Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.17), ["Ni", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    )
    spins = {
        moment: inputs("structure_opt", Prior(magnetization=moment), crystal=nickel_oxide).stages[0].incar.get("ISPIN")
        for moment in (None, 0.0, 8.0)
    }
    assert spins == {None: 2, 0.0: None, 8.0: 2}


def test_ordered_moments_are_written_in_the_order_of_the_sites(library, tmp_path):
    lattice = Lattice([[4.17, 2.085, 2.085], [2.085, 4.17, 2.085], [2.085, 2.085, 4.17]])
    sites = [[0.25] * 3, [0, 0, 0], [0.75] * 3, [0.5] * 3]
    magnet = Structure(lattice, ["O", "Ni", "O", "Ni"], sites, site_properties={"magmom": [0.0, 2.0, 0.0, -2.0]})
    made = inputs("structure_opt", crystal=from_pymatgen(magnet))
    assert [site.specie.symbol for site in made.structure] == ["Ni", "Ni", "O", "O"]
    assert made.stages[0].incar["MAGMOM"] == made.structure.site_properties["magmom"] == [2.0, -2.0, 0.0, 0.0]
    assert made.stages[0].incar["ISPIN"] == 2
    assert len(made.structure) == 4, "the magnetic cell must not be reduced to the chemical one"
    made.write(tmp_path)
    assert Incar.from_file(tmp_path / "INCAR")["MAGMOM"] == [2.0, -2.0, 0.0, 0.0]
    assert refusal("band", crystal=from_pymatgen(magnet)) == "HIB-038"
    assert len(inputs("band", functional="hse06_nsc", crystal=from_pymatgen(magnet)).stages) == 2


def test_kpar_is_set_for_several_cores_only(library):
    assert "KPAR" not in inputs("structure_opt").stages[0].incar
    assert inputs("structure_opt", GAP, cores=4).stages[0].incar["KPAR"] == 4


def test_options_and_tags_of_the_user_win(library):
    made = inputs("dos", GAP, options={"kpt_density": 1.0, "incar": {"NCORE": 4, "EDIFF": 1e-6, "KERNEL_TRUNCATION": True}})
    assert mesh(made) == (6, 6, 6)
    incar = made.stages[0].incar
    assert (incar["NCORE"], incar["EDIFF"], incar["KERNEL_TRUNCATION"]) == (4, 1e-6, True)
    assert refusal("dos", options={"kpoint_density": 1.0}) == "HIB-037"
    assert refusal("dos", options={"potcar_set": "gw"}) == "HIB-037"


def test_bulk_tasks_take_the_primitive_cell(library):
    conventional = from_pymatgen(PROTOTYPES["rock salt MgO"])
    assert len(inputs("structure_opt", crystal=conventional).structure) == 2
    assert len(inputs("defect", crystal=conventional).structure) == 8


@pytest.mark.parametrize("prior", [Prior(), GAP])
def test_hybrid_step_has_two_stages_on_the_same_points(library, prior):
    made = inputs("band", prior, functional="hse06_nsc")
    semilocal, hybrid = made.stages
    assert (semilocal.name, hybrid.name) == ("pbesol", "hse06_nsc")
    assert semilocal.kpoints == hybrid.kpoints
    divisions = 8 if prior is GAP else 14
    assert (mesh(made), made.stages[0].kpoints.style.name) == ((divisions,) * 3, "Gamma")
    assert tuple(semilocal.kpoints.kpts_shift) == (0, 0, 0)
    shared = ("NBANDS", "ENCUT", "PREC", "ISMEAR", "SIGMA", "EDIFF", "LASPH", "LREAL")
    assert {tag: semilocal.incar[tag] for tag in shared} == {tag: hybrid.incar[tag] for tag in shared}
    assert (semilocal.incar["LWAVE"], semilocal.incar["NELM"], semilocal.incar["GGA"].upper()) == (True, 100, "PS")
    assert (hybrid.incar["LWAVE"], hybrid.incar["NELM"], "GGA" in hybrid.incar) == (False, 1, False)


def with_hybrid(name, **changes):
    rule = PBESOL.hybrids[name].model_copy(update=changes)
    return PBESOL.model_copy(update={"hybrids": {**PBESOL.hybrids, name: rule}})


def test_dielectric_dependent_hybrid_takes_its_exchange_from_outside(library):
    semilocal, hybrid = inputs("band", GAP, functional="ddh_nsc", options={"exchange_ratio": 0.317}).stages
    assert (semilocal.name, hybrid.name) == ("pbesol", "ddh_nsc")
    tags = {tag: hybrid.incar.get(tag) for tag in ("LHFCALC", "AEXX", "HFSCREEN", "ALGO", "NELM")}
    assert tags == {"LHFCALC": True, "AEXX": 0.317, "HFSCREEN": None, "ALGO": "Subrot", "NELM": 1}
    with pytest.raises(HibanaError, match="HIB-042"):
        inputs("band", GAP, functional="ddh_nsc")
    with pytest.raises(HibanaError, match="HIB-036"):
        inputs("dos", GAP, functional="ddh_nsc", options={"exchange_ratio": 0.317})


@pytest.mark.parametrize(("recipe", "algorithm"), [("subrot", "Subrot"), ("eigenval", "Eigenval")])
@pytest.mark.parametrize("name", ["hse06_nsc", "ddh_nsc"])
def test_both_recipes_are_one_step_on_the_same_wave_functions(library, name, recipe, algorithm):
    own = with_hybrid(name, recipe=recipe, exchange_ratio=0.3)
    semilocal, hybrid = inputs("band", GAP, functional=name, protocol=own).stages
    assert (hybrid.incar["ALGO"], hybrid.incar["NELM"], hybrid.incar["NELMIN"]) == (algorithm, 1, 1)
    assert hybrid.incar["AEXX"] == 0.3
    assert semilocal.incar["ALGO"] == "Normal"


@pytest.mark.parametrize(
    ("task", "tags", "factor"),
    [
        ("dielectric_dfpt", {"LEPSILON": True, "IBRION": 8}, 2),
        ("dielectric_finite_field", {"LCALCEPS": True, "IBRION": 6}, 2),
        ("dielectric_function", {"LOPTICS": True, "CSHIFT": 0.0}, 3),
        ("phonon_force", {"PREC": "Accurate", "EDIFF": 1e-8, "ISIF": 2}, 1),
    ],
)
def test_response_tasks(library, task, tags, factor):
    made = inputs(task, GAP)
    assert {tag: made.stages[0].incar[tag] for tag in tags} == tags
    assert mesh(made) == (7 * factor,) * 3


def test_displaced_supercell_is_kept_as_it_is(library):
    cubic = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.22), ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    displaced = cubic * (2, 1, 1)
    displaced.translate_sites([0], [0.01, 0, 0], frac_coords=False)
    made = build_inputs(from_pymatgen(displaced), "phonon_force", "pbesol", PBESOL, GAP)
    assert made.structure.lattice == displaced.lattice
    assert np.allclose(made.structure.frac_coords, displaced.frac_coords)


def test_hybrid_step_is_that_of_the_recorded_runs(library, recorded):
    """A PBEsol band run of MgO whose WAVECAR an HSE06 run took, both on the mesh and the path."""
    own = with_hybrid("hse06_nsc", kpoints="mesh+path")
    case = json.loads((recorded / "vasp_runs" / "MgO_band_nhse" / "case.json").read_text())
    assert case["functional"].upper().startswith("HSE")
    made = inputs("band", GAP, functional="hse06_nsc", protocol=own)
    for stage, name in zip(made.stages, ("MgO_band_pbesol", "MgO_band_nhse"), strict=True):
        theirs = Incar.from_file(recorded / "vasp_runs" / name / "inputs" / "INCAR")
        ours = {
            tag: value[0] if tag in ("ALGO", "PREC") and len(theirs[tag]) == 1 else value for tag, value in stage.incar.items()
        }
        not_recorded = {"NSW"}
        changed_since = {"LORBIT"}
        assert ours.keys() - theirs.keys() <= not_recorded
        assert theirs.keys() - ours.keys() <= {"ISPIN"}
        assert {tag: ours[tag] for tag in theirs if tag in ours and tag not in changed_since} == {
            tag: value for tag, value in theirs.items() if tag in ours and tag not in changed_since
        }
    theirs = Kpoints.from_file(recorded / "vasp_runs" / "MgO_band_nhse" / "inputs" / "KPOINTS")
    assert made.stages[1].kpoints.kpts_weights.count(0) == theirs.kpts_weights.count(0)


def test_changes_between_stages_are_custodians(library, tmp_path):
    made = inputs("band", GAP, functional="hse06_nsc")
    made.write(tmp_path)
    assert made.stage_changes(0) == []
    read = VaspInput.from_directory(tmp_path)
    modder = VaspModder(vi=read, directory=str(tmp_path))
    modder.apply_actions(made.stage_changes(1))
    assert dict(Incar.from_file(tmp_path / "INCAR")) == dict(Incar(made.stages[1].incar))


def test_written_files_are_read_again_unchanged(library, tmp_path):
    made = inputs("dos", GAP, crystal=from_pymatgen(PROTOTYPES["beta-Ga2O3"]))
    folder = tmp_path / "a" / "b"
    made.write(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["INCAR", "KPOINTS", "POSCAR", "POTCAR"]
    assert dict(Incar.from_file(folder / "INCAR")) == made.stages[0].incar
    assert Kpoints.from_file(folder / "KPOINTS").kpts == made.stages[0].kpoints.kpts
    structure = Poscar.from_file(folder / "POSCAR").structure
    np.testing.assert_allclose(structure.frac_coords, made.structure.frac_coords, atol=1e-15)
    assert [potcar.TITEL for potcar in Potcar.from_file(folder / "POTCAR")] == list(made.potcar_titles)


def test_band_points_are_written_in_full(library, tmp_path):
    made = inputs("band", GAP)
    made.write(tmp_path)
    np.testing.assert_array_equal(
        Kpoints.from_file(tmp_path / "KPOINTS").kpts, np.array(made.stages[0].kpoints.kpts, dtype=float)
    )


def test_what_is_refused(library, tmp_path):
    assert refusal("relax") == "HIB-036"
    assert refusal("dos", functional="pbe") == "HIB-036"
    assert refusal("dos", functional="hse06_nsc") == "HIB-036"
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(HibanaError, match="HIB-040"):
        inputs("dos").write(blocked / "run")


def test_an_element_without_a_potential(library):
    lithia = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.6), ["Li", "O"], [[0.25] * 3, [0, 0, 0]])
    assert refusal("dos", crystal=from_pymatgen(lithia)) == "HIB-034"


def test_comparing_structures_is_left_out(library, monkeypatch):
    """vise compares the structure with its primitive cell for a message only; for large cells that takes seconds."""
    compared = []
    monkeypatch.setattr(Structure, "__eq__", lambda self, other: compared.append(len(self)) or self is other)
    inputs("defect", crystal=from_pymatgen(PROTOTYPES["rock salt MgO"] * 2))
    assert compared == []
