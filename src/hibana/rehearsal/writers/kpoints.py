"""k-points as VASP writes them."""

from __future__ import annotations

import numpy as np

from hibana.rehearsal.result import Floats, RunResult


def written_weights(result: RunResult) -> Floats:
    """Weights (nk,) for the files: the result's own, or equal ones where all are 0.

    A path alone has no weights. VASP gives its points equal ones, and readers divide by their sum.
    """
    weights = result.bands.weights
    return weights if weights.any() else np.full(len(weights), 1 / len(weights))


def is_path(result: RunResult) -> bool:
    """Whether KPOINTS was a path alone, which VASP calls ``listgenerated``; a list with weights has no name there."""
    return result.kpoint_mesh.divisions is None and not result.bands.weights.any()
