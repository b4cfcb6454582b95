"""Properties of the elements that features are made from, and the classes that elements are put into."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hibana.learn.errors import NO_LEARN_EXTRA

if TYPE_CHECKING:
    from matminer.utils.data import MagpieData

Array = NDArray[np.float64]

N_ELEMENTS = 103
"""Elements up to lawrencium; heavier ones have no chemistry in solids."""

PROPERTIES: dict[str, tuple[str, str]] = {
    "Number": ("1", "atomic number"),
    "MendeleevNumber": ("1", "Mendeleev number of Villars"),
    "AtomicWeight": ("u", "atomic weight"),
    "MeltingT": ("K", "melting temperature of the element"),
    "Column": ("1", "column of the periodic table"),
    "Row": ("1", "row of the periodic table"),
    "CovalentRadius": ("pm", "covalent radius"),
    "Electronegativity": ("1", "electronegativity by Pauling"),
    "NsValence": ("1", "number of filled s valence orbitals"),
    "NpValence": ("1", "number of filled p valence orbitals"),
    "NdValence": ("1", "number of filled d valence orbitals"),
    "NfValence": ("1", "number of filled f valence orbitals"),
    "NValence": ("1", "number of filled valence orbitals"),
    "NsUnfilled": ("1", "number of unfilled s valence orbitals"),
    "NpUnfilled": ("1", "number of unfilled p valence orbitals"),
    "NdUnfilled": ("1", "number of unfilled d valence orbitals"),
    "NfUnfilled": ("1", "number of unfilled f valence orbitals"),
    "NUnfilled": ("1", "number of unfilled valence orbitals"),
    "GSvolume_pa": ("Å^3/atom", "volume per atom of the element's ground state in DFT"),
    "GSbandgap": ("eV", "band gap of the element's ground state in DFT"),
    "GSmagmom": ("μB/atom", "magnetic moment of the element's ground state in DFT"),
    "SpaceGroupNumber": ("1", "space group number of the element's crystal"),
}
"""Elemental properties of Magpie's preset: unit and meaning."""

MAGPIE = "L. Ward, A. Agrawal, A. Choudhary, C. Wolverton, npj Comput. Mater. 2, 16028 (2016)"

_TRANSITION = frozenset((*range(21, 30), *range(39, 48), *range(72, 80)))
_F_BLOCK = frozenset((*range(57, 72), *range(89, 104)))
_ALKALI = frozenset((3, 11, 19, 37, 55, 87))
_ALKALINE_EARTH = frozenset((4, 12, 20, 38, 56, 88))
_POST_TRANSITION = frozenset((13, 30, 31, 48, 49, 50, 80, 81, 82, 83, 84))
_METALLOID = frozenset((5, 14, 32, 33, 51, 52))
_HALOGEN = frozenset((9, 17, 35, 53, 85))
_NOBLE_GAS = frozenset((2, 10, 18, 36, 54, 86))

CLASSES: dict[str, frozenset[int]] = {
    "alkali": _ALKALI,
    "alkaline_earth": _ALKALINE_EARTH,
    "transition_metal": _TRANSITION,
    "f_block": _F_BLOCK,
    "post_transition": _POST_TRANSITION,
    "metalloid": _METALLOID,
    "nonmetal": frozenset((1, 6, 7, 8, 15, 16, 34)),
    "halogen": _HALOGEN,
    "noble_gas": _NOBLE_GAS,
}
"""Atomic numbers by class; each element is in one. Transition metals are groups 3 to 11, so zinc's group is not among them;
lanthanides and actinides with lanthanum and actinium are the f block."""


@cache
def magpie() -> MagpieData:
    """Magpie's table of elements as matminer has it; what is unknown of an element is NaN and not a mean of others.

    Raises
    ------
    HibanaError
        HIB-264 if matminer is not installed.
    """
    try:
        from matminer.utils.data import MagpieData
    except ImportError as error:
        raise NO_LEARN_EXTRA.error(f"matminer ({error})") from error
    return MagpieData(impute_nan=False)


@cache
def property_table() -> Array:
    """Properties of the elements: (:data:`N_ELEMENTS` + 1, n_properties), row Z for atomic number Z, row 0 all NaN."""
    from pymatgen.core import Element

    source = magpie()
    table = np.full((N_ELEMENTS + 1, len(PROPERTIES)), np.nan)
    for number in range(1, N_ELEMENTS + 1):
        element = Element.from_Z(number)
        table[number] = [source.get_elemental_property(element, name) for name in PROPERTIES]
    return table


@cache
def class_table() -> Array:
    """Which class each element is of: (:data:`N_ELEMENTS` + 1, n_classes), 1 or 0, row Z for atomic number Z."""
    table = np.zeros((N_ELEMENTS + 1, len(CLASSES)))
    for column, members in enumerate(CLASSES.values()):
        table[sorted(members), column] = 1
    return table


def property_of(name: str, numbers: NDArray[np.intp]) -> Array:
    """One property for each atomic number."""
    values: Array = property_table()[numbers, list(PROPERTIES).index(name)]
    return values
