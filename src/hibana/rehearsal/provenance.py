"""What made the numbers, and the values of VASP's parameters in force."""

from __future__ import annotations

import math
from importlib import metadata
from typing import Any

import hibana
from hibana.rehearsal.datasets import DatasetFile
from hibana.rehearsal.inputs import RunInputs
from hibana.rehearsal.result import Dos
from hibana.rehearsal.settings import GGA_TAGS

ENGINE = "gpaw-rehearsal"
"""The engine's name in every document made from its numbers."""

HYBRID_MODES = {
    True: "Hamiltonian of the semilocal density matrix diagonalised between the NBANDS states of each k point, "
    "no self-consistency; energy to first order",
    False: "first-order eigenvalues without self-consistency",
}
"""How a hybrid was done, with (ALGO = Subrot) and without diagonalisation."""


def provenance(inputs: RunInputs, files: list[DatasetFile], origin: str) -> dict[str, Any]:
    """The sidecar's content.

    Parameters
    ----------
    inputs
        What was asked for.
    files
        Data sets used, one a block of POSCAR.
    origin
        How the ground state was come by.
    """
    settings = inputs.settings
    hybrid = None
    if settings.hybrid is not None:
        hybrid = {
            "functional": settings.hybrid.functional,
            "exact_exchange": settings.hybrid.fraction,
            "screening_per_angstrom": settings.hybrid.screening,
            "mode": HYBRID_MODES[settings.hybrid.rotates],
        }
    return {
        "engine": ENGINE,
        "engine_version": f"hibana {hibana.__version__}, GPAW {metadata.version('gpaw')}",
        "is_vasp": False,
        "statement": "These files were written by hibana-vasp, a stand-in that runs GPAW. They are NOT VASP's.",
        "hibana_version": hibana.__version__,
        "gpaw_version": metadata.version("gpaw"),
        "functional": settings.functional,
        "ground_state": origin,
        "hybrid": hybrid,
        "encut": settings.encut,
        "datasets": {
            f.recipe.symbol: {
                "name": f.recipe.name,
                "functional": f.functional,
                "recipe_sha256": f.recipe.sha256,
                "file_sha256": f.sha256,
            }
            for f in files
        },
    }


def parameters_in_force(inputs: RunInputs, calculator: Any, dos: Dos) -> dict[str, Any]:
    """VASP's parameters with the values in force, as vasprun.xml lists them.

    Parameters
    ----------
    inputs
        What was asked for.
    calculator
        The calculation, for its grids.
    dos
        For its energy range.
    """
    s = inputs.settings
    grid = [int(n) for n in calculator.dft.density.nt_sR.desc.size]
    fine = [int(n) for n in calculator.dft.pot_calc.fine_grid.size]
    parameters: dict[str, Any] = {
        "SYSTEM": s.system,
        "PREC": str(inputs.incar.get("PREC", "Normal")).lower(),
        "ENCUT": s.encut,
        "ENMAX": s.encut,
        "EDIFF": s.ediff,
        "ALGO": s.algo.capitalize(),
        "NELM": s.nelm,
        "NELMIN": s.nelmin,
        "ISMEAR": s.ismear,
        "SIGMA": s.sigma,
        "ISPIN": s.nspin,
        "NELECT": s.nelect,
        "NBANDS": s.nbands,
        "GGA": "PE" if s.hybrid else GGA_TAGS[s.functional],
        "METAGGA": "--",
        "LHFCALC": s.hybrid is not None,
        "AEXX": s.hybrid.fraction if s.hybrid else 0.0,
        "HFSCREEN": s.hybrid.screening if s.hybrid else 0.0,
        "LDAU": False,
        "LUSE_VDW": False,
        "IVDW": 0,
        "LSORBIT": False,
        "LNONCOLLINEAR": False,
        "LEPSILON": s.lepsilon,
        "LRPA": s.lrpa,
        "LOPTICS": s.loptics,
        "ISTART": s.istart,
        "ICHARG": s.icharg,
        "ISYM": s.isym,
        "SYMPREC": s.symprec,
        "NSW": s.nsw,
        "IBRION": s.ibrion,
        "ISIF": s.isif,
        "EDIFFG": s.ediffg,
        "POTIM": float(inputs.incar.get("POTIM", 0.5)),
        "PSTRESS": 0.0,
        "LORBIT": s.lorbit,
        "NEDOS": s.nedos,
        "EMIN": float(dos.energies[0]),
        "EMAX": float(dos.energies[-1]),
        "LWAVE": s.lwave,
        "LCHARG": s.lcharg,
        "LAECHG": s.laechg,
        "LVHAR": s.lvhar,
        "NGX": grid[0],
        "NGY": grid[1],
        "NGZ": grid[2],
        "NGXF": fine[0],
        "NGYF": fine[1],
        "NGZF": fine[2],
    }
    if s.nspin == 2:
        parameters["MAGMOM"] = [float(m) for m in s.magmom]
        parameters["NUPDOWN"] = -1.0 if s.nupdown is None else s.nupdown
    return {tag: value for tag, value in parameters.items() if not (isinstance(value, float) and math.isnan(value))}
