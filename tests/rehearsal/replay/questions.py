"""Input files for questions to the toy model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pymatgen.core import Lattice, Structure

from hibana.rehearsal.replay.potcars import potcar_text
from hibana.rehearsal.replay.question import Question, read_question

THIRD = 1 / 3
CRYSTALS = {
    "rock salt": Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.2), ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]]),
    "wurtzite": Structure.from_spacegroup(
        "P6_3mc", Lattice.hexagonal(3.25, 5.21), ["Zn", "O"], [[THIRD, 2 * THIRD, 0], [THIRD, 2 * THIRD, 0.3819]]
    ),
    "monoclinic": Structure.from_spacegroup(
        "P2_1/c",
        Lattice.monoclinic(5.15, 5.21, 5.32, 99.2),
        ["Zr", "O", "O"],
        [[0.275, 0.04, 0.208], [0.07, 0.33, 0.345], [0.45, 0.757, 0.479]],
    ),
}
RELAX = {"IBRION": 2, "ISIF": 3, "NSW": 20, "EDIFFG": -0.01, "GGA": "PS", "LORBIT": 10, "NELM": 100, "ISMEAR": 0, "SIGMA": 0.1}
STATIC = {"GGA": "PS", "LORBIT": 11, "NELM": 60, "ISMEAR": 0, "SIGMA": 0.1, "NEDOS": 2001}


def ask(folder: Path, structure: Structure, tags: dict, kpoints: str = "mesh\n0\nGamma\n3 3 3\n0 0 0\n") -> Question:
    """Write the input files into a folder and read them."""
    folder.mkdir(parents=True, exist_ok=True)
    primitive = structure.get_sorted_structure()
    (folder / "INCAR").write_text("".join(f"{tag} = {value}\n" for tag, value in tags.items()))
    primitive.to(filename=str(folder / "POSCAR"), fmt="poscar")
    (folder / "KPOINTS").write_text(kpoints)
    elements = list(dict.fromkeys(site.specie.symbol for site in primitive))
    (folder / "POTCAR").write_text("".join(potcar_text(element) for element in elements))
    return read_question(folder)


def rotations(structure: Structure) -> np.ndarray:
    """Cartesian point group of a crystal, (n, 3, 3)."""
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    operations = SpacegroupAnalyzer(structure, symprec=1e-3).get_point_group_operations(cartesian=True)
    return np.array([operation.rotation_matrix for operation in operations])
