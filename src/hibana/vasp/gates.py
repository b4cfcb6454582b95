"""Invariants of one run; what is not met becomes a flag of its document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hibana.documents.task import RunDoc
from hibana.protocol.options import DEFECT_TASKS
from hibana.vasp.cells import space_group_number
from hibana.vasp.response import PHONONS
from hibana.vasp.vasprun_header import Cell

if TYPE_CHECKING:
    from hibana.protocol.protocol import Protocol

RELAXATIONS = ("structure_opt", "structure_opt_rough", "structure_opt_tight")
"""Tasks that relax the cell; forces and stress have to vanish behind them."""

STATIC_RESPONSE = ("dielectric_dfpt", "dielectric_finite_field")
"""Tasks that give the static dielectric tensors."""

ELECTRON_TOLERANCE = 1e-3
"""Electrons counted and asked for agree within this, e."""

PARTLY_FILLED = 0.1
"""An occupation further than this from 0 and 1 is a partly filled level, not the tail of the smearing."""

SYMMETRIC = 1e-2
"""Relative asymmetry that is tolerated of a dielectric tensor."""

MAGNETIC = 0.1
"""A total moment of a gapped crystal is an integer within this, μB."""


NEGATIVE = 1e-3
"""Negative absorption that is tolerated, as a share of the largest."""


def check_run(run: RunDoc, task: str, protocol: Protocol, arrays: Mapping[str, NDArray[Any]] | None = None) -> tuple[str, ...]:
    """Flags for the invariants a run does not meet; none for a run that has no answer.

    Parameters
    ----------
    run
        What the run says.
    task
        vise's task name.
    protocol
        Limits and tolerances.
    arrays
        The arrays of the run; without them the dielectric function is not checked.
    """
    if run.status == "failed":
        return ()
    checks = (
        _mechanics(run, protocol) if task in RELAXATIONS else iter(()),
        _symmetry(run, protocol) if task not in DEFECT_TASKS else iter(()),  # they start with atoms displaced at random
        _electrons(run),
        _bands(run),
        _dielectric(run),
        _static_response(run) if task in STATIC_RESPONSE else iter(()),
        _spectrum(arrays, protocol) if task == "dielectric_function" and arrays is not None else iter(()),
        _forces(run) if task == "phonon_force" else iter(()),
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


def _static_response(run: RunDoc) -> Iterator[str]:
    """The tensors and Born charges that were asked for are there, and the crystal is an insulator."""
    if run.edges.gap_class == "metal":
        yield "gap closed in the dielectric run"
    if run.status != "converged":
        return
    if run.epsilon_electronic is None:
        yield "the electronic dielectric tensor is missing"
    if run.epsilon_ionic is None and run.inputs.incar.get("IBRION") in PHONONS:
        yield "the ionic dielectric tensor is missing"
    if "born_charges" not in run.arrays:
        yield "Born charges are missing"


def _spectrum(arrays: Mapping[str, NDArray[Any]], protocol: Protocol) -> Iterator[str]:
    """Absorption is nowhere negative, along any axis, and the spectrum covers the protocol's energies."""
    energies, imaginary = arrays.get("dielectric_energies"), arrays.get("dielectric_imag")
    if energies is None or imaginary is None:
        yield "the dielectric function is missing"
        return
    if not np.all(np.isfinite(imaginary)):
        yield "the dielectric function is not all numbers"
        return
    tensors = imaginary[:, [0, 3, 5, 3, 1, 4, 5, 4, 2]].reshape(-1, 3, 3)
    lowest = np.linalg.eigvalsh(tensors)[:, 0]
    if lowest.min() < -NEGATIVE * np.abs(imaginary).max():
        yield f"the imaginary part of the dielectric function is {lowest.min():.3f} at {energies[lowest.argmin()]:.2f} eV"
    if energies.max() < protocol.optics.energy_max:
        yield f"the dielectric function ends at {energies.max():.2f} eV, below {protocol.optics.energy_max:g} eV"


def _forces(run: RunDoc) -> Iterator[str]:
    """A displaced supercell is calculated for its forces."""
    if run.status == "converged" and run.forces is None:
        yield "forces are missing"
