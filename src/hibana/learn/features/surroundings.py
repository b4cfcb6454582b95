"""The sites of a crystal and their neighbours, each looked up once: bonds, order parameters, symmetry functions, ions."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from hibana.learn.errors import NO_LEARN_EXTRA
from hibana.learn.features.elements import property_of
from hibana.learn.features.ions import Ions, find_ions

if TYPE_CHECKING:
    from matminer.featurizers.site.fingerprint import CrystalNNFingerprint
    from matminer.featurizers.site.rdf import GaussianSymmFunc
    from pymatgen.core import Structure

Array = NDArray[np.float64]
Value = TypeVar("Value")

CRYSTAL_NN = (
    "H. Pan, A. M. Ganose, M. Horton, M. Aykol, K. A. Persson, N. E. R. Zimmermann, A. Jain, Inorg. Chem. 60, 1590 (2021)"
)
ORDER_PARAMETERS = "N. E. R. Zimmermann, A. Jain, RSC Adv. 10, 6063 (2020)"
GAUSSIAN = "J. Behler, J. Chem. Phys. 134, 074106 (2011)"

PM = 0.01
"""Å in a picometre."""


@dataclass(frozen=True)
class Bonds:
    """Bonds of a site.

    Parameters
    ----------
    number
        Atomic number of the site.
    vectors
        (n_bonds, 3) from the site to each neighbour, Å.
    neighbours
        (n_bonds,) index of each neighbour's site in the cell.
    numbers
        (n_bonds,) atomic number of each neighbour.
    weights
        (n_bonds,) likelihood that it is a neighbour, in ]0, 1]; the sum is the coordination number.
    """

    number: int
    vectors: Array
    neighbours: NDArray[np.intp]
    numbers: NDArray[np.intp]
    weights: Array

    @property
    def coordination(self) -> float:
        """Coordination number."""
        return float(self.weights.sum())

    @property
    def lengths(self) -> Array:
        """(n_bonds,) in Å."""
        lengths: Array = np.linalg.norm(self.vectors, axis=1)
        return lengths

    @property
    def relative_lengths(self) -> Array:
        """(n_bonds,) lengths in units of the sum of the covalent radii."""
        radius = property_of("CovalentRadius", np.array([self.number]))
        return self.lengths / (PM * (radius + property_of("CovalentRadius", self.numbers)))


class Surroundings:
    """Neighbours of the sites of a crystal by CrystalNN, found when they are asked for and kept.

    Oxidation states and other decorations play no part: what is bonded follows from elements and positions alone.

    Parameters
    ----------
    structure
        Any cell, ordered.

    Raises
    ------
    HibanaError
        HIB-264 if matminer is not installed; HIB-011 or HIB-015 for a site that is not one element.
    """

    def __init__(self, structure: Structure) -> None:
        from pymatgen.core import Structure

        from hibana.structures.convert import element_symbol

        self.structure = Structure(structure.lattice, [element_symbol(site) for site in structure], structure.frac_coords)
        self.numbers = np.array([site.specie.Z for site in self.structure], dtype=np.intp)
        self._found: dict[tuple[str, int], Any] = {}

    def bonds(self, site: int) -> Bonds:
        """Bonds of a site; the likelihood of a neighbour is the sum over the coordination numbers it belongs to."""
        return self._once("bonds", site, self._bonds)

    def orders(self, site: int) -> Array:
        """Order parameters of a site, in the order of :func:`order_labels`."""
        return self._once("orders", site, self._orders)

    def gaussians(self, site: int) -> Array:
        """Symmetry functions of a site, in the order of :func:`gaussian_labels`."""
        return np.array(_gaussian().featurize(self.structure, site), dtype=float)

    def ions(self) -> Ions | None:
        """The crystal as ions; None where no formal charges make it neutral."""
        return self._once("ions", 0, lambda _: find_ions(self.structure))

    def _once(self, what: str, site: int, find: Callable[[int], Value]) -> Value:
        if (what, site) not in self._found:
            self._found[what, site] = find(site)
        found: Value = self._found[what, site]
        return found

    def _neighbours(self, site: int) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _fingerprint().cnn.get_nn_data(self.structure, site)

    def _bonds(self, site: int) -> Bonds:
        data = self._once("neighbours", site, self._neighbours)
        weights: dict[tuple[int, ...], float] = {}
        places: dict[tuple[int, ...], Array] = {}
        for coordination, members in data.cn_nninfo.items():
            for member in members:
                key = (int(member["site_index"]), *map(int, member["image"]))
                weights[key] = weights.get(key, 0.0) + float(data.cn_weights[coordination])
                places[key] = member["site"].coords - self.structure[site].coords
        keys = [key for key in sorted(weights) if weights[key] > 0]
        indices = np.array([key[0] for key in keys], dtype=np.intp)
        return Bonds(
            number=int(self.numbers[site]),
            vectors=np.array([places[key] for key in keys]).reshape(-1, 3),
            neighbours=indices,
            numbers=self.numbers[indices],
            weights=np.array([weights[key] for key in keys]),
        )

    def _orders(self, site: int) -> Array:
        """What matminer's CrystalNNFingerprint gives, from neighbours that are already known."""
        data = self._once("neighbours", site, self._neighbours)
        values = []
        for coordination, parameters in sorted(_fingerprint().ops.items()):
            weight = data.cn_weights.get(coordination, 0.0)
            around = [member["site"] for member in data.cn_nninfo.get(coordination, ())] if weight else []
            for parameter in parameters:
                if parameter == "wt" or not weight:
                    values.append(weight)
                    continue
                indices = list(range(1, len(around) + 1))
                (order,) = parameter.get_order_parameters([self.structure[site], *around], 0, indices_neighs=indices)
                values.append(weight * (order or 0.0))
        return np.array(values, dtype=float)


def order_labels() -> tuple[str, ...]:
    """Names of the order parameters: ``wt CN_6``, how likely six neighbours are; ``octahedral CN_6``, times how octahedral."""
    return tuple(_fingerprint().feature_labels())


def gaussian_labels() -> tuple[str, ...]:
    """Names of the symmetry functions: ``G2_4.0`` for η = 4, ``G4_0.005_1.0_-1.0`` for η, ζ, γ."""
    return tuple(_gaussian().feature_labels())


@cache
def _fingerprint() -> CrystalNNFingerprint:
    try:
        from matminer.featurizers.site.fingerprint import CrystalNNFingerprint
    except ImportError as error:
        raise NO_LEARN_EXTRA.error(f"matminer ({error})") from error
    return CrystalNNFingerprint.from_preset("ops")


@cache
def _gaussian() -> GaussianSymmFunc:
    try:
        from matminer.featurizers.site.rdf import GaussianSymmFunc
    except ImportError as error:
        raise NO_LEARN_EXTRA.error(f"matminer ({error})") from error
    return GaussianSymmFunc()
