"""The real part of a dielectric function from its imaginary part.

With χ = ε - 1 and the imaginary part odd in the energy,

    Re χ(E) = 2/π P∫_0^∞ E' Im χ(E') / (E'^2 - E^2) dE' = 1/π P∫_-∞^∞ Im χ(E') / (E' - E) dE'.

:func:`susceptibility` takes the principal value exactly for the function that is linear between the grid's points;
:func:`broadened_susceptibility` is the sum with a broadened kernel that vise makes, for comparison with data of that origin.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

UNIT = np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])
"""The unit tensor in the order xx yy zz xy yz zx."""

VISE_BROADENING = 0.01
"""Broadening of vise's kernel, eV^2: it is added to the square of a difference of squared energies."""

UNIFORM = 0.05
"""By how much of a step a point may lie off the uniform grid; codes print energies with four decimals."""

BLOCK = 256
"""Rows of the kernel that are held at a time."""


def uniform_step(energies: ArrayLike) -> float:
    """Step of a uniform grid that starts at zero, from its end and its number of points.

    Parameters
    ----------
    energies
        (n,) energies, eV; rounded to a few decimals as codes print them.

    Raises
    ------
    ValueError
        If the energies are not such a grid.
    """
    grid = np.asarray(energies, dtype=float)
    if grid.ndim != 1 or len(grid) < 3 or not np.isfinite(grid).all():
        raise ValueError("a spectrum needs three or more finite energies")
    step = grid[-1] / (len(grid) - 1)
    if step <= 0 or np.abs(grid - step * np.arange(len(grid))).max() > UNIFORM * step:
        raise ValueError("the energies of the spectrum are not a uniform grid from 0")
    return float(step)


def susceptibility(energies: ArrayLike, imag: ArrayLike) -> Floats:
    """Real part of ε - 1 from the imaginary part of ε, principal value.

    The imaginary part is taken as odd, linear between the points, and falling to zero within a step after the last one. For
    that function the integral is exact: the kernel of a point at distance m steps is ∫ hat(t - m)/t dt = m ln(1 - 1/m^2) +
    2 artanh(1/m), and the transform is a convolution, done by FFT in O(n log n).

    Parameters
    ----------
    energies
        (n,) uniform grid from 0, eV.
    imag
        (n,) or (n, k) imaginary part; its value at zero energy, where it is odd, does not count.

    Returns
    -------
    ndarray
        Re ε - 1 on the same grid, of the shape of `imag`. For a component off the diagonal it is Re ε itself.

    Raises
    ------
    ValueError
        If the grid is not uniform from 0, or the imaginary part is not finite or of another length.
    """
    uniform_step(energies)
    columns = _columns(energies, imag)
    n = len(columns)
    size = 1 << (4 * n - 1).bit_length()
    kernel = np.zeros(size)
    half = _hat_kernel(2 * n)
    kernel[: 2 * n] = -half
    kernel[-(2 * n - 1) :] = half[:0:-1]
    odd = np.zeros((size, columns.shape[1]))
    odd[1:n] = columns[1:]
    odd[-(n - 1) :] = -columns[:0:-1]
    product = np.fft.rfft(odd, axis=0) * np.fft.rfft(kernel)[:, None]
    return np.reshape(np.fft.irfft(product, size, axis=0)[:n] / np.pi, np.shape(imag))


def real_part(energies: ArrayLike, imag: ArrayLike) -> Floats:
    """Real part of a dielectric tensor from its imaginary part.

    Parameters
    ----------
    energies
        (n,) uniform grid from 0, eV.
    imag
        (n, 6) imaginary part, xx yy zz xy yz zx.

    Returns
    -------
    ndarray
        (n, 6) real part.

    Raises
    ------
    ValueError
        As :func:`susceptibility`.
    """
    return UNIT + susceptibility(energies, imag)


def broadened_susceptibility(energies: ArrayLike, imag: ArrayLike, broadening: float = VISE_BROADENING) -> Floats:
    """Real part of ε - 1 as vise's ``kramers_kronig_trans`` defines it.

    The sum over points of 2/π E' Im ε(E') x / (x^2 + broadening^2) with x = E'^2 - E^2, times the step. The width of the kernel
    is broadening/2E in energy, so sharp features are smoothed at low energies and noisy at high ones.

    Parameters
    ----------
    energies
        (n,) uniform grid from 0, eV.
    imag
        (n,) or (n, k) imaginary part.
    broadening
        eV^2, above 0.

    Returns
    -------
    ndarray
        Re ε - 1 on the same grid, of the shape of `imag`.

    Raises
    ------
    ValueError
        As :func:`susceptibility`; if the broadening is not positive.
    """
    if broadening <= 0:
        raise ValueError(f"the broadening must be positive; it is {broadening}")
    step = uniform_step(energies)
    columns = _columns(energies, imag)
    grid = np.asarray(energies, dtype=float)
    squares, weighted = grid**2, grid[:, None] * columns
    total = np.zeros_like(columns)
    for start in range(0, len(grid), BLOCK):
        stop = min(start + BLOCK, len(grid))
        kernel = squares[None, start:] - squares[start:stop, None]
        kernel /= kernel * kernel + broadening**2
        total[start:stop] += kernel @ weighted[start:]
        total[stop:] -= kernel[:, stop - start :].T @ weighted[start:stop]
    return np.reshape(total * (2 * step / np.pi), np.shape(imag))


def _columns(energies: ArrayLike, imag: ArrayLike) -> Floats:
    values = np.asarray(imag, dtype=float)
    if values.ndim not in (1, 2) or len(values) != np.size(energies):
        raise ValueError("the imaginary part needs one row an energy")
    if not np.isfinite(values).all():
        raise ValueError("the imaginary part holds numbers that are not finite")
    return values.reshape(len(values), -1)


def _hat_kernel(n: int) -> Floats:
    """∫ hat(t - m)/t dt for m = 0 ... n - 1, hat being 1 - |t| on [-1, 1]."""
    kernel = np.zeros(n)
    kernel[1] = 2 * np.log(2)
    m = np.arange(2, n, dtype=float)
    kernel[2:] = m * np.log1p(-1 / m**2) + 2 * np.arctanh(1 / m)
    return kernel
