"""Forces on atoms that are displaced in a supercell, found by comparing its atoms with their translated copies."""

from __future__ import annotations

import numpy as np

from hibana.rehearsal.replay.answers import bonds_of, force_constants
from hibana.rehearsal.replay.question import Question
from hibana.rehearsal.replay.traits import Traits
from hibana.rehearsal.result import Floats

SAME = 5e-3
"""Atoms nearer than this to the copy of another one (fractional coordinates) are that copy, displaced."""

NEGLIGIBLE = 1e-6
"""Displacements below this (fractional coordinates) are noise of the file."""


def forces_of(question: Question, traits: Traits) -> Floats:
    """Forces (n_atoms, 3), eV/Å: springs that pull displaced atoms back; zero in a crystal without any."""
    away = displacements(question.frac_coords, question.symbols)
    if not away.any():
        return np.zeros_like(question.frac_coords)
    bonds = bonds_of(question.lattice, question.frac_coords - away, traits)
    moved = (away @ question.lattice).ravel()
    return np.asarray(-(force_constants(bonds, len(away)) @ moved).reshape(-1, 3))


def displacements(frac_coords: Floats, symbols: list[str]) -> Floats:
    """How far each atom is from where the copies of its translated fellows are, (n_atoms, 3), fractional.

    Translations are those of the pairs of the rarest element that nearly map the crystal on itself; an atom belongs where most
    of its copies say.
    """
    kinds = np.unique(symbols, return_inverse=True)[1]
    rarest = np.flatnonzero(kinds == np.bincount(kinds).argmin())
    copies = [np.zeros_like(frac_coords)]
    for other in rarest[1:]:
        shift = frac_coords[other] - frac_coords[rarest[0]]
        apart = frac_coords[:, None] + shift - frac_coords[None, :]
        apart -= np.round(apart)
        far = np.where(kinds[:, None] == kinds[None, :], np.abs(apart).max(axis=2), 1.0)
        image = far.argmin(axis=0)
        if far[image, np.arange(len(kinds))].max() < SAME:
            off = -apart[image, np.arange(len(kinds))]
            copies.append(off - np.median(off, axis=0))  # the atom that the shift was measured from may be displaced
    if len(copies) < 3:
        return np.zeros_like(frac_coords)
    away = np.median(np.array(copies), axis=0)
    return np.where(np.abs(away) > NEGLIGIBLE, away, 0.0)
