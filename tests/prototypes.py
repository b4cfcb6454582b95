"""Crystals of many space groups with textbook numbers, and other descriptions of the same crystal."""

from __future__ import annotations

import numpy as np
from pymatgen.core import Lattice, Structure
from scipy.spatial.transform import Rotation

third = 1 / 3


def _group(symbol: str, lattice: Lattice, sites: dict[str, list[list[float]]]) -> Structure:
    species = [element for element, positions in sites.items() for _ in positions]
    coordinates = [position for positions in sites.values() for position in positions]
    return Structure.from_spacegroup(symbol, lattice, species, coordinates)


def _triclinic() -> Structure:
    """No symmetry, four-decimal coordinates on a jittered grid."""
    rng = np.random.default_rng(7)
    grid = np.array([[i, j, k] for i in range(2) for j in range(2) for k in range(3)]) / [2, 2, 3]
    coordinates = np.round(grid + rng.uniform(-0.06, 0.06, grid.shape), 4)
    return Structure(Lattice.from_parameters(5.12, 5.87, 8.31, 84.2, 95.7, 103.1), ["Si"] * 3 + ["Ca"] + ["O"] * 8, coordinates)


def make_prototypes() -> dict[str, Structure]:
    cubic, tetragonal, hexagonal = Lattice.cubic, Lattice.tetragonal, Lattice.hexagonal
    orthorhombic, monoclinic = Lattice.orthorhombic, Lattice.monoclinic
    return {
        "rock salt MgO": _group("Fm-3m", cubic(4.212), {"Mg": [[0, 0, 0]], "O": [[0.5, 0.5, 0.5]]}),
        "zinc blende ZnS": _group("F-43m", cubic(5.409), {"Zn": [[0, 0, 0]], "S": [[0.25, 0.25, 0.25]]}),
        "spinel MgAl2O4": _group("Fd-3m", cubic(8.083), {"Mg": [[0, 0, 0]], "Al": [[0.625, 0.625, 0.625]], "O": [[0.3874] * 3]}),
        "perovskite SrTiO3": _group("Pm-3m", cubic(3.905), {"Sr": [[0, 0, 0]], "Ti": [[0.5, 0.5, 0.5]], "O": [[0.5, 0.5, 0]]}),
        "body-centred W": _group("Im-3m", cubic(3.165), {"W": [[0, 0, 0]]}),
        "pyrite FeS2": _group("Pa-3", cubic(5.418), {"Fe": [[0, 0, 0]], "S": [[0.3851] * 3]}),
        "bixbyite In2O3": _group(
            "Ia-3", cubic(10.117), {"In": [[0.25, 0.25, 0.25], [0.4664, 0, 0.25]], "O": [[0.3905, 0.1529, 0.382]]}
        ),
        "wurtzite ZnO": _group(
            "P6_3mc", hexagonal(3.25, 5.207), {"Zn": [[third, 2 * third, 0]], "O": [[third, 2 * third, 0.3819]]}
        ),
        "corundum Al2O3": _group("R-3c", hexagonal(4.7602, 12.9933), {"Al": [[0, 0, 0.35216]], "O": [[0.30624, 0, 0.25]]}),
        "R3m BaTiO3": _group(
            "R3m", hexagonal(5.691, 7.005), {"Ba": [[0, 0, 0]], "Ti": [[0, 0, 0.4853]], "O": [[0.1707, 0.3414, 0.3447]]}
        ),
        "right quartz": _group(
            "P3_221", hexagonal(4.9137, 5.4047), {"Si": [[0.4697, 0, 2 * third]], "O": [[0.4135, 0.2669, 0.7858]]}
        ),
        "rutile TiO2": _group("P4_2/mnm", tetragonal(4.5937, 2.9587), {"Ti": [[0, 0, 0]], "O": [[0.3048, 0.3048, 0]]}),
        "anatase TiO2": _group("I4_1/amd", tetragonal(3.7845, 9.5143), {"Ti": [[0, 0, 0]], "O": [[0, 0, 0.2081]]}),
        "tetragonal BaTiO3": _group(
            "P4mm",
            tetragonal(3.9925, 4.0365),
            {"Ba": [[0, 0, 0]], "Ti": [[0.5, 0.5, 0.5224]], "O": [[0.5, 0.5, -0.0244], [0.5, 0, 0.4895]]},
        ),
        "olivine Mg2SiO4": _group(
            "Pnma",
            orthorhombic(10.207, 5.98, 4.756),
            {
                "Mg": [[0, 0, 0], [0.2774, 0.25, 0.9915]],
                "Si": [[0.094, 0.25, 0.4262]],
                "O": [[0.0913, 0.25, 0.7657], [0.4474, 0.25, 0.2215], [0.1628, 0.0331, 0.2777]],
            },
        ),
        "V2O5": _group(
            "Pmmn",
            orthorhombic(11.512, 3.564, 4.368),
            {"V": [[0.1488, 0, 0.1083]], "O": [[0.1457, 0, 0.469], [0.319, 0, 0.997], [0, 0, 0.999]]},
        ),
        "Amm2 KNbO3": _group(
            "Amm2",
            orthorhombic(3.971, 5.697, 5.723),
            {"K": [[0, 0, 0.0138]], "Nb": [[0.5, 0, 0.5]], "O": [[0, 0, 0.5364], [0.5, 0.2526, 0.2844]]},
        ),
        "Cmcm CaIrO3": _group(
            "Cmcm",
            orthorhombic(3.145, 9.862, 7.297),
            {"Ca": [[0, 0.2502, 0.25]], "Ir": [[0, 0, 0]], "O": [[0, 0.923, 0.25], [0, 0.637, 0.05]]},
        ),
        "baddeleyite ZrO2": _group(
            "P2_1/c",
            monoclinic(5.1505, 5.2116, 5.3173, 99.23),
            {"Zr": [[0.2754, 0.0395, 0.2083]], "O": [[0.07, 0.3317, 0.3447], [0.4496, 0.7569, 0.4792]]},
        ),
        "beta-Ga2O3": _group(
            "C2/m",
            monoclinic(12.23, 3.04, 5.8, 103.7),
            {
                "Ga": [[0.0904, 0, 0.7948], [0.3414, 0, 0.6857]],
                "O": [[0.1674, 0, 0.1011], [0.4957, 0, 0.2553], [0.8279, 0, 0.4365]],
            },
        ),
        "turquoise-like P-1": _group(
            "P-1",
            Lattice.from_parameters(7.126, 7.852, 5.572, 89.99, 101.11, 106.03),
            {
                "Al": [[0.3254, 0.7062, 0.4585]],
                "Si": [[0.2962, 0.0649, 0.7066]],
                "O": [[0.1095, 0.1468, 0.1288], [0.5, 0.2, 0.1]],
            },
        ),
        "P1": _triclinic(),
        "P1 in a cubic lattice": Structure(
            cubic(6.0), ["Mg", "O", "O", "Si"], [[0, 0, 0], [0.31, 0.02, 0.44], [0.7, 0.55, 0.1], [0.4, 0.4, 0.83]]
        ),
    }


def other_description(structure: Structure, seed: int, *, noise: float = 1e-7, volume: int = 3) -> Structure:
    """The same crystal in another cell (up to ``volume`` primitive ones), origin, orientation and order, with noise in Å."""
    rng = np.random.default_rng(seed)
    matrix = np.zeros((3, 3), dtype=int)
    while not 1 <= abs(round(np.linalg.det(matrix))) <= volume:
        matrix = rng.integers(-2, 3, (3, 3))
    cell = structure * matrix
    order = rng.permutation(len(cell))
    rotation = Rotation.random(random_state=seed).as_matrix()
    lattice = cell.lattice.matrix @ rotation.T + rng.normal(size=(3, 3)) * noise
    shift = rng.random(3)
    positions = (cell.frac_coords + shift) @ lattice + rng.normal(size=(len(cell), 3)) * noise
    properties = {name: [values[i] for i in order] for name, values in cell.site_properties.items()}
    species = [cell[i].specie for i in order]
    return Structure(lattice, species, positions[order], coords_are_cartesian=True, site_properties=properties)
