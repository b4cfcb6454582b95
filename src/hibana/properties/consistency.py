"""Invariants between the runs of one material; what is not met becomes a flag of its property document."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hibana.documents.candidate import Material
from hibana.documents.task import TaskDoc

if TYPE_CHECKING:
    from hibana.properties.evidence import Evidence
    from hibana.protocol.protocol import Protocol

GAP_TOLERANCE = 0.01
"""eV; a difference of gaps below it is numerical noise of two converged runs."""

EDGE_TOLERANCE = 0.1
"""eV; by how much the semilocal gap on the k-points of the hybrid step may exceed that of the band run."""

EXCHANGE_TOLERANCE = 1e-3
"""By how much AEXX as run may differ from the dielectric run's; a repeated dielectric run differs by less."""

HYBRID_TITLES = {"hse06_nsc": "HSE06", "ddh_nsc": "dielectric-dependent hybrid"}
"""Hybrid steps and what they are called in flags."""

SAMPLING_TOLERANCE = 0.3
"""eV; by how much the gap on the mesh of the DOS may exceed that on path and mesh, whose extrema lie between its points."""


def relaxation_flags(material: Material, task: TaskDoc, space_group_number: int) -> tuple[str, ...]:
    """Flags of the relaxed crystal: those of its run, and a space group that is not the candidate's."""
    flags = list(run_flags("structure_opt", task))
    if space_group_number != material.space_group_number:
        flags.append(f"space group changed from {material.space_group_number} to {space_group_number} in the relaxation")
    return tuple(flags)


def electronic_flags(evidence: Evidence) -> tuple[str, ...]:
    """Flags of the runs with an answer, and of their gaps against each other."""
    band, dos = evidence.answer("band"), evidence.answer("dos")
    flags: list[str] = []
    for step in ("band", "dos", *HYBRID_TITLES):
        run = evidence.answer(step)
        flags += [] if run is None else run_flags(step, run)
    if band is not None and dos is not None:
        flags += _band_against_dos(band, dos)
    if "structure_opt" in evidence.tasks and band is not None:
        flags += _mesh_against_gap(band, evidence.protocol)
    for step, title in HYBRID_TITLES.items():
        hybrid = evidence.answer(step)
        if band is not None and hybrid is not None:
            flags += _hybrid_against_band(hybrid, band, title)
    flags += _exchange_against_dielectric(evidence.answer("ddh_nsc"), evidence.answer("dielectric"))
    return tuple(dict.fromkeys(flags))


def run_flags(step: str, task: TaskDoc) -> tuple[str, ...]:
    """The flags of a run under the name of its step."""
    return tuple(f"{step}: {flag}" for flag in task.flags)


def _band_against_dos(band: TaskDoc, dos: TaskDoc) -> list[str]:
    classes = (band.edges.gap_class, dos.edges.gap_class)
    if "unknown" in classes:
        return []
    if classes[0] != classes[1]:
        return [f"the band run says {classes[0]}, the dos run {classes[1]}"]
    path, mesh = band.edges.band_gap, dos.edges.band_gap
    if classes[0] == "metal" or path is None or mesh is None:
        return []
    if path > mesh + GAP_TOLERANCE:
        return [f"a band edge lies off the path: the gap is {mesh:.3f} eV in the dos run and {path:.3f} eV in the band run"]
    if mesh > path + SAMPLING_TOLERANCE:
        return [f"the dos mesh misses the band edges: its gap is {mesh:.3f} eV, that of the band run {path:.3f} eV"]
    return []


def _mesh_against_gap(band: TaskDoc, protocol: Protocol) -> list[str]:
    """The k-points were chosen by the gap of the relaxation; the band run must find a gap on the same side."""
    chosen, found = band.spec_prior.band_gap, band.edges.band_gap
    if chosen is None or found is None:
        return []
    limit = protocol.prior.gap_criterion
    if (chosen > limit) == (found > limit):
        return []
    return [f"k-points were chosen for a gap of {chosen:.3f} eV, but the band run finds {found:.3f} eV"]


def _hybrid_against_band(hybrid: TaskDoc, band: TaskDoc, title: str) -> list[str]:
    """The hybrid gap is not below the semilocal one on the same k-points, and these do not miss the band edges."""
    gap, path = hybrid.edges.band_gap, band.edges.band_gap
    same = None if hybrid.semilocal_edges is None else hybrid.semilocal_edges.band_gap
    below = path if same is None else same
    flags = []
    if gap is not None and below is not None and gap < below - GAP_TOLERANCE:
        flags.append(f"the {title} gap, {gap:.3f} eV, is below the PBEsol gap, {below:.3f} eV")
    if same is not None and path is not None and same < path - GAP_TOLERANCE:
        flags.append(
            f"a band edge lies off the path: the PBEsol gap is {same:.3f} eV on the k-points of the {title} step, "
            f"{path:.3f} eV in the band run"
        )
    if same is not None and path is not None and same > path + EDGE_TOLERANCE:
        flags.append(
            f"the k-points of the {title} step miss the band edges: the PBEsol gap is {same:.3f} eV on them, "
            f"{path:.3f} eV in the band run"
        )
    return flags


def _exchange_against_dielectric(hybrid: TaskDoc | None, dielectric: TaskDoc | None) -> list[str]:
    """The share of exact exchange of the run is the inverse of the mean dielectric constant of the run it follows."""
    tensor = None if dielectric is None else dielectric.epsilon_electronic
    if hybrid is None or tensor is None:
        return []
    if dielectric is not None and dielectric.edges.gap_class == "metal":
        return ["the dielectric run that gives the share of exact exchange of the hybrid has no gap"]
    used, expected = hybrid.inputs.incar.get("AEXX"), 3 / sum(tensor[axis][axis] for axis in range(3))
    if used is None or abs(float(used) - expected) <= EXCHANGE_TOLERANCE:
        return []
    return [f"the dielectric-dependent hybrid was run with AEXX = {float(used):.4f}, the dielectric run gives {expected:.4f}"]
