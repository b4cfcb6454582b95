"""Gates of dielectric tensors, Born charges and Γ phonons: what physics demands of them, as findings with numbers.

A gate returns nothing where it is passed. The limits stand here with their reasons; docs/invariants.md gives what 857
published results do at each of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from hibana.properties.tensors import (
    Frame,
    asymmetry,
    other_setting_residual,
    point_group_residual,
    site_tensor_residual,
)

if TYPE_CHECKING:
    from hibana.documents.task import BandEdges

Array = NDArray[np.float64]

Gate = Literal[
    "symmetric", "point_group", "electronic", "ionic", "cross_check", "large_ionic",
    "sum_rule", "site_symmetry", "site_axes", "acoustic", "soft_mode", "unstable", "gap",
]  # fmt: skip

ASYMMETRY_LIMIT = 1e-3
"""Relative. Nothing makes a converged tensor asymmetric; 98 % of published runs are below 1e-5. A thousandth is the
precision at which dielectric constants are compared."""

POINT_GROUP_LIMIT = 2e-3
"""Relative. Codes symmetrise the electronic tensor; the ionic one carries the noise of the force constants, below 1e-3 in
99 % of published runs. Above the limit the response was not converged, or cell and tensor are of two descriptions."""

ELECTRONIC_LIMIT = 1.0
"""Least eigenvalue of an electronic tensor: electrons screen a static field, they never amplify it."""

IONIC_LIMIT = -0.01
"""Least eigenvalue of an ionic tensor of a stable crystal, which is positive semidefinite; a hundredth is left for the
crystals whose ions screen nothing in one direction or at all (silicon)."""

CROSS_CHECK_LIMIT = 0.02
"""Printed against recomputed ionic tensor, relative to its largest component. They differ by the sum rule and by printed
digits, which soft modes amplify; more means that charges and force constants do not belong together."""

LARGE_IONIC = 100.0
"""Average ionic constant above which a crystal is near a ferroelectric instability, and the value near meaningless."""

SUM_RULE_LIMIT = 0.02
"""e a site: the correction then changes an oxygen's charge of 2 e by a hundredth."""

SITE_SYMMETRY_LIMIT = 0.02
"""e. As for the sum rule; 98 % of published runs are at or below half of it."""

ACOUSTIC_LIMIT = 0.3
"""THz. Acoustic modes have no restoring force. At the magnitude of the usual threshold of stability noise would pass for an
instability."""

SOFT_MODE = 1.0
"""THz. The ionic tensor goes with the inverse square of the frequency: the noise that gives acoustic modes 0.1 to 0.2 THz
moves a mode of 1 THz by some per cent and one of 0.3 THz by half."""


@dataclass(frozen=True)
class Finding:
    """A gate that was not passed, and what was found."""

    gate: Gate
    text: str

    @property
    def flag(self) -> str:
        """As it stands among the flags of a document: the gate's name first."""
        return f"{self.gate}: {self.text}"


def electronic_findings(tensor: Array, frame: Frame) -> list[Finding]:
    """Gates of an electronic dielectric tensor (3, 3) in the frame."""
    found = _tensor_findings("electronic", tensor, frame)
    least = float(np.linalg.eigvalsh((tensor + tensor.T) / 2)[0])
    if least < ELECTRONIC_LIMIT:
        found.append(Finding("electronic", f"the electronic dielectric tensor has the eigenvalue {least:.3f}, below 1"))
    return found


def ionic_findings(tensor: Array, frame: Frame, recomputed: Array | None = None) -> list[Finding]:
    """Gates of an ionic dielectric tensor (3, 3) in the frame.

    Parameters
    ----------
    tensor
        As printed.
    frame
        Of the crystal.
    recomputed
        From Born charges and force constants, where there are any.
    """
    found = _tensor_findings("ionic", tensor, frame)
    least = float(np.linalg.eigvalsh((tensor + tensor.T) / 2)[0])
    if least < IONIC_LIMIT:
        found.append(Finding("ionic", f"the ionic dielectric tensor has the eigenvalue {least:.3f}, below 0"))
    average = float(np.trace(tensor)) / 3
    if average > LARGE_IONIC:
        text = f"the ionic dielectric constant is {average:.0f}, above {LARGE_IONIC:.0f}: near an instability"
        found.append(Finding("large_ionic", text))
    if recomputed is not None:
        scale = max(float(np.abs(tensor).max()), 1.0)
        difference = float(np.abs(recomputed - tensor).max()) / scale
        if difference > CROSS_CHECK_LIMIT:
            text = f"the ionic tensor differs by {difference:.1%} from that of Born charges and force constants"
            found.append(Finding("cross_check", text))
    return found


def born_findings(charges: Array, frame: Frame) -> list[Finding]:
    """Gates of Born charges (n_sites, 3, 3) in the frame, as read."""
    found = []
    residual = float(np.abs(charges.sum(axis=0)).max())
    if residual > SUM_RULE_LIMIT * len(charges):
        text = f"the Born charges sum to {residual:.3f} e, more than {SUM_RULE_LIMIT} e a site"
        found.append(Finding("sum_rule", text))
    residual = site_tensor_residual(charges, frame)
    if residual <= SITE_SYMMETRY_LIMIT:
        return found
    text = f"the Born charges change by {residual:.3f} e under the space group"
    if other_setting_residual(charges, frame) <= SITE_SYMMETRY_LIMIT:
        return [*found, Finding("site_axes", f"{text}, but not after a turn of the lattice: they are of another description")]
    return [*found, Finding("site_symmetry", text)]


def phonon_findings(acoustic: Array, optical: Array, frequencies: Array, threshold: float) -> list[Finding]:
    """Gates of the modes at Γ.

    Parameters
    ----------
    acoustic
        The acoustic modes without the sum rule, (3,), THz.
    optical
        The other modes, ascending, THz, imaginary ones negative.
    frequencies
        All modes that the verdict rests on, ascending.
    threshold
        Lowest frequency of a stable crystal, THz.
    """
    return [
        *acoustic_findings(float(np.abs(acoustic).max())),
        *stability_findings(float(frequencies[0]), threshold),
        *soft_findings(optical),
    ]


def acoustic_findings(residual: float) -> list[Finding]:
    """The largest magnitude, THz, of the acoustic modes at Γ without the sum rule."""
    if residual <= ACOUSTIC_LIMIT:
        return []
    text = f"an acoustic mode at Γ is at {residual:.2f} THz without the sum rule, above {ACOUSTIC_LIMIT} THz"
    return [Finding("acoustic", text)]


def stability_findings(lowest: float, threshold: float) -> list[Finding]:
    """The lowest frequency, THz, against the lowest of a stable crystal."""
    if lowest >= threshold:
        return []
    return [Finding("unstable", f"the lowest phonon is at {lowest:.2f} THz, below {threshold} THz: dynamically unstable")]


def soft_findings(optical: Array) -> list[Finding]:
    """A soft optical mode: what the ionic tensor is worth. ``optical`` is ascending, THz."""
    if not optical.size or optical[0] >= SOFT_MODE:
        return []
    text = f"an optical mode at Γ is at {optical[0]:.2f} THz, below {SOFT_MODE} THz: the ionic dielectric tensor is unreliable"
    return [Finding("soft_mode", text)]


def gap_findings(edges: BandEdges) -> list[Finding]:
    """Whether the run of the dielectric tensors has a gap: without one they mean nothing."""
    if edges.gap_class != "metal":
        return []
    return [Finding("gap", "the gap is closed in the run of the dielectric tensors")]


def _tensor_findings(name: str, tensor: Array, frame: Frame) -> list[Finding]:
    found = []
    residual = asymmetry(tensor)
    if residual > ASYMMETRY_LIMIT:
        found.append(Finding("symmetric", f"the {name} dielectric tensor is not symmetric: by {residual:.2%}"))
    residual = point_group_residual(tensor, frame)
    if residual > POINT_GROUP_LIMIT:
        text = f"the {name} dielectric tensor changes by {residual:.2%} under the point group"
        found.append(Finding("point_group", text))
    return found
