"""OUTCAR: header, parameters and ends of the run; the ionic steps are in :mod:`.outcar_steps`."""

from __future__ import annotations

import math
import time
from typing import Any

from hibana.rehearsal.result import RunResult
from hibana.rehearsal.writers.kpoints import written_weights
from hibana.rehearsal.writers.outcar_steps import ionic_step_block
from hibana.rehearsal.writers.planewaves import plane_wave_counts
from hibana.rehearsal.writers.poscar import formula
from hibana.rehearsal.writers.vasprun import FORMAT_VERSION, engine_name

RULE = "-" * 104

FORBIDDEN = ("serial",)
"""pymatgen takes a file with this word for that of another build and looks for other tables."""

_PARAMETERS = (
    ("Startparameter for this run:", (("ISPIN", "spin polarized calculation?"), ("ICHARG", "charge: 1-file 2-atom 10-const"))),
    (
        "Electronic Relaxation",
        (("ENCUT", "eV"), ("NELM", "largest number of electronic steps"), ("EDIFF", "stopping-criterion for ELM")),
    ),
    (
        "Ionic relaxation",
        (
            ("EDIFFG", "stopping-criterion for IOM"),
            ("NSW", "number of steps for IOM"),
            ("IBRION", "ionic relax: 0-MD 1-quasi-New 2-CG"),
            ("ISIF", "stress and relaxation"),
            ("ISYM", "0-nonsym 1-usesym 2-fastsym"),
        ),
    ),
    (
        "DOS related values:",
        (("ISMEAR", "-4-tet -1-fermi 0-gaus"), ("SIGMA", "broadening in eV"), ("EMIN", "eV"), ("EMAX", "eV"), ("LORBIT", "")),
    ),
    (
        "Exchange correlation treatment:",
        (
            ("GGA", "GGA type"),
            ("LHFCALC", "Hartree Fock is set to"),
            ("AEXX", "exact exchange contribution"),
            ("HFSCREEN", "screening length, 1/A"),
        ),
    ),
    (
        "Linear response parameters",
        (
            ("LEPSILON", "determine dielectric tensor"),
            ("LRPA", "only Hartree local field effects (RPA)"),
            ("LCALCEPS", "calculate dielectric tensor"),
            ("LOPTICS", "calculate dielectric function"),
            ("CSHIFT", "complex shift for real part using Kramers Kronig"),
        ),
    ),
)
"""Headings and the parameters under them, each with what it means."""


def outcar_text(result: RunResult) -> str:
    """The whole OUTCAR.

    Raises
    ------
    ValueError
        If a text that the result brings along has a word that would change how the file is read.
    """
    steps = [ionic_step_block(result, number) for number in range(1, len(result.steps) + 1)]
    text = "".join([_header(result), _potentials(result), _dimensions(result), _settings(result), _basis(result), *steps])
    text += _ending(result)
    for word in FORBIDDEN:
        if word in text:
            raise ValueError(f"OUTCAR must not have the word {word!r}, which some name in the result has")
    return text


def _header(result: RunResult) -> str:
    started = time.strftime("%Y.%m.%d  %H:%M:%S", time.localtime(result.started))
    return (
        f" hibana-vasp: NOT VASP. The numbers are those of {engine_name(result)};\n"
        f" only the layout follows OUTCAR of vasp.{FORMAT_VERSION}. HIBANA-VASP.json says more.\n"
        f" executed on {'hibana-vasp':>20s} date {started}\n"
        " running on    1 total cores\n\n\n" + RULE + "\n\n\n"
    )


def _potentials(result: RunResult) -> str:
    text = "".join(f" POTCAR:    {s.titel}\n" for s in result.species)
    for s in result.species:
        text += f"\n POTCAR:    {s.titel}\n   TITEL  = {s.titel}\n"
        text += f"   POMASS = {s.mass:8.3f}; ZVAL   = {s.zval:8.3f}    mass and valenz\n   ENMAX  = {s.enmax:8.3f} eV\n"
    return text + f"\n\n{RULE}\n\n\n"


def _dimensions(result: RunResult) -> str:
    """Sizes of arrays; a mesh that the result does not tell is given as VASP gives what is unset, -1 or asterisks."""
    _, nk, nbands = result.bands.eigenvalues.shape
    grid = [result.parameters.get(tag) for tag in ("NGX", "NGY", "NGZ")]
    fine = [result.parameters.get(tag) or -1 for tag in ("NGXF", "NGYF", "NGZF")]
    points = f"{math.prod(n for n in grid if n):6d}" if all(grid) else "*" * 6
    text = " Dimension of arrays:\n"
    text += f"   k-points           NKPTS = {nk:6d}   number of bands    NBANDS= {nbands:6d}\n"
    text += f"   number of dos      NEDOS = {len(result.dos.energies):6d}   number of ions     NIONS = {len(result.symbols):6d}\n"
    text += f"   total plane-waves  NPLWV = {points}\n"
    text += "   dimension x,y,z NGXF= {:5d} NGYF= {:4d} NGZF= {:4d}\n".format(*fine)
    text += "   ions per type =            " + "".join(f"{s.count:4d}" for s in result.species)
    return f"{text}\n\n POSCAR =  {formula(result.species)}\n\n"


def _settings(result: RunResult) -> str:
    text = ""
    for heading, tags in _PARAMETERS:
        text += f" {heading}\n"
        for tag, meaning in tags:
            if result.parameters.get(tag) is not None:
                text += f"   {tag:6s} = {_shown(result.parameters[tag])}    {meaning}".rstrip() + "\n"
        text += "\n"
    text += "  Ionic Valenz\n   ZVAL   = " + "".join(f"{s.zval:7.2f}" for s in result.species)
    return f"{text}\n   NELECT = {result.nelect:12.4f}    total number of electrons\n\n\n{RULE}\n\n\n"


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return f"{'T' if value else 'F':>6s}"
    if isinstance(value, int):
        return f"{value:6d}"
    return f"{value:.8G}" if isinstance(value, float) else f"{value:>6s}"


def _basis(result: RunResult) -> str:
    step, kpoints, weights = result.steps[0], result.bands.kpoints, written_weights(result)
    text = " k-points in reciprocal lattice and weights:\n"
    for (x, y, z), weight in zip(kpoints.tolist(), weights.tolist(), strict=True):
        text += f"  {x:11.8f} {y:11.8f} {z:11.8f} {weight:11.3f}\n"
    text += "\n position of ions in fractional coordinates (direct lattice)\n"
    for x, y, z in step.frac_coords.tolist():
        text += f"  {x:11.8f} {y:11.8f} {z:11.8f}\n"
    counts = plane_wave_counts(step.lattice, kpoints, float(result.parameters["ENCUT"])).tolist()
    text += f"\n\n\n{RULE}\n\n\n"
    for number, ((x, y, z), count) in enumerate(zip(kpoints.tolist(), counts, strict=True), start=1):
        text += f" k-point {number:4d} : {x:8.4f} {y:7.4f} {z:7.4f}  plane waves: {count:7d}\n"
    return f"{text}\n maximum and minimum number of plane-waves per node : {max(counts):9d} {min(counts):8d}\n\n\n{RULE}\n\n\n"


def _ending(result: RunResult) -> str:
    measured = (
        ("Total CPU time used (sec)", result.cpu_seconds, ".3f"),
        ("Elapsed time (sec)", result.wall_seconds, ".3f"),
        ("Maximum memory used (kb)", result.max_memory_kb, ".0f"),
    )
    lines = "".join(f"{label:>42s}: {format(value, form):>12s}\n" for label, value, form in measured)
    title = " General timing and accounting informations for this job:"
    return f"\n{title}\n {'=' * (len(title) - 1)}\n\n{lines}"
