"""Optical functions of a dielectric function, as plain arrays.

Tensors are (n, 6) in the order xx yy zz xy yz zx, energies in eV. The average of a dielectric function is a third of its trace,
taken of the complex tensor; refractive index, absorption and reflectivity of the average are made of it and not averaged.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hibana.properties.kramers_kronig import uniform_step

Floats = NDArray[np.float64]
Complex = NDArray[np.complex128]
Array = NDArray[Any]

WAVENUMBER = 8065.543937
"""1/cm per eV, CODATA 2018."""

PLASMON = 4 * np.pi * 27.211386245988**2 * 0.529177210903**3
"""Squared plasma energy of one electron per Å^3, eV^2 Å^3: 4π Hartree^2 bohr^3, CODATA 2018."""

ABSORPTION_FLOOR = 1e2
"""1/cm; smaller absorption coefficients are not told apart from it on the logarithmic scale."""

ONSET_ABSORPTION = 1e4
"""1/cm; absorption sets in where it is exceeded: the length of absorption is then 1 μm, and the onset neither follows the
weak tail of broadening nor forbidden and indirect transitions, which independent particles describe badly or not at all."""

EDGE_WIDTH = 1.0
"""eV above the onset over which the strength of the edge is integrated."""

_PACKED = ((0, 0), (1, 1), (2, 2), (0, 1), (1, 2), (2, 0))


def unpack_tensor(tensor: Array) -> Array:
    """(..., 6) to symmetric (..., 3, 3)."""
    full = np.empty((*tensor.shape[:-1], 3, 3), dtype=tensor.dtype)
    for position, (i, j) in enumerate(_PACKED):
        full[..., i, j] = full[..., j, i] = tensor[..., position]
    return full


def rotate(tensor: Array, rotation: ArrayLike) -> Array:
    """R T R^T of symmetric tensors.

    Parameters
    ----------
    tensor
        (..., 6), real or complex.
    rotation
        (3, 3) R, which turns vectors of the old axes into those of the new ones.
    """
    matrix = np.asarray(rotation, dtype=float)
    turned = matrix @ unpack_tensor(tensor) @ matrix.T
    return np.stack([turned[..., i, j] for i, j in _PACKED], axis=-1)


def average(tensor: Array) -> Array:
    """A third of the trace of (..., 6) tensors."""
    return tensor[..., :3].mean(axis=-1)


def energy_grid(energy_max: float, step: float) -> Floats:
    """Energies from 0 to `energy_max`, both included, eV."""
    return np.linspace(0.0, energy_max, round(energy_max / step) + 1)


def scissor(energies: ArrayLike, imag: ArrayLike, shift: float, gap: float = 0.0) -> tuple[Floats, Floats]:
    """Imaginary part with its onset moved up rigidly: ε2'(E) = ε2(E - Δ) (E - Δ)/E, zero below the moved gap.

    With this weight ∫ E ε2 dE, the f-sum, stays what it is. Between grid points ε2 is linear.

    Parameters
    ----------
    energies
        (n,) uniform grid from 0, eV.
    imag
        (n,) or (n, k) imaginary part.
    shift
        Δ, eV, 0 or above.
    gap
        Gap before the shift, eV; what a broadened or noisy spectrum has below it is removed.

    Returns
    -------
    ndarray, ndarray
        (m,) the grid with the points up to the end plus Δ, and (m,) or (m, k) the moved imaginary part.

    Raises
    ------
    ValueError
        If the shift is negative: there is no absorption left to move below zero energy, and a hybrid gap below the semilocal one
        is a fault of one of the two. If the grid is not uniform from 0.
    """
    step = uniform_step(energies)
    if not shift >= 0:
        raise ValueError(f"a scissor shift is not negative; it is {shift:.3f} eV")
    values = np.asarray(imag, dtype=float)
    n = len(values)
    grid = step * np.arange(n + int(shift / step + 1e-9))
    old = grid - shift
    moved = _columnwise(old, step * np.arange(n), values, left=0.0)
    weight = np.divide(old, grid, out=np.zeros_like(grid), where=grid > 0)
    weight[(old < 0) | (grid < gap + shift)] = 0.0
    return grid, moved * (weight if values.ndim == 1 else weight[:, None])


def resample(energies: ArrayLike, values: ArrayLike, grid: ArrayLike) -> Array:
    """Values on another grid, linear between points, NaN beyond the last energy.

    Parameters
    ----------
    energies
        (n,) increasing, eV.
    values
        (n,) or (n, k), real or complex.
    grid
        (m,) eV.
    """
    end = np.asarray(energies, dtype=float)[-1]
    points = np.asarray(grid, dtype=float)
    inside = np.where((points > end) & (points < end + 1e-6), end, points)
    columns = np.asarray(values)
    return _columnwise(inside, energies, columns, right=complex(np.nan, np.nan) if np.iscomplexobj(columns) else np.nan)


def refractive_index(epsilon: ArrayLike) -> Complex:
    """Complex refractive index n + ik, the square root of ε with n not negative; any shape."""
    return np.sqrt(np.asarray(epsilon, dtype=complex))


def absorption(energies: ArrayLike, epsilon: ArrayLike) -> Floats:
    """Absorption coefficient 4π k E/hc, 1/cm.

    Parameters
    ----------
    energies
        (n,) eV.
    epsilon
        (n,) complex dielectric function, or (n, k) of several polarisations.
    """
    extinction = refractive_index(epsilon).imag
    energy = np.asarray(energies, dtype=float)
    return 4 * np.pi * WAVENUMBER * extinction * (energy if extinction.ndim == 1 else energy[:, None])


def log10_absorption(alpha: ArrayLike) -> Floats:
    """log10 of absorption coefficients in 1/cm, not below 2; NaN stays NaN."""
    return np.log10(np.maximum(np.asarray(alpha, dtype=float), ABSORPTION_FLOOR))


def reflectivity(epsilon: ArrayLike) -> Floats:
    """Share of the light that is reflected at normal incidence from vacuum; any shape."""
    index = refractive_index(epsilon)
    return ((index.real - 1) ** 2 + index.imag**2) / ((index.real + 1) ** 2 + index.imag**2)


def effective_electrons(energies: ArrayLike, imag_average: ArrayLike, volume: float) -> Floats:
    """Electrons per cell that take part in transitions up to each energy: the f-sum rule.

    N(E) = 2/π ∫_0^E E' ε2(E') dE' / (squared plasma energy of one electron in the cell), trapezoids.

    Parameters
    ----------
    energies
        (n,) eV.
    imag_average
        (n,) average of the imaginary part.
    volume
        Of the cell, Å^3.
    """
    energy = np.asarray(energies, dtype=float)
    moment = energy * np.asarray(imag_average, dtype=float)
    strips = np.diff(energy) * (moment[1:] + moment[:-1]) / 2
    return np.concatenate(([0.0], np.cumsum(strips))) * 2 / np.pi * volume / PLASMON


def onset_energy(energies: ArrayLike, alpha: ArrayLike, threshold: float = ONSET_ABSORPTION) -> float | None:
    """Lowest energy at which the absorption coefficient (n,) exceeds a threshold, eV, linear between points; None if nowhere."""
    energy, values = np.asarray(energies, dtype=float), np.asarray(alpha, dtype=float)
    above = np.flatnonzero(values > threshold)
    if not len(above):
        return None
    last = int(above[0])
    if last == 0:
        return float(energy[0])
    part = (threshold - values[last - 1]) / (values[last] - values[last - 1])
    return float(energy[last - 1] + part * (energy[last] - energy[last - 1]))


def edge_integral(energies: ArrayLike, alpha: ArrayLike, start: float, width: float = EDGE_WIDTH) -> float | None:
    """∫ α dE from `start` over `width` eV, in eV/cm; None if the spectrum (n,) does not reach that far."""
    energy = np.asarray(energies, dtype=float)
    stop = start + width
    inner = energy[(energy > start) & (energy < stop)]
    points = np.concatenate(([start], inner, [stop]))
    total = float(np.trapezoid(resample(energy, alpha, points), points))
    return total if np.isfinite(total) else None


def _columnwise(points: ArrayLike, grid: ArrayLike, values: Array, **ends: Any) -> Array:
    if values.ndim == 1:
        return np.interp(points, grid, values, **ends)
    return np.stack([np.interp(points, grid, column, **ends) for column in values.T], axis=-1)
