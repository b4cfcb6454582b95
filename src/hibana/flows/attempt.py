"""One attempt at a calculation: run the code in the working directory, read and check what it said."""

from __future__ import annotations

import importlib.metadata
import logging
import platform
import shutil
import socket
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hibana import __version__
from hibana.documents.arrays import PackedArray, pack
from hibana.documents.crystal import Crystal
from hibana.documents.spec import Prior, Spec
from hibana.documents.task import BandEdges, Calculator, Correction, Failure, Machine, RunDoc, TaskDoc
from hibana.flows.context import RunContext
from hibana.flows.errors import NO_TIME_LEFT, NO_VASP_COMMAND, WRONG_CALCULATOR
from hibana.flows.messages import Material, Past, Series
from hibana.flows.narration import conclude, narrated
from hibana.flows.parts import (
    NOTHING_SAID,
    RELAXATIONS,
    given_up,
    has_moved_before,
    past_after,
    past_of_dead,
)
from hibana.protocol.inputs import HYBRIDS, VaspInputs, build_inputs
from hibana.protocol.potcar import potcar_titles
from hibana.protocol.protocol import Protocol

if TYPE_CHECKING:
    from hibana.flows.leftover import Notes
    from hibana.vasp.run import RunReport

LOG = logging.getLogger(__name__)

SHARED_BY_STAGES = ("POSCAR", "KPOINTS", "POTCAR", "HIBANA-VASP.json")
"""Files of a folder that belong to all stages of its run."""

UNIDENTIFIED = "unknown"
"""Version of the code that the reader gives where no file tells which code ran."""

TAKEN_FROM_SPEC = ("material_id", "task", "functional", "protocol", "protocol_version", "parents", "round", "variant")
"""Fields of the Spec that the task document repeats."""

VERSIONED = ("pymatgen", "vise", "custodian", "jobflow", "fireworks")
"""Packages whose versions stand in the task document."""


@dataclass(frozen=True)
class Calculation:
    """A question to the code.

    Parameters
    ----------
    material
        The candidate it is about.
    series
        Protocol and calculator.
    crystal
        Cell it starts from.
    task
        vise's task name.
    functional
        The protocol's functional, ``hse06_nsc`` or ``ddh_nsc``.
    prior
        What is known of the material.
    parents
        Addresses of the calculations it follows.
    round
        Round of a repeated relaxation.
    variant
        Tells calculations of one task with the same parents apart.
    options
        Input options over the protocol's, see :func:`hibana.protocol.inputs.build_inputs`; the parents fix them, or `variant`
        tells calculations apart that differ in them.
    past
        What was done of it before the walltime ended it.
    """

    material: Material
    series: Series
    crystal: Crystal
    task: str
    functional: str
    prior: Prior = field(default_factory=Prior)
    parents: tuple[str, ...] = ()
    round: int = 1
    variant: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    past: Past = field(default_factory=Past)

    @property
    def name(self) -> str:
        """What it is called in a listing, for instance ``MgO structure_opt 1`` or ``MgO band hse06_nsc``."""
        step = f" {self.round}" if self.task in RELAXATIONS else ""
        hybrid = f" {self.functional}" if self.functional in HYBRIDS else ""
        variant = f" {self.variant}" if self.variant else ""
        return f"{self.material.formula} {self.task}{step}{hybrid}{variant}"

    def spec(self, protocol: Protocol) -> Spec:
        """The Spec whose address the answer will have."""
        return Spec(
            material_id=self.material.material_id,
            structure_key=self.material.structure_key,
            crystal=self.crystal,
            task=self.task,
            functional=self.functional,
            protocol=protocol.name,
            protocol_version=protocol.version,
            calculator=self.series.calculator,
            potcars=potcar_titles(self.crystal.species, protocol),
            parents=self.parents,
            round=self.round,
            variant=self.variant,
            prior=self.prior,
        )


@dataclass(frozen=True)
class Attempt:
    """What came of an attempt.

    Parameters
    ----------
    task
        What the code said.
    arrays
        Its packed arrays.
    past
        What was done of the calculation so far, this attempt included.
    """

    task: TaskDoc
    arrays: dict[str, PackedArray]
    past: Past


def attempt(context: RunContext, calculation: Calculation, spec: Spec, protocol: Protocol, notes: Notes) -> Attempt:
    """Run the code once and read what it said.

    Parameters
    ----------
    context, calculation, spec, protocol
        Where, what, and by which numbers.
    notes
        Told of what is begun, and of a run that says nothing of the material.

    Raises
    ------
    HibanaError
        HIB-091, HIB-092, HIB-095, HIB-097, HIB-104 or HIB-105, and those of making inputs and of starting the code.
    """
    from hibana.vasp.gates import check_run
    from hibana.vasp.reader import read_run

    check_worker(context)
    directory, started = _own_directory(spec), datetime.now(UTC)
    inputs = build_inputs(
        calculation.past.crystal or calculation.crystal,
        calculation.task,
        calculation.functional,
        protocol,
        calculation.prior,
        cores=context.cores,
        options=calculation.options,
    )
    _bring_wave_functions(calculation.past, directory)
    with narrated(calculation.name, directory):
        report = _run(context, calculation, protocol, inputs, directory, notes)
    run, arrays = read_run(directory, symprec=protocol.symmetry.symprec)
    run = as_reported(_of_calculator(run, calculation.series, directory), report)
    _check_said(run.failure, calculation, report, directory, notes)
    machine = _machine(context, calculation.past, directory, started)
    past = past_after(run, calculation, report, machine)
    run = given_up(run, past).model_copy(update={"has_moved_before": has_moved_before(run, calculation)})
    conclude(calculation.name, run)
    flags = (*check_run(run, calculation.task, protocol, arrays), *correction_flags(past.corrections))
    task = TaskDoc(
        **dict(run),
        address=spec.address,
        **{name: getattr(spec, name) for name in TAKEN_FROM_SPEC},
        spec_prior=spec.prior,
        corrections=past.corrections,
        flags=tuple(dict.fromkeys(flags)),
        semilocal_edges=_edges_of_stage(directory, inputs.stages[0].name) if len(inputs.stages) > 1 else None,
        machine=machine,
        versions=_versions(),
    )
    return Attempt(task, {name: pack(array) for name, array in arrays.items()}, past)


def _run(
    context: RunContext, calculation: Calculation, protocol: Protocol, inputs: VaspInputs, directory: Path, notes: Notes
) -> RunReport:
    """Run the code under custodian.

    Raises
    ------
    HibanaError
        HIB-095, HIB-104 or HIB-105 if that says nothing of the material.
    """
    from hibana.vasp.policy import load_policy
    from hibana.vasp.run import run_vasp

    report = run_vasp(
        inputs,
        directory,
        task=calculation.task,
        functional=calculation.functional,
        vasp_cmd=context.vasp_cmd,
        policy=load_policy(protocol.handlers),
        walltime=context.time_left,
        notice=context.notice,
        mark=notes.begun(directory),
    )
    _check_said(report.failure, calculation, report, directory, notes)
    return report


def _check_said(failure: Failure | None, calculation: Calculation, report: RunReport, directory: Path, notes: Notes) -> None:
    """Refuse a failure that says nothing of the material: it must not become an answer, and the job can be run again.

    What was done is noted for that.

    Raises
    ------
    HibanaError
        HIB-095, HIB-104 or HIB-105.
    """
    if failure is not None and failure.kind in NOTHING_SAID:
        notes.died(past_of_dead(calculation, report), report.seconds)
        raise NOTHING_SAID[failure.kind].error(f"{failure.kind}: {failure.message}", where=directory)


def check_worker(context: RunContext) -> None:
    """Refuse a worker that cannot calculate.

    Raises
    ------
    HibanaError
        HIB-091 or HIB-097.
    """
    where = f"worker {context.worker} on {socket.gethostname()}"
    if context.vasp_cmd is None:
        raise NO_VASP_COMMAND.error("vasp_cmd is not set", where=where)
    if context.time_left is not None and context.time_left <= 0:
        raise NO_TIME_LEFT.error("no calculation can be started", where=where)


def _own_directory(spec: Spec) -> Path:
    """The working directory, or a new folder in it where another run has left its files."""
    here = Path.cwd()
    if not (here / "INCAR").exists():
        return here
    stem = f"{spec.task}-{spec.address[:8]}"
    for number in range(1, 1000):
        folder = here / f"{stem}-{number}"
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder
    raise FileExistsError(here / stem)


def _bring_wave_functions(past: Past, directory: Path) -> None:
    """Copy the wave functions of the part before, where they are within reach, so that it is not done again."""
    if past.directory is None:
        return
    source = Path(past.directory) / "WAVECAR"
    try:
        if source.stat().st_size > 0:
            shutil.copyfile(source, directory / "WAVECAR")
    except OSError as error:
        LOG.info("the wave functions of the part before are not used: %s", error)


def _of_calculator(run: RunDoc, series: Series, directory: Path) -> RunDoc:
    """The run if it is the code's that was asked for, as far as its files tell.

    Raises
    ------
    HibanaError
        HIB-092 if it is not.
    """
    if run.calculator.name == series.calculator:
        return run
    if run.status == "failed" and run.calculator.version == UNIDENTIFIED:
        return run.model_copy(update={"calculator": Calculator(name=series.calculator, version=UNIDENTIFIED)})
    raise WRONG_CALCULATOR.error(
        f"{series.calculator} was asked for, {run.calculator.name} {run.calculator.version} answered", where=directory
    )


def as_reported(run: RunDoc, report: RunReport) -> RunDoc:
    """The run as it ended, with what custodian knows of it."""
    if report.failure is not None:
        return run.model_copy(update={"status": "failed", "failure": report.failure})
    if report.status_hint == "walltime" and (run.status != "converged" or not report.complete):
        return run.model_copy(update={"status": "walltime", "failure": None})
    return run


def _edges_of_stage(directory: Path, stage: str) -> BandEdges | None:
    """Band edges of an earlier stage, whose files stand beside those of the last one under its name."""
    from hibana.vasp.reader import read_run

    with tempfile.TemporaryDirectory(prefix="hibana-stage-") as name:
        for kept in directory.iterdir():
            wanted = kept.name.removesuffix(f".{stage}")
            if wanted != kept.name or kept.name in SHARED_BY_STAGES:
                (Path(name) / wanted).symlink_to(kept)
        if not (Path(name) / "vasprun.xml").exists():
            return None
        run, _ = read_run(Path(name), projections=False)
    return run.edges if run.status == "converged" else None


def _machine(context: RunContext, past: Past, directory: Path, started: datetime) -> Machine:
    """Where, when, how long; cost is summed over the parts."""
    finished = datetime.now(UTC)
    spent = context.cores_in_use * (finished - started).total_seconds() / 3600
    return Machine(
        host=socket.gethostname(),
        directory=str(directory),
        started=datetime.fromisoformat(past.started) if past.started else started,
        finished=finished,
        cores=context.cores_in_use,
        core_hours=past.core_hours + spent,
    )


def correction_flags(corrections: tuple[Correction, ...]) -> tuple[str, ...]:
    """A flag for each correction that the policy does not simply accept."""
    return tuple(
        f"{correction.handler} corrected {', '.join(correction.errors) or 'the inputs'} ({correction.verdict})"
        for correction in corrections
        if correction.verdict != "accepted"
    )


def _versions() -> dict[str, str]:
    packages = {name: importlib.metadata.version(name) for name in VERSIONED}
    return {"hibana": __version__, "python": platform.python_version(), **packages}
