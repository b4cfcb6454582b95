"""LOPTICS: the frequency-dependent dielectric function of independent particles.

The imaginary part is a sum over transitions, by linear tetrahedra for ISMEAR = -4 and -5 and otherwise with the run's own
smearing. The real part is its Hilbert transform, exact for the piecewise linear function through the points of the grid, with
the frequency shifted off the real axis by CSHIFT, as in VASP; CSHIFT = 0 leaves the imaginary part as it is.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase.units import Bohr, Ha
from numpy.typing import NDArray
from scipy.signal import fftconvolve

from hibana.rehearsal.bands import MeshStates
from hibana.rehearsal.dos import smearing
from hibana.rehearsal.inputs import RunInputs
from hibana.rehearsal.response import insulator, regular_grid
from hibana.rehearsal.result import Floats, Spectrum
from hibana.rehearsal.settings import Settings
from hibana.rehearsal.spacegroup import SpaceGroup
from hibana.rehearsal.tetrahedron import densities, different, tetrahedra
from hibana.rehearsal.transitions import momenta

COMPONENTS = ((0, 0), (1, 1), (2, 2), (0, 1), (1, 2), (2, 0))
"""VASP's order of a symmetric tensor: xx yy zz xy yz zx."""


@dataclass(frozen=True)
class SpectrumRun:
    """A spectrum and how it was made."""

    spectrum: Spectrum
    account: dict[str, Any]


@dataclass(frozen=True)
class _Transitions:
    """Transitions of one spin: energies (nk, n), eV, and ``Re p p*`` in the crystal's invariant tensors (nk, n, nt), 1/Bohr^2."""

    energies: Floats
    strengths: Floats


def optical_spectrum(inputs: RunInputs, calculator: Any, mesh: MeshStates) -> SpectrumRun:
    """The dielectric function on VASP's grid.

    Parameters
    ----------
    inputs
        NEDOS, OMEGAMAX, CSHIFT, ISMEAR and the mesh.
    calculator
        A converged GPAW calculation with NBANDS bands.
    mesh
        Its states.

    Raises
    ------
    RehearsalError
        HIB-195 if the k points are no regular mesh, HIB-196 without a gap.
    """
    start = time.process_time()
    settings = inputs.settings
    filled = insulator(mesh, "LOPTICS")
    grid = regular_grid(inputs, "LOPTICS")
    basis = SpaceGroup.of(inputs).invariant_tensors()
    transitions = [_transitions(calculator, spin, n, settings.nbands, basis) for spin, n in enumerate(filled)]
    energies, reported = _energies(settings, mesh.eigenvalues, max(t.energies.max() for t in transitions))
    ibz = calculator.dft.ibzwfs.ibz
    if settings.ismear <= -4 and len(grid.points) > 1:
        corners, shares = different(np.array(ibz.bz2ibz_K), tetrahedra(grid.divisions, np.linalg.inv(inputs.lattice).T))
        parts = [_by_tetrahedra(energies, t, corners, shares) for t in transitions]
    else:
        parts = [_smeared(settings, energies, t, np.array(ibz.weight_k)) for t in transitions]
    volume = abs(np.linalg.det(inputs.lattice)) / Bohr**3
    absorption = 4 * np.pi**2 / volume * 2 / len(filled) * Ha**3 * np.sum(parts, axis=0)  # (nt, ne)
    function = hilbert(absorption, energies[1], settings.cshift)[:, :reported]
    tensors = np.einsum("te,tij->eij", function, basis)
    values = np.stack([tensors[:, i, j] for i, j in COMPONENTS], axis=1)
    values.real[:, :3] += 1.0
    spectrum = Spectrum(energies[:reported], values.real.copy(), values.imag.copy())
    average = np.einsum("te,tii->e", absorption, basis) / 3
    account = {
        "method": "independent particles, transitions between the bands of this run, no local fields",
        "integration": "linear tetrahedra" if settings.ismear <= -4 else f"smearing of {settings.sigma:g} eV (ISMEAR, SIGMA)",
        "cshift_eV": settings.cshift,
        "bands": settings.nbands,
        "electrons_in_f_sum": round(float(volume / (2 * np.pi**2) * np.trapezoid(energies * average, energies) / Ha**2), 4),
        "cpu_seconds": round(time.process_time() - start, 1),
    }
    return SpectrumRun(spectrum, account)


def hilbert(absorption: Floats, step: float, shift: float) -> NDArray[np.complex128]:
    """Complex dielectric function less 1 from its imaginary part.

    ``(1/pi) int f(w') / (w' - w - i shift) dw'`` over both signs of w', f odd and linear between the points.

    Parameters
    ----------
    absorption
        (n, ne) at ``0, step, 2 step, ...``; 0 at 0 and beyond the last.
    step
        eV.
    shift
        Shift of the frequency off the real axis, eV; with 0 the imaginary part comes back as it was.

    Returns
    -------
    (n, ne) complex
    """
    count = absorption.shape[1]
    odd = np.concatenate([-absorption[:, :0:-1], absorption], axis=1)
    distance = np.arange(-2 * count, 2 * count + 1) * step
    length = np.hypot(distance, shift)
    logarithm = np.log(np.where(length > 0, length, 1.0)) + 1j * np.arctan2(-shift, distance)
    if shift == 0:
        logarithm.imag = np.where(distance < 0, -np.pi, np.where(distance > 0, 0.0, -np.pi / 2))
    antiderivative = (distance - 1j * shift) * logarithm
    kernel = np.diff(antiderivative, 2) / step  # at distances -(2 count - 1) ... 2 count - 1
    # element i is sum_j odd_j kernel(j - i): a convolution with the reversed kernel
    full = fftconvolve(odd.astype(complex), kernel[None, ::-1], axes=1)
    centre = len(kernel) // 2
    return np.asarray(full[:, centre + count - 1 : centre + 2 * count - 1] / np.pi)


def _transitions(calculator: Any, spin: int, filled: int, bands: int, basis: Floats) -> _Transitions:
    states = calculator.dft.ibzwfs
    shape = (len(states.ibz), filled * (bands - filled))
    energies, strengths = np.zeros(shape), np.zeros((*shape, len(basis)))
    for wave in states:
        if wave.spin != spin:
            continue
        elements = momenta(wave, slice(0, filled), slice(filled, bands)).reshape(-1, 3)
        products = np.einsum("na,nb->nab", elements.conj(), elements).real
        strengths[wave.k] = np.einsum("nab,tab->nt", products, basis)
        eigenvalues = wave.eig_n[:bands] * Ha
        energies[wave.k] = (eigenvalues[None, filled:] - eigenvalues[:filled, None]).ravel()
    return _Transitions(energies, strengths)


def _energies(settings: Settings, eigenvalues: Floats, highest: float) -> tuple[Floats, int]:
    """A grid up to the highest transition, and how many of its points are reported: NEDOS from 0 to OMEGAMAX."""
    top = settings.omegamax or float(eigenvalues.max() - eigenvalues.min())
    step = top / (settings.nedos - 1)
    count = max(settings.nedos, int(np.ceil(highest / step)) + 2)
    return np.arange(count) * step, settings.nedos


def _by_tetrahedra(energies: Floats, transitions: _Transitions, corners: NDArray[np.int_], shares: Floats) -> Floats:
    """``sum p p* delta(E) / E^2`` (nt, ne), 1/eV^3 times 1/Bohr^2."""
    density = densities(energies, transitions.energies, transitions.strengths, corners, shares)[0]
    return np.asarray(np.divide(density, energies**2, out=np.zeros_like(density), where=energies > 0))


def _smeared(settings: Settings, energies: Floats, transitions: _Transitions, weights: Floats) -> Floats:
    """The same with smeared levels, made odd in the energy."""
    total = np.zeros((transitions.strengths.shape[2], len(energies)))
    for k, weight in enumerate(weights):
        levels = transitions.energies[k][:, None]
        strengths = weight * transitions.strengths[k] / levels**2
        delta = smearing(settings.ismear, (energies - levels) / settings.sigma)[0]
        mirrored = smearing(settings.ismear, (energies + levels) / settings.sigma)[0]
        total += strengths.T @ (delta - mirrored) / settings.sigma
    return total
