"""What the store knows of one material in one series, as evidence for its property documents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from hibana.defects.core_reference import FORMULA, REFERENCE, RUNS, SPACE_GROUP
from hibana.defects.curate import asks_for_vacancies
from hibana.documents.candidate import Material
from hibana.documents.chemical_potentials import COMPETING, OXYGEN_STEPS, ChemicalPotentialDoc, EnergyTable
from hibana.documents.material import PARTS, MaterialDoc
from hibana.documents.steps import STEPS
from hibana.documents.task import TaskDoc, is_settled, not_settled
from hibana.flows.branches import DEFECT_TASK, RELAXATION_STEP, step_of
from hibana.flows.oxygen import oxygen_runs
from hibana.flows.phases import with_competing_phases
from hibana.properties.evidence import Evidence
from hibana.store.indexes import DEFECT_COLLECTIONS

if TYPE_CHECKING:
    from hibana.protocol.protocol import Protocol
    from hibana.store.store import Store

COLLECTIONS = (*(kind.collection for kind in PARTS.values()), MaterialDoc.collection)
"""Collections with the property documents of a material."""


@dataclass(frozen=True)
class Recorded:
    """What the stored property documents of a material say of its steps.

    Parameters
    ----------
    relaxation
        Address of the relaxation that they rest on; None where there are none.
    reasons
        Why steps that were asked for have no run, or their runs no answer.
    versions
        Versions of hibana that built them.
    energies
        The table of energies of competing phases that they were built with.
    """

    relaxation: str | None
    reasons: Mapping[str, str]
    versions: frozenset[str]
    energies: EnergyTable | None = None


def recorded(store: Store, material_id: str, protocol: str, protocol_version: int, calculator: str) -> Recorded:
    """What the stored property documents of a material say of its steps."""
    key = {"material_id": material_id, "protocol": protocol, "protocol_version": protocol_version, "calculator": calculator}
    addresses: dict[str, str] = {}
    reasons: dict[str, str] = {}
    versions = set()
    for collection in COLLECTIONS:
        for found in store.query(collection, key, ("addresses", "reasons", "built_with")):
            addresses |= found.get("addresses") or {}
            reasons |= found.get("reasons") or {}
            versions.add(found["built_with"])
    relaxation = addresses.get(RELAXATION_STEP)
    for collection in DEFECT_COLLECTIONS:
        for found in store.query(collection, key, ("addresses", "reasons", "built_with")):
            if (found.get("addresses") or {}).get(RELAXATION_STEP) == relaxation:
                reasons |= found.get("reasons") or {}
                versions.add(found["built_with"])
    given = [found["given"] for found in store.query(ChemicalPotentialDoc.collection, key, ("given",)) if found.get("given")]
    energies = EnergyTable.model_validate(given[0]) if given else None
    return Recorded(relaxation, reasons, frozenset(versions), energies)


def gather(
    store: Store,
    material: Material,
    protocol: Protocol,
    calculator: str,
    *,
    relaxation: str | None = None,
    reasons: Mapping[str, str] | None = None,
    energies: EnergyTable | None = None,
) -> Evidence:
    """The last relaxation of a material, the runs that follow it, and why others are missing.

    Runs that other flows made of the same material are part of it, so that a flow with fewer branches takes nothing away.

    Parameters
    ----------
    store
        Where runs and documents are.
    material, protocol, calculator
        What it is about.
    relaxation
        Address of the last relaxation; by default the one that the stored documents rest on, else the latest.
    reasons
        Why steps have no answer, over what the stored documents say; those of steps that have one do not count.
    energies
        The user's table of energies of competing phases; by default the one that the stored documents were built with.
    """
    known = recorded(store, material.material_id, protocol.name, protocol.version, calculator)
    tasks = chain(
        store.tasks_of(material.material_id, protocol.name, protocol.version, calculator), relaxation or known.relaxation
    )
    tasks |= _oxygen(store, protocol, calculator, tasks)
    last = tasks.get(RELAXATION_STEP)
    before = _lasting(known.reasons) if last is not None and last.address == known.relaxation else {}
    given = {**before, **(reasons or {})}
    if last is not None and last.status == "converged" and not is_settled(last):
        given.setdefault(RELAXATION_STEP, not_settled(last))
    evidence = Evidence(
        material=material,
        protocol=protocol,
        tasks=tasks,
        reasons={step: why for step, why in given.items() if not _has_answer(step, tasks)},
        built_at=datetime.now(UTC),
        array=store.array,
        energies=known.energies if energies is None else energies,
    )
    if not asks_for_vacancies(evidence):
        return evidence
    evidence = _with_reference(store, evidence, calculator)
    return evidence if evidence.energies is not None else with_competing_phases(store, evidence)


def _lasting(reasons: Mapping[str, str]) -> dict[str, str]:
    """Reasons of a material's own steps; what is said of other crystals is looked up again."""
    return {step: why for step, why in reasons.items() if step.partition("-")[0] not in (COMPETING, REFERENCE)}


def _with_reference(store: Store, evidence: Evidence, calculator: str) -> Evidence:
    """The evidence with the runs of the crystal whose band edge is the common reference, the lowest of its copies."""
    protocol = evidence.protocol
    crystals = store.query("candidates", {"formula": FORMULA}, ("material_id", "space_group_number"))
    names = [item["material_id"] for item in crystals if item["space_group_number"] == SPACE_GROUP]
    chains = [chain(store.tasks_of(name, protocol.name, protocol.version, calculator)) for name in names]
    relaxed = [runs for runs in chains if runs and is_settled(runs[RELAXATION_STEP])]
    if not relaxed:
        why = f"no {FORMULA} of space group {SPACE_GROUP} is relaxed by this protocol and code"
        return replace(evidence, reasons={**evidence.reasons, REFERENCE: why})
    chosen = min(relaxed, key=lambda runs: (runs[RELAXATION_STEP].energy_per_atom or 0.0, runs[RELAXATION_STEP].address))
    runs = {f"{REFERENCE}-{step}": run for step, run in chosen.items() if step in RUNS}
    return replace(evidence, tasks={**evidence.tasks, **runs})


def _oxygen(store: Store, protocol: Protocol, calculator: str, tasks: Mapping[str, TaskDoc]) -> dict[str, TaskDoc]:
    """The runs of oxygen at the cutoff of the supercells, by step."""
    cutoffs = {task.inputs.encut for task in tasks.values() if task.task == DEFECT_TASK and task.inputs.encut is not None}
    found = [oxygen_runs(store, protocol, calculator, cutoff) for cutoff in sorted(cutoffs)]
    return {OXYGEN_STEPS[which]: task for runs in found for which, task in runs.items()}


def _has_answer(step: str, tasks: Mapping[str, TaskDoc]) -> bool:
    """Whether a step has its answer; one of several runs is accounted for by them."""
    if step not in tasks:
        return any(name.startswith(f"{step}-") for name in tasks)
    return is_settled(tasks[step]) if step == RELAXATION_STEP else tasks[step].status == "converged"


def chain(found: Iterable[TaskDoc], relaxation: str | None = None) -> dict[str, TaskDoc]:
    """The last round of a relaxation and the runs that follow it, by step, in the order of the steps.

    Where two runs are the same step, the one with an answer counts, then the later.

    Parameters
    ----------
    found
        Runs of one material by one protocol and calculator.
    relaxation
        Address of the last round; by default the latest that no other round follows.
    """
    by_address = {task.address: task for task in sorted(found, key=lambda task: task.machine.finished)}
    last = by_address.get(relaxation or "") or _latest_relaxation(by_address)
    if last is None:
        return {}
    chosen = {RELAXATION_STEP: last}
    for task in sorted(by_address.values(), key=lambda task: task.status == "converged"):
        step = step_of(task.task, task.functional, task.variant)
        if step != RELAXATION_STEP and last.address in _ancestors(task, by_address):
            chosen[step] = task
    return {step: chosen[step] for step in sorted(chosen, key=_place)}


def _latest_relaxation(by_address: Mapping[str, TaskDoc]) -> TaskDoc | None:
    """The last round at the crystal's own cutoff."""
    rounds = [task for task in by_address.values() if task.task == RELAXATION_STEP and not task.variant]
    followed = {parent for task in rounds for parent in task.parents}
    return next((task for task in reversed(rounds) if task.address not in followed), None)


def _ancestors(task: TaskDoc, by_address: Mapping[str, TaskDoc]) -> set[str]:
    above: set[str] = set()
    waiting = list(task.parents)
    while waiting:
        address = waiting.pop()
        if address not in above:
            above.add(address)
            waiting += by_address[address].parents if address in by_address else ()
    return above


def _place(step: str) -> tuple[int, str]:
    name = step.partition("-")[0]
    return STEPS.index(name) if name in STEPS else len(STEPS), step
