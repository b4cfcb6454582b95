"""DOSCAR: total and site-projected densities of states."""

from __future__ import annotations

import numpy as np

from hibana.rehearsal.result import RunResult
from hibana.rehearsal.writers.eigenval import preamble
from hibana.rehearsal.writers.files import rows
from hibana.rehearsal.writers.orbitals import orbital_columns


def doscar_text(result: RunResult) -> str:
    """DOSCAR; a spin-polarised one has the up and down columns side by side."""
    dos = result.dos
    head = f" {dos.energies[-1]:15.8f} {dos.energies[0]:15.8f} {len(dos.energies):5d} {result.efermi:15.8f} {1.0:15.8f}\n"
    energies = dos.energies[:, None]
    text = [preamble(result, (int(dos.partial is not None), 0)), head]
    total = np.hstack([energies, dos.total.T, dos.integrated.T])
    text.append(rows(_template(total.shape[1] - 1), total))
    if dos.partial is not None:
        columns = orbital_columns(result, dos.partial, axis=2)  # (n_atoms, nspin, orbitals, ne)
        for atom in columns:
            interleaved = np.moveaxis(atom, 0, 1).reshape(-1, atom.shape[-1]).T
            text += [head, rows(_template(interleaved.shape[1]), np.hstack([energies, interleaved]))]
    return "".join(text)


def _template(columns: int) -> str:
    return "%11.3f" + " %11.4E" * columns + "\n"
