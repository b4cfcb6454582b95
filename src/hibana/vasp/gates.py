"""Invariants of one run; what is not met becomes a flag of its document."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from hibana.documents.task import RunDoc
from hibana.vasp.cells import space_group_number
from hibana.vasp.vasprun import Cell

if TYPE_CHECKING:
    from hibana.protocol.protocol import Protocol

RELAXATIONS = ("structure_opt", "structure_opt_rough", "structure_opt_tight")
"""Tasks that relax the cell; forces and stress have to vanish behind them."""

ELECTRON_TOLERANCE = 1e-3
"""Electrons counted and asked for agree within this, e."""

PARTLY_FILLED = 0.1
"""An occupation further than this from 0 and 1 is a partly filled level, not the tail of the smearing."""

SYMMETRIC = 1e-2
"""Relative asymmetry that is tolerated of a dielectric tensor."""

MAGNETIC = 0.1
"""A total moment of a gapped crystal is an integer within this, μB."""


def check_run(run: RunDoc, task: str, protocol: Protocol) -> tuple[str, ...]:
    """Flags for the invariants a run does not meet; none for a run that has no answer.

    Parameters
    ----------
    run
        What the run says.
    task
        vise's task name.
    protocol
        Limits and tolerances.
    """
    if run.status == "failed":
        return ()
    checks = (
        _mechanics(run, protocol) if task in RELAXATIONS else iter(()),
        _symmetry(run, protocol),
        _electrons(run),
        _bands(run),
        _dielectric(run),
    )
    return tuple(flag for check in checks for flag in check)


def _mechanics(run: RunDoc, protocol: Protocol) -> Iterator[str]:
    """Forces and stress below the protocol's limits, where the relaxation found nothing left to do."""
    force, limits = run.max_force, protocol.gates
    if run.status != "converged" or run.n_ionic_steps != 1:
        return
    if force is None or run.stress is None:
        yield "forces or stress are missing"
        return
    if force > limits.max_force:
        yield f"force of {force:.4f} eV/Å is above {limits.max_force} eV/Å"
    stress = float(np.abs(run.stress).max())
    if stress > limits.max_stress:
        yield f"stress of {stress:.2f} kbar is above {limits.max_stress} kbar"


def _symmetry(run: RunDoc, protocol: Protocol) -> Iterator[str]:
    cell = Cell(np.array(run.initial.lattice), np.array(run.initial.frac_coords))
    before = space_group_number(cell, run.initial.species, protocol.symmetry.symprec)
    if before != run.space_group_number:
        yield f"space group changed from {before} to {run.space_group_number}"


def _electrons(run: RunDoc) -> Iterator[str]:
    """Electrons = sum of valences, or what NELECT asks for; and the moment of a gapped crystal is an integer."""
    counted, expected = run.inputs.nelect, run.inputs.incar.get("NELECT", run.inputs.valence)
    if counted is not None and expected is not None and abs(counted - expected) > ELECTRON_TOLERANCE:
        yield f"{counted:g} electrons, not {expected:g}"
    moment = run.magnetization
    if run.edges.gap_class == "gapped" and moment is not None and abs(moment - round(moment)) > MAGNETIC:
        yield f"total moment of {moment:.3f} μB is no integer, but there is a gap"


def _bands(run: RunDoc) -> Iterator[str]:
    edges = run.edges
    if edges.vbm is not None and edges.cbm is not None and edges.vbm > edges.cbm:
        yield f"VBM {edges.vbm:.3f} eV lies above CBM {edges.cbm:.3f} eV"
    deviation = edges.occupation_deviation or 0.0
    if edges.gap_class == "gapped" and deviation > PARTLY_FILLED:
        yield f"fractional_occupations: up to {deviation:.2f} from 0 or 1, but there is a gap"
    if edges.gap_class == "unknown" and run.status == "converged":
        yield "band edges are unknown"


def _dielectric(run: RunDoc) -> Iterator[str]:
    """Dielectric tensors are symmetric, the electronic one is at least 1 in every direction."""
    for name, tensor in (("electronic", run.epsilon_electronic), ("ionic", run.epsilon_ionic)):
        if tensor is not None:
            matrix = np.array(tensor)
            if np.abs(matrix - matrix.T).max() > SYMMETRIC * np.abs(matrix).max():
                yield f"the {name} dielectric tensor is not symmetric"
    if run.epsilon_electronic is not None:
        smallest = float(np.linalg.eigvalsh((np.array(run.epsilon_electronic) + np.array(run.epsilon_electronic).T) / 2)[0])
        if smallest < 1:
            yield f"the electronic dielectric tensor has an eigenvalue of {smallest:.3f}, below 1"
