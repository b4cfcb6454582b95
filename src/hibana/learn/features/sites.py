"""Features of one site of a crystal: order parameters and symmetry functions, bonds, neighbours, its level among the ions."""

from __future__ import annotations

import itertools
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hibana.learn.features.elements import CLASSES, MAGPIE, PROPERTIES, class_table, property_table
from hibana.learn.features.feature import Feature
from hibana.learn.features.ions import IONIC_SITE, ionic_site_values
from hibana.learn.features.surroundings import (
    CRYSTAL_NN,
    GAUSSIAN,
    ORDER_PARAMETERS,
    Bonds,
    Surroundings,
    gaussian_labels,
    order_labels,
)

if TYPE_CHECKING:
    from pymatgen.core import Structure

Array = NDArray[np.float64]

VERSION = 2
"""Of the definitions here; raised when a number would change."""

BOND_SHAPE: dict[str, tuple[str, str]] = {
    "coordination number": ("1", "sum of the likelihoods of the neighbours"),
    "bond length": ("Å", "mean length of the bonds"),
    "relative bond length": ("1", "mean length of the bonds in units of the sum of the covalent radii"),
    "bond length distortion": ("1", "mean of |length - mean| / mean over the bonds"),
    "bond angle": ("degrees", "mean angle between two bonds"),
    "bond angle spread": ("degrees", "standard deviation of the angles between two bonds"),
    "bond asymmetry": ("1", "length of the sum of the bonds' valences as vectors, over the sum of the valences; 0 at a centre"),
}
"""Numbers that describe the bonds of a site, weighted by the likelihood of the neighbours: unit and meaning."""

EXTREMES: dict[str, tuple[str, str]] = {
    "shortest bond": ("Å", "length of the shortest bond of likelihood 1/2 or more, else of the likeliest"),
    "longest bond": ("Å", "length of the longest bond of likelihood 1/2 or more, else of the likeliest"),
    "neighbour coordination mean": ("1", "mean coordination number of the neighbours"),
    "neighbour coordination minimum": ("1", "smallest coordination number of a neighbour"),
    "neighbour coordination maximum": ("1", "largest coordination number of a neighbour"),
    "nearest of same element": ("Å", "distance of the nearest site of the same element"),
}
NEIGHBOUR_STATISTICS = {
    "mean": "mean of {} over the neighbours, weighted by likelihood",
    "minimum": "smallest {} of a neighbour",
    "maximum": "largest {} of a neighbour",
    "difference": "mean absolute difference of {} between site and neighbours",
}
VALENCE_DECAY = 0.37
"""Å; a bond that is longer by this has 1/e of the valence."""

LIKELY = 0.5
"""A neighbour of this likelihood counts for extremes; where there is none, the likeliest does."""


def site_features(structure: Structure, site_index: int) -> dict[str, float]:
    """Features of a site, in the order of :func:`site_dictionary`.

    Parameters
    ----------
    structure
        Any cell, ordered.
    site_index
        Index of the site in it, from 0.

    Returns
    -------
    dict
        Value by name. NaN where there is none: a mean over neighbours of a site that has none, a property that is not known
        of an element.

    Raises
    ------
    IndexError
        If there is no such site.
    ValueError
        If CrystalNN finds no Voronoi neighbours.
    HibanaError
        HIB-264 if matminer is not installed; HIB-011 or HIB-015 for a site that is not one element.
    """
    values = site_values(Surroundings(structure), site_index)
    return dict(zip((feature.name for feature in site_dictionary()), values.tolist(), strict=True))


def site_values(surroundings: Surroundings, site: int) -> Array:
    """Features of a site (n_features,), in the order of :func:`site_dictionary`."""
    if not 0 <= site < len(surroundings.numbers):
        raise IndexError(f"there is no site {site} among {len(surroundings.numbers)}")
    bonds = surroundings.bonds(site)
    return np.concatenate(
        [
            surroundings.orders(site),
            surroundings.gaussians(site),
            bond_shape(bonds),
            _extremes(surroundings, site),
            _neighbour_statistics(bonds),
            _weighted(class_table()[bonds.numbers], bonds.weights),
            property_table()[bonds.number],
            ionic_site_values(surroundings, site),
        ]
    )


@cache
def site_dictionary() -> tuple[Feature, ...]:
    """Entries of the features of sites."""
    return (
        *order_entries(),
        *gaussian_entries(),
        *(Feature(name, unit, meaning, CRYSTAL_NN) for name, (unit, meaning) in {**BOND_SHAPE, **EXTREMES}.items()),
        *(
            Feature(f"neighbour {name} {statistic}", unit, words.format(meaning), MAGPIE)
            for statistic, words in NEIGHBOUR_STATISTICS.items()
            for name, (unit, meaning) in PROPERTIES.items()
        ),
        *(
            Feature(f"neighbour fraction {name}", "1", f"share of the class {name} in the neighbours", "hibana")
            for name in CLASSES
        ),
        *(
            Feature(f"site {name}", unit, f"{meaning} of the site's element", MAGPIE)
            for name, (unit, meaning) in PROPERTIES.items()
        ),
        *(Feature(name, unit, meaning, source) for name, (unit, meaning, source) in IONIC_SITE.items()),
    )


@cache
def order_entries() -> tuple[Feature, ...]:
    """Entries of the order parameters of a site."""
    entries = []
    for label in order_labels():
        shape, _, coordination = label.rpartition(" CN_")
        meaning = f"likelihood that the coordination number is {coordination}"
        if shape != "wt":
            meaning = f"order parameter {shape} of {coordination} neighbours, times the {meaning}"
        entries.append(Feature(label, "1", meaning, ORDER_PARAMETERS))
    return tuple(entries)


@cache
def gaussian_entries() -> tuple[Feature, ...]:
    """Entries of the symmetry functions of a site."""
    return tuple(
        Feature(label, "1", f"{'radial' if label.startswith('G2') else 'angular'} symmetry function, cutoff 6.5 Å", GAUSSIAN)
        for label in gaussian_labels()
    )


def bond_shape(bonds: Bonds) -> Array:
    """The numbers of :data:`BOND_SHAPE`; NaN where there are too few bonds."""
    weights, lengths = bonds.weights, bonds.lengths
    if not len(weights):
        return np.array([0.0, *[np.nan] * (len(BOND_SHAPE) - 1)])
    mean = float(np.average(lengths, weights=weights))
    angle, spread = _angles(bonds)
    return np.array(
        [
            bonds.coordination,
            mean,
            np.average(bonds.relative_lengths, weights=weights),
            np.average(np.abs(lengths - mean), weights=weights) / mean,
            angle,
            spread,
            _asymmetry(bonds),
        ]
    )


def _angles(bonds: Bonds) -> tuple[float, float]:
    """Mean and standard deviation of the angles between two bonds, degrees, weighted by both likelihoods."""
    if len(bonds.weights) < 2:
        return np.nan, np.nan
    directions = bonds.vectors / bonds.lengths[:, None]
    first, second = np.triu_indices(len(directions), 1)
    cosines = np.clip((directions[first] * directions[second]).sum(axis=1), -1, 1)
    angles, weights = np.degrees(np.arccos(cosines)), bonds.weights[first] * bonds.weights[second]
    mean = float(np.average(angles, weights=weights))
    return mean, float(np.sqrt(np.average((angles - mean) ** 2, weights=weights)))


def _asymmetry(bonds: Bonds) -> float:
    """How far the bonds of a site fail to balance: valences fall with length as in I. D. Brown, Chem. Rev. 109, 6858 (2009)."""
    lengths = bonds.lengths
    valences = np.exp((lengths / bonds.relative_lengths - lengths) / VALENCE_DECAY)
    directions = bonds.vectors / lengths[:, None]
    return float(np.linalg.norm(valences @ directions) / valences.sum())


def _likely(weights: Array) -> NDArray[np.bool_]:
    """Which neighbours count for extremes."""
    likely: NDArray[np.bool_] = weights >= min(LIKELY, weights.max())
    return likely


def _extremes(surroundings: Surroundings, site: int) -> Array:
    """The numbers of :data:`EXTREMES`."""
    bonds = surroundings.bonds(site)
    same = _nearest_same(surroundings, site)
    if not len(bonds.weights):
        return np.array([*[np.nan] * (len(EXTREMES) - 1), same])
    likely = _likely(bonds.weights)
    lengths = bonds.lengths[likely]
    around = np.array([surroundings.bonds(int(index)).coordination for index in bonds.neighbours[likely]])
    mean = np.average(around, weights=bonds.weights[likely])
    return np.array([lengths.min(), lengths.max(), mean, around.min(), around.max(), same])


def _nearest_same(surroundings: Surroundings, site: int) -> float:
    """Distance of the nearest site of the same element, its own images included, Å."""
    structure, numbers = surroundings.structure, surroundings.numbers
    same = np.flatnonzero((numbers == numbers[site]) & (np.arange(len(numbers)) != site))
    images = np.array([shift for shift in itertools.product((-1, 0, 1), repeat=3) if any(shift)])
    own = np.linalg.norm(images @ structure.lattice.get_lll_reduced_lattice().matrix, axis=1)
    coords = structure.frac_coords
    others = np.ravel(structure.lattice.get_all_distances(coords[[site]], coords[same])) if len(same) else np.empty(0)
    return float(np.min(np.concatenate([own, others])))


def _neighbour_statistics(bonds: Bonds) -> Array:
    """Statistics of elemental properties over the neighbours (n_statistics * n_properties,)."""
    values = property_table()[bonds.numbers]
    if not len(values):
        return np.full(len(NEIGHBOUR_STATISTICS) * values.shape[1], np.nan)
    likely = values[_likely(bonds.weights)]
    difference = np.abs(values - property_table()[bonds.number])
    return np.concatenate(
        [_weighted(values, bonds.weights), likely.min(axis=0), likely.max(axis=0), _weighted(difference, bonds.weights)]
    )


def _weighted(values: Array, weights: Array) -> Array:
    """Weighted mean over the first axis; NaN without any."""
    if not len(weights):
        return np.full(values.shape[1], np.nan)
    mean: Array = weights @ values / weights.sum()
    return mean
