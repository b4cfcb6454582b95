"""INCAR's tags resolved to the values in force, with VASP's defaults."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from hibana.rehearsal.errors import RehearsalError
from hibana.rehearsal.result import Species

FUNCTIONALS = {"PS": "PBEsol", "PE": "PBE", "CA": "LDA", "RE": "revPBE", "RP": "RPBE"}
"""GGA tag to GPAW's name of the functional; POTCAR's LEXCH is PE."""

GGA_TAGS = {name: tag for tag, name in FUNCTIONALS.items()}
"""GPAW's name to VASP's tag."""

SCREENINGS = {"HSE06": (0.195, 0.215), "PBE0": (0.0, 0.0)}
"""Range of HFSCREEN (1/Å) that is taken as each functional; GPAW's HSE06 has 0.11 / Bohr = 0.2079 / Å."""

DISPLACEMENT = 0.015
"""Length of the displacements of IBRION = 5 to 8 where POTIM does not give it, Å: VASP's own."""

SUBSPACE_ALGOS = {"SUBROT", "EIGENVAL", "NONE", "NOTHING"}
"""ALGO of a run that keeps the wave functions it starts from."""


@dataclass(frozen=True)
class Hybrid:
    """A hybrid without self-consistency: GPAW's name of the functional, fraction of exact exchange, screening (1/Å), and
    whether its Hamiltonian is diagonalised between the states (ALGO = Subrot) or its diagonal taken.
    """

    functional: str
    fraction: float
    screening: float
    rotates: bool = False


@dataclass(frozen=True)
class Settings:
    """The values in force; names are VASP's tags in lower case unless said otherwise.

    Parameters
    ----------
    functional
        GPAW's name of the semilocal functional.
    hybrid
        The hybrid whose eigenvalues are calculated on top, or None.
    nspin
        ISPIN.
    magmom
        Initial moment of each atom, μB; empty for ISPIN = 1.
    nupdown
        Total moment that is kept, μB; None where it is free.
    ionic_steps
        Largest number of ionic steps, at least 1.
    relaxes
        Whether ions (and for ISIF = 3 the cell) move.
    displacement
        Length of the displacements of IBRION = 5 to 8, Å.
    displaces_ions
        Whether derivatives with respect to the ions are asked for.
    """

    system: str
    functional: str
    hybrid: Hybrid | None
    encut: float
    ismear: int
    sigma: float
    nspin: int
    magmom: tuple[float, ...]
    nupdown: float | None
    nelect: float
    charge: float
    nbands: int
    nelm: int
    nelmin: int
    ediff: float
    ediffg: float
    nsw: int
    ibrion: int
    isif: int
    isym: int
    symprec: float
    lorbit: int
    nedos: int
    emin: float | None
    emax: float | None
    icharg: int
    istart: int
    lwave: bool
    lepsilon: bool
    lrpa: bool
    loptics: bool
    cshift: float
    omegamax: float | None
    displacement: float
    lcharg: bool
    laechg: bool
    lvhar: bool
    algo: str

    @property
    def relaxes(self) -> bool:
        """Whether the ions move."""
        return self.ibrion in (1, 2, 3) and self.nsw > 1

    @property
    def relaxes_cell(self) -> bool:
        """Whether the cell moves too."""
        return self.relaxes and self.isif == 3

    @property
    def displaces_ions(self) -> bool:
        """Whether derivatives with respect to the ions are asked for (IBRION = 5 to 8)."""
        return self.ibrion in (5, 6, 7, 8) and self.nsw > 0

    @property
    def ionic_steps(self) -> int:
        """Largest number of ionic steps, at least 1."""
        return self.nsw if self.relaxes else 1

    @property
    def wants_stress(self) -> bool:
        """Whether the stress is calculated (ISIF > 0)."""
        return self.isif > 0

    @property
    def fixed_density(self) -> bool:
        """Whether the density is that of an earlier run (ICHARG >= 10)."""
        return self.icharg >= 10


def resolve(tags: dict[str, Any], species: tuple[Species, ...]) -> Settings:
    """Fill in VASP's defaults and refuse what the engine cannot honour.

    Parameters
    ----------
    tags
        Typed tags from :func:`hibana.rehearsal.tags.read_tags`.
    species
        Blocks of POSCAR with their POTCARs.

    Raises
    ------
    RehearsalError
        HIB-184 for a value that cannot be honoured, HIB-192 for impossible numbers of electrons or bands.
    """
    n_atoms = sum(s.count for s in species)
    neutral = sum(s.zval * s.count for s in species)
    nspin = tags.get("ISPIN", 1)
    _require(nspin in (1, 2), "ISPIN", nspin, "1 or 2")
    magmom = tuple(tags.get("MAGMOM", [1.0] * n_atoms)) if nspin == 2 else ()
    _require(nspin == 1 or len(magmom) == n_atoms, "MAGMOM", magmom, f"one moment for each of the {n_atoms} atoms")
    nupdown = None if tags.get("NUPDOWN", -1.0) < 0 else tags["NUPDOWN"]
    nelect = tags.get("NELECT", neutral)
    if not 0 < nelect < neutral + 2 * n_atoms:
        raise RehearsalError(192, f"NELECT = {nelect} with {neutral:g} valence electrons in the neutral cell", where="INCAR")
    nbands = tags.get("NBANDS", default_nbands(nelect, n_atoms, magmom))
    if 2 * nbands < nelect + max(sum(abs(m) for m in magmom), nupdown or 0):
        raise RehearsalError(192, f"NBANDS = {nbands} cannot hold {nelect:g} electrons", where="INCAR")
    hybrid = _hybrid(tags)
    nsw = tags.get("NSW", 0)
    ibrion = tags.get("IBRION", -1 if nsw < 1 else 0)
    settings = Settings(
        system=tags.get("SYSTEM", "unknown system"),
        functional=_functional(tags.get("GGA")),
        hybrid=hybrid,
        encut=tags.get("ENCUT", max(s.enmax for s in species)),
        ismear=tags.get("ISMEAR", 1),
        sigma=tags.get("SIGMA", 0.2),
        nspin=nspin,
        magmom=magmom,
        nupdown=nupdown,
        nelect=nelect,
        charge=neutral - nelect,
        nbands=nbands,
        nelm=tags.get("NELM", 60),
        nelmin=tags.get("NELMIN", 2),
        ediff=tags.get("EDIFF", 1e-4),
        ediffg=tags.get("EDIFFG", 10 * tags.get("EDIFF", 1e-4)),
        nsw=nsw,
        ibrion=ibrion,
        isif=tags.get("ISIF", 0 if hybrid else 2),
        isym=tags.get("ISYM", 2),
        symprec=tags.get("SYMPREC", 1e-5),
        lorbit=tags.get("LORBIT", 0),
        nedos=tags.get("NEDOS", 301),
        emin=tags.get("EMIN"),
        emax=tags.get("EMAX"),
        icharg=tags.get("ICHARG", 2),
        istart=tags.get("ISTART", 1),
        lwave=tags.get("LWAVE", True),
        lepsilon=tags.get("LEPSILON", False),
        lrpa=tags.get("LRPA", False),
        loptics=tags.get("LOPTICS", False),
        cshift=tags.get("CSHIFT", 0.1),
        omegamax=tags.get("OMEGAMAX"),
        displacement=tags.get("POTIM", DISPLACEMENT) if ibrion in (5, 6) else DISPLACEMENT,
        lcharg=tags.get("LCHARG", True),
        laechg=tags.get("LAECHG", False),
        lvhar=tags.get("LVHAR", False),
        algo=tags.get("ALGO", "Normal").upper(),
    )
    _check(settings)
    _check_moment(settings)
    return settings


def default_nbands(nelect: float, n_atoms: int, magmom: tuple[float, ...] = ()) -> int:
    """VASP's default number of bands."""
    bands = round((nelect + 2) / 2) + max(n_atoms // 2, 3)
    if magmom:
        bands += math.ceil(abs(sum(magmom)) / 2)
    return max(bands, int(0.6 * nelect))


def _functional(gga: str | None) -> str:
    if gga is None or gga in ("--", ""):
        return "PBE"
    name = FUNCTIONALS.get(gga.upper())
    _require(name is not None, "GGA", gga, "one of " + ", ".join(f"{tag} ({name})" for tag, name in FUNCTIONALS.items()))
    return str(name)


def _hybrid(tags: dict[str, Any]) -> Hybrid | None:
    if not tags.get("LHFCALC", False):
        return None
    screening, fraction = tags.get("HFSCREEN", 0.0), tags.get("AEXX", 0.25)
    algo, nelm = tags.get("ALGO", "Normal"), tags.get("NELM", 60)
    _require(
        algo.upper() in SUBSPACE_ALGOS and nelm == 1,
        "ALGO",
        f"{algo} with LHFCALC and NELM = {nelm}",
        "ALGO = Subrot or Eigenval with NELM = 1: hybrids are done without self-consistency on the wave functions of a "
        "semilocal run",
    )
    _require(0 < fraction <= 1, "AEXX", fraction, "a fraction above 0")
    for name, (low, high) in SCREENINGS.items():
        if low <= screening <= high:
            return Hybrid(name, fraction, screening, rotates=algo.upper() == "SUBROT")
    raise RehearsalError(184, f"HFSCREEN = {screening}: only 0 (PBE0) and 0.2 to 0.208 (HSE06) are done", where="INCAR")


def _check(s: Settings) -> None:
    """Refuse values outside what is done."""
    _require(50 <= s.encut <= 3000, "ENCUT", s.encut, "between 50 and 3000 eV")
    _require(s.ismear in (-5, -4, -1, 0, 1, 2), "ISMEAR", s.ismear, "-5, -4, -1, 0, 1 or 2")
    _require(s.ismear <= -4 or s.sigma > 0, "SIGMA", s.sigma, "above 0 eV")
    _require(
        s.ibrion in (-1, 1, 2, 3, 5, 6, 7, 8), "IBRION", s.ibrion, "-1 (static), 1, 2, 3 (relaxation) or 5 to 8 (vibrations)"
    )
    _check_response(s)
    _require(s.isif in (0, 1, 2, 3), "ISIF", s.isif, "0, 1, 2 (ions) or 3 (ions and cell)")
    _require(s.isym in (-1, 0, 1, 2, 3), "ISYM", s.isym, "-1, 0, 1, 2 or 3")
    _require(s.lorbit in (0, 10, 11), "LORBIT", s.lorbit, "0, 10 or 11")
    _require(s.nedos >= 2, "NEDOS", s.nedos, "at least 2")
    _require(s.emin is None or s.emax is None or s.emin < s.emax, "EMIN", s.emin, "below EMAX")
    _require(s.nelm >= 1, "NELM", s.nelm, "at least 1")
    _require(s.ediff > 0, "EDIFF", s.ediff, "above 0")
    _require(s.ediffg != 0, "EDIFFG", s.ediffg, "other than 0")
    _require(s.icharg in (0, 1, 2, 10, 11, 12), "ICHARG", s.icharg, "0, 1, 2 or 10, 11, 12")
    _require(s.algo not in SUBSPACE_ALGOS or s.hybrid is not None, "ALGO", s.algo, "Normal: this one needs LHFCALC")
    _require(not (s.hybrid and s.relaxes), "NSW", s.nsw, "0 or 1 with LHFCALC: a hybrid has no forces here, relax with PBEsol")
    _require(not (s.fixed_density and s.relaxes), "ICHARG", s.icharg, "below 10 for a relaxation")
    _require(not (s.hybrid and s.fixed_density), "ICHARG", s.icharg, "below 10 with LHFCALC")


def _check_moment(s: Settings) -> None:
    """Refuse a fixed moment that the electrons or the method do not allow."""
    if s.nupdown is None:
        return
    _require(s.nspin == 2, "NUPDOWN", s.nupdown, "ISPIN = 2")
    _require(s.nupdown <= s.nelect, "NUPDOWN", s.nupdown, f"at most one for each of the {s.nelect:g} electrons")
    _require(s.ismear > -4, "NUPDOWN", f"{s.nupdown:g} with ISMEAR = {s.ismear}", "ISMEAR from -1 to 2")
    for there, tag in ((s.hybrid, "LHFCALC"), (s.lepsilon, "LEPSILON"), (s.loptics, "LOPTICS"), (s.fixed_density, "ICHARG")):
        _require(not there, "NUPDOWN", f"{s.nupdown:g} with {tag}", f"the moment free with {tag}")


def _check_response(s: Settings) -> None:
    """Refuse LEPSILON, LOPTICS and displacements together with what they cannot be done with."""
    tag = "LEPSILON" if s.lepsilon else "LOPTICS" if s.loptics else "IBRION" if s.displaces_ions else ""
    if not tag:
        return
    _require(s.hybrid is None, tag, "T with LHFCALC", f"{tag} without LHFCALC: it is done on the semilocal functional only")
    _require(not s.relaxes, tag, f"T with NSW = {s.nsw}", "a static run: relax first")
    _require(s.charge == 0, tag, f"T with NELECT = {s.nelect:g}", "the neutral cell")
    _require(s.loptics or not s.fixed_density, tag, f"T with ICHARG = {s.icharg}", "ICHARG below 10")
    two_spins = "LRPA = .TRUE. with ISPIN = 2: local fields of exchange and correlation are done for one spin channel only"
    _require(s.nspin == 1 or s.lrpa or not s.lepsilon, tag, "T with ISPIN = 2", two_spins)
    _require(0.001 <= s.displacement <= 0.1, "POTIM", s.displacement, "a displacement between 0.001 and 0.1 Å")
    _require(s.cshift >= 0, "CSHIFT", s.cshift, "0 or above")
    _require(s.omegamax is None or s.omegamax > 0, "OMEGAMAX", s.omegamax, "above 0 eV")


def _require(holds: bool, tag: str, value: Any, allowed: str) -> None:
    if not holds:
        raise RehearsalError(184, f"{tag} = {value}; the engine needs {allowed}", where="INCAR")
