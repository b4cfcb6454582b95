"""Band edges of the perfect supercell, and the states like them in a supercell with a defect.

Definitions are those of pydefect: a state is like a band edge if the projections onto elements and s p d f at the same k-point
differ from the edge's by little in sum, and its energy is near. The valence band is looked for from above, the conduction band
from below, so that states of the defect in the gap are passed over. pydefect rounds projections to three decimals and leaves f
out of those of LORBIT = 10; here they are taken as printed. It takes the energies of the edges from the spin-up channel;
here they are those of the channel that has the edge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hibana.defects.run import DefectRun
from hibana.protocol.protocol import DefectRule

Array = NDArray[np.float64]

REACH = 1.0
"""Bands that come this near to the VBM from below or to the CBM from above are looked at, eV; as pydefect's eigval_range."""

HALF = 0.5
"""A state of the perfect supercell is filled above this occupation."""

SAME_KPOINT = 1e-5
"""k-points whose coordinates differ by less than this in sum are one."""

DIGITS = 6
"""Decimals of what is held against a limit: more than VASP prints, fewer than arithmetic leaves exact."""


@dataclass(frozen=True)
class NoStates:
    """Why there are no states or band edges to compare."""

    reason: str


@dataclass(frozen=True)
class Bands:
    """Eigenvalues of a run; at each k-point the bands are in the order of energy.

    Parameters
    ----------
    energies, occupations
        (nspin, nk, nbands), eV and 0 to 1.
    kpoints, weights
        (nk, 3) in reciprocal-lattice units and (nk,) of sum 1.
    order
        (nspin, nk, nbands) place of each band in the tables of the run.
    """

    energies: Array
    occupations: Array
    kpoints: Array
    weights: Array
    order: NDArray[np.intp]


@dataclass(frozen=True)
class States:
    """Eigenstates of a run.

    Parameters
    ----------
    bands
        Eigenvalues.
    characters
        (nspin, nk, nbands, n_elements, 4) projections onto elements and s p d f, in the order of the bands.
    elements
        Elements in the order of the characters.
    """

    bands: Bands
    characters: Array
    elements: tuple[str, ...]


@dataclass(frozen=True)
class HostEdge:
    """A band edge of the perfect supercell.

    Parameters
    ----------
    energy
        eV, on the run's own scale.
    spin, band
        Channel, and band in the order of energy; from 0.
    kpoint
        (3,) in reciprocal-lattice units.
    characters
        (n_elements, 4) projections of the state.
    """

    energy: float
    spin: int
    band: int
    kpoint: Array
    characters: Array


@dataclass(frozen=True)
class HostEdges:
    """VBM and CBM of the perfect supercell, and the elements in the order of their characters."""

    vbm: HostEdge
    cbm: HostEdge
    elements: tuple[str, ...]

    @property
    def gap(self) -> float:
        """CBM less VBM, eV."""
        return self.cbm.energy - self.vbm.energy


@dataclass(frozen=True)
class FoundEdge:
    """The state of a supercell with a defect that is like a band edge.

    Parameters
    ----------
    band, kpoint
        Band in the order of energy, and k-point in that of the run; from 0.
    energy
        Above the VBM of the perfect supercell, eV.
    occupation
        0 to 1.
    dissimilarity
        Sum of the differences of the projections.
    site_shares
        (n_sites,) share of each site in the projections, sum 1; None if the projections onto sites are not known.
    """

    band: int
    kpoint: int
    energy: float
    occupation: float
    dissimilarity: float
    site_shares: Array | None = None

    def participation(self, sites: Sequence[int]) -> float | None:
        """Share of some sites in the projections: pydefect's participation ratio for the neighbours of the defect."""
        return participation(self.site_shares, sites)


def run_bands(run: DefectRun) -> Bands | NoStates:
    """Eigenvalues of a run, sorted by energy at each k-point."""
    for name in ("eigenvalues", "occupations", "kpoints", "kpoint_weights"):
        if getattr(run, name) is None:
            return NoStates(run.why_not(name))
    energies, occupations, kpoints, weights = (
        np.asarray(table, dtype=float) for table in (run.eigenvalues, run.occupations, run.kpoints, run.kpoint_weights)
    )
    nk = len(kpoints)
    alike = energies.ndim == 3 and energies.shape == occupations.shape and energies.size > 0 and energies.shape[1] == nk
    if not alike or kpoints.shape != (nk, 3) or weights.shape != (nk,):
        return NoStates("the tables of eigenvalues, occupations and k-points are not of one run")
    if not all(np.all(np.isfinite(table)) for table in (energies, occupations, kpoints, weights)) or weights.sum() <= 0:
        return NoStates("eigenvalues, occupations or k-points are not numbers")
    order = np.argsort(energies, axis=-1, kind="stable")
    return Bands(
        energies=np.take_along_axis(energies, order, axis=-1),
        occupations=np.take_along_axis(occupations, order, axis=-1),
        kpoints=kpoints,
        weights=weights / weights.sum(),
        order=order,
    )


def run_states(run: DefectRun) -> States | NoStates:
    """Eigenstates of a run with their projections."""
    bands = run_bands(run)
    if isinstance(bands, NoStates):
        return bands
    if run.projections is None:
        return NoStates(run.why_not("projections"))
    characters = np.asarray(run.projections, dtype=float)
    if characters.shape != (*bands.energies.shape, len(run.elements), 4):
        return NoStates("the projections are not of the same states as the eigenvalues")
    if not np.all(np.isfinite(characters)):
        return NoStates("the projections are not numbers")
    return States(bands, np.take_along_axis(characters, bands.order[..., None, None], axis=2), run.elements)


def host_edges(perfect: DefectRun) -> HostEdges | NoStates:
    """Band edges of the perfect supercell, by occupation over all k-points and spins.

    Parameters
    ----------
    perfect
        Its run, with projections.
    """
    states = run_states(perfect)
    if isinstance(states, NoStates):
        return states
    energies, filled = states.bands.energies, states.bands.occupations > HALF
    count = filled.sum(axis=-1)[:, :1]
    in_order = np.arange(energies.shape[-1]) < count[..., None]
    if not np.array_equal(filled, np.broadcast_to(in_order, filled.shape)):
        return NoStates("it has no band gap: the filled bands are not the same at each k-point")
    if not filled.any() or filled.all():
        return NoStates("it has no band edges: no band is filled, or none is empty")
    vbm = _host_edge(states, count[:, 0] - 1, -1)
    cbm = _host_edge(states, count[:, 0], 1)
    if cbm.energy <= vbm.energy:
        return NoStates("it has no band gap: filled and empty bands overlap")
    return HostEdges(vbm, cbm, states.elements)


def near_bands(energies: Array, gap: float) -> slice | None:
    """Bands within reach of the gap at any k-point of any spin; None if there are none.

    Parameters
    ----------
    energies
        (nspin, nk, nbands) above the VBM, bands in the order of energy, eV.
    gap
        eV.
    """
    above = energies.max(axis=(0, 1)) > -REACH
    below = energies.min(axis=(0, 1)) < gap + REACH
    first, end = int(above.argmax()), int(below.sum())
    return slice(first, end) if above.any() and first < end else None


def kpoint_index(kpoints: Array, kpoint: Array) -> int | None:
    """Index of a k-point or of one with the same energies; None if there is none.

    k-points a reciprocal-lattice vector apart are the same; k and -k have the same energies and projections, without spin-orbit
    coupling in each spin channel.

    Parameters
    ----------
    kpoints
        (nk, 3) in reciprocal-lattice units.
    kpoint
        (3,).
    """
    for other in (kpoint, -kpoint):
        steps = kpoints - other
        near = np.abs(steps - np.round(steps)).sum(axis=1) < SAME_KPOINT
        if near.any():
            return int(near.argmax())
    return None


def dissimilarity(characters: Array, elements: tuple[str, ...], edge: Array, edge_elements: tuple[str, ...]) -> Array:
    """Sum over elements and s p d f of the differences of projections, (...).

    Parameters
    ----------
    characters
        (..., n, 4) projections of states.
    elements
        The n elements.
    edge
        (m, 4) projections of a band edge.
    edge_elements
        Its m elements; what one side does not have is 0 there.
    """
    union = tuple(dict.fromkeys((*edge_elements, *elements)))
    difference = _onto(characters, elements, union) - _onto(edge, edge_elements, union)
    return np.asarray(np.abs(difference).sum(axis=(-2, -1)))


def find_edges(
    states: States, energies: Array, host: HostEdges, near: slice, spin: int, rule: DefectRule
) -> tuple[FoundEdge, FoundEdge] | NoStates:
    """States of one spin channel that are like the VBM and the CBM of the perfect supercell.

    Parameters
    ----------
    states
        Of the supercell with the defect.
    energies
        (nspin, nk, nbands) theirs above the VBM of the perfect supercell, eV.
    host
        Band edges of the perfect supercell.
    near
        Bands to look at.
    spin
        Channel.
    rule
        Energy window and limit of the dissimilarity.
    """
    found = []
    for name, edge in (("VBM", host.vbm), ("CBM", host.cbm)):
        at = kpoint_index(states.bands.kpoints, edge.kpoint)
        if at is None:
            return NoStates(f"the k-point of the {name} of the perfect supercell is not one of the run")
        levels = energies[spin, at, near]
        differences = np.round(
            dissimilarity(states.characters[spin, at, near], states.elements, edge.characters, host.elements), DIGITS
        )
        inside = levels < rule.edge_window if name == "VBM" else levels > np.round(host.gap - rule.edge_window, DIGITS)
        alike = np.flatnonzero(inside & (differences < rule.edge_dissimilarity))
        if not alike.size:
            return NoStates(_nothing_alike(name, spin, differences[inside], rule))
        index = int(alike[-1] if name == "VBM" else alike[0])
        band = near.start + index
        occupation = float(states.bands.occupations[spin, at, band])
        found.append(FoundEdge(band, at, float(levels[index]), occupation, float(differences[index])))
    vbm, cbm = found
    if cbm.band <= vbm.band:
        return NoStates(f"the state like the CBM is not above the one like the VBM in the {channel(spin)} channel")
    return vbm, cbm


def participation(site_shares: Array | None, sites: Sequence[int]) -> float | None:
    """Part of a state that is on some sites; None if its shares are not known or there are no such sites."""
    return None if site_shares is None or not len(sites) else float(site_shares[list(sites)].sum())


def channel(spin: int) -> str:
    """Name of a spin channel."""
    return ("spin-up", "spin-down")[spin]


def _host_edge(states: States, bands: NDArray[np.intp], side: int) -> HostEdge:
    """Lowest (side 1) or highest (-1) state of one band of each spin channel; the first where several are."""
    table = states.bands.energies
    spins = [spin for spin, band in enumerate(bands) if 0 <= band < table.shape[-1]]
    spin, at = min(
        ((spin, at) for spin in spins for at in range(table.shape[1])), key=lambda place: side * table[(*place, bands[place[0]])]
    )
    band = int(bands[spin])
    return HostEdge(float(table[spin, at, band]), spin, band, states.bands.kpoints[at], states.characters[spin, at, band])


def _onto(characters: Array, elements: tuple[str, ...], union: tuple[str, ...]) -> Array:
    """Characters with a row for each element of the union."""
    rows = np.zeros((*characters.shape[:-2], len(union), 4))
    rows[..., [union.index(element) for element in elements], :] = characters
    return rows


def _nothing_alike(name: str, spin: int, differences: Array, rule: DefectRule) -> str:
    where = f"no state of the {channel(spin)} channel within {rule.edge_window} eV is like the {name} of the perfect supercell"
    if not differences.size:
        return f"{where}: there is none in that window"
    return f"{where}: the least dissimilar differs by {differences.min():.2f}, the limit is {rule.edge_dissimilarity}"
