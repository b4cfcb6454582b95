"""Where the electrons of a defect are: in states of its own, in the bands of the host, or not known.

A hole in a valence band or an electron in a conduction band is bound to a charged defect by its Coulomb field only, over more
than a supercell: the energy of such a perturbed host state says nothing of the defect (Y. Kumagai et al., Phys. Rev. Mater. 5,
123803 (2021)). Numbers are those of pydefect's band-edge states.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hibana.defects.band_edges import (
    DIGITS,
    Bands,
    FoundEdge,
    HostEdges,
    NoStates,
    States,
    channel,
    find_edges,
    host_edges,
    near_bands,
    participation,
    run_bands,
    run_states,
)
from hibana.defects.run import DefectRun, SiteWeights
from hibana.documents.vacancy import EdgeState
from hibana.protocol.protocol import DefectRule

Array = NDArray[np.float64]

DEGENERATE = 0.01
"""Levels of one spin nearer than this to the next are one degenerate level, eV."""


@dataclass(frozen=True)
class LocalisedLevel:
    """A band between those of the host's band edges, averaged over the k-points.

    Parameters
    ----------
    spin, band
        Channel, and band in the order of energy; from 0.
    energy
        Above the VBM of the perfect supercell, eV.
    occupation
        0 to 1.
    degeneracy
        Number of levels of its spin at this energy.
    characters
        Projections onto s, p, d and f of each element.
    site_shares
        (n_sites,) share of each site in the projections, sum 1; None if the projections onto sites are not known.
    """

    spin: int
    band: int
    energy: float
    occupation: float
    degeneracy: int
    characters: dict[str, tuple[float, float, float, float]]
    site_shares: Array | None = None

    def participation(self, sites: Sequence[int]) -> float | None:
        """Share of some sites in the projections: pydefect's participation ratio for the neighbours of the defect."""
        return participation(self.site_shares, sites)


@dataclass(frozen=True)
class ChannelEdges:
    """What one spin channel holds.

    Parameters
    ----------
    vbm, cbm
        States like the band edges of the perfect supercell.
    vbm_holes
        Holes in the band of the VBM and all below.
    cbm_electrons
        Electrons in the band of the CBM and all above.
    levels
        Levels between, energies ascending.
    """

    vbm: FoundEdge
    cbm: FoundEdge
    vbm_holes: float
    cbm_electrons: float
    levels: tuple[LocalisedLevel, ...]


@dataclass(frozen=True)
class BandEdgeOutcome:
    """Where the electrons of a defect are.

    Parameters
    ----------
    kind
        As in the documents of vacancies.
    reason
        Why the state is of the host or not determined, in words; None for one that is neither.
    channels
        By spin; empty if undetermined.
    host
        Band edges of the perfect supercell; None if it has none.
    """

    kind: EdgeState
    reason: str | None = None
    channels: tuple[ChannelEdges, ...] = ()
    host: HostEdges | None = None

    @property
    def is_perturbed_host(self) -> bool | None:
        """Whether the bands of the host hold carriers, as pydefect's is_shallow; None if undetermined."""
        return None if self.kind == "undetermined" else self.kind in ("shallow_hole", "shallow_electron", "perturbed_host")

    @property
    def vbm_holes(self) -> float | None:
        """Holes in the valence bands per spin channel, of the channel with more; None if undetermined."""
        return max((found.vbm_holes for found in self.channels), default=None)

    @property
    def cbm_electrons(self) -> float | None:
        """Electrons in the conduction bands per spin channel, of the channel with more; None if undetermined."""
        return max((found.cbm_electrons for found in self.channels), default=None)

    @property
    def levels(self) -> tuple[LocalisedLevel, ...]:
        """Levels of the defect, spin by spin, energies ascending."""
        return tuple(level for found in self.channels for level in found.levels)


@dataclass(frozen=True)
class EigenvalueDiagram:
    """What a figure of the eigenvalues around the gap shows; energies are from the VBM of the perfect supercell.

    Parameters
    ----------
    energies, occupations
        (nspin, nk, m), eV and 0 to 1.
    localised
        (nspin, m) whether the band is one of the defect's.
    edges
        (nspin, 2) energies of the states like VBM and CBM, eV; NaN where they were not found.
    gap
        Of the perfect supercell, eV.
    kpoints, weights
        (nk, 3) and (nk,).
    first_band
        Number of the first of the m bands, from 0.
    """

    energies: Array
    occupations: Array
    localised: NDArray[np.bool_]
    edges: Array
    gap: float
    kpoints: Array
    weights: Array
    first_band: int


def band_edge_outcome(perfect: DefectRun, defect: DefectRun, rule: DefectRule) -> BandEdgeOutcome:
    """Decide where the electrons of a defect are.

    Whatever is missing, or not found again, makes the outcome undetermined.

    Parameters
    ----------
    perfect
        Run of the perfect supercell.
    defect
        Run of the supercell with the defect.
    rule
        Energy window and dissimilarity of a state like a band edge, and number of carriers of a perturbed host state.
    """
    host = host_edges(perfect)
    if isinstance(host, NoStates):
        return BandEdgeOutcome("undetermined", f"perfect supercell: {host.reason}")
    states = run_states(defect)
    if isinstance(states, NoStates):
        return BandEdgeOutcome("undetermined", f"defect: {states.reason}", host=host)
    energies = _above_vbm(states.bands, host)
    near = near_bands(energies, host.gap)
    if near is None:
        return BandEdgeOutcome("undetermined", "the defect has no states near the gap of the perfect supercell", host=host)
    channels = []
    for spin in range(len(energies)):
        edges = find_edges(states, energies, host, near, spin, rule)
        if isinstance(edges, NoStates):
            return BandEdgeOutcome("undetermined", edges.reason, host=host)
        channels.append(_channel_edges(states, energies, spin, *edges, defect.site_weights))
    kind, reason = _verdict(channels, rule.edge_occupation)
    return BandEdgeOutcome(kind, reason, tuple(channels), host)


def eigenvalue_diagram(outcome: BandEdgeOutcome, run: DefectRun) -> EigenvalueDiagram | NoStates:
    """Eigenvalues of a run around the gap of the perfect supercell.

    Parameters
    ----------
    outcome
        What was made of the run; one that is undetermined for want of the defect's edges still has a diagram.
    run
        Run of the defect, or of the perfect supercell.
    """
    if outcome.host is None:
        return NoStates(outcome.reason or "the band edges of the perfect supercell are not known")
    bands = run_bands(run)
    if isinstance(bands, NoStates):
        return bands
    energies = _above_vbm(bands, outcome.host)
    near = near_bands(energies, outcome.host.gap)
    if near is None:
        return NoStates("there are no states near the gap of the perfect supercell")
    localised = np.zeros((len(energies), energies.shape[-1]), dtype=bool)
    for level in outcome.levels:
        localised[level.spin, level.band] = True
    edges = np.full((len(energies), 2), np.nan)
    for spin, found in enumerate(outcome.channels):
        edges[spin] = found.vbm.energy, found.cbm.energy
    return EigenvalueDiagram(
        energies=energies[..., near],
        occupations=bands.occupations[..., near],
        localised=localised[:, near],
        edges=edges,
        gap=outcome.host.gap,
        kpoints=bands.kpoints,
        weights=bands.weights,
        first_band=near.start,
    )


def _above_vbm(bands: Bands, host: HostEdges) -> Array:
    return np.asarray(np.round(bands.energies - host.vbm.energy, DIGITS))


def _channel_edges(
    states: States, energies: Array, spin: int, vbm: FoundEdge, cbm: FoundEdge, sites: SiteWeights | None
) -> ChannelEdges:
    filling = states.bands.weights @ states.bands.occupations[spin]
    return ChannelEdges(
        vbm=_with_shares(vbm, states.bands, spin, sites),
        cbm=_with_shares(cbm, states.bands, spin, sites),
        vbm_holes=float((1 - filling[: vbm.band + 1]).sum()),
        cbm_electrons=float(filling[cbm.band :].sum()),
        levels=_levels(states, energies, spin, slice(vbm.band + 1, cbm.band), sites),
    )


def _levels(states: States, energies: Array, spin: int, bands: slice, sites: SiteWeights | None) -> tuple[LocalisedLevel, ...]:
    weights = states.bands.weights
    means = weights @ energies[spin][:, bands]
    groups = np.cumsum(np.diff(means, prepend=means[:1]) > DEGENERATE)
    occupations = weights @ states.bands.occupations[spin][:, bands]
    characters = np.tensordot(weights, states.characters[spin][:, bands], axes=1)
    return tuple(
        LocalisedLevel(
            spin=spin,
            band=band,
            energy=float(means[i]),
            occupation=float(occupations[i]),
            degeneracy=int((groups == groups[i]).sum()),
            characters={element: _four(row) for element, row in zip(states.elements, characters[i], strict=True)},
            site_shares=None if sites is None else _site_shares(states.bands, spin, band, sites),
        )
        for i, band in enumerate(range(bands.start, bands.stop))
    )


def _with_shares(edge: FoundEdge, bands: Bands, spin: int, sites: SiteWeights | None) -> FoundEdge:
    return edge if sites is None else replace(edge, site_shares=_shares_at(bands, spin, edge.kpoint, edge.band, sites))


def _site_shares(bands: Bands, spin: int, band: int, sites: SiteWeights) -> Array | None:
    """Shares averaged over the k-points; None if they are not known at one of them."""
    shares = [_shares_at(bands, spin, at, band, sites) for at in range(len(bands.kpoints))]
    known = [values for values in shares if values is not None]
    return np.asarray(bands.weights @ np.array(known)) if len(known) == len(shares) else None


def _shares_at(bands: Bands, spin: int, at: int, band: int, sites: SiteWeights) -> Array | None:
    """Shares at one k-point; None if the band is not among those known, or its projections hold nothing."""
    known = np.flatnonzero(sites.bands == bands.order[spin, at, band])
    if not known.size or spin >= len(sites.weights) or at >= sites.weights.shape[1]:
        return None
    weights = sites.weights[spin, at, known[0]]
    return np.asarray(weights / weights.sum()) if weights.sum() > 0 else None


def _verdict(channels: Sequence[ChannelEdges], limit: float) -> tuple[EdgeState, str | None]:
    holes = [round(found.vbm_holes, DIGITS) for found in channels]
    electrons = [round(found.cbm_electrons, DIGITS) for found in channels]
    said: list[str] = []
    for numbers, what in ((holes, "holes in the valence"), (electrons, "electrons in the conduction")):
        if max(numbers) > limit:
            spin = numbers.index(max(numbers))
            said.append(f"{numbers[spin]:.2f} {what} bands of the {channel(spin)} channel, more than {limit}")
    reason = "; ".join(said) or None
    if max(holes) > limit:
        return ("perturbed_host" if max(electrons) > limit else "shallow_hole"), reason
    if max(electrons) > limit:
        return "shallow_electron", reason
    return ("localised" if any(found.levels for found in channels) else "none"), None


def _four(row: Array) -> tuple[float, float, float, float]:
    s, p, d, f = (float(value) for value in row)
    return s, p, d, f
