"""The four input files as one validated object.

Everything that can be wrong with a run is said here, before any calculation starts.
"""

from __future__ import annotations

import warnings as python_warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hibana.rehearsal.datasets import Recipe
from hibana.rehearsal.errors import RehearsalError
from hibana.rehearsal.kpoints import KpointPlan, read_kpoints
from hibana.rehearsal.potcar import check_titel
from hibana.rehearsal.result import Floats, Species
from hibana.rehearsal.settings import Settings, resolve
from hibana.rehearsal.tags import parse_incar, plain_value, read_tags

CLOSEST = 0.5
"""Atoms closer than this (Å) are a mistake in POSCAR."""


@dataclass(frozen=True)
class RunInputs:
    """What the working directory asks for.

    Parameters
    ----------
    incar
        INCAR's tags as read, upper-case.
    settings
        The values in force.
    lattice, frac_coords
        (3, 3) rows are vectors, Å; (n_atoms, 3).
    species
        One entry a block of POSCAR.
    recipes
        Data set of each block.
    movable
        (n_atoms, 3) flags of selective dynamics, or None.
    kpoints
        What KPOINTS asks for.
    rotations
        Point group of the crystal, fractional coordinates (n, 3, 3).
    comment
        First line of POSCAR.
    warnings
        What the run has to say about its inputs.
    """

    incar: dict[str, Any]
    settings: Settings
    lattice: Floats
    frac_coords: Floats
    species: tuple[Species, ...]
    recipes: tuple[Recipe, ...]
    movable: NDArray[np.bool_] | None
    kpoints: KpointPlan
    rotations: NDArray[np.int_]
    comment: str
    warnings: tuple[str, ...]

    @property
    def symbols(self) -> list[str]:
        """Chemical symbol of every atom."""
        return [s.symbol for s in self.species for _ in range(s.count)]


def read_inputs(directory: Path) -> RunInputs:
    """Read and check INCAR, POSCAR, KPOINTS and POTCAR.

    Parameters
    ----------
    directory
        Where they are.

    Raises
    ------
    RehearsalError
        HIB-180 to HIB-192, one for each kind of mistake.
    """
    for name in ("INCAR", "POSCAR", "POTCAR"):
        if not (directory / name).is_file():
            raise RehearsalError(180, name, where=directory)
    incar = _read_incar(directory / "INCAR")
    tags, warnings = read_tags(incar)
    if not (directory / "KPOINTS").is_file() and "KSPACING" not in tags:
        raise RehearsalError(180, "KPOINTS (and INCAR has no KSPACING)", where=directory)
    poscar = _read_poscar(directory / "POSCAR")
    structure = poscar.structure
    lattice, frac = np.array(structure.lattice.matrix), np.array(structure.frac_coords)
    species, recipes = _read_potcar(directory / "POTCAR", poscar)
    settings = resolve(tags, species)
    rotations = _point_group(lattice, frac, structure.atomic_numbers, settings.symprec)
    kpoints = read_kpoints(directory / "KPOINTS", lattice, rotations, (tags.get("KSPACING", 0.5), tags.get("KGAMMA", True)))
    _check_sampling(settings, kpoints)
    movable = poscar.selective_dynamics
    inputs = RunInputs(
        incar={tag: tags.get(tag, plain_value(value)) for tag, value in incar.items()},
        settings=settings,
        lattice=lattice,
        frac_coords=frac,
        species=species,
        recipes=recipes,
        movable=None if movable is None else np.array(movable, dtype=bool),
        kpoints=kpoints,
        rotations=rotations,
        comment=poscar.comment,
        warnings=warnings,
    )
    if inputs.movable is not None and settings.relaxes_cell and not inputs.movable.all():
        raise RehearsalError(184, f"ISIF = {settings.isif} with selective dynamics", where="INCAR")
    return inputs


def _read_incar(path: Path) -> dict[str, str]:
    try:
        return parse_incar(path.read_text())
    except (ValueError, UnicodeDecodeError) as error:
        raise RehearsalError(181, str(error), where=path) from error


def _read_poscar(path: Path) -> Any:
    from pymatgen.io.vasp import Poscar

    try:
        poscar = Poscar.from_file(path, check_for_potcar=False)
    except (ValueError, KeyError, IndexError, AttributeError, UnicodeDecodeError) as error:
        raise RehearsalError(181, f"{type(error).__name__}: {error}", where=path) from error
    structure = poscar.structure
    if not structure.is_ordered or len(structure) == 0:
        raise RehearsalError(190, "POSCAR has no atoms or partly occupied sites", where=path)
    distances = structure.distance_matrix + 1e3 * np.eye(len(structure))
    if distances.min() < CLOSEST or min(structure.lattice.abc) < CLOSEST:
        raise RehearsalError(190, f"two atoms are {min(distances.min(), *structure.lattice.abc):.2f} Å apart", where=path)
    return poscar


def _read_potcar(path: Path, poscar: Any) -> tuple[tuple[Species, ...], tuple[Recipe, ...]]:
    """Match the blocks of POTCAR with those of POSCAR and with this release's table."""
    from pymatgen.io.vasp import Potcar

    with python_warnings.catch_warnings():
        python_warnings.simplefilter("ignore")
        try:
            singles = list(Potcar.from_file(path))
        except (ValueError, KeyError, IndexError, UnicodeDecodeError) as error:
            raise RehearsalError(181, f"{type(error).__name__}: {error}", where=path) from error
    recipes = tuple(check_titel(str(single.keywords.get("TITEL", ""))) for single in singles)
    blocks = list(zip(poscar.site_symbols, poscar.natoms, strict=True))
    if [r.symbol for r in recipes] != [symbol for symbol, _ in blocks]:
        raise RehearsalError(186, f"POSCAR has {[s for s, _ in blocks]}, POTCAR has {[r.symbol for r in recipes]}", where=path)
    species = []
    for (symbol, count), single, recipe in zip(blocks, singles, recipes, strict=True):
        keywords = single.keywords
        if round(float(keywords["ZVAL"])) != recipe.zval:
            raise RehearsalError(185, f"{symbol} has ZVAL {keywords['ZVAL']}, its data set {recipe.zval}", where=path)
        header = single.data.splitlines()[0].strip()
        species.append(
            Species(symbol, int(count), header, str(keywords["TITEL"]), float(recipe.zval), float(keywords["ENMAX"]),
                    float(keywords["POMASS"]))
        )  # fmt: skip
    return tuple(species), recipes


def _point_group(lattice: Floats, frac: Floats, numbers: Any, symprec: float) -> NDArray[np.int_]:
    import spglib

    dataset = spglib.get_symmetry_dataset((lattice, frac, list(numbers)), symprec=max(symprec, 1e-5))
    if dataset is None:
        raise RehearsalError(190, "its symmetry cannot be found", where="POSCAR")
    return np.unique(np.array(dataset.rotations, dtype=int), axis=0)


def _check_sampling(settings: Settings, kpoints: KpointPlan) -> None:
    """Refuse combinations of k points and method that have no meaning."""
    if not len(kpoints.full) and not settings.fixed_density:
        raise RehearsalError(
            195, "a path without weighted points needs ICHARG = 11 and the WAVECAR of a run on a mesh", where="KPOINTS"
        )
    if settings.nupdown is not None and len(kpoints.path):
        raise RehearsalError(195, f"NUPDOWN = {settings.nupdown:g} with points of zero weight", where="KPOINTS")
    if settings.fixed_density and len(kpoints.path) and len(kpoints.full):
        raise RehearsalError(195, "ICHARG >= 10 with weighted and zero-weight points together", where="KPOINTS")
    if kpoints.grid is None and len(kpoints.full) and (settings.hybrid or settings.ismear <= -4):
        need = "hybrids" if settings.hybrid else f"ISMEAR = {settings.ismear}"
        raise RehearsalError(195, f"{need} with k points that form no regular mesh", where="KPOINTS")
