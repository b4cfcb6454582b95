"""How a run ended: converged, a limit, a clean stop, or failed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hibana.documents.task import Failure, RunStatus
from hibana.vasp.outcar import OutcarData
from hibana.vasp.vasprun import VasprunData

NON_SELF_CONSISTENT = ("subrot", "eigenval", "exact", "none", "nothing")
"""ALGO values that evaluate given orbitals; with NELM = 1 one step is all that was asked for."""

MOLECULAR_DYNAMICS = 0
"""IBRION of a run that is to do all of its steps."""


@dataclass(frozen=True)
class Ending:
    """How a run ended, with the flags it follows from."""

    status: RunStatus
    electronic_converged: bool
    ionic_converged: bool
    failure: Failure | None = None


def classify(vasprun: VasprunData, outcar: OutcarData | None) -> Ending:
    """Classify a run whose vasprun.xml has a readable header."""
    electronic = _electronic(vasprun, outcar)
    ionic = _ionic(vasprun, outcar)
    failure = _failure(vasprun)
    if failure is not None:
        return Ending("failed", False, False, failure)
    if outcar is not None and outcar.stopped and not (electronic and ionic):
        status: RunStatus = "walltime"
    elif not electronic and not asked_for_one_step(vasprun.incar):
        status = "electronic_limit"
    elif not ionic:
        status = "ionic_limit"
    else:
        status = "converged"
    return Ending(status, electronic, ionic)


def asked_for_one_step(incar: dict[str, Any]) -> bool:
    """Whether the inputs ask for one non-self-consistent evaluation (ALGO = Subrot or Eigenval, NELM = 1)."""
    return incar.get("NELM") == 1 and str(incar.get("ALGO", "")).strip().lower() in NON_SELF_CONSISTENT


def _failure(vasprun: VasprunData) -> Failure | None:
    if not vasprun.complete:
        done = f"{vasprun.n_ionic_steps} complete ionic step(s)"
        return Failure(kind="truncated", message=f"vasprun.xml is cut off after {done}: the run was killed or is not finished")
    if vasprun.n_ionic_steps == 0:
        return Failure(kind="no_energy", message="vasprun.xml has no ionic step: the run stopped before its first energy")
    if vasprun.last.energy is None:
        return Failure(kind="no_energy", message="the last ionic step of vasprun.xml has no finite energy")
    return None


def _electronic(vasprun: VasprunData, outcar: OutcarData | None) -> bool:
    """Whether the last ground state, and each response calculation behind it, ended within NELM.

    OUTCAR's word does not help: VASP 5 says that EDIFF is reached also where it is not. Finite fields (LCALCEPS) are loops of
    their own, which vasprun.xml may not tell apart; there OUTCAR's count decides.
    """
    last, limit = vasprun.last, int(vasprun.parameters.get("NELM", 0))
    if not last.scf_steps or (outcar is not None and outcar.stopped_within_loop):
        return False
    if str(vasprun.incar.get("ALGO", "")).lower() == "exact" and limit == 1:
        return True
    steps = max(last.scf_steps, *last.response_steps, 0)
    if steps >= limit and outcar is not None and (vasprun.parameters.get("LCALCEPS") or vasprun.incar.get("LCALCEPS")):
        return outcar.most_electronic_steps < limit
    return steps < limit


def _ionic(vasprun: VasprunData, outcar: OutcarData | None) -> bool:
    """Whether the relaxation met EDIFFG within NSW; a run that moves no ions has nothing to converge."""
    steps = int(vasprun.parameters.get("NSW", 0))
    if steps <= 1:
        return True
    if vasprun.parameters.get("IBRION") == MOLECULAR_DYNAMICS or vasprun.parameters.get("EDIFFG") == 0:
        return vasprun.n_ionic_steps == steps
    if outcar is not None and outcar.n_ionic_steps == vasprun.n_ionic_steps:
        return outcar.reached_ionic_accuracy or (vasprun.n_ionic_steps < steps and not outcar.stopped)
    return vasprun.n_ionic_steps < steps
