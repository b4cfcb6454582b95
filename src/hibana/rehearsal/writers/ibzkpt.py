"""IBZKPT: the irreducible k-points of a mesh."""

from __future__ import annotations

import math

import numpy as np

from hibana.rehearsal.result import RunResult


def ibzkpt_text(result: RunResult) -> str | None:
    """IBZKPT with every point's multiplicity, or None where KPOINTS was a list.

    Raises
    ------
    ValueError
        If a weight is not a whole number of the mesh's points.
    """
    divisions = result.kpoint_mesh.divisions
    if divisions is None:
        return None
    multiplicities = result.bands.weights * math.prod(divisions)
    whole = np.rint(multiplicities).astype(int)
    if np.abs(multiplicities - whole).max() > 1e-3:
        raise ValueError(f"weights {result.bands.weights} are not multiples of 1/{math.prod(divisions)}")
    text = f"Automatically generated mesh\n{len(whole):8d}\nReciprocal lattice\n"
    for (x, y, z), weight in zip(result.bands.kpoints.tolist(), whole.tolist(), strict=True):
        text += f"  {x:19.14f} {y:19.14f} {z:19.14f}  {weight:12d}\n"
    return text
