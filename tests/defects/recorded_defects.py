"""Recorded supercells with defects, as hibana's runs and as pydefect's results."""

from __future__ import annotations

import json
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from hibana.defects.binding import pydefect_module
from hibana.defects.run import DefectRun, defect_run
from hibana.documents.crystal import Crystal
from hibana.documents.task import RunDoc
from hibana.structures.convert import from_pymatgen, to_pymatgen
from hibana.vasp.reader import read_run


def pydefect(module: str, name: str) -> Any:
    """A name of pydefect."""
    return getattr(pydefect_module(module), name)


def document(folder: Path, *, projections: bool = False) -> tuple[RunDoc, dict[str, np.ndarray]]:
    """Run document of a recorded case and its arrays."""
    with tempfile.TemporaryDirectory() as scratch:
        for part in ("inputs", "outputs"):
            for path in sorted((folder / part).iterdir()) if (folder / part).is_dir() else ():
                if path.is_file() and not path.name.startswith(("POTCAR", "LOCPOT", "custodian")):
                    shutil.copy(path, scratch)
        return read_run(Path(scratch), projections=projections)


@cache
def recorded_run(folder: Path) -> DefectRun:
    """Run of a recorded case, without projections."""
    run, arrays = document(folder)
    by_hash = {run.arrays[name].sha256: array for name, array in arrays.items()}
    return defect_run(run, lambda ref: by_hash[ref.sha256])


def pydefect_run(path: Path) -> DefectRun:
    """Run of a recorded calc_results.json of pydefect."""
    results = json.loads(path.read_text())
    structure = pydefect("analyzer.calc_results", "CalcResults").from_dict(results).structure
    cell = from_pymatgen(structure)
    return DefectRun(cell, cell, energy=results["energy"], site_potentials=np.array(results["potentials"]))


def dielectric_tensor(path: Path) -> np.ndarray:
    """Static tensor of a recorded unitcell.json of pydefect."""
    cell = json.loads(path.read_text())
    return np.array(cell["ele_dielectric_const"]) + np.array(cell["ion_dielectric_const"])


def calc_results(run: DefectRun) -> Any:
    """pydefect's results of a run."""
    potentials = None if run.site_potentials is None else run.site_potentials.tolist()
    return pydefect("analyzer.calc_results", "CalcResults")(bare(run.crystal), run.energy, 0.0, potentials, True, True)


def bare(crystal: Crystal) -> Any:
    """pymatgen Structure without moments."""
    return to_pymatgen(crystal.model_copy(update={"magmoms": None}))


def without(crystal: Crystal, *sites: int) -> Crystal:
    """The crystal with some sites removed."""
    keep = [site for site in range(len(crystal.species)) if site not in sites]
    return Crystal(
        lattice=crystal.lattice,
        species=tuple(crystal.species[site] for site in keep),
        frac_coords=tuple(crystal.frac_coords[site] for site in keep),
    )


def pydefect_vasprun(folder: Path) -> Any:
    """pymatgen's vasprun.xml of a recorded case with its projections, which pydefect works on."""
    from pymatgen.io.vasp import Vasprun

    path = next((folder / "outputs").glob("vasprun.xml*"))
    return Vasprun(path, parse_projected_eigen=True, parse_potcar_file=False, parse_dos=False)


def whole_mgo(crystal: Crystal, missing: tuple[float, float, float]) -> Crystal:
    """The perfect cell of a recorded O vacancy in conventional cells of MgO: atoms on their places, the missing one last."""
    repeats = np.rint(np.array(crystal.lattice).diagonal() / 4.2)
    places = np.rint(np.array(crystal.frac_coords) * 2 * repeats) / (2 * repeats)
    return Crystal(
        lattice=crystal.lattice,
        species=(*crystal.species, "O"),
        frac_coords=(*(tuple(place) for place in places.tolist()), missing),
    )
