"""Runs in the store that other crystals have in common with a host: the competing phases of its chemical system."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hibana.defects.competing import own_phases
from hibana.defects.phases import CUTOFF_TOLERANCE
from hibana.documents.chemical_potentials import COMPETING, COMPETING_OXYGEN
from hibana.documents.task import TaskDoc
from hibana.flows.branches import COMPETING as COMPETING_FLOW
from hibana.flows.branches import RELAXATION_STEP, system_of
from hibana.flows.oxygen import oxygen_runs

if TYPE_CHECKING:
    from hibana.properties.evidence import Evidence
    from hibana.store.store import Store

CANDIDATE_FIELDS = ("material_id", "formula", "elements", "submissions")
RUN_FIELDS = ("address", "material_id", "inputs.encut", "n_ionic_steps", "has_moved_before", "status", "machine.finished")


def with_competing_phases(store: Store, evidence: Evidence) -> Evidence:
    """The evidence of a host with the runs of the competing phases in its chemical system, by one protocol and one code.

    Parameters
    ----------
    store
        Where the runs are.
    evidence
        Of the host, with its relaxation.

    Returns
    -------
    Evidence
        With the last relaxation of each other crystal made of the host's elements, answered or not, at the host's cutoff where
        there is one; with oxygen at that cutoff; and, where competing phases of the system were asked for, with the reason of
        each that has no energy, elements that nobody has submitted among them.
    """
    relaxation = evidence.tasks.get(RELAXATION_STEP)
    cutoff = None if relaxation is None else relaxation.inputs.encut
    if relaxation is None or cutoff is None:
        return evidence
    tasks = {step: run for step, run in evidence.tasks.items() if not step.startswith(f"{COMPETING}-")}
    found = _candidates(store, relaxation)
    runs = _runs(store, relaxation, list(found.values()))
    for step, candidate in found.items():
        chosen = max(runs[candidate["material_id"]], key=lambda run: _rank(run, cutoff), default=None)
        run = None if chosen is None else store.task(chosen["address"], any_status=True)
        if run is not None:
            tasks[step] = run
    for which, run in oxygen_runs(store, evidence.protocol, relaxation.calculator.name, cutoff).items():
        tasks[COMPETING_OXYGEN[which]] = run
    reasons = {step: why for step, why in evidence.reasons.items() if not step.startswith(f"{COMPETING}-")}
    known = replace(evidence, tasks=tasks, reasons=reasons)
    asked = {step for step, candidate in found.items() if _is_asked(candidate, relaxation)}
    host = store.query("candidates", {"material_id": relaxation.material_id}, CANDIDATE_FIELDS)
    if not asked and not any(_is_asked(candidate, relaxation) for candidate in host):
        return known
    return replace(known, reasons=reasons | _missing(known, found, asked))


def _missing(known: Evidence, found: Mapping[str, Mapping[str, Any]], asked: Iterable[str]) -> dict[str, str]:
    """Why phases that were asked for, and elements, have no energy at the host's cutoff."""
    own = own_phases(known)
    if own is None:
        return {}
    elements = {step: item["elements"][0] for step, item in found.items() if len(item["elements"]) == 1}
    lacking = [element for element in own.lacking if element != "O"]
    wanted = dict.fromkeys((*asked, *(step for step, element in elements.items() if element in lacking)))
    why = {True: "no energy at the host's cutoff", False: "submitted, not calculated yet"}
    told = {step: why[step in known.tasks] for step in wanted if step not in own.steps}
    absent = [element for element in lacking if element not in elements.values()]
    told |= {f"{COMPETING}-{element}": "no crystal of it was submitted" for element in absent}
    return told | {step: "not calculated" for step in COMPETING_OXYGEN.values() if step not in own.steps}


def _candidates(store: Store, relaxation: TaskDoc) -> dict[str, dict[str, Any]]:
    """Other crystals made of the elements of a host, oxygen aside, by step."""
    system = sorted(relaxation.elements)
    others = [element for element in system if element != "O"]
    query = {"elements": {"$in": others, "$not": {"$elemMatch": {"$nin": system}}}}
    found = store.query("candidates", query, CANDIDATE_FIELDS)
    others_only = (item for item in found if item["material_id"] != relaxation.material_id)
    return {f"{COMPETING}-{item['formula']}-{item['material_id']}": item for item in others_only}


def _runs(store: Store, relaxation: TaskDoc, candidates: list[dict[str, Any]]) -> Mapping[str, list[dict[str, Any]]]:
    """Relaxations of crystals in the series of a host, by crystal."""
    by_material: dict[str, list[dict[str, Any]]] = defaultdict(list)
    if not candidates:
        return by_material
    query = {
        "material_id": {"$in": [item["material_id"] for item in candidates]},
        "task": RELAXATION_STEP,
        "protocol": relaxation.protocol,
        "protocol_version": relaxation.protocol_version,
        "calculator.name": relaxation.calculator.name,
    }
    for item in store.query("tasks", query, RUN_FIELDS):
        by_material[item["material_id"]].append(item)
    return by_material


def _rank(run: Mapping[str, Any], cutoff: float) -> tuple[bool, bool, Any]:
    """At the cutoff before others, settled before others, then the latest."""
    encut = (run.get("inputs") or {}).get("encut")
    is_near = encut is not None and abs(encut - cutoff) < CUTOFF_TOLERANCE
    is_done = run["status"] == "converged" and run["n_ionic_steps"] <= 1 and not run.get("has_moved_before", False)
    return is_near, is_done, run["machine"]["finished"]


def _is_asked(candidate: Mapping[str, Any], relaxation: TaskDoc) -> bool:
    """Whether a crystal was submitted as a competing phase of a system with all elements of the host, in its series."""
    return any(
        item["flow"].startswith(f"{COMPETING_FLOW}:")
        and set(relaxation.elements) <= set(system_of(item["flow"]))
        and (item["protocol"], item["protocol_version"], item["calculator"])
        == (relaxation.protocol, relaxation.protocol_version, relaxation.calculator.name)
        for item in candidate.get("submissions", ())
    )
