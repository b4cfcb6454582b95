"""A synthetic answer to a question: a finished run that no calculation was made for."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import Any

import numpy as np

import hibana
from hibana.rehearsal.errors import RehearsalError
from hibana.rehearsal.replay.answers import response_of, spectrum_of
from hibana.rehearsal.replay.displaced import forces_of
from hibana.rehearsal.replay.electrons import Electrons, electrons_of
from hibana.rehearsal.replay.question import Question
from hibana.rehearsal.replay.relaxation import Place, path
from hibana.rehearsal.replay.traits import MODEL, traits_of
from hibana.rehearsal.result import Floats, IonicStep, RunResult, ScfStep

ENGINE = "synthetic"
"""The engine's name in every document made from its numbers."""

STATEMENT = (
    "These files were written by hibana-vasp in the mode replay: SYNTHETIC. No calculation was made; the numbers are those of a "
    "toy model, good for rehearsing a campaign and true of no material. They are NOT VASP's."
)

NOT_DONE = {"LCALCEPS": "finite fields", "LSORBIT": "spin-orbit coupling", "LNONCOLLINEAR": "non-collinear moments"}
"""Logical tags that the model has no answer to."""

SCF_STEPS = 8
"""Electronic steps of an ionic step, where NELM allows them."""


def synthesise(question: Question) -> RunResult:
    """A result that is a function of the question alone, but for its time.

    Raises
    ------
    RehearsalError
        HIB-198 for a question that the model has no answer to.
    """
    for tag, what in NOT_DONE.items():
        if question.flag(tag):
            raise RehearsalError(198, f"{tag} = T: {what}", where="INCAR")
    started, traits = time.time(), traits_of(question)
    places, arrived = path(question, traits)
    last = places[-1].lattice
    electrons = electrons_of(question, traits, last)
    hybrid = question.flag("LHFCALC")
    forces = None if hybrid else forces_of(question, traits)
    n_atoms = len(question.frac_coords)
    return RunResult(
        incar=question.incar,
        parameters=_parameters(question, electrons),
        kpoint_mesh=question.points.mesh,
        species=question.species,
        steps=tuple(_step(question, place, forces, electrons.moment) for place in places),
        bands=electrons.bands,
        dos=electrons.dos,
        efermi=electrons.efermi,
        core_potentials=np.array([-30.0 - 2 * item.zval for item in question.species for _ in range(item.count)]),
        nelect=question.number("NELECT", question.valence),
        provenance=provenance(f"model {MODEL}"),
        site_charges=np.ones((n_atoms, 3)),
        site_moments=None if electrons.moment is None else np.full((n_atoms, 3), electrons.moment / (3 * n_atoms)),
        electronic_converged=True,
        ionic_converged=arrived,
        started=started,
        wall_seconds=max(time.time() - started, 0.001),
        selective_dynamics=question.movable,
        comment=question.comment,
        response=response_of(question, traits, last),
        spectrum=spectrum_of(question, traits, last),
    )


def provenance(origin: str) -> dict[str, Any]:
    """What the sidecar file says; `origin` tells the model or the recording."""
    version = f"hibana {hibana.__version__}, {origin}"
    return {"engine": ENGINE, "engine_version": version, "is_vasp": False, "synthetic": True, "statement": STATEMENT}


def stopped(result: RunResult, share: float) -> RunResult:
    """The result of a run that STOPCAR ended when this share of it was done, at least its first ionic step."""
    kept = max(1, math.floor(share * len(result.steps)))
    if kept == len(result.steps) and result.parameters["NSW"] > 1 and result.ionic_converged:
        return result
    static = result.parameters["NSW"] <= 1
    return replace(result, steps=result.steps[:kept], ionic_converged=False, electronic_converged=not static)


def unconverged(result: RunResult) -> RunResult:
    """The result with an electronic system that oscillates until NELM."""
    last, limit = result.steps[-1], int(result.parameters["NELM"])
    swings = tuple(ScfStep(last.free_energy + 0.1 * (-1) ** n, 0.2 * (-1) ** n, 0.1) for n in range(limit))
    return replace(result, steps=(*result.steps[:-1], replace(last, scf=swings)), electronic_converged=False)


def _step(question: Question, place: Place, forces: Floats | None, moment: float | None) -> IonicStep:
    energy = place.energy
    count = min(SCF_STEPS, question.integer("NELM", 60))
    scf = [ScfStep(energy + 10.0 ** (1 - n), -(10.0 ** (1 - n)), 10.0**-n) for n in range(1, count)]
    return IonicStep(
        lattice=place.lattice,
        frac_coords=question.frac_coords,
        free_energy=energy,
        energy_wo_entropy=energy,
        energy_sigma0=energy,
        forces=forces,
        stress=place.stress if question.integer("ISIF", 2) > 0 and forces is not None else None,
        scf=(*scf, ScfStep(energy, -1e-9, 1e-9)),
        magnetization=moment,
        seconds=0.01,
    )


def _parameters(question: Question, electrons: Electrons) -> dict[str, Any]:
    """VASP's parameters with the values in force."""
    nspin, _, nbands = electrons.bands.eigenvalues.shape
    hybrid = question.flag("LHFCALC")
    parameters: dict[str, Any] = {
        "SYSTEM": str(question.incar.get("SYSTEM", "unknown system")),
        "PREC": str(question.incar.get("PREC", "Normal")).lower(),
        "ENCUT": question.number("ENCUT", max(item.enmax for item in question.species)),
        "EDIFF": question.number("EDIFF", 1e-4),
        "ALGO": str(question.incar.get("ALGO", "Normal")),
        "NELM": question.integer("NELM", 60),
        "NELMIN": question.integer("NELMIN", 2),
        "ISMEAR": question.integer("ISMEAR", 1),
        "SIGMA": question.number("SIGMA", 0.2),
        "ISPIN": nspin,
        "NELECT": question.number("NELECT", question.valence),
        "NBANDS": nbands,
        "GGA": "PE" if hybrid else str(question.incar.get("GGA", "PE")),
        "LHFCALC": hybrid,
        "AEXX": question.number("AEXX", 0.25) if hybrid else 0.0,
        "HFSCREEN": question.number("HFSCREEN", 0.0) if hybrid else 0.0,
        "LEPSILON": question.flag("LEPSILON"),
        "LRPA": question.flag("LRPA"),
        "LOPTICS": question.flag("LOPTICS"),
        "ISYM": question.integer("ISYM", 2),
        "NSW": question.integer("NSW", 0),
        "IBRION": question.integer("IBRION", -1),
        "ISIF": question.integer("ISIF", 2),
        "EDIFFG": question.number("EDIFFG", -0.01),
        "POTIM": question.number("POTIM", 0.5),
        "LORBIT": question.integer("LORBIT", 0),
        "NEDOS": len(electrons.dos.energies),
        "EMIN": float(electrons.dos.energies[0]),
        "EMAX": float(electrons.dos.energies[-1]),
    }
    if nspin == 2:
        parameters["NUPDOWN"] = question.number("NUPDOWN", -1.0)
    return parameters
