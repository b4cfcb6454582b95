"""Crystals made up for rehearsals: common prototypes with exchanged elements and plausible lattice constants."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

from pymatgen.core import Element, Lattice, Structure

CATIONS = {
    1: ("Li", "Na", "K", "Rb", "Cs", "Ag"),
    2: ("Mg", "Ca", "Sr", "Ba", "Zn", "Cd", "Be"),
    3: ("Al", "Ga", "In", "Sc", "Y", "La"),
    4: ("Ti", "Zr", "Hf", "Si", "Ge", "Sn"),
    5: ("Nb", "Ta", "V"),
}
"""Elements by charge."""

PAIRS = tuple(itertools.combinations(itertools.chain(*CATIONS.values()), 2))

ANIONS = {1: ("F", "Cl", "Br", "I"), 2: ("O", "S", "Se", "Te"), 3: ("N", "P", "As")}

CONTACT = {"rock salt": 0.5, "zinc blende": 0.4330, "caesium chloride": 0.8660, "perovskite": 0.5, "fluorite": 0.4330}
"""Distance of neighbours over the lattice constant."""

DEFAULT_RADIUS = 1.3
"""Radius of an atom of which none is known, Å."""


def made_crystals() -> Iterator[tuple[str, Structure]]:
    """Names and crystals, all different, in an order that does not change; some thousand."""
    for charge, prototype in itertools.product((2, 1, 3), ("rock salt", "zinc blende", "caesium chloride")):
        for anion, cation in itertools.product(ANIONS[charge], CATIONS[charge]):
            yield f"{cation}{anion}-{prototype.replace(' ', '-')}", _binary(prototype, cation, anion)
    for anion, (first, second) in itertools.product(ANIONS[2], ((2, 4), (3, 3), (1, 5))):
        for a, b in itertools.product(CATIONS[first], CATIONS[second]):
            if a != b:
                yield f"{a}{b}{anion}3-perovskite", _perovskite(a, b, anion)
    for anion, cation in itertools.product(ANIONS[2], CATIONS[4]):
        yield f"{cation}{anion}2-fluorite", _fluorite(cation, anion)
    for anion, cation in itertools.product(ANIONS[2], CATIONS[1]):
        yield f"{cation}2{anion}-antifluorite", _fluorite(anion, cation)
    for anion, cation in itertools.product(ANIONS[1], CATIONS[2]):
        yield f"{cation}{anion}2-fluorite", _fluorite(cation, anion)
    for anion, (a, b) in itertools.product(ANIONS[1], itertools.product(CATIONS[1], CATIONS[2])):
        yield f"{a}{b}{anion}3-perovskite", _perovskite(a, b, anion)
    for anion, (a, b) in itertools.product(ANIONS[3], PAIRS):
        yield f"{a}{b}{anion}-half-heusler", _half_heusler(a, b, anion)
    for prototype, (a, b) in itertools.product(("caesium chloride", "rock salt"), PAIRS):
        yield f"{a}{b}-{prototype.replace(' ', '-')}", _binary(prototype, a, b)


def write_crystals(folder: Path, number: int) -> list[Path]:
    """Write the first of the made-up crystals as POSCAR files; as many as there are if more are asked for."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, structure in itertools.islice(made_crystals(), number):
        path = folder / f"{name}.vasp"
        structure.to(filename=str(path), fmt="poscar")
        written.append(path)
    return written


def _binary(prototype: str, cation: str, anion: str) -> Structure:
    a = _distance(cation, anion) / CONTACT[prototype]
    lattice = Lattice.cubic(a) if prototype == "caesium chloride" else _face_centred(a)
    half = [0.25] * 3 if prototype == "zinc blende" else [0.5] * 3
    return Structure(lattice, [cation, anion], [[0, 0, 0], half])


def _fluorite(corner: str, inner: str) -> Structure:
    lattice = _face_centred(_distance(corner, inner) / CONTACT["fluorite"])
    return Structure(lattice, [corner, inner, inner], [[0, 0, 0], [0.25] * 3, [0.75] * 3])


def _half_heusler(first: str, second: str, anion: str) -> Structure:
    lattice = _face_centred(max(_distance(first, anion), _distance(second, anion)) / CONTACT["fluorite"])
    return Structure(lattice, [first, second, anion], [[0, 0, 0], [0.5] * 3, [0.25] * 3])


def _perovskite(a_site: str, b_site: str, anion: str) -> Structure:
    a = max(_distance(b_site, anion) / CONTACT["perovskite"], _distance(a_site, anion) * 2**0.5)
    sites = [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    return Structure(Lattice.cubic(a), [a_site, b_site, anion, anion, anion], sites)


def _face_centred(a: float) -> Lattice:
    return Lattice([[0, a / 2, a / 2], [a / 2, 0, a / 2], [a / 2, a / 2, 0]])


def _distance(one: str, other: str) -> float:
    return 0.95 * sum(float(Element(symbol).atomic_radius or DEFAULT_RADIUS) for symbol in (one, other)) + 0.3
