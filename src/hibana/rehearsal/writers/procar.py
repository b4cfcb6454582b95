"""PROCAR: projections of every band on the sites."""

from __future__ import annotations

import numpy as np

from hibana.rehearsal.result import RunResult
from hibana.rehearsal.writers.files import rows
from hibana.rehearsal.writers.kpoints import written_weights
from hibana.rehearsal.writers.orbitals import orbital_columns, orbital_names, resolves_m


def procar_text(result: RunResult) -> str | None:
    """PROCAR, or None where LORBIT is below 10 or the result has no projections."""
    bands = result.bands
    if bands.projections is None or int(result.parameters["LORBIT"]) < 10:
        return None
    nspin, nk, nbands = bands.eigenvalues.shape
    projections = orbital_columns(result, bands.projections, axis=4)
    atoms, orbitals = projections.shape[-2:]
    weights = written_weights(result)
    names = "".join(f"{name:>7s}" for name in (*orbital_names(result), "tot"))
    columns = "%7.3f" * (orbitals + 1) + "\n"
    numbers = np.arange(1, atoms + 1)[:, None]
    text = ["PROCAR lm decomposed\n" if resolves_m(result) else "PROCAR new format\n"]
    for spin in range(nspin):
        text.append(f"# of k-points: {nk:4d}         # of bands: {nbands:4d}         # of ions: {atoms:4d}\n")
        for k in range(nk):
            x, y, z = bands.kpoints[k]
            text.append(f"\n k-point {k + 1:5d} :    {x:10.8f} {y:10.8f} {z:10.8f}     weight = {weights[k]:10.8f}\n\n")
            for band in range(nbands):
                energy, occupation = bands.eigenvalues[spin, k, band], bands.occupations[spin, k, band]
                text.append(f"band {band + 1:5d} # energy {energy:13.8f} # occ. {occupation:11.8f}\n\nion  {names}\n")
                table = projections[spin, k, band]
                sites = np.hstack([numbers, table, table.sum(axis=1, keepdims=True)])
                total = np.append(table.sum(axis=0), table.sum())
                text += [rows("%5d" + columns, sites), rows("tot  " + columns, total[None]), "\n"]
    return "".join(text)
