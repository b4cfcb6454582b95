"""CHGCAR, AECCAR0, AECCAR2 and LOCPOT: values on the fine grid after a structure in POSCAR's format."""

from __future__ import annotations

from hibana.rehearsal.result import Floats, RunResult
from hibana.rehearsal.writers.files import rows
from hibana.rehearsal.writers.poscar import formula, poscar_text

_PER_LINE = 5


def volumetric_texts(result: RunResult) -> dict[str, str]:
    """Text of each file that the run has, by its name.

    CHGCAR has no occupancies of the augmentation: there is no VASP to go on from them.
    """
    charge = result.charge
    parts: dict[str, Floats | None] = {
        "CHGCAR": None if charge is None or not result.parameters.get("LCHARG", True) else charge.valence,
        "AECCAR0": None if charge is None or charge.core is None else charge.core[None],
        "AECCAR2": None if charge is None or charge.all_electron_valence is None else charge.all_electron_valence[None],
        "LOCPOT": None if result.potential is None else result.potential[None],
    }
    return {name: _text(result, values) for name, values in parts.items() if values is not None}


def _text(result: RunResult, parts: Floats) -> str:
    """One file with each of ``parts`` (n, nx, ny, nz) in a block of its own, the first index of the grid running fastest."""
    last = result.steps[-1]
    title = (result.comment.splitlines() or [""])[0].strip() or formula(result.species)
    text = poscar_text(last.lattice, last.frac_coords, result.species, f"{title} (hibana-vasp, NOT VASP)")
    for values in parts:
        flat = values.ravel(order="F")
        whole = len(flat) // _PER_LINE * _PER_LINE
        text += "\n" + "".join(f" {n:4d}" for n in values.shape) + "\n"
        text += rows(" %18.11E" * _PER_LINE + "\n", flat[:whole].reshape(-1, _PER_LINE))
        if whole < len(flat):
            text += "".join(f" {x:18.11E}" for x in flat[whole:].tolist()) + "\n"
    return text
