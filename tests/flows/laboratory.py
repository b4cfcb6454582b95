"""A laboratory for the tests of flows: jobs run by jobflow's local manager, calculations answered from a script."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from jobflow import JobStore, run_locally
from maggma.stores import MemoryStore

from flow_documents import CANDIDATE, UNKNOWN, task
from hibana.documents.properties import PropertyDoc
from hibana.documents.task import Failure, TaskDoc
from hibana.flows import calculation, oxygen, relax, vacancies
from hibana.flows.attempt import Calculation
from hibana.flows.branches import step_of
from hibana.flows.bulk import bulk_flow
from hibana.flows.context import RunContext, use_context
from hibana.flows.execution import Outcome
from hibana.flows.messages import Past


class InfrastructureError(RuntimeError):
    """Stands for what raises: no disk, no database."""


def failed(message: str = "LAPACK failed") -> dict:
    return {"status": "failed", "failure": Failure(kind="zpotrf", message=message), "edges": UNKNOWN}


@dataclass
class Laboratory:
    """Answers calculations from a script and keeps what the collector writes.

    ``answers`` maps a step to changes of a converged run, or to an exception; ``moving`` is the number of relaxation rounds
    that end after their first ionic step.
    """

    answers: dict = field(default_factory=dict)
    moving: int = 0
    asked: list[Calculation] = field(default_factory=list)
    tasks: dict[str, TaskDoc] = field(default_factory=dict)
    documents: dict = field(default_factory=dict)
    packed: dict = field(default_factory=dict)
    outcome: tuple = ()

    def run(self, monkeypatch, folder, label: str, energies=None) -> Laboratory:
        """Run a flow; what was done before is asked again, as another flow would."""
        monkeypatch.setattr(relax, "carry_out", self.carry_out)
        monkeypatch.setattr(calculation, "carry_out", self.carry_out)
        monkeypatch.setattr(vacancies, "carry_out", self.carry_out)
        monkeypatch.setattr(oxygen, "carry_out", self.carry_out)
        flow = bulk_flow(CANDIDATE, "pbesol-demo", "gpaw-rehearsal", label, energies)
        with use_context(RunContext(store=self)):
            run_locally(flow, store=JobStore(MemoryStore()), log=False, root_dir=folder)
        return self

    def carry_out(self, asked: Calculation) -> Outcome:
        step = step_of(asked.task, asked.functional, asked.variant)
        of = "" if asked.material.material_id == CANDIDATE.material_id else f" of {asked.material.formula}"
        address = f"{step}{of} {asked.round} after {','.join(asked.parents)}"
        if address in self.tasks and self.tasks[address].status == "converged":
            return Outcome(self.tasks[address])
        self.asked.append(asked)
        changes = self.answers.get(step, {})
        if isinstance(changes, Exception):
            raise changes
        if callable(changes):
            changes = changes(asked)
        if step == "structure_opt" and asked.round <= self.moving:
            changes = {"n_ionic_steps": 4, **changes}
        about = {"address": address, "round": asked.round, "parents": asked.parents, "spec_prior": asked.prior}
        made = task(step, **{**about, "initial": asked.crystal, "final": asked.crystal, **changes})
        if made.status != "walltime":
            self.tasks[address] = made
        past = Past(
            parts=asked.past.parts + 1,
            crystal=made.final,
            directory=made.machine.directory,
            core_hours=made.machine.core_hours,
        )
        return Outcome(made, past)

    def task(self, address, any_status=False):
        found = self.tasks[address]
        return found if any_status or found.status in ("converged", "ionic_limit") else None

    def tasks_of(self, material_id, protocol, protocol_version, calculator) -> list[TaskDoc]:
        return list(self.tasks.values())

    def query(self, collection, filter, fields) -> Iterator[dict[str, Any]]:
        for document in self.documents.values():
            if document.collection == collection:
                yield {name: getattr(document, name) for name in fields}

    def array(self, ref):
        raise LookupError(ref)

    def put_property(self, doc: PropertyDoc, arrays=None) -> None:
        key = (type(doc), doc.part) if doc.part else type(doc)
        self.documents[key], self.packed[key] = doc, arrays

    def record_outcome(self, material_id, flow, protocol, calculator, state, reason, *, protocol_version) -> None:
        self.outcome = (state, reason)

    def steps(self) -> list[str]:
        return [f"{a.task} {a.functional} {a.round}" for a in self.asked]
