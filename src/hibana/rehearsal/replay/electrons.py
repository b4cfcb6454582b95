"""Toy tight-binding bands, their filling and the density of states that follows from them.

Band n is e_n ± w s(k), where s(k) = Σ_R h(|R|)(1 - cos 2πk·R) / 2Σ_R h(|R|) over lattice vectors R, with h fading with distance.
It is periodic, has the symmetry of the lattice, is 0 at Γ and at most 1. Valence bands have their top at Γ (0 eV), conduction
bands their bottom there, at the gap; a metal's overlap.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hibana.rehearsal.replay.question import Question
from hibana.rehearsal.replay.traits import ANIONS, Traits, gap_of
from hibana.rehearsal.result import Bands, Dos, Floats
from hibana.rehearsal.settings import default_nbands

DEPTH, HEIGHT = 5.0, 0.4
"""Energy over which the valence bands are spread, and distance of the conduction bands, eV."""

BROADENING = 0.02
"""Half width of the box that a level is smeared over in the density of states, eV."""

IN_SPHERES = 0.9
"""Part of a state that lies in the spheres of the atoms."""

# s, py, pz, px and five d: shares of cations and anions in valence and in conduction bands
_P, _S, _D = (0, 1 / 3, 1 / 3, 1 / 3, 0, 0, 0, 0, 0), (1, 0, 0, 0, 0, 0, 0, 0, 0), (0, 0, 0, 0, 0.2, 0.2, 0.2, 0.2, 0.2)


@dataclass(frozen=True)
class Electrons:
    """Bands on the points of KPOINTS, density of states, Fermi level (eV) and total moment (μB; None for ISPIN = 1)."""

    bands: Bands
    dos: Dos
    efermi: float
    moment: float | None


def electrons_of(question: Question, traits: Traits, lattice: Floats) -> Electrons:
    """The electrons of the question's material in a cell."""
    nelect = question.number("NELECT", question.valence)
    nspin = question.integer("ISPIN", 1)
    moment = _moment(question, nelect) if nspin == 2 else None
    filled = [int(nelect // 2)] if moment is None else [round((nelect + sign * moment) / 2) for sign in (1, -1)]
    fewest = max(default_nbands(nelect, len(question.frac_coords)), max(filled) + 4)
    nbands = max(question.integer("NBANDS", 0), fewest)
    gap = gap_of(traits, question)
    whole = abs(nelect - (2 * filled[0] if moment is None else sum(filled))) < 1e-6
    zone, zone_weights = question.points.zone
    values = _levels(question.points.coordinates, lattice, filled, nbands, gap, traits.width)
    on_zone = _levels(zone, lattice, filled, nbands, gap, traits.width)
    per_state = 2.0 / nspin
    if gap > 0 and whole:
        index = np.arange(nbands)
        occupations = np.broadcast_to(np.array([(index < n).astype(float) for n in filled])[:, None, :], values.shape).copy()
        efermi = gap / 2
    else:
        sigma = max(question.number("SIGMA", 0.1), 0.01)
        efermi = _fermi_level(on_zone[..., :fewest], zone_weights, nelect / per_state, sigma)
        occupations = _filling(values, efermi, sigma)
    characters = _characters(question.symbols)
    wanted = question.integer("LORBIT", 0) >= 10
    bands = Bands(
        question.points.coordinates,
        question.points.weights,
        values,
        occupations,
        projections=_projections(characters, filled, values.shape) if wanted else None,
    )
    dos = _density(question, on_zone, zone_weights, filled, per_state, characters if wanted else None)
    return Electrons(bands, dos, efermi, moment)


def _moment(question: Question, nelect: float) -> float:
    """The moment that NUPDOWN fixes, else the smallest that the number of electrons allows."""
    fixed = question.number("NUPDOWN", -1.0)
    return fixed if fixed >= 0 else float(round(nelect) % 2)


def _levels(points: Floats, lattice: Floats, filled: list[int], nbands: int, gap: float, width: float) -> Floats:
    """Eigenvalues (nspin, n, nbands), eV, ascending."""
    wave = width * _dispersion(points, lattice)[:, None]
    spins = []
    for n in filled:
        depth = DEPTH * np.arange(n)[::-1] / max(n, 1)
        height = HEIGHT * np.arange(nbands - n)
        spins.append(np.concatenate([-wave - depth, gap + 1.5 * wave + height], axis=1))
    return np.sort(np.array(spins), axis=2)


def _dispersion(points: Floats, lattice: Floats) -> Floats:
    """s(k) of every point, (n,)."""
    reach = 1.5 * float(np.linalg.norm(lattice, axis=1).max())
    ranges = np.ceil(reach * np.linalg.norm(np.linalg.inv(lattice), axis=0)).astype(int)
    steps = np.array(np.meshgrid(*[np.arange(-n, n + 1) for n in ranges], indexing="ij")).reshape(3, -1).T
    lengths = np.linalg.norm(steps @ lattice, axis=1)
    near = (lengths > 0) & (lengths < reach)
    hops = np.exp(-2.0 * (lengths[near] / lengths[near].min() - 1)) * (1 - lengths[near] / reach) ** 2
    return np.asarray((hops * (1 - np.cos(2 * np.pi * points @ steps[near].T))).sum(axis=1) / (2 * hops.sum()))


def _filling(values: Floats, level: float, sigma: float) -> Floats:
    return np.asarray(1 / (1 + np.exp(np.clip((values - level) / sigma, -60, 60))))


def _fermi_level(values: Floats, weights: Floats, states: float, sigma: float) -> float:
    """The level up to which `states` states of both spins are filled, by bisection."""
    low, high = float(values.min()) - 10, float(values.max()) + 10
    for _ in range(100):
        middle = (low + high) / 2
        held = float((_filling(values, middle, sigma) * weights[None, :, None]).sum())
        low, high = (middle, high) if held < states else (low, middle)
    return (low + high) / 2


def _characters(symbols: list[str]) -> Floats:
    """Shares of every atom's orbitals in a valence and in a conduction state, (2, n_atoms, 9)."""
    anion = np.array([symbol in ANIONS for symbol in symbols])
    if anion.all() or not anion.any():
        anion[:] = True
    shares = np.zeros((2, len(symbols), 9))
    n_anions, n_cations = int(anion.sum()), int((~anion).sum())
    shares[0, anion], shares[1, anion] = np.array(_P) / n_anions, np.array(_S) / n_anions
    if n_cations:
        shares[0, anion] *= 0.8
        shares[1, anion] *= 0.3
        shares[0, ~anion] = 0.2 * (0.5 * np.array(_P) + 0.5 * np.array(_D)) / n_cations
        shares[1, ~anion] = 0.7 * np.array(_S) / n_cations
    return IN_SPHERES * shares


def _projections(characters: Floats, filled: list[int], shape: tuple[int, ...]) -> Floats:
    """Projections of every state, (nspin, n, nbands, n_atoms, 9)."""
    nspin, n_points, nbands = shape
    kinds = np.array([(np.arange(nbands) >= n).astype(int) for n in filled])
    return np.ascontiguousarray(np.broadcast_to(characters[kinds][:, None], (nspin, n_points, nbands, *characters.shape[1:])))


def _density(
    question: Question, values: Floats, weights: Floats, filled: list[int], per_state: float, characters: Floats | None
) -> Dos:
    """Total, integrated and partial densities; partial ones follow from the characters of valence and conduction bands."""
    low = question.incar.get("EMIN", float(values.min()) - 1)
    high = question.incar.get("EMAX", float(values.max()) + 1)
    energies = np.linspace(float(low), float(high), max(question.integer("NEDOS", 301), 2))
    kinds = [
        [_counted(energies, item, weights) for item in (spin[:, :n], spin[:, n:])] for spin, n in zip(values, filled, strict=True)
    ]
    counted = per_state * np.array(kinds)
    density = np.diff(counted, axis=2, prepend=counted[:, :, :1]) / (energies[1] - energies[0])
    partial = None if characters is None else np.einsum("ske,kao->asoe", density, characters)
    return Dos(energies, density.sum(axis=1), counted.sum(axis=1), partial)


def _counted(energies: Floats, levels: Floats, weights: Floats) -> Floats:
    """States below each energy, every level smeared over a box."""
    if not levels.size:
        return np.zeros(len(energies))
    flat, shares = levels.ravel(), np.repeat(weights, levels.shape[1])
    order = np.argsort(flat)
    flat, shares = flat[order], shares[order]
    below = np.concatenate([[0.0], np.cumsum(shares)])
    moment = np.concatenate([[0.0], np.cumsum(shares * flat)])

    def integral(x: Floats) -> Floats:
        place = np.searchsorted(flat, x)
        return np.asarray(below[place] * x - moment[place])

    return (integral(energies + BROADENING) - integral(energies - BROADENING)) / (2 * BROADENING)
