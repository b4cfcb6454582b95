"""What the engine does with each INCAR tag: the tables behind "never ignored".

A tag is honoured, accepted without effect, or refused with the reason; one that is in none of the tables is an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from hibana.rehearsal.errors import RehearsalError

HONOURED: dict[str, str] = {
    "SYSTEM": "str",
    "ENCUT": "float",
    "GGA": "str",
    "LHFCALC": "bool",
    "HFSCREEN": "float",
    "AEXX": "float",
    "ALGO": "str",
    "ISMEAR": "int",
    "SIGMA": "float",
    "ISPIN": "int",
    "MAGMOM": "floats",
    "NUPDOWN": "float",
    "NELECT": "float",
    "NBANDS": "int",
    "NELM": "int",
    "NELMIN": "int",
    "EDIFF": "float",
    "EDIFFG": "float",
    "NSW": "int",
    "IBRION": "int",
    "ISIF": "int",
    "ISYM": "int",
    "SYMPREC": "float",
    "LORBIT": "int",
    "NEDOS": "int",
    "EMIN": "float",
    "EMAX": "float",
    "ICHARG": "int",
    "ISTART": "int",
    "LWAVE": "bool",
    "LCHARG": "bool",
    "LAECHG": "bool",
    "LVHAR": "bool",
    "KSPACING": "float",
    "KGAMMA": "bool",
    "LEPSILON": "bool",
    "LRPA": "bool",
    "LOPTICS": "bool",
    "CSHIFT": "float",
    "OMEGAMAX": "float",
    "POTIM": "float",
}
"""Tags that act, with the type of their value."""

# fmt: off
NO_EFFECT = frozenset((
    "PREC", "LREAL", "NCORE", "NPAR", "KPAR", "NSIM", "LPLANE", "LSCALU", "LSCALAPACK", "LASPH", "ADDGRID", "LMAXMIX",
    "LMAXFOCK", "LMAXFOCKAE", "ISPEED", "AMIX", "BMIX", "AMIX_MAG", "BMIX_MAG", "AMIN", "IMIX", "INIMIX", "MAXMIX",
    "MIXPRE", "WC", "LPEAD", "NELMDL", "NELMGCOR", "TIME", "PRECFOCK", "NKRED", "NKREDX", "NKREDY", "NKREDZ", "ENAUG",
    "ENINI", "NGX", "NGY", "NGZ", "NGXF", "NGYF", "NGZF", "NWRITE", "LDIAG", "IALGO", "WEIMIN", "SMASS", "NFREE",
    "VOSKOWN", "GGA_COMPAT", "LCORR", "NBLOCK", "KBLOCK", "APACO", "NPACO", "RWIGS", "ROPT", "LCOMPAT", "LFOCKAEDFT",
    "HFRCUT",
))
# fmt: on
"""Tags that steer VASP's algorithms and parallelisation: GPAW has its own, so they are accepted and do nothing."""

NO_FILE: dict[str, str] = {
    "LVTOT": "LOCPOT with exchange and correlation",
    "LELF": "ELFCAR",
    "LPARD": "PARCHG",
    "LWAVEH5": "vaspwave.h5",
    "LCHARGH5": "vaspout.h5",
    "LH5": "vaspout.h5",
}
"""Tags that ask for a file the engine does not write; when true, the run says so."""


def _true(value: Any) -> bool:
    return as_bool(value)


def _nonzero(value: Any) -> bool:
    return as_float(value) != 0


def _not_none(value: Any) -> bool:
    return str(value).strip().upper() not in {"", "--", "NONE"}


def _positive(value: Any) -> bool:
    return as_float(value) > 0


REFUSED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "LDAU": (_true, "there is no +U correction"),
    "LSORBIT": (_true, "there is no spin-orbit coupling"),
    "LNONCOLLINEAR": (_true, "moments are collinear"),
    "IVDW": (_nonzero, "there is no dispersion correction"),
    "LVDW": (_true, "there is no dispersion correction"),
    "LUSE_VDW": (_true, "there is no van der Waals functional"),
    "METAGGA": (_not_none, "only semilocal functionals without kinetic-energy density are done"),
    "IMAGES": (_positive, "there is no nudged elastic band"),
    "LCLIMB": (_true, "there is no nudged elastic band"),
    "LCALCEPS": (_true, "there are no finite fields; LEPSILON with IBRION = 8 gives the same tensors"),
    "LCALCPOL": (_true, "the polarisation is not an output: only its derivatives are, with LEPSILON"),
    "LBERRY": (_true, "the polarisation is not an output: only its derivatives are, with LEPSILON"),
    "EFIELD": (_nonzero, "there is no electric field"),
    "EFIELD_PEAD": (_not_none, "there is no electric field"),
    "LDIPOL": (_true, "there is no dipole correction"),
    "IDIPOL": (_positive, "there is no dipole correction"),
    "LMONO": (_true, "there is no monopole correction"),
    "LSOL": (_true, "there is no implicit solvation"),
    "LTHOMAS": (_true, "Thomas-Fermi screening is not done"),
    "LMODELHF": (_true, "model dielectric screening is not done"),
    "LGAUSS": (lambda v: not as_bool(v), "pseudo core charges are GPAW's own"),
    "LWANNIER90": (_true, "there are no Wannier functions"),
    "LWANNIER90_RUN": (_true, "there are no Wannier functions"),
    "I_CONSTRAINED_M": (_nonzero, "moments are not constrained"),
    "PSTRESS": (_nonzero, "the cell is relaxed at zero pressure only"),
    "MDALGO": (_nonzero, "there is no molecular dynamics"),
    "ML_LMLFF": (_true, "there are no machine-learned force fields"),
    "FERWE": (_not_none, "occupations are not set by hand"),
    "FERDO": (_not_none, "occupations are not set by hand"),
    "EFERMI": (lambda v: str(v).strip().upper() not in {"LEGACY", "MIDGAP"}, "the Fermi level is not set by hand"),
    "KPOINTS_OPT": (_not_none, "KPOINTS_OPT is not read"),
    "LPHON_DISPERSION": (_true, "vibrations are done at Gamma only"),
    "ICORELEVEL": (_nonzero, "there are no core-level shifts"),
    "LHYPERFINE": (_true, "there are no hyperfine tensors"),
    "LCHIMAG": (_true, "there is no chemical shielding"),
    "AGGAX": (_not_none, "the gradient correction is not scaled"),
    "AGGAC": (_not_none, "the gradient correction is not scaled"),
    "ALDAC": (_not_none, "the correlation is not scaled"),
    "AMGGAX": (_not_none, "the exchange is not scaled"),
    "NKREDLF": (_not_none, "local fields are not done"),
}
"""Tags that are refused when the predicate holds for their value, with the reason; otherwise they do nothing."""

# What belongs to a refused tag and means nothing without it.
# fmt: off
SILENT_WITHOUT_PARENT = frozenset((
    "LDAUTYPE", "LDAUL", "LDAUU", "LDAUJ", "LDAUPRINT", "SAXIS", "LORBMOM", "SPRING", "TEBEG", "TEEND", "ANDERSEN_PROB",
    "LANGEVIN_GAMMA", "VDW_S6", "VDW_S8", "VDW_RADIUS", "DIPOL", "M_CONSTR", "LAMBDA", "IVDW_NL",
))
# fmt: on
"""Tags that act only together with a refused one; alone they do nothing in VASP either."""


def as_bool(value: Any) -> bool:
    """VASP's reading of a logical.

    Raises
    ------
    ValueError
        If it is none.
    """
    if isinstance(value, bool):
        return value
    text = str(value).strip().strip(".").upper()
    if text[:1] in {"T", "F"}:
        return text[0] == "T"
    raise ValueError(f"{value!r} is neither T nor F")


def as_float(value: Any) -> float:
    """A real number, with Fortran's ``1d-5`` allowed."""
    if isinstance(value, (list, tuple)):
        if len(value) != 1:
            raise ValueError(f"{value!r} is not one number")
        value = value[0]
    return float(re.sub(r"[dD]", "e", str(value)))


def as_int(value: Any) -> int:
    """An integer.

    Raises
    ------
    ValueError
        If it is a fraction.
    """
    number = as_float(value)
    if number != int(number):
        raise ValueError(f"{value!r} is not an integer")
    return int(number)


def as_floats(value: Any) -> list[float]:
    """A list of numbers, with ``3*0.6`` allowed."""
    words = [str(v) for v in value] if isinstance(value, (list, tuple)) else str(value).split()
    numbers: list[float] = []
    for word in words:
        count, _, number = word.rpartition("*")
        numbers += [as_float(number)] * (int(count) if count else 1)
    return numbers


_READERS: dict[str, Callable[[Any], Any]] = {
    "int": as_int,
    "float": as_float,
    "bool": as_bool,
    "str": lambda v: str(v).strip(),
    "floats": as_floats,
}


def parse_incar(text: str) -> dict[str, str]:
    """Tags of an INCAR as text, by VASP's rules.

    ``#`` and ``!`` begin a comment, ``;`` parts two tags on a line, a backslash at the end goes on with the next line.

    Raises
    ------
    ValueError
        For a line that is no assignment, or a tag given twice with different values.
    """
    tags: dict[str, str] = {}
    lines = [re.sub(r"[#!].*", "", line) for line in text.splitlines()]
    joined = re.sub(r"\\\s*\n", " ", "\n".join(lines))
    for statement in re.split(r"[;\n]", joined):
        name, sign, value = statement.partition("=")
        tag = name.strip().upper()
        if not statement.strip():
            continue
        if not sign or not re.fullmatch(r"\w+", tag):
            raise ValueError(f"{statement.strip()!r} is not TAG = value")
        if tags.setdefault(tag, value.strip()) != value.strip():
            raise ValueError(f"{tag} is given twice, as {tags[tag]!r} and {value.strip()!r}")
    return tags


def plain_value(text: str) -> Any:
    """A value with the type its text has: logical, integer, real, list of numbers, or string."""
    for reader in (as_int, as_float, as_floats):
        try:
            value = reader(text)
        except (ValueError, OverflowError):
            continue
        if value != []:
            return value
    if re.fullmatch(r"\.?(T|F|TRUE|FALSE)\.?", text, re.IGNORECASE):
        return as_bool(text)
    return text


def read_tags(raw: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Sort INCAR's tags and give the honoured ones their types.

    Parameters
    ----------
    raw
        Tags as read from INCAR (:func:`parse_incar`).

    Returns
    -------
    honoured
        Upper-case tag to typed value.
    warnings
        What the run has to say about tags that ask for a file it does not write.

    Raises
    ------
    RehearsalError
        HIB-182 for a refused tag, HIB-183 for an unknown one, HIB-184 for a value of the wrong type.
    """
    honoured: dict[str, Any] = {}
    warnings = []
    for given, value in raw.items():
        tag = given.upper()
        try:
            if tag in HONOURED:
                honoured[tag] = _READERS[HONOURED[tag]](value)
            elif tag in REFUSED:
                refuses, reason = REFUSED[tag]
                if refuses(value):
                    raise RehearsalError(182, f"{tag} = {value}: {reason}", where="INCAR")
            elif tag in NO_FILE:
                if as_bool(value):
                    warnings.append(f"{tag} = {value}: this engine writes no {NO_FILE[tag]}")
            elif tag not in NO_EFFECT and tag not in SILENT_WITHOUT_PARENT:
                raise RehearsalError(183, f"{tag} = {value}", where="INCAR")
        except (ValueError, TypeError) as error:
            raise RehearsalError(184, f"{tag} = {value}: {error}", where="INCAR") from error
    if honoured.get("LAECHG"):
        warnings.append("LAECHG = T: this engine writes no AECCAR1, the density of the separate atoms")
    return honoured, tuple(warnings)
