"""A crystal as point charges: electrostatic levels of its ions, what it costs to move an electron, how soft the ions are.

The charges are formal ones. An electron at an ion has the electrostatic energy -V, V the potential of all other ions; what it
gains in the shell of a cation of charge q is the q-th ionisation energy of the atom. The difference between cation and anion
orders the gaps of oxides: J. B. Torrance, P. Lacorre, C. Asavaroengchai, R. M. Metzger, Physica C 182, 351 (1991). Two terms are
left out: what an electron gains at an anion, which is the same number in all oxides, and its attraction to the hole it leaves.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hibana.learn.features.charges import formal_charges
from hibana.learn.features.elements import property_of

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from hibana.learn.features.surroundings import Surroundings

Array = NDArray[np.float64]

IONIC_MODEL = "J. B. Torrance, P. Lacorre, C. Asavaroengchai, R. M. Metzger, Physica C 182, 351 (1991)"
PENN = "J. C. Phillips, Rev. Mod. Phys. 42, 317 (1970)"
SLATER_KIRKWOOD = "J. C. Slater, J. G. Kirkwood, Phys. Rev. 37, 682 (1931)"

IONIC: dict[str, tuple[str, str, str]] = {
    "Madelung energy per atom": ("eV/atom", "electrostatic energy of the formal charges, per atom", IONIC_MODEL),
    "anion level mean": ("eV", "mean electrostatic energy of an electron at the anions", IONIC_MODEL),
    "anion level highest": ("eV", "highest electrostatic energy of an electron at an anion", IONIC_MODEL),
    "anion level spread": ("eV", "highest less lowest of these", IONIC_MODEL),
    "cation level mean": (
        "eV",
        "mean over the cations of the electrostatic energy of an electron, less what it gains in the shell of the cation",
        IONIC_MODEL,
    ),
    "cation level lowest": ("eV", "lowest of these", IONIC_MODEL),
    "charge transfer energy mean": ("eV", "mean level of the cations less that of the anions", IONIC_MODEL),
    "charge transfer energy lowest": ("eV", "lowest level of a cation less the highest of an anion", IONIC_MODEL),
    "cation softness per volume": (
        "1/(eV^2 Å^3)",
        "sum over the cations of 1/I^2, I the energy to ionise one once more, per volume; polarisabilities go as it",
        SLATER_KIRKWOOD,
    ),
    "cation softness largest": ("1/eV^2", "largest 1/I^2 of a cation", SLATER_KIRKWOOD),
    "Penn dielectric constant": (
        "1",
        "1 + (plasmon energy of the filled shells of the anions / mean gap)^2, the gap from mean length and mean difference of "
        "electronegativities of the bonds",
        PENN,
    ),
}
"""Unit, meaning and source of the features of a crystal of ions; all NaN where no formal charges make it neutral."""

IONIC_SITE: dict[str, tuple[str, str, str]] = {
    "site charge": ("e", "formal charge of the site", "hibana"),
    "site level": ("eV", "electrostatic energy of an electron at the site", IONIC_MODEL),
    "site level above anions": ("eV", "the same less its mean over the anions", IONIC_MODEL),
    "site charge transfer energy mean": ("eV", "mean level of the cations less that of the site", IONIC_MODEL),
    "site charge transfer energy lowest": ("eV", "lowest level of a cation less that of the site", IONIC_MODEL),
    "crystal charge transfer energy": ("eV", "mean level of the cations less that of the anions", IONIC_MODEL),
}
"""The same of a site."""

COULOMB = 14.399645
"""e²/(4πε0), eV Å."""
HBAR2_OVER_M = 7.619964
"""ħ²/m of the electron, eV Å²."""
HOMOPOLAR, DECAY = 39.74, 2.48
"""Homopolar gap of Phillips: 39.74 eV at 1 Å, falling as the bond length to the power 2.48."""
HETEROPOLAR = 5.75
"""eV of the heteropolar gap for a difference of electronegativities of 1, by Phillips."""
DIGITS = 5
"""Decimals of a level in eV; sites that are alike differ in more of them by the way the sum is done."""


@dataclass(frozen=True)
class Ions:
    """Formal charges of a crystal and what follows from them.

    Parameters
    ----------
    charges
        (n_sites,) formal charges, e.
    levels
        (n_sites,) electrostatic energy of an electron at each site, eV.
    energy
        Electrostatic energy of the cell, eV.
    gains
        (n_sites,) energy that an electron gains in the shell of a cation, eV; NaN for anions and where it is not known.
    softness
        (n_sites,) 1/I² of cations, I the energy to ionise one once more, 1/eV², 0 for a bare nucleus; NaN for anions and where
        it is not known.
    """

    charges: Array
    levels: Array
    energy: float
    gains: Array
    softness: Array

    @property
    def anions(self) -> Array:
        """Levels of the anions, eV."""
        return self.levels[self.charges < 0]

    @property
    def cations(self) -> Array:
        """Levels of the cations with what an electron gains there, eV; those that are known."""
        found = (self.levels - self.gains)[self.charges > 0]
        return found[~np.isnan(found)]


def find_ions(structure: Structure) -> Ions | None:
    """A crystal as ions; None where no formal charges make it neutral.

    Parameters
    ----------
    structure
        Ordered, without oxidation states.
    """
    from pymatgen.analysis.ewald import EwaldSummation
    from pymatgen.core import Species, Structure

    symbols = [site.specie.symbol for site in structure]
    amounts = Counter(symbols)
    divisor = int(np.gcd.reduce(list(amounts.values())))
    found = formal_charges({symbol: amount // divisor for symbol, amount in amounts.items()})
    if found is None:
        return None
    charges = np.array([found[symbol] for symbol in symbols])
    decorated = [Species(symbol, found[symbol]) for symbol in symbols]
    sums = EwaldSummation(Structure(structure.lattice, decorated, structure.frac_coords))
    energies = np.array([sums.get_site_energy(site) for site in range(len(symbols))])
    gains, softness = np.array([_shell(symbol, found[symbol]) for symbol in symbols]).T
    return Ions(charges, np.round(-2 * energies / charges, DIGITS), float(energies.sum()), gains, softness)


def ionic_values(surroundings: Surroundings, bond_length: float, difference: float) -> Array:
    """The numbers of :data:`IONIC`.

    Parameters
    ----------
    surroundings
        The crystal.
    bond_length, difference
        Means over the bonds: length in Å, difference of Pauling electronegativities.
    """
    ions = surroundings.ions()
    if ions is None:
        return np.full(len(IONIC), np.nan)
    volume, cations = surroundings.structure.volume, _extremes(ions.cations)
    soft = ions.softness[ions.charges > 0]
    return np.array(
        [
            ions.energy / len(ions.charges),
            ions.anions.mean(),
            ions.anions.max(),
            np.ptp(ions.anions),
            cations[0],
            cations[1],
            cations[0] - ions.anions.mean(),
            cations[1] - ions.anions.max(),
            soft.sum() / volume,
            soft.max(),
            penn_constant(_shell_electrons(ions, surroundings.numbers) / volume, bond_length, difference),
        ]
    )


def ionic_site_values(surroundings: Surroundings, site: int) -> Array:
    """The numbers of :data:`IONIC_SITE`."""
    ions = surroundings.ions()
    if ions is None:
        return np.full(len(IONIC_SITE), np.nan)
    level, anions, (mean, lowest) = ions.levels[site], ions.anions.mean(), _extremes(ions.cations)
    return np.array([ions.charges[site], level, level - anions, mean - level, lowest - level, mean - anions])


def _extremes(levels: Array) -> tuple[float, float]:
    """Mean and lowest level."""
    return (float(levels.mean()), float(levels.min())) if len(levels) else (np.nan, np.nan)


@cache
def _shell(symbol: str, charge: float) -> tuple[float, float]:
    """What an electron gains at a cation, eV, and 1/I² of ionising it once more, 1/eV²; NaN where they are not known.

    A mean of mixed valence counts as the higher state for the former, as the lower one for the latter.
    """
    from pymatgen.core import Element

    if charge < 0:
        return np.nan, np.nan
    element = Element(symbol)
    energies = dict(enumerate(element.ionization_energies, start=1))
    gain, more = energies.get(int(np.ceil(charge))), energies.get(int(np.floor(charge)) + 1)
    bare = charge >= element.Z
    return gain or np.nan, 0.0 if bare else 1 / more**2 if more else np.nan


def _shell_electrons(ions: Ions, numbers: NDArray[np.intp]) -> float:
    """Electrons in the outermost s and p shells of the anions, their charge among them."""
    negative = ions.charges < 0
    own = property_of("NsValence", numbers[negative]) + property_of("NpValence", numbers[negative])
    return float(own.sum() - ions.charges[negative].sum())


def penn_constant(density: float, bond_length: float, difference: float) -> float:
    """Dielectric constant of Penn's model with the mean gap of Phillips and Van Vechten.

    Parameters
    ----------
    density
        Electrons per volume, 1/Å³.
    bond_length, difference
        Means over the bonds: length in Å, difference of Pauling electronegativities.
    """
    plasmon = 4 * np.pi * COULOMB * HBAR2_OVER_M * density
    gap = (HOMOPOLAR * bond_length**-DECAY) ** 2 + (HETEROPOLAR * difference) ** 2
    return float(1 + plasmon / gap)
