"""Errors of one VASP run: reading, running, diagnosing (HIB-050 to HIB-069)."""

from __future__ import annotations

from hibana.core.errors import declare

NOT_A_RUN = declare(
    50,
    "not a VASP run",
    "Name a folder that holds vasprun.xml (plain or .gz), or at least POSCAR or CONTCAR beside OUTCAR or INCAR.",
)
UNREADABLE_INPUTS = declare(51, "unreadable VASP inputs", "Check that POSCAR, INCAR and KPOINTS are complete VASP files.")
MIXED_CALCULATORS = declare(
    52,
    "the files do not agree on which code made them",
    "Do not mix files of VASP and of hibana-vasp in one folder; repeat the run with the POTCARs of one of them.",
)
BAD_SIDECAR = declare(
    53, "unreadable HIBANA-VASP.json", "Repeat the run; the file is written by hibana-vasp and should not be edited."
)
NO_COMMAND = declare(
    54, "no VASP command", "Give vasp_cmd in the fworker file's env, or set HIBANA_VASP_CMD, for instance to `srun vasp_std`."
)
COMMAND_NOT_FOUND = declare(
    55, "VASP command not found", "Load the module that provides it, or give its full path in vasp_cmd; quote as in a shell."
)
UNWRITABLE = declare(56, "folder of the run cannot be written", "Check its permissions and the space and quota of the disk.")
NOT_FRESH = declare(
    57, "folder of the run is not empty", "Every run has a folder of its own: name another one, or move the old run away."
)
UNKNOWN_POLICY = declare(58, "no such handler policy", "Name a packaged policy or the path of a YAML file.")
BAD_POLICY = declare(59, "invalid handler policy", "Compare the file with the packaged policy `standard`.")
UNKNOWN_TASK = declare(
    60, "task without handlers", "Use one of vise's task names, or add the task to the handler policy's `tasks`."
)
