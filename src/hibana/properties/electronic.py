"""Gaps and band edges of the relaxed crystal, semilocal and by hybrids, and what the band edges are made of."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np

from hibana.core.errors import HibanaError
from hibana.documents.properties import ElectronicDoc, PropertyStatus
from hibana.documents.spec import GapClass
from hibana.documents.task import TaskDoc
from hibana.properties.consistency import electronic_flags
from hibana.properties.edge_characters import ORBITALS, window_character
from hibana.properties.evidence import Built, Evidence, with_initial_moments
from hibana.properties.masses import available, effective_masses
from hibana.properties.tensors import conventional_frame
from hibana.protocol.protocol import RECIPES, HybridName

HYBRIDS: tuple[HybridName, ...] = get_args(HybridName)
STEPS = ("structure_opt", "band", "dos", *HYBRIDS)


def build_electronic(evidence: Evidence) -> Built:
    """Gaps and band edges of the relaxed crystal.

    Raises
    ------
    ValueError
        If no calculation was done at all.
    """
    band, dos = evidence.answer("band"), evidence.answer("dos")
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
    elif dos is not None:
        values |= _characters(evidence, dos) | _masses(evidence, dos)
    for name in HYBRIDS:
        values |= _hybrid(name, evidence.answer(name))
    document = ElectronicDoc(
        **_head(evidence),
        status=status,
        reason=reason,
        flags=electronic_flags(evidence),
        gap_class=gap_class,
        **values,
    )
    return Built(document)


def combined_gap_class(band: TaskDoc | None, dos: TaskDoc | None) -> GapClass:
    """Metal, gapped or unknown, from the band run (path and mesh) and the DOS run (denser mesh).

    Bands that cross the Fermi level in one of the two samplings make a metal, whatever the other missed. Only the band run
    can say that there is a gap, since extrema may lie off a mesh; without it the answer is unknown.
    """
    classes = {run.edges.gap_class for run in (band, dos) if run is not None}
    if "metal" in classes:
        return "metal"
    return "gapped" if band is not None and band.edges.gap_class == "gapped" else "unknown"


def _head(evidence: Evidence) -> dict[str, Any]:
    """The common fields; the dielectric run stands among the addresses where its constant went into a hybrid."""
    return evidence.head(*STEPS, *(("dielectric",) if evidence.asked("ddh_nsc") else ()))


def _electronic_status(evidence: Evidence, gap_class: GapClass) -> tuple[PropertyStatus, str | None]:
    """Status and reason: what the property is about is the semilocal gap; the DOS and the hybrid gaps are parts of it."""
    if gap_class == "unknown":
        step = "structure_opt" if evidence.answer("structure_opt") is None else "band"
        if step == "band" and evidence.answer("band") is not None:
            return "unavailable", "the band run does not say whether there is a gap"
        status: PropertyStatus = "partial" if evidence.answer("dos") is not None and not evidence.asked("band") else "unavailable"
        return status, f"{step}: {evidence.why_not(step)}"
    wanted = ("band", "dos") if gap_class == "metal" else ("dos", *HYBRIDS)
    missing = [f"{step}: {evidence.why_not(step)}" for step in wanted if evidence.asked(step) and evidence.answer(step) is None]
    for name in HYBRIDS:
        hybrid = evidence.answer(name)
        if hybrid is not None and hybrid.edges.gap_class == "unknown":
            missing.append(f"{name}: the run does not say where the band edges are")
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


def _hybrid(name: str, run: TaskDoc | None) -> dict[str, Any]:
    """The fields of one hybrid; none without its answer."""
    if run is None:
        return {}
    edges, incar = run.edges, run.inputs.incar
    algorithm = str(incar.get("ALGO", "")).strip().lower()
    values = {
        "band_gap": edges.band_gap,
        "vbm": edges.vbm,
        "cbm": edges.cbm,
        "direct_gap": edges.direct_gap,
        "vbm_kpoint": edges.vbm_kpoint,
        "cbm_kpoint": edges.cbm_kpoint,
        "recipe": algorithm if algorithm in RECIPES else None,
    }
    found = {f"{field}_{name}": value for field, value in values.items()}
    return found | ({"exchange_ratio_ddh": incar.get("AEXX")} if name == "ddh_nsc" else {})


def _characters(evidence: Evidence, dos: TaskDoc) -> dict[str, float]:
    """Shares of the orbitals in the states at the band edges of the dos run; none where it has no partial DOS."""
    energies, partial = evidence.load("dos", "dos_energies"), evidence.load("dos", "dos_partial")
    if energies is None or partial is None:
        return {}
    elements = tuple(dict.fromkeys(dos.final.species))
    found: dict[str, float] = {}
    for name, side in (("vbm", -1), ("cbm", 1)):
        edge = getattr(dos.edges, name)
        if edge is None:
            continue
        character = window_character(np.asarray(energies, float), np.asarray(partial, float), elements, edge, side)
        if character is not None:
            found |= {f"{name}_{orbital}": getattr(character, orbital) for orbital in ORBITALS}
    return found


def _masses(evidence: Evidence, dos: TaskDoc) -> dict[str, Any]:
    """Effective masses from the bands on the mesh of the dos run, or why there are none."""
    kpoints, eigenvalues = evidence.load("dos", "kpoints"), evidence.load("dos", "eigenvalues")
    vbm, cbm = dos.edges.vbm, dos.edges.cbm
    if not available():
        return {"masses_reason": "BoltzTraP2 is not installed"}
    if kpoints is None or eigenvalues is None or vbm is None or cbm is None or cbm <= vbm:
        return {"masses_reason": "the dos run has no bands on a mesh with a gap"}
    spins = 2 if eigenvalues.shape[0] == 1 else 1
    bands = np.asarray(eigenvalues, float)
    try:
        masses = effective_masses(dos.final, np.asarray(kpoints, float), bands, vbm, cbm, electrons_per_state=spins)
        frame = conventional_frame(with_initial_moments(dos), evidence.protocol.symmetry)
    except (ValueError, np.linalg.LinAlgError) as error:
        return {"masses_reason": f"BoltzTraP2: {error}"}
    except HibanaError as error:
        return {"masses_reason": str(error)}
    found: dict[str, Any] = {}
    for name, tensor in (("electron_mass", masses.electron), ("hole_mass", masses.hole)):
        turned = frame.turn(tensor)
        found |= {name: tuple(tuple(map(float, row)) for row in turned), f"{name}_average": float(np.trace(turned)) / 3}
    return found
