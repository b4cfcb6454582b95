"""Errors of defects (HIB-220 to HIB-239)."""

from __future__ import annotations

from hibana.core.errors import declare

PYDEFECT_YAML = declare(
    220,
    "pydefect settings from a file are in force",
    "Start from a folder that has no pydefect.yaml or .pydefect.yaml in it or above it: results must not depend on where one "
    "stands.",
)
BAD_MATRIX = declare(
    221,
    "no supercell can be made of the matrix",
    "Give defects.matrix of the protocol three integer rows with a positive determinant, or null for a search.",
)

BAD_ENERGY_TABLE = declare(
    230,
    "no table of energies",
    "Give a CSV or JSON file with a formula, an energy (energy_per_atom, energy_per_formula or formation_energy_per_atom, eV) "
    "and a source for each phase.",
)
BAD_ENERGY_VALUE = declare(231, "a value in the table of energies", "Correct the value.")
MIXED_ENERGIES = declare(
    232,
    "energies that do not go together",
    "Take energies of one calculator, protocol and cutoff, those of the host, and either total or formation energies.",
)
