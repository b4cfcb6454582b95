"""Property documents from task documents: pure functions, so that every document can be rebuilt at any time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from hibana import __version__
from hibana.documents.properties import ElectronicDoc, PropertyStatus, RelaxationDoc
from hibana.documents.spec import GapClass
from hibana.documents.task import TaskDoc
from hibana.flows.consistency import electronic_flags, relaxation_flags
from hibana.flows.messages import Material, Step, why_no_answer
from hibana.structures.convert import to_pymatgen
from hibana.structures.standardise import standardise

if TYPE_CHECKING:
    from hibana.protocol.protocol import Protocol


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
    reasons
        Why a step has no run, or its run no answer.
    built_at
        Time to write into the documents, UTC.
    """

    material: Material
    protocol: Protocol
    tasks: Mapping[Step, TaskDoc]
    built_at: datetime
    reasons: Mapping[Step, str] = field(default_factory=dict)

    def answer(self, step: Step) -> TaskDoc | None:
        """The run of a step if it has an answer."""
        task = self.tasks.get(step)
        return task if task is not None and task.status == "converged" else None

    def why_not(self, step: Step) -> str:
        """Why a step has no answer."""
        if step in self.reasons:
            return self.reasons[step]
        return why_no_answer(self.tasks[step]) if step in self.tasks else "not calculated"


def build_relaxation(evidence: Evidence) -> RelaxationDoc:
    """The relaxed crystal and what is left of forces and stress.

    Parameters
    ----------
    evidence
        With the last round of the relaxation under ``structure_opt``, answered or not.

    Raises
    ------
    ValueError
        If no round of the relaxation was done: there is nothing to say, not even by which code.
    """
    last = evidence.tasks.get("structure_opt")
    if last is None:
        raise ValueError("no relaxation was done")
    head = _head(evidence, ("structure_opt",)) | {
        "initial_space_group_number": evidence.material.space_group_number,
        "n_rounds": last.round,
    }
    if evidence.answer("structure_opt") is None or "structure_opt" in evidence.reasons:
        return RelaxationDoc(**head, status="unavailable", reason=evidence.why_not("structure_opt"))
    rule = evidence.protocol.symmetry
    standard = standardise(to_pymatgen(last.final), symprec=rule.symprec, angle_tolerance=rule.angle_tolerance)
    lattice = standard.conventional.lattice
    n_sites = len(last.final.species)
    return RelaxationDoc(
        **head,
        status="complete",
        flags=relaxation_flags(evidence.material, last, standard.space_group_number),
        crystal=last.final,
        space_group_number=standard.space_group_number,
        space_group_symbol=standard.space_group_symbol,
        **dict(zip(("a", "b", "c", "alpha", "beta", "gamma"), lattice.parameters, strict=True)),
        volume_per_atom=to_pymatgen(last.final).volume / n_sites,
        energy_per_atom=last.energy_per_atom,
        max_force=last.max_force,
        stress=last.stress,
    )


def build_electronic(evidence: Evidence) -> ElectronicDoc:
    """Gaps and band edges of the relaxed crystal.

    Raises
    ------
    ValueError
        If no calculation was done at all.
    """
    band, dos, hybrid = (evidence.answer(step) for step in ("band", "dos", "hse06_nsc"))
    gap_class = combined_gap_class(band, dos)
    status, reason = _electronic_status(evidence, gap_class)
    values: dict[str, Any] = {}
    if dos is not None:
        values["band_gap_dos"] = dos.edges.band_gap
    if band is not None:
        values |= _semilocal(band) | {"magnetization": band.magnetization}
    if gap_class == "metal":
        values |= {"band_gap_pbesol": 0.0, "is_gap_direct": None, "direct_gap_pbesol": None}
        values |= dict.fromkeys(("vbm", "cbm", "vbm_kpoint", "cbm_kpoint"))
    if hybrid is not None:
        edges = hybrid.edges
        values |= {"band_gap_hse06_nsc": edges.band_gap, "vbm_hse06_nsc": edges.vbm, "cbm_hse06_nsc": edges.cbm}
    return ElectronicDoc(
        **_head(evidence, ("structure_opt", "band", "dos", "hse06_nsc")),
        status=status,
        reason=reason,
        flags=electronic_flags(evidence.tasks.get("structure_opt"), band, dos, hybrid, evidence.protocol),
        gap_class=gap_class,
        **values,
    )


def combined_gap_class(band: TaskDoc | None, dos: TaskDoc | None) -> GapClass:
    """Metal, gapped or unknown, from the band run (path and mesh) and the DOS run (denser mesh).

    Bands that cross the Fermi level in one of the two samplings make a metal, whatever the other missed. Only the band run
    can say that there is a gap, since extrema may lie off a mesh; without it the answer is unknown.
    """
    classes = {run.edges.gap_class for run in (band, dos) if run is not None}
    if "metal" in classes:
        return "metal"
    return "gapped" if band is not None and band.edges.gap_class == "gapped" else "unknown"


def _electronic_status(evidence: Evidence, gap_class: GapClass) -> tuple[PropertyStatus, str | None]:
    """Status and reason: what the property is about is the semilocal gap; the DOS and the hybrid gap are parts of it."""
    if gap_class == "unknown":
        step: Step = "structure_opt" if evidence.answer("structure_opt") is None else "band"
        if step == "band" and evidence.answer("band") is not None:
            return "unavailable", "the band run does not say whether there is a gap"
        return "unavailable", f"{step}: {evidence.why_not(step)}"
    wanted: tuple[Step, ...] = ("band", "dos") if gap_class == "metal" else ("dos", "hse06_nsc")
    missing = [f"{step}: {evidence.why_not(step)}" for step in wanted if evidence.answer(step) is None]
    hybrid = evidence.answer("hse06_nsc")
    if hybrid is not None and hybrid.edges.gap_class == "unknown":
        missing.append("hse06_nsc: the run does not say where the band edges are")
    return ("partial", "; ".join(missing)) if missing else ("complete", None)


def _semilocal(band: TaskDoc) -> dict[str, Any]:
    edges = band.edges
    return {
        "band_gap_pbesol": edges.band_gap,
        "is_gap_direct": edges.is_direct,
        "direct_gap_pbesol": edges.direct_gap,
        "vbm": edges.vbm,
        "cbm": edges.cbm,
        "vbm_kpoint": edges.vbm_kpoint,
        "cbm_kpoint": edges.cbm_kpoint,
    }


def _head(evidence: Evidence, steps: tuple[Step, ...]) -> dict[str, Any]:
    """The fields every property document has."""
    material, protocol = evidence.material, evidence.protocol
    runs = {step: evidence.tasks[step] for step in steps if step in evidence.tasks}
    if not runs:
        raise ValueError("no calculation was done")
    calculator = next(iter(runs.values())).calculator
    return {
        "material_id": material.material_id,
        "formula": material.formula,
        "elements": material.elements,
        "calculator": calculator.name,
        "calculator_version": calculator.version,
        "protocol": protocol.name,
        "protocol_version": protocol.version,
        "addresses": {step: run.address for step, run in runs.items()},
        "built_with": __version__,
        "built_at": evidence.built_at,
    }
