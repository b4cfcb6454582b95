"""Synthetic POTCAR files that describe the engine's data sets to programs that read VASP's.

They hold what pymatgen, vise and pydefect read of a POTCAR (element, valence, cutoff, electron configuration) and no
potential: VASP cannot run with them, and their ``TITEL`` says whose they are.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

from hibana.rehearsal.datasets import TITEL_PREFIX, DatasetFile, Recipe, default_folder, ensure, recipe_of, table
from hibana.rehearsal.errors import RehearsalError

LIBRARY_FOLDER = "POT_GGA_PAW_PBE_54"
"""Folder of the library that vise and pymatgen look up for the functional ``PBE_54``."""

_HARTREE = 27.211386024367243


@dataclass(frozen=True)
class _State:
    """One bound valence state of a data set: quantum numbers, occupation, energy (eV) and matching radius (Bohr)."""

    n: int
    ell: int
    occupation: float
    energy: float
    rcut: float


def write_library(directory: Path, symbols: list[str] | None = None, *, datasets: Path | None = None) -> list[Path]:
    """Lay out a POTCAR library for ``PMG_VASP_PSP_DIR``.

    Parameters
    ----------
    directory
        Top folder; ``POT_GGA_PAW_PBE_54/<label>/POTCAR`` is made below it.
    symbols
        Elements; all of this release if None.
    datasets
        Folder of the data sets.

    Returns
    -------
    list of Path
        The POTCAR files written.

    Raises
    ------
    RehearsalError
        HIB-187 for an element outside the table (nothing is written), HIB-194 if the folder cannot be written.
    """
    recipes = [recipe_of(symbol) for symbol in (symbols or table())]
    written = []
    for recipe in recipes:
        dataset = ensure(recipe.symbol, folder=datasets or default_folder())
        for label in recipe.labels:
            path = directory / LIBRARY_FOLDER / label / "POTCAR"
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(potcar_text(dataset, label))
            except OSError as error:
                raise RehearsalError(194, str(error), where=path) from error
            written.append(path)
    return written


def potcar_text(dataset: DatasetFile, label: str) -> str:
    """Text of the POTCAR of one data set.

    Parameters
    ----------
    dataset
        The data set as made for PBEsol.
    label
        Name of the POTCAR folder, such as ``Ca_pv``.
    """
    from ase.data import atomic_masses, atomic_numbers

    recipe = dataset.recipe
    states = _valence_states(dataset.path)
    occupied = [state for state in states if state.occupation > 0]
    empty = [state for state in states if state.occupation == 0]
    configuration = " ".join(f"{s.n}{'spdf'[s.ell]}{s.occupation:g}" for s in occupied)
    rcore = max(state.rcut for state in states)
    mass = atomic_masses[atomic_numbers[recipe.symbol]]
    header = [
        f"  {recipe.titel(label)}",
        f"  {recipe.zval:.14f}",
        " parameters from PSCTR are:",
        f"   VRHFIN ={recipe.symbol}: {configuration}",
        "   LEXCH  = PE",
        "",
        f"   TITEL  = {recipe.titel(label)}",
        "   LULTRA =        F    use ultrasoft PP ?",
        f"   POMASS = {mass:8.3f}; ZVAL   = {recipe.zval:8.3f}    mass and valenz",
        f"   RCORE  = {rcore:8.3f}    outmost cutoff radius",
        f"   RWIGS  = {rcore:8.3f}; RWIGS  = {rcore * 0.529177210903:8.3f}    wigner-seitz radius (au A)",
        f"   ENMAX  = {recipe.enmax:8.3f}; ENMIN  = {0.75 * recipe.enmax:8.3f} eV",
        "   LCOR   =        T    correct aug charges",
        "   LPAW   =        T    paw PP",
        "",
        "   Atomic configuration",
        f"   {len(states):2d} entries",
        "     n  l   j            E        occ.",
    ]
    header += [f"    {s.n:2d} {s.ell:2d} {s.ell + 0.5:5.2f} {s.energy:14.4f} {s.occupation:8.4f}" for s in empty + occupied]
    header += [
        "END of PSCTR-controll parameters",
        f" GPAW data set {dataset.path.name}; no potential is stored here, and VASP cannot run with this file",
        f"   {recipe.zval:.8f}",
        " End of Dataset",
    ]
    return "\n".join(header) + "\n"


def check_titel(titel: str) -> Recipe:
    """Return the recipe that a POTCAR's ``TITEL`` names.

    Raises
    ------
    RehearsalError
        HIB-185 for a POTCAR of VASP's or of another release, HIB-187 for an element outside the table.
    """
    words = titel.split()
    if len(words) != 3 or words[0] != TITEL_PREFIX:
        raise RehearsalError(185, f"its TITEL is {titel!r}", where="POTCAR")
    label, name = words[1:]
    recipe = recipe_of(label.split("_")[0])
    if recipe.name != name:
        raise RehearsalError(185, f"TITEL {titel!r} belongs to another release; this one has {recipe.name}", where="POTCAR")
    return recipe


def _valence_states(path: Path) -> list[_State]:
    """Bound valence states of a data set's XML file."""
    root = ElementTree.parse(path).getroot()
    return [
        _State(
            n=int(state.get("n", 0)),
            ell=int(state.get("l", 0)),
            occupation=float(state.get("f", 0.0)),
            energy=float(state.get("e", 0.0)) * _HARTREE,
            rcut=float(state.get("rc", 0.0)),
        )
        for state in root.iter("state")
        if state.get("n") is not None
    ]
