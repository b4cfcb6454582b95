"""Errors of protocols, potentials and inputs (HIB-030 to HIB-049)."""

from __future__ import annotations

from hibana.core.errors import declare

UNKNOWN_PROTOCOL = declare(30, "no such protocol", "Name a packaged protocol or the path of a protocol file (*.yaml).")
INVALID_PROTOCOL = declare(31, "invalid protocol file", "Compare it with a packaged protocol; every field must be there.")
VISE_YAML = declare(
    32,
    "vise settings from a file are in force",
    "Start from a folder that has no vise.yaml or .vise.yaml in it or above it: inputs must not depend on where one stands.",
)
NO_POTCAR_LIBRARY = declare(
    33,
    "no POTCAR library",
    "Set PMG_VASP_PSP_DIR to the folder that holds POT_GGA_PAW_PBE_54/<label>/POTCAR. Jobs that ended with this error run again "
    "after lpad rerun_fws -s FIZZLED; hibana failures lists them.",
)
NO_POTCAR = declare(
    34,
    "potential missing in the POTCAR library",
    "Add the file, or choose another potential in the protocol. With the file there, jobs that ended with this error run again "
    "after lpad rerun_fws -s FIZZLED; hibana failures lists them.",
)
NO_POTCAR_CHOICE = declare(35, "no potential is chosen for the element", "Name one under potcar.overrides of the protocol.")
UNKNOWN_TASK = declare(36, "unknown task or functional", "Use one of the names given.")
INVALID_OPTION = declare(37, "invalid input option", "Use one of vise's input options, or incar for tags of your own.")
ORDERED_MAGNET_BAND = declare(
    38,
    "no band path for a crystal with ordered moments",
    "Use the task dos, or give no moments: a ferromagnet is started from its magnetisation alone.",
)
BAD_POTCAR = declare(39, "unreadable POTCAR", "Replace the file by a complete POTCAR of the element.")
CANNOT_WRITE = declare(40, "inputs cannot be written", "Choose a folder you may write to.")
NO_INPUTS = declare(41, "vise cannot make inputs for the structure", "Check the structure; report it if it is sound.")
NO_EXCHANGE_RATIO = declare(
    42,
    "the share of exact exchange is not known",
    "Give --exchange-ratio (option exchange_ratio): the inverse of the mean electronic dielectric constant of a dielectric run.",
)
