"""Errors of reading, standardising and screening structures (HIB-010 to HIB-029)."""

from __future__ import annotations

from hibana.core.errors import declare

NO_STRUCTURE = declare(10, "no structure in the file", "Check that the file is complete, or leave it out.")
DISORDERED = declare(
    11, "disordered structure", "Make an ordered approximant (every site one element, occupancy 1) and submit that."
)
OVERLAPPING = declare(12, "overlapping atoms", "Check the coordinates, the lattice and the symmetry operations of the file.")
UNREADABLE = declare(13, "unreadable structure file", "Give a CIF, a POSCAR/CONTCAR, JSON or JSON lines with structures.")
EMPTY_FOLDER = declare(
    14,
    "no structure file in the folder",
    "Name a folder with *.cif, POSCAR*, CONTCAR*, *.vasp, *.poscar, *.json or *.jsonl files, each also with .gz.",
)
NOT_AN_ELEMENT = declare(15, "site without a chemical element", "Replace dummy species and unknown symbols by elements.")
NOT_FOUND = declare(16, "no such file or folder", "Check the path.")
NO_SYMMETRY = declare(
    17, "symmetry could not be determined", "Check lattice and coordinates; near-duplicate atoms are the usual cause."
)
NOT_AS_STATED = declare(
    19,
    "a CIF that contradicts itself",
    "Add the atoms that the file leaves out (often hydrogen) or the symmetry operations, or mend what it states.",
)
NOT_COLLINEAR = declare(18, "non-collinear magnetic moments", "Give one signed moment (μB) a site, or none.")
NOT_PERIODIC = declare(
    20, "not periodic in three dimensions", "Put molecules, chains and slabs into a cell that repeats in all directions."
)
BROKEN_ARCHIVE = declare(21, "unreadable archive", "Fetch or pack the zip or tar file again.")
BAD_RULES = declare(22, "screening rules that cannot be applied", "Mend the file; docs/screening.md lists the rules.")
UNKNOWN_RULES = declare(23, "no such screening rules", "Give a YAML file, or the name of one in workflows/screens.")
READER_DIED = declare(
    24, "reading it ended the process", "Look at the file by itself; it may need more memory than there is, or crash spglib."
)
BAD_VALUES = declare(
    25,
    "a table of values that cannot be used",
    "Give a CSV file with a column material_id (or id) and columns such as e_above_hull and band_gap.",
)
