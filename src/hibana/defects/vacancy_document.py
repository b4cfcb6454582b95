"""The document of one vacancy in one charge state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hibana.defects.analysis import SUPERCELL, VACANCY, Host, VacancyAnalysis
from hibana.defects.band_edges import FoundEdge, NoStates
from hibana.defects.correction import Correction, NoCorrection
from hibana.defects.edge_outcome import ChannelEdges, EigenvalueDiagram
from hibana.defects.formation import FormationEnergy, GapEdges, NoEnergy
from hibana.defects.run import DefectRun
from hibana.defects.structure_change import NotComparable, StructureChange
from hibana.documents.arrays import PackedArray, pack
from hibana.documents.chemical_potentials import OXYGEN_STEPS
from hibana.documents.properties import PropertyStatus
from hibana.documents.vacancy import EdgeLike, EdgeSource, SpinChannel, VacancyDoc, VacancyLevel
from hibana.properties.consistency import run_flags
from hibana.properties.evidence import Built, Evidence

EDGE_STEPS: dict[EdgeSource, str] = {"ddh_nsc": "ddh_nsc", "hse06_nsc": "hse06_nsc", "pbesol": "band"}
"""Step whose run has the band edges of a functional."""


def host_steps(edges: GapEdges | None) -> tuple[str, ...]:
    """Steps of the host that formation energies rest on."""
    source = () if edges is None else (EDGE_STEPS[edges.source],)
    return (SUPERCELL, "structure_opt", "dielectric", *source, *OXYGEN_STEPS.values())


def general_steps(evidence: Evidence) -> tuple[str, ...]:
    """The name that the reason stands under where nothing was calculated of the vacancies."""
    return (VACANCY,) if VACANCY in evidence.reasons else ()


def why_not(evidence: Evidence, step: str) -> str:
    """Why a step of the vacancies has no answer; one that was not asked for shares the reason of all."""
    return evidence.why_not(step) if evidence.asked(step) else evidence.why_not(VACANCY)


def build_vacancy(evidence: Evidence, host: Host, found: VacancyAnalysis) -> Built:
    """The document of one vacancy in one charge state.

    Parameters
    ----------
    evidence
        What is known of the material.
    host
        What it was analysed with.
    found
        The analysis.
    """
    entry, step = found.entry, f"{VACANCY}-{found.entry.full_name}"
    status, reason = _status(found)
    left_out = found.state.left_out()
    arrays = _sheet(found.correction) | _eigenvalues(found.diagram)
    edges = host.edges
    document = VacancyDoc(
        **evidence.head(step, *host_steps(edges), *general_steps(evidence)),
        part=entry.full_name,
        status=status,
        reason=reason,
        flags=_flags(evidence, step, found),
        arrays={name: packed.ref for name, packed in arrays.items()},
        name=entry.name,
        site=entry.site.name,
        charge=entry.charge,
        left_out=None if left_out is None else left_out.kind,
        initial=entry.crystal,
        removed={element: -number for element, number in entry.n_removed.items()},
        perfect_energy=host.perfect.energy if isinstance(host.perfect, DefectRun) else None,
        reservoir_energy=host.oxygen.value,
        oxygen_reference=host.oxygen.used,
        edges=None if edges is None else edges.source,
        vbm=None if edges is None else edges.vbm,
        band_edge_energy=None if edges is None else entry.charge * edges.vbm,
        formation_energy=_energy(found.energy),
        formation_energy_other_oxygen=_energy(found.other),
        **_of_run(found.run),
        **_of_correction(found.correction),
        **_of_change(found.change),
        **_of_outcome(found),
        **_of_diagram(found.diagram),
    )
    return Built(document, arrays)


def _status(found: VacancyAnalysis) -> tuple[PropertyStatus, str | None]:
    """The value is the formation energy; where the electrons are, and what became of the structure, are parts of it."""
    if isinstance(found.energy, NoEnergy):
        return "unavailable", found.energy.reason
    missing = []
    if found.outcome is None or found.outcome.kind == "undetermined":
        missing.append(f"band edges: {found.state.edge_reason}")
    if isinstance(found.change, NotComparable):
        missing.append(f"structure: {found.change.reason}")
    return ("partial", "; ".join(missing)) if missing else ("complete", None)


def _flags(evidence: Evidence, step: str, found: VacancyAnalysis) -> tuple[str, ...]:
    run = evidence.answer(step)
    flags = [] if run is None else list(run_flags(step, run))
    correction = found.correction
    if isinstance(correction, Correction) and correction.unmapped:
        flags.append(f"{len(correction.unmapped)} atoms are at no place of the perfect supercell")
    if isinstance(correction, Correction) and correction.charge and correction.offset is not None and correction.spread is None:
        flags.append("the potentials are aligned at one atom")
    if isinstance(correction, NoCorrection) and isinstance(found.energy, FormationEnergy):
        flags.append(f"not corrected: {correction.reason}")
    return tuple(flags)


def _energy(found: FormationEnergy | NoEnergy) -> float | None:
    return found.at() if isinstance(found, FormationEnergy) else None


def _of_run(run: DefectRun | NoEnergy) -> dict[str, Any]:
    if isinstance(run, NoEnergy):
        return {}
    return {"crystal": run.crystal, "defect_energy": run.energy, "magnetization": run.magnetization}


def _of_correction(found: Correction | NoCorrection | None) -> dict[str, Any]:
    if not isinstance(found, Correction):
        return {}
    values: dict[str, Any] = {
        "point_charge_correction": found.point_charge,
        "alignment_correction": found.alignment,
        "correction": found.total,
        "centre": tuple(found.position.tolist()),
        "sphere_radius": found.radius,
    }
    return values | ({} if found.sheet is None else {"sheet_elements": found.sheet.elements})


def _of_change(found: StructureChange | NotComparable | None) -> dict[str, Any]:
    if not isinstance(found, StructureChange):
        return {}
    return {
        "structure_class": found.kind,
        "symmetry_before": found.symmetry_before,
        "symmetry_after": found.symmetry_after,
        "symmetry_relation": found.symmetry_relation,
        "max_displacement": found.max_displacement,
    }


def _of_outcome(found: VacancyAnalysis) -> dict[str, Any]:
    outcome, reason = found.outcome, found.state.edge_reason
    if outcome is None:
        return {"edge_reason": reason}
    near = found.change.neighbours if isinstance(found.change, StructureChange) else ()
    return {
        "edge_state": outcome.kind,
        "edge_reason": reason,
        "localised_levels": tuple(level.energy for level in outcome.levels),
        "channels": tuple(_channel(edges, near) for edges in outcome.channels),
    }


def _channel(found: ChannelEdges, neighbours: Sequence[int]) -> SpinChannel:
    levels = (
        VacancyLevel(
            band=level.band,
            energy=level.energy,
            occupation=level.occupation,
            degeneracy=level.degeneracy,
            characters=level.characters,
            participation=level.participation(neighbours),
        )
        for level in found.levels
    )
    return SpinChannel(
        vbm=_edge(found.vbm, neighbours),
        cbm=_edge(found.cbm, neighbours),
        vbm_holes=found.vbm_holes,
        cbm_electrons=found.cbm_electrons,
        levels=tuple(levels),
    )


def _edge(found: FoundEdge, neighbours: Sequence[int]) -> EdgeLike:
    return EdgeLike(
        band=found.band,
        energy=found.energy,
        occupation=found.occupation,
        dissimilarity=found.dissimilarity,
        participation=found.participation(neighbours),
    )


def _of_diagram(found: EigenvalueDiagram | NoStates | None) -> dict[str, Any]:
    return {"supercell_gap": found.gap, "first_band": found.first_band} if isinstance(found, EigenvalueDiagram) else {}


def _eigenvalues(found: EigenvalueDiagram | NoStates | None) -> dict[str, PackedArray]:
    """Arrays of the eigenvalues around the gap, as the document names them."""
    if not isinstance(found, EigenvalueDiagram):
        return {}
    arrays = {
        "eigenvalue_energies": found.energies,
        "eigenvalue_occupations": found.occupations,
        "eigenvalue_kpoints": found.kpoints,
        "eigenvalue_weights": found.weights,
    }
    return {name: pack(array) for name, array in arrays.items()}


def _sheet(found: Correction | NoCorrection | None) -> dict[str, PackedArray]:
    """Arrays of the sheet, as the document names them."""
    if not isinstance(found, Correction) or found.sheet is None:
        return {}
    sheet = found.sheet
    arrays = {
        "sheet_sites": sheet.sites,
        "sheet_partners": sheet.partners,
        "sheet_distances": sheet.distances,
        "sheet_differences": sheet.differences,
        "sheet_point_charge": sheet.point_charge,
        "sheet_outside": sheet.outside,
    }
    return {name: pack(np.asarray(array)) for name, array in arrays.items()}
