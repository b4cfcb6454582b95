"""Densities and potential of small real runs: integrals, symmetry, places of the atoms, and who has the electrons."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from engine_runs import GAMMA_MESH, mgo, run_in, write_run
from pymatgen.io.vasp.outputs import Chgcar, Locpot

from hibana.rehearsal.writers import write_outputs

INCAR = "ENCUT = 350\nGGA = PS\nISMEAR = 0\nSIGMA = 0.1\nEDIFF = 1e-6\nISIF = 0\nLWAVE = F\nLAECHG = T\nLVHAR = T\n"
MESH = GAMMA_MESH.format(2, 2, 2)
CORE = {"Mg": 10, "O": 2}
COULOMB = 14.399645
"""e^2 / (4 pi epsilon_0), eV Å."""


@pytest.fixture(scope="module")
def magnesia(tmp_path_factory):
    folder = tmp_path_factory.mktemp("magnesia")
    write_run(folder, poscar=mgo(), incar=INCAR, kpoints=MESH, elements=["Mg", "O"])
    result = run_in(folder)
    write_outputs(result, folder)
    return folder, result


def test_integrals_are_numbers_of_electrons(magnesia):
    folder, result = magnesia
    totals = {name: Chgcar.from_file(folder / name).data["total"].mean() for name in ("CHGCAR", "AECCAR0", "AECCAR2")}
    assert totals["CHGCAR"] == pytest.approx(8, abs=1e-6)
    assert totals["AECCAR0"] == pytest.approx(12, abs=1e-6)
    assert totals["AECCAR2"] == pytest.approx(8, abs=1e-3)
    said = json.loads((folder / "HIBANA-VASP.json").read_text())["electrons_in_densities"]
    assert [said[key] for key in ("valence", "core", "all_electron_valence")] == pytest.approx(list(totals.values()), abs=1e-6)
    # how far the plain samples are off is told too
    assert said["all_electron_valence_sampled"] == pytest.approx(8, abs=0.3)
    assert abs(said["core_sampled"] - 12) > 0.01
    assert result.charge.valence.shape[1:] == tuple(result.parameters[f"NG{x}F"] for x in "XYZ")


def test_no_density_is_negative(magnesia):
    charge = magnesia[1].charge
    assert charge.valence.min() > 0
    assert charge.core.min() >= 0
    assert charge.all_electron_valence.min() > 0


def test_densities_have_the_symmetry_of_the_crystal(magnesia):
    result = magnesia[1]
    for values in (result.charge.valence[0], result.charge.all_electron_valence, result.charge.core, result.potential):
        for axes in itertools.permutations(range(3)):
            np.testing.assert_allclose(values.transpose(axes), values, rtol=1e-4, atol=1e-3 * np.abs(values).max() / 100)


def test_valence_and_all_electron_density_agree_between_the_atoms(magnesia):
    charge = magnesia[1].charge
    far = distances_to_atoms(magnesia[1]).min(axis=0) > 1.2
    assert far.sum() > 100
    np.testing.assert_allclose(charge.valence[0][far], charge.all_electron_valence[far], rtol=0.02)


def test_the_potential_is_that_of_the_charge(magnesia):
    """Its Laplacian is that of an electron among the valence electrons, where there are no compensation charges."""
    folder, result = magnesia
    potential = Locpot.from_file(folder / "LOCPOT").data["total"]
    assert potential.mean() == pytest.approx(0, abs=1e-6)
    lattice = result.steps[-1].lattice
    waves = np.stack(np.meshgrid(*[np.fft.fftfreq(n, 1 / n) for n in potential.shape], indexing="ij"), axis=-1)
    vectors = waves @ np.linalg.inv(lattice).T * 2 * np.pi
    laplacian = np.fft.ifftn(-(vectors**2).sum(axis=-1) * np.fft.fftn(potential)).real
    density = result.charge.valence[0] / abs(np.linalg.det(lattice))
    far = distances_to_atoms(result).min(axis=0) > 1.0
    charge = -laplacian / (4 * np.pi * COULOMB)
    assert np.corrcoef(charge[far], density[far])[0, 1] > 0.98
    assert charge[far].mean() == pytest.approx(density[far].mean(), rel=0.05)
    at_atoms = [potential[index] for index in nearest_points(result)]
    assert max(at_atoms) < -20
    assert potential.max() > 0


def test_oxygen_takes_the_electrons_of_magnesium(magnesia):
    """Bader: published charges of MgO are 1.6 to 1.8 e."""
    folder, result = magnesia
    whole = Chgcar.from_file(folder / "AECCAR0").data["total"] + Chgcar.from_file(folder / "AECCAR2").data["total"]
    basins = steepest_ascent(whole, result.steps[-1].lattice)
    electrons = [
        Chgcar.from_file(folder / "CHGCAR").data["total"][basins == basins[i]].sum() / whole.size for i in nearest_points(result)
    ]
    assert sum(electrons) == pytest.approx(8, abs=1e-3)
    assert 7.4 < electrons[1] < 8
    everything = [whole[basins == basins[i]].mean() * (basins == basins[i]).mean() for i in nearest_points(result)]
    assert everything[0] == pytest.approx(electrons[0] + CORE["Mg"], abs=0.1)


def test_spins_and_places_of_a_displaced_charged_cell(tmp_path):
    poscar = mgo().replace("0.5 0.5 0.5\n", "0.55 0.48 0.5\n")
    incar = INCAR.replace("350", "300") + "NELECT = 7\nISPIN = 2\nMAGMOM = 0 1\n"
    write_run(tmp_path, poscar=poscar, incar=incar, kpoints=MESH, elements=["Mg", "O"])
    result = run_in(tmp_path)
    write_outputs(result, tmp_path)
    chgcar = Chgcar.from_file(tmp_path / "CHGCAR")
    assert chgcar.data["total"].mean() == pytest.approx(7, abs=1e-6)
    assert chgcar.data["diff"].mean() == pytest.approx(result.steps[-1].magnetization, abs=1e-4)
    core = Chgcar.from_file(tmp_path / "AECCAR0").data["total"]
    grid = np.array(core.shape)
    peak = np.array(np.unravel_index(core.argmax(), core.shape))
    assert np.abs((peak / grid + 0.5) % 1 - 0.5).max() < 0.51 / grid.min()  # magnesium, at the origin
    oxygen = np.rint(np.array([0.55, 0.48, 0.5]) * grid).astype(int)
    near = core.copy()
    near[distances_to_atoms(result)[0] < 1.0] = 0
    assert np.abs(np.array(np.unravel_index(near.argmax(), near.shape)) - oxygen).max() <= 1


def test_without_the_tags_there_are_no_files(tmp_path):
    incar = INCAR.replace("350", "250").replace("LAECHG = T\nLVHAR = T\n", "LCHARG = F\n")
    write_run(tmp_path, poscar=mgo(), incar=incar, kpoints=GAMMA_MESH.format(1, 1, 1), elements=["Mg", "O"])
    result = run_in(tmp_path)
    write_outputs(result, tmp_path)
    assert result.charge is None
    assert result.potential is None
    assert not {"CHGCAR", "AECCAR0", "AECCAR2", "LOCPOT"} & {path.name for path in tmp_path.iterdir()}
    assert "electrons_in_densities" not in result.provenance


def nearest_points(result):
    """Index of the grid point next to each atom."""
    grid = np.array(result.charge.valence.shape[1:])
    return [tuple(np.rint(place * grid).astype(int) % grid) for place in result.steps[-1].frac_coords]


def distances_to_atoms(result):
    """(n_atoms, nx, ny, nz), Å, to the nearest image of each atom."""
    last, shape = result.steps[-1], result.charge.valence.shape[1:]
    grid = np.stack(np.meshgrid(*[np.arange(n) / n for n in shape], indexing="ij"), axis=-1)
    images = np.array(list(itertools.product((-1, 0, 1), repeat=3)))
    found = []
    for place in last.frac_coords:
        steps = (grid - place)[..., None, :] - images
        found.append(np.linalg.norm(steps @ last.lattice, axis=-1).min(axis=-1))
    return np.array(found)


def steepest_ascent(density, lattice):
    """Basins of a density: at which maximum the steepest way up over the grid's neighbours ends."""
    shape = np.array(density.shape)
    best = np.zeros(density.shape)
    target = np.arange(density.size).reshape(density.shape)
    index = target.copy()
    for step in itertools.product((-1, 0, 1), repeat=3):
        if any(step):
            back = tuple(-s for s in step)
            slope = (np.roll(density, back, axis=(0, 1, 2)) - density) / np.linalg.norm(np.array(step) / shape @ lattice)
            steeper = slope > best
            best[steeper] = slope[steeper]
            target[steeper] = np.roll(index, back, axis=(0, 1, 2))[steeper]
    pointers = target.ravel()
    while (pointers != pointers[pointers]).any():
        pointers = pointers[pointers]
    return pointers.reshape(density.shape)
