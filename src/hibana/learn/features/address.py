"""Addresses of features: what a crystal is, and what the numbers made from it depend on besides."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np

from hibana.core.address import content_address

if TYPE_CHECKING:
    from pymatgen.core import Structure

LENGTH_GRID = 1e-6
"""Å; lattices that agree on this grid are one."""

FRACTION_GRID = 1e-7
"""Fractional coordinates that agree on this grid are one."""

DIGITS = 16
"""Of the digest of a dictionary."""

PACKAGES = {
    "composition": ("matminer", "pymatgen"),
    "elements": ("pymatgen",),
    "structure": ("matminer", "pymatgen", "spglib"),
    "site": ("matminer", "pymatgen"),
}
"""Packages that the numbers of each set come from."""


def structure_address(structure: Structure) -> str:
    """Content address of a cell: lattice, elements and positions in their order; decorations of sites play no part."""
    fractions = np.rint(np.mod(structure.frac_coords, 1.0) / FRACTION_GRID).astype(np.int64) % round(1 / FRACTION_GRID)
    return content_address(
        {
            "lattice": np.rint(structure.lattice.matrix / LENGTH_GRID).astype(np.int64).tolist(),
            "species": [site.species.formula for site in structure],
            "positions": fractions.tolist(),
        }
    )


@cache
def set_version(name: str) -> Mapping[str, str]:
    """What the numbers of a set depend on besides the crystal: definitions here, and versions of packages.

    ``dictionary`` is a digest of names, units and meanings, so that features which were kept are never served under another
    definition; ``definitions`` is raised where a number changes and its meaning does not.
    """
    from hibana.learn.features import composition, sites, structure

    definitions = {
        "composition": (composition.VERSION, composition.composition_dictionary),
        "elements": (composition.VERSION, composition.element_dictionary),
        "structure": (structure.VERSION, structure.structure_dictionary),
        "site": (sites.VERSION, sites.site_dictionary),
    }
    number, dictionary = definitions[name]
    digest = content_address([entry.as_dict() for entry in dictionary()])[:DIGITS]
    return {"definitions": str(number), "dictionary": digest, **{package: version(package) for package in PACKAGES[name]}}


def feature_address(name: str, crystal: str, site: int | None = None) -> str:
    """Content address of the features of a set.

    Parameters
    ----------
    name
        The set.
    crystal
        Address of the structure.
    site
        Index of the site, for features of one.
    """
    return content_address({"set": name, "version": dict(set_version(name)), "structure": crystal, "site": site})
