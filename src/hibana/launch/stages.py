"""Stages of a campaign: under which heading an overview counts a job or a run."""

from __future__ import annotations

from hibana.flows.branches import BRANCHES, RELAXATION_STEP, step_of

RELAX, SUPERCELL, VACANCY, OXYGEN = "relax", "supercell", "vacancy", "oxygen"
DECISIONS, COLLECT, OTHER = "decisions", "collect", "other"

STAGES = (
    *(RELAX, "band", "dos", "dielectric", "hse06", "ddh", "optics", "phonon"),
    *(SUPERCELL, VACANCY, OXYGEN, DECISIONS, COLLECT, OTHER),
)
"""All stages, in the order of a flow. ``decisions``: jobs that make others; ``collect``: the last job of a workflow; ``other``:
what is not hibana's."""

BOOKKEEPING = (DECISIONS, COLLECT, OTHER)
"""Stages that calculate nothing."""

_LAST = ("collect", "record")
_DECIDE = ("decide", "host", "supercells")


def stage_of_job(name: str, formula: str) -> str:
    """Stage of a job from its name in FireWorks' listings, for instance ``MgO relax 2``.

    Parameters
    ----------
    name
        Name of the job.
    formula
        Formula of its material, as its workflow has it.
    """
    words = (name.removeprefix(f"{formula} ") if formula else name).split()
    head, more = (words[0], words[1:]) if words else ("", [])
    if head in _LAST:
        return COLLECT
    if head in _DECIDE or (head == "phonon" and more[:1] in ([], ["forces"])):
        return DECISIONS
    if head == SUPERCELL:
        return VACANCY if more and more[0].startswith("Va_") else SUPERCELL
    return head if head in STAGES else OTHER


def stage_of_run(task: str, functional: str, variant: str = "") -> str:
    """Stage of a calculation; see :func:`hibana.flows.branches.step_of`."""
    step = step_of(task, functional, variant).partition("-")[0]
    if step == RELAXATION_STEP:
        return RELAX
    if step.startswith(f"{OXYGEN}_"):
        return OXYGEN
    found = next((name for name, branch in BRANCHES.items() if branch.step == step), step)
    return found if found in STAGES else OTHER
