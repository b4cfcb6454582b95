"""What property documents are built from, and what a builder gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hibana import __version__
from hibana.documents.arrays import ArrayRef, PackedArray
from hibana.documents.candidate import Material
from hibana.documents.chemical_potentials import EnergyTable
from hibana.documents.crystal import Crystal
from hibana.documents.properties import PropertyDoc
from hibana.documents.task import TaskDoc, why_no_answer

if TYPE_CHECKING:
    from hibana.protocol.protocol import Protocol


def _no_array(ref: ArrayRef) -> NDArray[np.generic]:
    raise LookupError(f"array {ref.sha256[:12]} is not at hand")


@dataclass(frozen=True)
class Evidence:
    """What a property document is built from.

    Parameters
    ----------
    material
        The candidate.
    protocol
        The protocol the runs followed.
    tasks
        The last run of each step, answered or not; a step that was not done is missing.
    built_at
        Time to write into the documents, UTC.
    reasons
        Why a step that was asked for has no run, or its run no answer. A step that is neither here nor in `tasks` was not
        asked for.
    array
        Gives the array that a reference names.
    energies
        The user's table of energies of competing phases; None where there is none.
    """

    material: Material
    protocol: Protocol
    tasks: Mapping[str, TaskDoc]
    built_at: datetime
    reasons: Mapping[str, str] = field(default_factory=dict)
    array: Callable[[ArrayRef], NDArray[np.generic]] = _no_array
    energies: EnergyTable | None = None

    def asked(self, step: str) -> bool:
        """Whether a step was asked for."""
        return step in self.tasks or step in self.reasons

    def answer(self, step: str) -> TaskDoc | None:
        """The run of a step if it has an answer."""
        task = self.tasks.get(step)
        return task if task is not None and task.status == "converged" else None

    def why_not(self, step: str) -> str:
        """Why a step has no answer."""
        if step in self.reasons:
            return self.reasons[step]
        return why_no_answer(self.tasks[step]) if step in self.tasks else "not calculated"

    def load(self, step: str, name: str) -> NDArray[np.generic] | None:
        """An array of the answer of a step, None if there is none."""
        task = self.answer(step)
        ref = None if task is None else task.arrays.get(name)
        return None if ref is None else self.array(ref)

    def sound(self, step: str, name: str, shape: tuple[int, ...] | None = None) -> NDArray[np.float64] | None:
        """An array of the answer of a step in full precision, None if there is none or it has a :meth:`fault`."""
        found = self.load(step, name)
        return None if found is None or self.fault(step, name, shape) is not None else found.astype(float)

    def fault(self, step: str, name: str, shape: tuple[int, ...] | None = None) -> str | None:
        """What is wrong with an array of the answer of a step: its shape, or numbers that are none; None if nothing is."""
        found = self.load(step, name)
        if found is None:
            return None
        if shape is not None and found.shape != shape:
            return f"the array {name} of the run has the shape {found.shape}, not {shape}"
        return None if np.isfinite(found).all() else f"the array {name} of the run is not all finite numbers"

    def head(self, *steps: str) -> dict[str, Any]:
        """The fields every property document has.

        Parameters
        ----------
        *steps
            Steps the property rests on.

        Raises
        ------
        ValueError
            If none of them has a run and no other step either: there is nothing to say, not even by which code.
        """
        runs = {step: self.tasks[step] for step in steps if step in self.tasks}
        if not self.tasks:
            raise ValueError("no calculation was done")
        calculator = next(iter((runs or self.tasks).values())).calculator
        return {
            "material_id": self.material.material_id,
            "formula": self.material.formula,
            "elements": self.material.elements,
            "calculator": calculator.name,
            "calculator_version": calculator.version,
            "protocol": self.protocol.name,
            "protocol_version": self.protocol.version,
            "addresses": {step: run.address for step, run in runs.items()},
            "reasons": {step: self.reasons[step] for step in steps if step in self.reasons},
            "built_with": __version__,
            "built_at": self.built_at,
        }


def with_initial_moments(task: TaskDoc) -> Crystal:
    """The cell a run ended with and the moments it was given: those it ended with differ a little between equivalent sites."""
    return task.final.model_copy(update={"magmoms": task.initial.magmoms})


@dataclass(frozen=True)
class Built:
    """A property document and the packed arrays it refers to, by name."""

    document: PropertyDoc
    arrays: Mapping[str, PackedArray] = field(default_factory=dict)
