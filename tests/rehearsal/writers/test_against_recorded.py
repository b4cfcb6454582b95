"""Numbers of real VASP runs, written by these writers: pymatgen reads the same from both sets of files."""

from __future__ import annotations

import functools
import gzip
import warnings
from pathlib import Path

import numpy as np
import pytest
from lxml import etree
from pymatgen.electronic_structure.core import Orbital, Spin
from pymatgen.io.vasp.outputs import Eigenval, Oszicar, Outcar, Procar, Vasprun

from hibana.rehearsal.result import Bands, Dos, IonicStep, KpointMesh, RunResult, ScfStep, Species
from hibana.rehearsal.writers import write_outputs
from hibana.rehearsal.writers.planewaves import plane_wave_counts

SPINS = (Spin.up, Spin.down)
ORBITALS = list(Orbital)[:9]


@functools.cache
def as_result(folder: Path) -> RunResult:
    """A recorded run with LORBIT = 11 or 12 as a result; site charges where its OUTCAR has them."""
    vasprun = read(folder)
    outcar = Outcar(found(folder, "OUTCAR"))
    spins = SPINS[: len(vasprun.eigenvalues)]
    bands = np.stack([vasprun.eigenvalues[s] for s in spins])
    partial = np.array([[[site[o][s] for o in ORBITALS] for s in spins] for site in vasprun.pdos])
    projections = np.stack([vasprun.projected_eigenvalues[s] for s in spins])
    mesh = vasprun.kpoints.style.name == "Gamma"
    sites = [
        np.array([[site[k] for k in ("s", "p", "d")] for site in values]) for values in (outcar.charge, outcar.magnetization)
    ]
    return RunResult(
        incar=dict(vasprun.incar),
        parameters={k: v for k, v in vasprun.parameters.items() if k != "TIME"} | {"ENCUT": vasprun.parameters["ENMAX"]},
        kpoint_mesh=KpointMesh("Gamma", vasprun.kpoints.kpts[0], (0.0, 0.0, 0.0)) if mesh else KpointMesh("listgenerated"),
        species=species(folder),
        steps=tuple(ionic_step(vasprun, outcar, n) for n in range(len(vasprun.ionic_steps))),
        bands=Bands(
            np.array(vasprun.actual_kpoints), np.array(vasprun.actual_kpoints_weights), bands[..., 0], bands[..., 1], projections
        ),
        dos=Dos(
            vasprun.tdos.energies,
            np.stack([vasprun.tdos.densities[s] for s in spins]),
            np.stack([vasprun.idos.densities[s] for s in spins]),
            partial,
        ),
        efermi=vasprun.efermi,
        core_potentials=np.array(outcar.electrostatic_potential or np.zeros(len(vasprun.atomic_symbols))),
        nelect=vasprun.parameters["NELECT"],
        provenance={"engine": "recorded VASP run"},
        site_charges=sites[0] if sites[0].size else None,
        site_moments=sites[1] if sites[1].size else None,
        electronic_converged=vasprun.converged_electronic,
        ionic_converged=vasprun.converged_ionic,
    )


def found(folder: Path, name: str) -> Path:
    path = folder / name
    return path if path.is_file() else folder / f"{name}.gz"


def species(folder: Path) -> tuple[Species, ...]:
    with gzip.open(folder / "vasprun.xml.gz") as file:
        root = etree.parse(file)
    rows = root.xpath("//array[@name='atomtypes']/set/rc")
    cells = [[cell.text.strip() for cell in row] for row in rows]
    return tuple(Species(el, int(n), title, title, float(z), 0.0, float(mass)) for n, el, mass, z, title in cells)


def ionic_step(vasprun: Vasprun, outcar: Outcar, number: int) -> IonicStep:
    step = vasprun.ionic_steps[number]
    energies = [s["e_fr_energy"] for s in step["electronic_steps"]]
    final = step["electronic_steps"][-1]
    return IonicStep(
        lattice=step["structure"].lattice.matrix,
        frac_coords=step["structure"].frac_coords,
        free_energy=final["e_fr_energy"],
        energy_wo_entropy=final["e_wo_entrp"],
        energy_sigma0=final["e_0_energy"],
        forces=step["forces"],
        stress=step.get("stress"),
        scf=tuple(ScfStep(e, d, 1.0) for e, d in zip(energies, np.diff(energies, prepend=0.0), strict=True)),
        magnetization=outcar.total_mag,
    )


@pytest.fixture(params=["YPO4_relax_1", "MgO_band_pbesol", "MgMn2O4_fm_2_static", "GaN_Mg_Ga_q-1", "Si_band_1_static"])
def pair(request, recorded, tmp_path):
    """Folders of the recorded outputs and of those written from their numbers."""
    folder = recorded / "vasp_runs" / request.param / "outputs"
    result = as_result(folder)
    write_outputs(result, tmp_path)
    return folder, tmp_path


@functools.cache
def read(folder: Path) -> Vasprun:
    """Both parsers of a run are slow, so each folder is read once."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Vasprun(found(folder, "vasprun.xml"), parse_projected_eigen=True, parse_potcar_file=False)


def test_vasprun(pair):
    theirs, ours = map(read, pair)
    for name in ("final_energy", "efermi", "run_type", "converged_electronic", "converged_ionic", "is_spin", "atomic_symbols"):
        assert getattr(ours, name) == getattr(theirs, name), name
    for name in ("potcar_symbols", "eigenvalue_band_properties", "actual_kpoints", "actual_kpoints_weights", "nionic_steps"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert ours.final_structure == theirs.final_structure
    assert ours.initial_structure == theirs.initial_structure
    assert ours.kpoints.style == theirs.kpoints.style
    assert ours.kpoints.kpts == theirs.kpoints.kpts
    assert dict(ours.incar) == dict(theirs.incar)
    assert {k: v for k, v in theirs.parameters.items() if k != "TIME"}.items() <= ours.parameters.items()
    for put, got in zip(theirs.ionic_steps, ours.ionic_steps, strict=True):
        assert set(got) == set(put)
        assert [s["e_fr_energy"] for s in got["electronic_steps"]] == [s["e_fr_energy"] for s in put["electronic_steps"]]
        np.testing.assert_array_equal(got["forces"], put["forces"])
    for spin, values in theirs.eigenvalues.items():
        np.testing.assert_array_equal(ours.eigenvalues[spin], values)
        np.testing.assert_array_equal(ours.projected_eigenvalues[spin], theirs.projected_eigenvalues[spin][..., :9])
        np.testing.assert_array_equal(ours.complete_dos.densities[spin], theirs.complete_dos.densities[spin])
    for put, got in zip(theirs.pdos, ours.pdos, strict=True):
        for orbital in ORBITALS:
            for spin, values in put[orbital].items():
                np.testing.assert_array_equal(got[orbital][spin], values)


def test_outcar(pair):
    theirs, ours = (Outcar(found(folder, "OUTCAR")) for folder in pair)
    for name in (
        "final_energy",
        "final_fr_energy",
        "final_energy_wo_entrp",
        "total_mag",
        "spin",
        "is_stopped",
        "lepsilon",
        "dfpt",
    ):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert ours.nelect == pytest.approx(theirs.nelect, abs=1e-4)
    assert ours.data["nbands"] == theirs.data["nbands"]
    assert ours.data["ibrion"] == theirs.data["ibrion"]
    assert len(ours.drift) == len(theirs.drift)
    if theirs.electrostatic_potential is not None:
        assert ours.electrostatic_potential == theirs.electrostatic_potential
    for put, got in ((theirs.charge, ours.charge), (theirs.magnetization, ours.magnetization)):
        assert [{k: site[k] for k in "spd"} for site in got] == [{k: site[k] for k in "spd"} for site in put]


def test_same_elements_in_vasprun(pair):
    """Every element we write is one of VASP's, at the same place."""
    theirs, ours = (paths(found(folder, "vasprun.xml")) for folder in pair)
    assert ours - theirs <= {"modeling/parameters/v"}  # VASP has it one level deeper


def paths(path: Path) -> set[str]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path) as file:
        tree = etree.parse(file)
    return {re_path(tree, element) for element in tree.iter(etree.Element)}


def re_path(tree: etree._ElementTree, element: etree._Element) -> str:
    return "/".join(part.split("[")[0] for part in tree.getpath(element).strip("/").split("/"))


def test_text_files(recorded, tmp_path):
    folder = recorded / "vasp_runs" / "YPO4_relax_1" / "outputs"
    write_outputs(as_result(folder), tmp_path)
    theirs, ours = (Procar(found(f, "PROCAR")) for f in (folder, tmp_path))
    assert ours.orbitals == theirs.orbitals
    np.testing.assert_array_equal(ours.kpoints, theirs.kpoints)
    for spin in SPINS:
        np.testing.assert_allclose(ours.data[spin], theirs.data[spin], atol=1.01e-3)
        np.testing.assert_allclose(ours.eigenvalues[spin], theirs.eigenvalues[spin], atol=6e-5)
    theirs, ours = (Eigenval(f / "EIGENVAL") for f in (folder, tmp_path))
    assert (ours.nelect, ours.nkpt, ours.nbands, ours.ispin) == (theirs.nelect, theirs.nkpt, theirs.nbands, theirs.ispin)
    np.testing.assert_allclose(ours.kpoints, theirs.kpoints, atol=1e-12)
    np.testing.assert_allclose(ours.eigenvalues[Spin.down], theirs.eigenvalues[Spin.down], atol=6e-5)
    theirs, ours = (Oszicar(f / "OSZICAR") for f in (folder, tmp_path))
    assert ours.final_energy == pytest.approx(theirs.final_energy, abs=1e-6)
    assert [len(s) for s in ours.electronic_steps] == [len(s) for s in theirs.electronic_steps]
    assert set(ours.ionic_steps[0]) == set(theirs.ionic_steps[0])
    theirs, ours = ((f / "IBZKPT").read_text().splitlines()[:16] for f in (folder, tmp_path))
    assert [line.split() for line in ours] == [line.split() for line in theirs]
    assert preamble(tmp_path / "DOSCAR") == pytest.approx(preamble(found(folder, "DOSCAR")), abs=1e-4)


def preamble(path: Path) -> list[float]:
    """Numbers of DOSCAR's lines 1, 2 (volume, lengths) and 6."""
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        lines = [next(file).split() for _ in range(6)]
    return [float(word) for word in (*lines[0], *lines[1][:4], *lines[5])]


@pytest.mark.parametrize("case", ["YPO4_relax_1", "MgO_band_pbesol", "GaN_Mg_Ga_q-1", "NaCl_1_static"])
def test_plane_waves_are_counted_as_vasp_counts_them(recorded, case):
    folder = recorded / "vasp_runs" / case / "outputs"
    vasprun, outcar = read(folder), Outcar(found(folder, "OUTCAR"))
    cutoff, lattice = vasprun.parameters["ENMAX"], vasprun.initial_structure.lattice.matrix
    counts = plane_wave_counts(lattice, np.array(vasprun.actual_kpoints), cutoff)
    expected = np.array(outcar.data["nplwvs_at_kpoints"])
    np.testing.assert_array_equal(counts, expected)


def test_plane_waves_of_a_cube():
    """One vector below the first shell, seven below the second, nineteen below the third."""
    first = 3.809982 * (2 * np.pi / 5) ** 2
    cube = 5 * np.eye(3)
    assert [int(plane_wave_counts(cube, np.zeros((1, 3)), x * first)[0]) for x in (0.9, 1.1, 2.1, 3.1)] == [1, 7, 19, 27]
    shifted = plane_wave_counts(cube, np.array([[0.5, 0, 0], [-0.5, 1, 7]]), 0.3 * first)
    assert shifted.tolist() == [2, 2]
