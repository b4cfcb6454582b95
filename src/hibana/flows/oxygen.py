"""Runs of oxygen itself, the O2 molecule and the O atom in a box.

They belong to a protocol and a cutoff, not to a material, and are done once for all: each stands in the store under a material
of its own, the box of the protocol.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobflow import Response, job

from hibana.defects.oxygen import ATOMS
from hibana.defects.phases import CUTOFF_TOLERANCE
from hibana.documents.chemical_potentials import OXYGEN_STEPS, OxygenConvention
from hibana.documents.crystal import Crystal
from hibana.documents.task import TaskDoc
from hibana.flows.attempt import Calculation
from hibana.flows.calculation import ALWAYS_RUN, goes_on
from hibana.flows.cutoffs import cutoff_variant
from hibana.flows.execution import carry_out, protocol_of
from hibana.flows.messages import Answer, Material, Past, Series
from hibana.flows.resources import sized
from hibana.protocol.cutoff import cutoff_of
from hibana.structures.identity import material_id, structure_key

if TYPE_CHECKING:
    from jobflow import Job

    from hibana.protocol.protocol import Protocol
    from hibana.store.store import Store

CLUSTER = "cluster_opt"
"""vise's task: atoms relaxed in a fixed box at Γ."""

BOND_LENGTH = 1.22
"""Bond length to start from, Å."""

MOMENT = 2.0
"""Total moment of the ground states of both, μB."""

SPACE_GROUP = 47
"""Space group of both in a box with three different lengths, Pmmm."""


@dataclass(frozen=True)
class OxygenCell:
    """The box with a molecule or an atom.

    Parameters
    ----------
    material
        What it is stored under.
    crystal
        Cell to start from, with moments.
    """

    material: Material
    crystal: Crystal


def oxygen_cell(which: OxygenConvention, protocol: Protocol) -> OxygenCell:
    """The O2 molecule or the O atom in the box of a protocol.

    The three lengths of the box differ: in a cubic box the p levels of the atom are degenerate and it stays spherical, which
    is 0.3 eV above its ground state.
    """
    from hibana.structures.convert import to_pymatgen

    box = protocol.defects.oxygen_box
    half = BOND_LENGTH / box[2] / 2
    heights = (0.5 - half, 0.5 + half) if which == "molecule" else (0.5,)
    empty = Crystal(
        lattice=((box[0], 0.0, 0.0), (0.0, box[1], 0.0), (0.0, 0.0, box[2])),
        species=("O",) * len(heights),
        frac_coords=tuple((0.5, 0.5, height) for height in heights),
    )
    key = structure_key(to_pymatgen(empty))
    material = Material(
        material_id=material_id(key),
        structure_key=key,
        formula="O2" if which == "molecule" else "O",
        elements=("O",),
        space_group_number=SPACE_GROUP,
    )
    return OxygenCell(material, empty.model_copy(update={"magmoms": (MOMENT / len(heights),) * len(heights)}))


def oxygen_jobs(series: Series, elements: tuple[str, ...], *, relaxes_lattice: bool) -> dict[str, Job]:
    """The two jobs of a flow that needs the energy of oxygen, by :data:`OXYGEN_STEPS`.

    Parameters
    ----------
    series
        Protocol and calculator.
    elements
        Elements of the crystals that it is used with, which fix the cutoff.
    relaxes_lattice
        Whether it is used with relaxations of the lattice (competing phases) or with runs at a fixed one (supercells).
    """
    jobs = {}
    for which, step in OXYGEN_STEPS.items():
        jobs[step] = oxygen(which, series.plain(), list(elements), relaxes_lattice)
        jobs[step].name = step.replace("_", " ")
        sized(jobs[step], ATOMS[which])
    return jobs


@job(config=ALWAYS_RUN)
def oxygen(
    which: OxygenConvention,
    series: dict[str, Any],
    elements: list[str],
    relaxes_lattice: bool,
    past: dict[str, Any] | None = None,
) -> dict[str, Any] | Response:
    """The run of the molecule or of the atom at the cutoff of a chemical system; one that was done before is not done again.

    Parameters
    ----------
    which
        ``molecule`` or ``atom``.
    series
        :class:`~hibana.flows.messages.Series`.
    elements, relaxes_lattice
        As for :func:`oxygen_jobs`.
    past
        What was done of it before the walltime ended it.

    Returns
    -------
    dict
        An :class:`~hibana.flows.messages.Answer`.
    """
    by = Series.model_validate(series)
    protocol = protocol_of(by)
    cell = oxygen_cell(which, protocol)
    cutoff = cutoff_of(elements, protocol, relaxes_lattice=relaxes_lattice)
    outcome = carry_out(
        Calculation(
            material=cell.material,
            series=by,
            crystal=cell.crystal,
            task=CLUSTER,
            functional=protocol.functional,
            variant=cutoff_variant(cutoff),
            options={"cutoff_energy": cutoff, "incar": {"NUPDOWN": MOMENT}},
            past=Past.model_validate(past or {}),
        )
    )
    if outcome.task.status == "walltime":
        return goes_on(oxygen, outcome, which=which, series=series, elements=elements, relaxes_lattice=relaxes_lattice)
    return Answer.of(outcome.task).plain()


def oxygen_runs(store: Store, protocol: Protocol, calculator: str, cutoff: float) -> dict[OxygenConvention, TaskDoc]:
    """The runs of the molecule and of the atom at one cutoff, the answered ones first, then the latest; none where there is none.

    Parameters
    ----------
    store
        Where the runs are.
    protocol, calculator
        Whose runs.
    cutoff
        Plane-wave cutoff, eV.
    """
    chosen: dict[OxygenConvention, TaskDoc] = {}
    for which in OXYGEN_STEPS:
        material = oxygen_cell(which, protocol).material.material_id
        runs = [
            task
            for task in store.tasks_of(material, protocol.name, protocol.version, calculator)
            if task.task == CLUSTER and task.inputs.encut is not None and abs(task.inputs.encut - cutoff) < CUTOFF_TOLERANCE
        ]
        if runs:
            chosen[which] = max(runs, key=lambda task: (task.status == "converged", task.machine.finished))
    return chosen
