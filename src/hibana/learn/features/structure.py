"""Features of crystals: statistics over their sites, how each class of element is coordinated, bonds, packing, ions, symmetry.

Only symmetry-distinct sites are looked at, each with the number of sites it stands for as its weight, so that a supercell has
the features of its primitive cell and costs no more.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hibana.learn.features.elements import CLASSES, MAGPIE, PROPERTIES, class_table, property_of
from hibana.learn.features.feature import Feature
from hibana.learn.features.ions import IONIC, ionic_values
from hibana.learn.features.orbits import SYMMETRY, find_orbits
from hibana.learn.features.sites import BOND_SHAPE, bond_shape, gaussian_entries, order_entries
from hibana.learn.features.surroundings import CRYSTAL_NN, ORDER_PARAMETERS, PM, Bonds, Surroundings, order_labels

if TYPE_CHECKING:
    from pymatgen.core import Structure

Array = NDArray[np.float64]

VERSION = 2
"""Of the definitions here; raised when a number would change."""

SITE_STATISTICS = {
    "mean": "mean over the sites of the {}",
    "std_dev": "standard deviation over the sites of the {}",
    "minimum": "smallest value of a site of the {}",
    "maximum": "largest value of a site of the {}",
}
CENTRES = {
    **{
        name: CLASSES[name]
        for name in ("alkali", "alkaline_earth", "transition_metal", "f_block", "post_transition", "metalloid")
    },
    "oxygen": frozenset({8}),
}
"""Classes of site that have columns of their own."""

MOTIFS = {
    "octahedral": "octahedral CN_6",
    "tetrahedral": "tetrahedral CN_4",
    "cubic": "body-centered cubic CN_8",
    "cuboctahedral": "cuboctahedral CN_12",
}
"""Shapes of coordination: the order parameter that says how good each is."""

CLASS_SHAPE = ("coordination number", "relative bond length", "bond length distortion", "bond asymmetry", "bond angle")
"""Which of the numbers that describe bonds are averaged over each class."""

BONDS: dict[str, tuple[str, str]] = {
    "bond length mean": ("Å", "mean length of the bonds"),
    "bond length std_dev": ("Å", "standard deviation of the lengths of the bonds"),
    "bond length minimum": ("Å", "length of the shortest bond of likelihood 1/2 or more"),
    "relative bond length mean": ("1", "mean length of the bonds in units of the sum of the covalent radii"),
    "relative bond length std_dev": ("1", "standard deviation of these"),
    "relative bond length minimum": ("1", "smallest of these, of likelihood 1/2 or more"),
    "bond electronegativity difference mean": ("1", "mean difference of Pauling electronegativities over the bonds"),
    "bond electronegativity difference std_dev": ("1", "standard deviation of these"),
    "bonds per atom": ("1", "half the sum of the coordination numbers, per atom"),
}
PENN_BONDS = ("bond length mean", "bond electronegativity difference mean")
"""What Penn's model is told of the bonds."""

CELL: dict[str, tuple[str, str]] = {
    "density": ("g/cm^3", "mass density"),
    "volume per atom": ("Å^3/atom", "volume of the cell per atom"),
    "packing fraction": ("1", "volume of the atoms' covalent spheres, overlaps counted twice, over that of the cell"),
}
ORBITALS = tuple(name for name in PROPERTIES if name.endswith(("Valence", "Unfilled")))
"""Elemental properties that are summed over the atoms, per volume."""

LIKELY = 0.5
AMU_PER_A3 = 1.66053906660
"""g/cm^3 in one u/Å^3 (CODATA 2018)."""


def structure_features(structures: Iterable[Structure], workers: int = 1) -> pd.DataFrame:
    """Features of crystals, one row each in the order given, index 0, 1, ...

    Parameters
    ----------
    structures
        Ordered crystals, any cell. Oxidation states and moments play no part.
    workers
        Processes.

    Returns
    -------
    DataFrame
        (n, n_features), columns as in :func:`structure_dictionary`. A crystal whose features cannot be found has a row of NaN
        (:func:`hibana.learn.features.table.featurise` says why); NaN stands also where a class of element is not in the crystal.

    Raises
    ------
    HibanaError
        HIB-264 if matminer is not installed.
    """
    from hibana.learn.features.parallel import Task, work_on

    names = [feature.name for feature in structure_dictionary()]
    tasks = (Task(number, structure, whole=True) for number, structure in enumerate(structures))
    found = {task.number: outcomes.whole for task, outcomes in work_on(tasks, workers)}
    nothing = np.full(len(names), np.nan)
    rows = [outcome if isinstance(outcome := found[number], np.ndarray) else nothing for number in range(len(found))]
    return pd.DataFrame(np.array(rows).reshape(len(rows), len(names)), columns=names)


def values_of(surroundings: Surroundings) -> Array:
    """Features of one crystal (n_features,), in the order of :func:`structure_dictionary`.

    Raises
    ------
    ValueError
        If CrystalNN finds no Voronoi neighbours of a site.
    HibanaError
        HIB-264 if matminer is not installed; HIB-017 where spglib finds no symmetry.
    """
    orbits = find_orbits(surroundings.structure)
    sites = [int(site) for site in orbits.sites]
    bonds = [surroundings.bonds(site) for site in sites]
    orders = np.array([surroundings.orders(site) for site in sites])
    shapes = np.array([bond_shape(found) for found in bonds])
    bonding = _bond_statistics(bonds, orbits.multiplicities)
    length, difference = (bonding[list(BONDS).index(name)] for name in PENN_BONDS)
    per_site = np.hstack([orders, [surroundings.gaussians(site) for site in sites], shapes])
    return np.concatenate(
        [
            _site_statistics(per_site, orbits.multiplicities),
            _by_class(orders, shapes, surroundings.numbers[sites], orbits.multiplicities),
            bonding,
            _cell(surroundings),
            _densities(surroundings),
            ionic_values(surroundings, length, difference),
            orbits.descriptors(),
        ]
    )


@cache
def structure_dictionary() -> tuple[Feature, ...]:
    """Entries of the features of crystals."""
    shape = (Feature(name, unit, meaning, CRYSTAL_NN) for name, (unit, meaning) in BOND_SHAPE.items())
    return (
        *(
            Feature(f"{statistic} {entry.name}", entry.unit, words.format(entry.meaning), entry.source)
            for entry in (*order_entries(), *gaussian_entries(), *shape)
            for statistic, words in SITE_STATISTICS.items()
        ),
        *(entry for name in CENTRES for entry in _class_entries(name)),
        *(Feature(name, unit, meaning, CRYSTAL_NN) for name, (unit, meaning) in BONDS.items()),
        *(Feature(name, unit, meaning, "hibana") for name, (unit, meaning) in CELL.items()),
        *(
            Feature(f"{name} per volume", "1/Å^3", f"sum of {PROPERTIES[name][1]} over the atoms, per volume", MAGPIE)
            for name in ORBITALS
        ),
        *(Feature(f"{name} per volume", "1/Å^3", f"atoms of the class {name} per volume", "hibana") for name in CLASSES),
        *(Feature(name, unit, meaning, source) for name, (unit, meaning, source) in {**IONIC, **SYMMETRY}.items()),
    )


def _class_entries(name: str) -> list[Feature]:
    """Entries of the columns of one class of site."""
    sites = f"{name} sites"
    motifs = [
        (
            Feature(f"{motif} {name}", "1", f"largest {label} of the {sites}; 0 in a crystal without any", ORDER_PARAMETERS),
            Feature(
                f"{motif} {name} per atom", "1", f"sum of {label} over the {sites}, per atom of the crystal", ORDER_PARAMETERS
            ),
        )
        for motif, label in MOTIFS.items()
    ]
    shapes = [
        Feature(f"{name} {what}", BOND_SHAPE[what][0], f"mean over the {sites} of the {BOND_SHAPE[what][1]}", CRYSTAL_NN)
        for what in CLASS_SHAPE
    ]
    return [*(entry for pair in motifs for entry in pair), *shapes]


def _site_statistics(values: Array, weights: Array) -> Array:
    """Statistics (n_columns * 4,) of values of sites (n_sites, n_columns); sites without a value do not count."""
    known = ~np.isnan(values)
    weighted = np.where(known, weights[:, None], 0.0)
    total = weighted.sum(axis=0)
    filled = np.where(known, values, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (weighted * filled).sum(axis=0) / total
        spread = np.sqrt((weighted * (filled - mean) ** 2).sum(axis=0) / total)
    lowest = np.where(known, values, np.inf).min(axis=0)
    highest = np.where(known, values, -np.inf).max(axis=0)
    statistics = np.stack([mean, spread, lowest, highest], axis=1)
    statistics[total == 0] = np.nan
    return statistics.ravel()


def _by_class(orders: Array, shapes: Array, numbers: NDArray[np.intp], weights: Array) -> Array:
    """How the sites of each class are coordinated."""
    motifs = orders[:, [order_labels().index(label) for label in MOTIFS.values()]]
    shapes = shapes[:, [list(BOND_SHAPE).index(what) for what in CLASS_SHAPE]]
    values = []
    for members in CENTRES.values():
        own = np.isin(numbers, sorted(members))
        largest = motifs[own].max(axis=0, initial=0.0)
        per_atom = weights[own] @ motifs[own] / weights.sum()
        values += [np.stack([largest, per_atom], axis=1).ravel(), _known_mean(shapes[own], weights[own])]
    return np.concatenate(values)


def _known_mean(values: Array, weights: Array) -> Array:
    """Weighted mean (n_columns,) of what is known; NaN where nothing is."""
    known = ~np.isnan(values)
    weighted = np.where(known, weights[:, None], 0.0)
    total = weighted.sum(axis=0)
    summed = (weighted * np.where(known, values, 0.0)).sum(axis=0)
    mean: Array = np.divide(summed, total, out=np.full(values.shape[1], np.nan), where=total > 0)
    return mean


def _bond_statistics(bonds: list[Bonds], multiplicities: Array) -> Array:
    """The numbers of :data:`BONDS`: each bond counts by its likelihood and the sites it is found at."""
    likelihoods = np.concatenate([found.weights for found in bonds])
    if not len(likelihoods):
        return np.array([*[np.nan] * (len(BONDS) - 1), 0.0])
    weights = np.concatenate([found.weights * many for found, many in zip(bonds, multiplicities, strict=True)])
    own = np.concatenate([np.full(len(found.weights), found.number) for found in bonds])
    others = np.concatenate([found.numbers for found in bonds])
    difference = np.abs(property_of("Electronegativity", own) - property_of("Electronegativity", others))
    likely = likelihoods >= min(LIKELY, likelihoods.max())
    values: list[float] = []
    for lengths in (
        np.concatenate([found.lengths for found in bonds]),
        np.concatenate([found.relative_lengths for found in bonds]),
    ):
        values += [*_mean_and_spread(lengths, weights), float(lengths[likely].min())]
    values += _mean_and_spread(difference, weights)
    return np.array([*values, weights.sum() / multiplicities.sum() / 2])


def _mean_and_spread(values: Array, weights: Array) -> list[float]:
    mean = np.average(values, weights=weights)
    return [float(mean), float(np.sqrt(np.average((values - mean) ** 2, weights=weights)))]


def _cell(surroundings: Surroundings) -> Array:
    """The numbers of :data:`CELL`."""
    volume = surroundings.structure.volume
    radii = PM * property_of("CovalentRadius", surroundings.numbers)
    mass = property_of("AtomicWeight", surroundings.numbers).sum()
    return np.array([AMU_PER_A3 * mass / volume, volume / len(radii), 4 / 3 * np.pi * (radii**3).sum() / volume])


def _densities(surroundings: Surroundings) -> Array:
    """Valence orbitals and atoms of each class per volume, 1/Å^3."""
    numbers, volume = surroundings.numbers, surroundings.structure.volume
    orbitals = [property_of(name, numbers).sum() for name in ORBITALS]
    return np.array([*orbitals, *class_table()[numbers].sum(axis=0)]) / volume
