"""The rehearsal engine's numbered errors.

The engine is a program of its own, so it keeps its own table (HIB-180 to HIB-209); the numbers are part of hibana's list
of errors and mean one thing for ever.
"""

from __future__ import annotations

from pathlib import Path

KINDS: dict[int, tuple[str, str]] = {
    180: (
        "an input file is missing",
        "hibana-vasp reads INCAR, POSCAR, KPOINTS and POTCAR in the working directory: put it there.",
    ),
    181: ("an input file cannot be read", "Correct the file; hibana inputs writes a correct one."),
    182: ("INCAR holds a tag the engine cannot honour", "Remove the tag, or run this calculation with VASP."),
    183: ("INCAR holds a tag the engine does not know", "Check its spelling; if it is a real VASP tag, run with VASP."),
    184: ("INCAR holds a value the engine cannot honour", "Change the value, or run this calculation with VASP."),
    185: (
        "POTCAR was not made by this engine",
        "Make a library with hibana-vasp --make-potcars DIR and set PMG_VASP_PSP_DIR=DIR.",
    ),
    186: ("POTCAR and POSCAR disagree", "Give one POTCAR block for each block of atoms in POSCAR, in the same order."),
    187: ("no data set for an element", "hibana-vasp --list-elements lists the elements of this release."),
    188: ("a data set could not be made", "Check that the data-set folder (HIBANA_DATASETS) is writable and has free space."),
    189: ("KPOINTS cannot be used", "Give a Gamma or Monkhorst-Pack mesh, a line path, or a list of k points with weights."),
    190: ("the structure cannot be calculated", "Check POSCAR: cell, units and distances between atoms."),
    191: ("the run needs GPAW, which is not installed", "pip install 'hibana[rehearsal]', or use the environment that has it."),
    192: ("the number of electrons or bands is impossible", "Correct NELECT or NBANDS."),
    193: (
        "GPAW could not do the calculation",
        "The message above is GPAW's own; the full log is in gpaw.log in the same folder.",
    ),
    194: ("the folder cannot be written", "Give a folder that exists and that you may write to."),
    195: ("KPOINTS does not sample the zone as this task needs", "Use a regular mesh for hybrids and the tetrahedron method."),
    196: (
        "the task needs an insulator",
        "Remove the tag, or give a crystal with a gap; if the gap closes only for lack of k points, use a denser mesh.",
    ),
    197: (
        "a displaced crystal did not converge",
        "Raise NELM, or relax the structure first; the message names the displacement.",
    ),
    198: ("the toy model has no answer to this question", "Leave the tag out, or run this calculation with GPAW or VASP."),
    199: (
        "there is no recorded answer",
        "Record a finished run with hibana-vasp --record DIR in its folder, or leave --only-recorded out for synthetic ones.",
    ),
    200: (
        "the table of faults cannot be used",
        "Give rates, seconds, errors, attempts and permanent, as docs/rehearsal.md shows.",
    ),
}
"""Number to (title, the usual way to mend it)."""


class RehearsalError(Exception):
    """A user-facing error; the program prints it without a traceback and exits with 2.

    Parameters
    ----------
    number
        Key of :data:`KINDS`.
    what
        What is wrong in this case.
    where
        File, tag or option it is about.
    fix
        How to mend this case, where the usual advice is too general.
    """

    def __init__(self, number: int, what: str, where: str | Path = "", fix: str | None = None) -> None:
        super().__init__(number, what, str(where), fix)
        self.number = number
        self.title, usual_fix = KINDS[number]
        self.what = what
        self.where = str(where)
        self.fix = fix or usual_fix

    @property
    def code(self) -> str:
        """The number as users see it, ``HIB-182``."""
        return f"HIB-{self.number:03d}"

    def __str__(self) -> str:
        lines = [f"{self.code} {self.title}: {self.what}"]
        if self.where:
            lines.append(f"  where: {self.where}")
        lines.append(f"  mend:  {self.fix}")
        return "\n".join(lines)
