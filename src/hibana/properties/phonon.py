"""Lattice dynamics at Γ: modes, the acoustic sum rule, the ionic dielectric tensor, and the document of the phonons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import pi, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Element
from scipy import constants

from hibana.documents.dielectric import FrequencySource, PhononDoc
from hibana.documents.task import TaskDoc
from hibana.properties.consistency import run_flags
from hibana.properties.evidence import Built, Evidence
from hibana.properties.invariants import phonon_findings

Array = NDArray[np.float64]

TERAHERTZ = sqrt(constants.e / constants.atomic_mass) / (2 * pi * constants.angstrom * constants.tera)
"""THz of a mode with a force constant of 1 eV/Å^2 and a mass of 1 atomic mass unit."""

COULOMB = constants.e / (constants.epsilon_0 * constants.angstrom)
"""e²/ε0 in eV Å."""


@dataclass(frozen=True)
class GammaModes:
    """Frequencies at Γ, THz, imaginary ones negative.

    Parameters
    ----------
    source
        Where they are from.
    frequencies
        All modes, ascending; acoustic modes exactly 0 where the sum rule was applied.
    raw
        The same without the sum rule.
    acoustic
        The three acoustic modes among ``raw``, ascending.
    optical
        The modes among ``frequencies`` that are not acoustic, ascending.
    """

    source: FrequencySource
    frequencies: Array
    raw: Array
    acoustic: Array
    optical: Array


def build_phonon(evidence: Evidence) -> Built:
    """Phonons at Γ from the run of the dielectric tensors.

    Parameters
    ----------
    evidence
        With the run under ``dielectric``, answered or not.

    Raises
    ------
    ValueError
        If no calculation was done at all.
    """
    head = evidence.head("dielectric") | {"threshold": evidence.protocol.gates.min_phonon_frequency}
    task = evidence.answer("dielectric")
    if task is None:
        reason = f"dielectric: {evidence.why_not('dielectric')}"
        return Built(PhononDoc(**head, status="unavailable", reason=reason))
    modes = read_modes(evidence)
    if modes is None:
        reason = "; ".join(mode_faults(evidence)) or "the run has neither force constants nor frequencies"
        return Built(PhononDoc(**head, status="unavailable", reason=reason))
    found = phonon_findings(modes.acoustic, modes.optical, modes.frequencies, head["threshold"])
    flags = (*run_flags("dielectric", task), *mode_faults(evidence), *(item.flag for item in found))
    return Built(PhononDoc(**head, status="complete", flags=flags, **_values(modes, head["threshold"])))


def read_modes(evidence: Evidence) -> GammaModes | None:
    """The modes that the run of the dielectric tensors gives; None if it has none.

    Force constants come first; a list of printed frequencies is taken as it is. Neither is taken with :func:`mode_faults`.
    """
    task = evidence.answer("dielectric")
    if task is None:
        return None
    shapes = _shapes(task)
    force_constants = evidence.sound("dielectric", "force_constants", shapes["force_constants"])
    if force_constants is not None:
        return modes_of(force_constants, masses_of(task.final.species))
    printed = evidence.sound("dielectric", "gamma_frequencies", shapes["gamma_frequencies"])
    return None if printed is None else modes_as_printed(printed)


def mode_faults(evidence: Evidence) -> list[str]:
    """What is wrong with the force constants and frequencies of the run of the dielectric tensors, where it has any."""
    task = evidence.answer("dielectric")
    if task is None:
        return []
    faults = (evidence.fault("dielectric", name, shape) for name, shape in _shapes(task).items())
    return [fault for fault in faults if fault is not None]


def _shapes(task: TaskDoc) -> dict[str, tuple[int, ...]]:
    size = 3 * len(task.final.species)
    return {"force_constants": (size, size), "gamma_frequencies": (size,)}


def masses_of(species: Sequence[str]) -> Array:
    """Standard atomic masses of chemical symbols, (n,), atomic mass units."""
    return np.array([float(Element(symbol).atomic_mass) for symbol in species])


def modes_of(force_constants: Array, masses: Array) -> GammaModes:
    """Modes of force constants, with the acoustic sum rule enforced.

    The sum rule is enforced by leaving the uniform translations out of the space in which the dynamical matrix is
    diagonalised. Of the modes without the sum rule those with the largest overlap with translations are the acoustic ones.

    Parameters
    ----------
    force_constants
        Second derivatives of the energy, (3 n, 3 n), eV/Å^2; the antisymmetric part is dropped.
    masses
        Atomic mass units, (n,).
    """
    weights = np.repeat(np.sqrt(masses), 3)
    symmetric = (force_constants + force_constants.T) / 2
    dynamical = symmetric / np.outer(weights, weights)
    values, vectors = np.linalg.eigh(dynamical)
    translations = np.tile(np.eye(3), (len(masses), 1)) * weights[:, None]
    basis, rest = _split(translations)
    overlap = ((basis.T @ vectors) ** 2).sum(axis=0)
    raw = _terahertz(values)
    optical = np.sort(_terahertz(np.linalg.eigvalsh(rest.T @ dynamical @ rest)))
    return GammaModes(
        source="force_constants",
        frequencies=np.sort(np.concatenate([np.zeros(3), optical])),
        raw=raw,
        acoustic=np.sort(raw[np.argsort(-overlap, kind="stable")[:3]]),
        optical=optical,
    )


def modes_as_printed(frequencies: Array) -> GammaModes:
    """Modes of a printed list, (3 n,) THz: the three of smallest magnitude are taken for the acoustic ones."""
    raw = np.sort(frequencies)
    order = np.argsort(np.abs(raw), kind="stable")
    return GammaModes("printed", raw, raw, np.sort(raw[order[:3]]), np.sort(raw[order[3:]]))


def ionic_tensor(force_constants: Array, born_charges: Array, volume: float) -> Array:
    """Ionic dielectric tensor of clamped cell shape from Born charges and force constants.

    ε = e²/(ε0 V) Z Φ⁻¹ Zᵀ in the space without uniform translations (Gonze and Lee, Phys. Rev. B 55, 10355 (1997), Eq. 62).

    Parameters
    ----------
    force_constants
        (3 n, 3 n), eV/Å^2.
    born_charges
        (n, 3, 3), e; field along rows, displacement along columns.
    volume
        Of the cell, Å^3.
    """
    n_sites = len(born_charges)
    _, rest = _split(np.tile(np.eye(3), (n_sites, 1)))
    charges = np.swapaxes(born_charges, 0, 1).reshape(3, 3 * n_sites) @ rest
    stiffness = rest.T @ ((force_constants + force_constants.T) / 2) @ rest
    return np.asarray(COULOMB / volume * charges @ np.linalg.solve(stiffness, charges.T))


def _split(translations: Array) -> tuple[Array, Array]:
    """Orthonormal bases of the space of three vectors (columns) and of its complement."""
    full, _ = np.linalg.qr(translations, mode="complete")
    return full[:, :3], full[:, 3:]


def _terahertz(eigenvalues: NDArray[np.floating]) -> Array:
    return np.asarray(np.sign(eigenvalues) * np.sqrt(np.abs(eigenvalues)) * TERAHERTZ)


def _values(modes: GammaModes, threshold: float) -> dict[str, Any]:
    optical = modes.optical
    return {
        "source": modes.source,
        "frequencies": tuple(modes.frequencies.tolist()),
        "frequencies_raw": tuple(modes.raw.tolist()),
        "acoustic_frequencies": tuple(modes.acoustic.tolist()),
        "acoustic_residual": float(np.abs(modes.acoustic).max()),
        "lowest_optical": float(optical[0]) if optical.size else None,
        "highest_optical": float(optical[-1]) if optical.size else None,
        "n_imaginary": int((optical < 0).sum()),
        "is_stable": bool(modes.frequencies[0] >= threshold),
    }
