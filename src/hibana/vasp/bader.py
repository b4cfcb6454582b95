"""Bader analysis of a run's charge density by the program of Henkelman's group, where it is installed.

The charge is that of CHGCAR; the atoms are told apart by the all-electron density, AECCAR0 + AECCAR2
(G. Henkelman, A. Arnaldsson, H. Jónsson, Comput. Mater. Sci. 36, 354 (2006); W. Tang, E. Sanville, G. Henkelman,
J. Phys.: Condens. Matter 21, 084204 (2009)). Its table, ACF.dat, stays in the folder of the run; the densities, which are
larger than everything else together, do not.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hibana.vasp.density import DamagedDensityError, add, read_density, written
from hibana.vasp.files import find, load, load_text

Array = NDArray[np.float64]

PROGRAM = "bader"
"""Name of the program on PATH."""

RESULT, LOG = "ACF.dat", "bader.log"
"""The program's table of atoms; what it printed, or why there is no table."""

DENSITIES = ("CHG", "CHGCAR", "AECCAR0", "AECCAR1", "AECCAR2")
"""Files of densities."""

NEEDED = ("CHGCAR", "AECCAR0", "AECCAR2")
"""Those of them that the analysis reads."""

NOTE = "bader: "
"""Beginning of the warning of a run that says why it has no analysis."""

KEEP = "HIBANA_KEEP_DENSITIES"
"""Environment variable that keeps the densities, if it is set to anything but 0."""

SECONDS = 1800.0
"""Time the program may take."""

ELECTRON_TOLERANCE = 0.02
"""The electrons of the atoms are those of the cell within this, e per atom."""

VOLUME_TOLERANCE = 0.01
"""The volumes of the atoms fill the cell within this share."""

TAIL = 200
"""Characters of what the program printed last that are kept of a failure."""


@dataclass(frozen=True)
class BaderResult:
    """Electrons and volumes, Å^3, of the sites (n,), and what belongs to no site."""

    electrons: Array
    volumes: Array
    vacuum_electrons: float = 0.0
    vacuum_volume: float = 0.0


@dataclass(frozen=True)
class NoBader:
    """Why there is no Bader analysis; ``installed`` is False where the program is not on PATH."""

    reason: str
    installed: bool = True


@dataclass(frozen=True)
class SiteCharges:
    """Net charges (n,), e, valence electrons of the potential less those of the site; and volumes (n,), Å^3."""

    charges: Array
    volumes: Array


def analyse(directory: Path, *, seconds: float = SECONDS) -> BaderResult | NoBader:
    """Bader analysis of a run: the table in its folder, or one made of its densities; the folder is not changed.

    Parameters
    ----------
    directory
        Folder of the run; its files may be gzipped.
    seconds
        Time the program may take.
    """
    table = load_text(directory, RESULT)
    if table is not None:
        return read_table(table)
    missing = [name for name in NEEDED if find(directory, name) is None]
    if missing:
        said = (load_text(directory, LOG) or "").strip()
        return NoBader(said.splitlines()[-1] if said else f"there is no {' and no '.join(missing)}")
    try:
        with tempfile.TemporaryDirectory(prefix="hibana-bader-") as scratch:
            failed = _run(directory, Path(scratch), seconds)
            return failed or read_table((Path(scratch) / RESULT).read_text(encoding="latin-1"))
    except OSError as error:
        return NoBader(str(error))


def settle(directory: Path, *, keep: bool | None = None, seconds: float = SECONDS) -> BaderResult | NoBader:
    """Analyse a finished run and leave the table in its folder instead of the densities.

    The densities are removed after an analysis, and where the program is not installed; they stay where the analysis fails.

    Parameters
    ----------
    directory
        Folder of the run.
    keep
        Whether the densities stay in any case; None: as the environment variable HIBANA_KEEP_DENSITIES says.
    seconds
        Time the program may take.
    """
    keep = os.environ.get(KEEP, "0") not in ("", "0") if keep is None else keep
    with tempfile.TemporaryDirectory(prefix="hibana-bader-") as name:
        scratch = Path(name)
        try:
            failed = _run(directory, scratch, seconds)
            found = failed or read_table((scratch / RESULT).read_text(encoding="latin-1"))
            if isinstance(found, BaderResult):
                shutil.copyfile(scratch / RESULT, directory / RESULT)
                shutil.copyfile(scratch / LOG, directory / LOG)
            elif not found.installed:
                removed = "" if keep else "; the densities were removed"
                (directory / LOG).write_text(f"{found.reason}{removed}\n", encoding="utf-8")
        except OSError as error:
            return NoBader(str(error))
    if not keep and (isinstance(found, BaderResult) or not found.installed):
        for density in DENSITIES:
            (directory / density).unlink(missing_ok=True)
    return found


def _run(directory: Path, scratch: Path, seconds: float) -> NoBader | None:
    """Run the program in a scratch folder; why it gave nothing, or None."""
    program = shutil.which(PROGRAM)
    if program is None:
        return NoBader(f"the program {PROGRAM} is not on PATH", installed=False)
    files = {name: load(directory, name) for name in NEEDED}
    missing = [name for name, file in files.items() if file is None]
    if missing:
        return NoBader(f"there is no {' and no '.join(missing)}")
    texts = {name: file.data for name, file in files.items() if file is not None}
    try:
        reference = add(read_density(texts["AECCAR0"]), read_density(texts["AECCAR2"]))
    except DamagedDensityError as error:
        return NoBader(f"AECCAR0 and AECCAR2: {error}")
    (scratch / "CHGCAR").write_bytes(texts["CHGCAR"])
    (scratch / "CHGCAR_sum").write_bytes(written(reference))
    command = [str(Path(program).absolute()), "CHGCAR", "-ref", "CHGCAR_sum"]
    try:
        with (scratch / LOG).open("wb") as log:
            status = subprocess.run(
                command, cwd=scratch, stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=seconds, check=False
            ).returncode
    except subprocess.TimeoutExpired:
        return NoBader(f"{PROGRAM} took longer than {seconds:.0f} s")
    if status != 0 or not (scratch / RESULT).is_file():
        printed = (scratch / LOG).read_text(encoding="latin-1").strip()[-TAIL:] or "nothing was printed"
        return NoBader(
            f"{PROGRAM} ended with status {status} and {'a' if (scratch / RESULT).is_file() else 'no'} table; {printed}"
        )
    return None


def read_table(text: str) -> BaderResult | NoBader:
    """Read ACF.dat: number, position, charge, distance to the surface, and volume of each atom between dashed lines."""
    lines = [line.strip() for line in text.splitlines()]
    rules = [number for number, line in enumerate(lines) if line.startswith("---")]
    if len(rules) < 2 or "ATOMIC VOL" not in text:
        return NoBader(f"{RESULT} is cut off or of another program")
    extra = {words[0].strip(): words[1] for line in lines[rules[1] :] if len(words := line.split(":")) == 2}
    try:
        rows = np.array([line.split() for line in lines[rules[0] + 1 : rules[1]]], dtype=np.float64).reshape(-1, 7)
        vacuum = [float(extra.get(name, 0.0)) for name in ("VACUUM CHARGE", "VACUUM VOLUME")]
    except ValueError as error:
        return NoBader(f"{RESULT}: {error}")
    return BaderResult(rows[:, 4], rows[:, 6], *vacuum)


def site_charges(found: BaderResult, valence: Array, nelect: float | None, volume: float) -> SiteCharges | NoBader:
    """Net charges of the sites, if the analysis has all electrons and the whole cell.

    Parameters
    ----------
    found
        Electrons and volumes.
    valence
        Valence electrons of the potential of each site (n,).
    nelect
        Electrons of the cell; None where unknown.
    volume
        Volume of the cell, Å^3.
    """
    n_sites = len(valence)
    if len(found.electrons) != n_sites:
        return NoBader(f"{RESULT} has {len(found.electrons)} sites, the run {n_sites}")
    if not (np.all(np.isfinite(found.electrons)) and np.all(np.isfinite(found.volumes))):
        return NoBader(f"{RESULT} is not all numbers")
    electrons = float(found.electrons.sum() + found.vacuum_electrons)
    if nelect is not None and abs(electrons - nelect) > ELECTRON_TOLERANCE * n_sites:
        return NoBader(f"the sites have {electrons:.3f} electrons, the run {nelect:g}")
    filled = float(found.volumes.sum() + found.vacuum_volume)
    if abs(filled - volume) > VOLUME_TOLERANCE * volume:
        return NoBader(f"the sites fill {filled:.2f} Å^3, the cell is {volume:.2f} Å^3")
    return SiteCharges(valence - found.electrons, found.volumes)
