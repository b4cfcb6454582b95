"""From a finished run to VASP's files.

Every writer is a pure function of the :class:`~hibana.rehearsal.result.RunResult`. The files are laid out as VASP's, so that
pymatgen, custodian, emmet, vise and pydefect read them unchanged, and say of themselves that they are not VASP's.
"""

from __future__ import annotations

import json
from pathlib import Path

from hibana.rehearsal.result import RunResult
from hibana.rehearsal.writers.checks import check
from hibana.rehearsal.writers.doscar import doscar_text
from hibana.rehearsal.writers.eigenval import eigenval_text
from hibana.rehearsal.writers.files import write_atomically
from hibana.rehearsal.writers.ibzkpt import ibzkpt_text
from hibana.rehearsal.writers.oszicar import LiveOszicar, complete_oszicar
from hibana.rehearsal.writers.outcar import outcar_text
from hibana.rehearsal.writers.poscar import write_contcar, xdatcar_text
from hibana.rehearsal.writers.procar import procar_text
from hibana.rehearsal.writers.vasprun import vasprun_text
from hibana.rehearsal.writers.volumetric import volumetric_texts

__all__ = ["SIDECAR", "LiveOszicar", "write_contcar", "write_outputs"]

SIDECAR = "HIBANA-VASP.json"
"""Name of the file that says what made the numbers."""


def write_outputs(result: RunResult, directory: Path) -> None:
    """Write all files of a finished run.

    The sidecar comes first, so that no output is ever there without it, and vasprun.xml and OUTCAR last. Each file is
    replaced at once. PROCAR is left out where LORBIT asks for none and IBZKPT where KPOINTS was a list; such a file of an
    earlier run is removed. CHGCAR, AECCAR0, AECCAR2 and LOCPOT are written where the result has the density or potential,
    and stay as they are elsewhere, because a run may have begun from them. An OSZICAR that was written live stays.

    Parameters
    ----------
    result
        The run.
    directory
        Where it ran.

    Raises
    ------
    ValueError
        If the result is incomplete or contradicts itself; then nothing is written.
    """
    check(result)
    last = result.steps[-1]
    texts = {
        "IBZKPT": ibzkpt_text(result),
        "EIGENVAL": eigenval_text(result),
        "DOSCAR": doscar_text(result),
        "PROCAR": procar_text(result),
        "XDATCAR": xdatcar_text(result),
        **volumetric_texts(result),
        "OUTCAR": outcar_text(result),
        "vasprun.xml": vasprun_text(result),
    }
    sidecar = {**result.provenance, "warnings": list(result.warnings)}
    write_atomically(directory / SIDECAR, json.dumps(sidecar, indent=1, ensure_ascii=False) + "\n")
    complete_oszicar(result, directory / "OSZICAR")
    write_contcar(
        last.lattice,
        last.frac_coords,
        result.species,
        directory / "CONTCAR",
        result.comment,
        selective=result.selective_dynamics,
    )
    for name, text in texts.items():
        if text is None:
            (directory / name).unlink(missing_ok=True)
        else:
            write_atomically(directory / name, text)
