"""Branches of a flow: which calculations follow the relaxation, and under which name a set of them is submitted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hibana.documents.steps import Step
from hibana.documents.task import TaskDoc
from hibana.flows.errors import BAD_SYSTEM, IMPOSSIBLE_BRANCHES, UNKNOWN_BRANCH, UNKNOWN_FLOW

if TYPE_CHECKING:
    from hibana.protocol.protocol import Protocol


@dataclass(frozen=True)
class Branch:
    """A calculation, or a set of equal ones, that may follow the relaxation.

    Parameters
    ----------
    step
        Name of its run in property documents.
    needs
        Branches whose answers it waits for; they are part of every flow that it is part of.
    """

    step: Step
    needs: tuple[str, ...] = ()


BRANCHES: dict[str, Branch] = {
    "band": Branch("band"),
    "dos": Branch("dos"),
    "dielectric": Branch("dielectric"),
    "hse06": Branch("hse06_nsc", ("band",)),
    "ddh": Branch("ddh_nsc", ("band", "dielectric")),
    "optics": Branch("dielectric_function", ("band",)),
    "phonon": Branch("phonon_force"),
    "vacancy": Branch("vacancy", ("band", "dos", "dielectric", "ddh")),
}
"""All branches, in the order of names and listings. Those that need the band structure are for materials with a gap only."""

FLOWS: dict[str, tuple[str, ...]] = {
    "electronic": ("band", "dos", "hse06"),
    "bulk": ("band", "dos", "dielectric", "hse06", "ddh", "optics"),
}
"""Branches of the flows that are submitted without naming any."""

CHOOSABLE = "bulk"
"""The flow whose branches can be chosen."""

COMPETING = "competing"
"""The flow of competing phases; it has a chemical system in place of branches: ``competing:Mg+O``."""

RELAXATION_STEP: Step = "structure_opt"

VACANCIES = "vacancy"
"""The branch of oxygen vacancies."""

DEFECT_TASK = "defect"
"""vise's task of supercells, with a vacancy or perfect."""

PERFECT = "perfect"
"""Variant of the perfect supercell among those of a host."""


def complete_branches(chosen: Iterable[str]) -> tuple[str, ...]:
    """Branches with those they need, in the order of :data:`BRANCHES`.

    Raises
    ------
    HibanaError
        HIB-099 if there is no branch of a name.
    """
    wanted: set[str] = set()
    waiting = list(chosen)
    while waiting:
        name = waiting.pop()
        if name not in BRANCHES:
            raise UNKNOWN_BRANCH.error(f"{name!r}; there are: {', '.join(BRANCHES)}")
        wanted.add(name)
        waiting += BRANCHES[name].needs
    return tuple(name for name in BRANCHES if name in wanted)


def flow_label(flow: str, branches: Iterable[str] | None = None) -> str:
    """The name a flow is submitted under, the same for every way to say the same.

    Parameters
    ----------
    flow
        ``electronic``, ``bulk``, or a label that this function has made, for instance ``bulk:band+dielectric``.
    branches
        Branches chosen for the flow ``bulk``; None for those it has by default. What they need is added. Of the flow
        ``competing`` the elements of the chemical system.

    Raises
    ------
    HibanaError
        HIB-096 if there is no such flow, HIB-099 if there is no such branch, HIB-100 if no branch is named or the flow has
        no choice of branches, HIB-101 if the flow ``competing`` has no chemical system.
    """
    name, colon, listed = flow.partition(":")
    if name not in (*FLOWS, COMPETING):
        raise UNKNOWN_FLOW.error(f"{flow!r}; there are: {', '.join((*FLOWS, COMPETING))}")
    if colon and branches is not None:
        raise IMPOSSIBLE_BRANCHES.error(f"the flow {flow!r} names its branches already")
    chosen = listed.split("+") if colon else branches
    if name == COMPETING:
        return f"{COMPETING}:{'+'.join(_system(chosen))}"
    if chosen is None:
        return name
    if name != CHOOSABLE:
        raise IMPOSSIBLE_BRANCHES.error(
            f"the branches of {name} are {', '.join(FLOWS[name])}; those of {CHOOSABLE} can be chosen"
        )
    complete = complete_branches(chosen)
    if not complete:
        raise IMPOSSIBLE_BRANCHES.error(f"no branch of {name} is named; there are: {', '.join(BRANCHES)}")
    return name if complete == FLOWS[name] else f"{name}:{'+'.join(complete)}"


def branches_of(label: str) -> tuple[str, ...]:
    """Branches of a flow, from the label of :func:`flow_label`; the flow of competing phases has none.

    Raises
    ------
    HibanaError
        As :func:`flow_label`.
    """
    name, colon, listed = flow_label(label).partition(":")
    if name == COMPETING:
        return ()
    return tuple(listed.split("+")) if colon else FLOWS[name]


def system_of(label: str) -> tuple[str, ...]:
    """The chemical system of a flow of competing phases, from its label.

    Raises
    ------
    HibanaError
        As :func:`flow_label`.
    """
    return tuple(flow_label(label).partition(":")[2].split("+"))


def _system(elements: Iterable[str] | None) -> list[str]:
    """Elements, each once, alphabetically."""
    from pymatgen.core.periodic_table import Element

    chosen = sorted(set(elements or ()))
    wrong = [name for name in chosen if not Element.is_valid_symbol(name)]
    if wrong or not chosen:
        raise BAD_SYSTEM.error(f"{', '.join(map(repr, wrong))}: no chemical symbol" if wrong else "no element is named")
    return chosen


def question_of(step: Step, protocol: Protocol) -> tuple[str, str]:
    """Task name of vise, and the functional, of a step."""
    if step in protocol.hybrids:
        return "band", step
    tasks = {"dielectric": f"dielectric_{protocol.dielectric.method}", "vacancy": DEFECT_TASK, "supercell": DEFECT_TASK}
    return tasks.get(step, step), protocol.functional


def step_of(task: str, functional: str, variant: str = "") -> str:
    """The step that a calculation is, as :func:`question_of` has it; ``phonon_force-001`` for one of several.

    Parameters
    ----------
    task, functional
        vise's task name, and the functional.
    variant
        Tells calculations of one step apart.
    """
    if task == "band" and functional.endswith("_nsc"):
        step = functional
    else:
        step = {"dielectric_dfpt": "dielectric", "dielectric_finite_field": "dielectric", DEFECT_TASK: "vacancy"}.get(task, task)
    return variant_step(step, variant)


def variant_step(step: str, variant: str) -> str:
    """The step of one of several calculations of a branch; that of vacancies has also the supercell and oxygen itself."""
    if step == VACANCIES and variant and not variant.startswith("Va_"):
        return "supercell" if variant == PERFECT else variant
    return f"{step}-{variant}" if variant else step


def short_name(task: TaskDoc) -> str:
    """What a calculation is called in FireWorks' listings: its branch, or the round of the relaxation."""
    step, _, variant = step_of(task.task, task.functional, task.variant).partition("-")
    if step == RELAXATION_STEP:
        return f"relax {task.round} {variant}".rstrip()
    name = next((name for name, branch in BRANCHES.items() if branch.step == step), step)
    again = f" {task.round}" if task.round > 1 else ""
    return f"{name} {variant}{again}" if variant else f"{name}{again}"
