"""CONTCAR and XDATCAR: structures in POSCAR's format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hibana.rehearsal.result import Floats, RunResult, Species
from hibana.rehearsal.writers.files import rows, write_atomically


def formula(species: Sequence[Species]) -> str:
    """Symbol and number of every block of atoms, in POSCAR's order."""
    return " ".join(f"{s.symbol}{s.count}" for s in species)


def write_contcar(
    lattice: Floats,
    frac_coords: Floats,
    species: Sequence[Species],
    path: Path,
    comment: str,
    *,
    selective: NDArray[np.bool_] | None = None,
) -> None:
    """Write a structure with 16 decimals.

    Parameters
    ----------
    lattice
        Rows are vectors (3, 3), Å.
    frac_coords
        Fractional coordinates (n_atoms, 3), species by species.
    species
        Blocks of atoms in order.
    path
        The file, replaced at once so that a job that is stopped leaves a whole one.
    comment
        First line.
    selective
        Which coordinates may move (n_atoms, 3), or None without selective dynamics.
    """
    write_atomically(path, poscar_text(lattice, frac_coords, species, comment, selective=selective))


def poscar_text(
    lattice: Floats,
    frac_coords: Floats,
    species: Sequence[Species],
    comment: str,
    *,
    selective: NDArray[np.bool_] | None = None,
) -> str:
    """A structure with 16 decimals; the arguments are those of :func:`write_contcar`."""
    text = f"{comment.splitlines()[0] if comment.strip() else formula(species)}\n   1.00000000000000\n"
    text += rows("   %21.16f %21.16f %21.16f\n", lattice) + _blocks(species)
    if selective is None:
        return text + "Direct\n" + rows(" %19.16f %19.16f %19.16f\n", frac_coords)
    text += "Selective dynamics\nDirect\n"
    for place, free in zip(frac_coords.tolist(), selective.tolist(), strict=True):
        text += "".join(f" {x:19.16f}" for x in place) + "".join(f"   {'T' if f else 'F'}" for f in free) + "\n"
    return text


def xdatcar_text(result: RunResult) -> str:
    """XDATCAR: the structures of all ionic steps, with the cell repeated where it has changed."""
    text, cell = "", None
    for number, step in enumerate(result.steps, start=1):
        if cell is None or not np.array_equal(cell, step.lattice):
            text += f"{formula(result.species)}\n           1\n"
            text += rows("  %12.8f %12.8f %12.8f\n", step.lattice) + _blocks(result.species)
            cell = step.lattice
        text += f"Direct configuration= {number:5d}\n" + rows("  %12.8f %12.8f %12.8f\n", step.frac_coords)
    return text


def _blocks(species: Sequence[Species]) -> str:
    return "".join(f"{s.symbol:>5s}" for s in species) + "\n" + "".join(f"{s.count:6d}" for s in species) + "\n"
