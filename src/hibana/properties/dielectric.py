"""Static dielectric tensors and Born charges in the conventional frame."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hibana.core.errors import HibanaError
from hibana.documents.crystal import Matrix
from hibana.documents.dielectric import DielectricDoc
from hibana.documents.task import TaskDoc
from hibana.properties.consistency import run_flags
from hibana.properties.evidence import Built, Evidence, with_initial_moments
from hibana.properties.invariants import (
    Finding,
    born_findings,
    electronic_findings,
    gap_findings,
    ionic_findings,
    soft_findings,
)
from hibana.properties.phonon import ionic_tensor, mode_faults, read_modes
from hibana.properties.tensors import Frame, conventional_frame, site_tensor_residual

Array = NDArray[np.float64]


def build_dielectric(evidence: Evidence) -> Built:
    """Dielectric tensors and Born charges, turned to the crystal's conventional axes.

    Parameters
    ----------
    evidence
        With the run under ``dielectric``, answered or not.

    Raises
    ------
    ValueError
        If no calculation was done at all.
    """
    head = evidence.head("dielectric")
    task = evidence.answer("dielectric")
    if task is None:
        reason = f"dielectric: {evidence.why_not('dielectric')}"
        return Built(DielectricDoc(**head, status="unavailable", reason=reason))
    if task.epsilon_electronic is None:
        return Built(DielectricDoc(**head, status="unavailable", reason="the run has no electronic dielectric tensor"))
    if not np.isfinite(task.epsilon_electronic).all():
        reason = "the electronic dielectric tensor of the run is not all finite numbers"
        return Built(DielectricDoc(**head, status="unavailable", reason=reason))
    try:
        frame = conventional_frame(with_initial_moments(task), evidence.protocol.symmetry)
    except HibanaError as error:
        return Built(DielectricDoc(**head, status="unavailable", reason=str(error)))
    values, findings = _values(evidence, task, frame)
    missing = [what for what, name in _PARTS.items() if values.get(name) is None]
    faults = _faults(evidence, task)
    document = DielectricDoc(
        **head,
        status="partial" if missing else "complete",
        reason="; ".join([f"the run has no {' and no '.join(missing)}", *faults]) if missing else None,
        flags=(*run_flags("dielectric", task), *faults, *(finding.flag for finding in findings)),
        method="finite_field" if task.inputs.incar.get("LCALCEPS") else "dfpt",
        crystal=frame.turn_crystal(task.final),
        rotation=_matrix(frame.rotation),
        conventional_lattice=_matrix(frame.lattice),
        space_group_number=frame.space_group_number,
        **values,
    )
    return Built(document)


_PARTS = {"ionic dielectric tensor": "epsilon_ionic", "Born charges": "born_charges"}


def _values(evidence: Evidence, task: TaskDoc, frame: Frame) -> tuple[dict[str, Any], list[Finding]]:
    electronic = frame.turn(np.array(task.epsilon_electronic))
    findings = gap_findings(task.edges) + electronic_findings(electronic, frame)
    values = _tensor_fields("electronic", electronic)
    charges = _charges(evidence, task)
    if charges is not None:
        turned = frame.turn(charges)
        findings += born_findings(turned, frame)
        values |= _born_fields(turned, frame)
    if task.epsilon_ionic is not None and np.isfinite(task.epsilon_ionic).all():
        ionic = frame.turn(np.array(task.epsilon_ionic))
        recomputed = _recomputed(evidence, task, frame)
        values |= _tensor_fields("ionic", ionic)
        values["epsilon_static_average"] = values["epsilon_electronic_average"] + values["epsilon_ionic_average"]
        values["epsilon_ionic_recomputed"] = None if recomputed is None else _matrix(recomputed)
        modes = read_modes(evidence)
        findings += ionic_findings(ionic, frame, recomputed)
        findings += [] if modes is None else soft_findings(modes.optical)
    return values, findings


def born_flags(evidence: Evidence) -> tuple[str, ...]:
    """The gates that the Born charges of the run of the dielectric tensors do not pass; none where there are no charges.

    A crystal without a frame cannot be held to them, which is said instead.
    """
    task = evidence.answer("dielectric")
    charges = None if task is None else _charges(evidence, task)
    if task is None or charges is None:
        return ()
    try:
        frame = conventional_frame(with_initial_moments(task), evidence.protocol.symmetry)
    except HibanaError as error:
        return (f"born_charges: not held to the crystal's symmetry: {error}",)
    return tuple(finding.flag for finding in [*gap_findings(task.edges), *born_findings(frame.turn(charges), frame)])


def _faults(evidence: Evidence, task: TaskDoc) -> list[str]:
    """What of the run was left out because it is not all numbers, or not of this cell."""
    faults = [evidence.fault("dielectric", "born_charges", _charges_shape(task)), *mode_faults(evidence)]
    if task.epsilon_ionic is not None and not np.isfinite(task.epsilon_ionic).all():
        faults.insert(0, "the ionic dielectric tensor of the run is not all finite numbers")
    return [fault for fault in faults if fault is not None]


def _charges(evidence: Evidence, task: TaskDoc) -> Array | None:
    return evidence.sound("dielectric", "born_charges", _charges_shape(task))


def _charges_shape(task: TaskDoc) -> tuple[int, ...]:
    return (len(task.final.species), 3, 3)


def _recomputed(evidence: Evidence, task: TaskDoc, frame: Frame) -> Array | None:
    """The ionic tensor from Born charges and force constants, in the frame; None where the run lacks one of them."""
    size = 3 * len(task.final.species)
    charges = _charges(evidence, task)
    force_constants = evidence.sound("dielectric", "force_constants", (size, size))
    if charges is None or force_constants is None:
        return None
    volume = abs(float(np.linalg.det(np.array(task.final.lattice))))
    corrected = charges - charges.mean(axis=0)
    try:
        return frame.turn(ionic_tensor(force_constants, corrected, volume))
    except np.linalg.LinAlgError:
        return None


def _tensor_fields(name: str, tensor: Array) -> dict[str, Any]:
    return {
        f"epsilon_{name}": _matrix(tensor),
        f"epsilon_{name}_eigenvalues": tuple(np.linalg.eigvalsh((tensor + tensor.T) / 2).tolist()),
        f"epsilon_{name}_average": float(np.trace(tensor)) / 3,
    }


def _born_fields(charges: Array, frame: Frame) -> dict[str, Any]:
    corrected = charges - charges.mean(axis=0)
    return {
        "born_charges": tuple(_matrix(charge) for charge in corrected),
        "born_average_abs_trace": float(np.abs(np.trace(corrected, axis1=1, axis2=2)).mean()) / 3,
        "born_sum_rule_residual": float(np.abs(charges.sum(axis=0)).max()),
        "born_symmetry_residual": site_tensor_residual(charges, frame),
    }


def _matrix(tensor: Array) -> Matrix:
    x, y, z = ((float(a), float(b), float(c)) for a, b, c in tensor)
    return x, y, z
