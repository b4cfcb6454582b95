"""Hosts for tests of supercells and vacancies, and pydefect's own results for them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
from pymatgen.core import Lattice, Structure

from hibana.defects.binding import pydefect_module
from hibana.documents.crystal import Crystal
from hibana.protocol.protocol import DefectRule, Protocol, load_protocol
from hibana.structures.convert import from_pymatgen, to_pymatgen
from hibana.structures.standardise import standardise
from prototypes import make_prototypes

PROTOTYPES = make_prototypes()
OXIDES = sorted(name for name, structure in PROTOTYPES.items() if "O" in structure.symbol_set)


@cache
def protocol() -> Protocol:
    return load_protocol("pbesol")


def defect_rule(**changes) -> DefectRule:
    return protocol().defects.model_copy(update=changes)


@cache
def prototype_host(name: str) -> Crystal:
    return from_pymatgen(standardise(PROTOTYPES[name]).primitive)


def published_hosts(recorded: Path, step: int) -> Iterator[tuple[str, Crystal]]:
    """Formula and standard primitive cell of every step-th host of the published vacancies."""
    with gzip.open(recorded / "ml_data" / "oxygen_vacancy_formation" / "structures.jsonl.gz", "rt") as lines:
        for number, line in enumerate(lines):
            if number % step == 0:
                host = json.loads(line)
                yield host["host_formula"], from_pymatgen(standardise(Structure.from_dict(host["structure"])).primitive)


def published_host(recorded: Path, formula: str) -> Crystal | None:
    with gzip.open(recorded / "ml_data" / "oxygen_vacancy_formation" / "structures.jsonl.gz", "rt") as lines:
        for line in lines:
            host = json.loads(line)
            if host["host_formula"] == formula:
                return from_pymatgen(standardise(Structure.from_dict(host["structure"])).primitive)
    return None


def recorded_supercell(recorded: Path, case: str) -> Structure:
    """The perfect supercell of a recorded case."""
    folder = recorded / "vasp_runs" / case
    if case == "KInO2_Va_O_2":
        results = json.loads((folder / "outputs" / "pydefect" / "perfect_calc_results.json").read_text())
        return Structure.from_dict(results["structure"])
    return Structure.from_file(folder / "inputs" / "POSCAR")


def pydefect_maker(crystal: Crystal, rule: DefectRule, **options):
    """pydefect's own supercell of a host, with the protocol's tolerances."""
    symmetry = protocol().symmetry
    limits = {"min_num_atoms": rule.min_atoms, "max_num_atoms": rule.max_atoms}
    return pydefect_module("input_maker.supercell_maker").SupercellMaker(
        to_pymatgen(crystal),
        symprec=symmetry.symprec,
        angle_tolerance=symmetry.angle_tolerance,
        raise_error=True,
        **(limits | options),
    )


def random_crystal(number: int, seed: int) -> Crystal | None:
    """A crystal of a space group: a cation near the origin and oxygen anywhere; None where atoms coincide."""
    rng = np.random.default_rng([number, seed])
    a, b, c = rng.uniform(4.5, 8, 3)
    lattices = (
        (2, lambda: Lattice.from_parameters(a, b, c, *rng.uniform(70, 110, 3))),
        (15, lambda: Lattice.monoclinic(a, b, c, rng.uniform(92, 115))),
        (74, lambda: Lattice.orthorhombic(a, b, c)),
        (142, lambda: Lattice.tetragonal(a, c)),
        (194, lambda: Lattice.hexagonal(a, c)),
        (230, lambda: Lattice.cubic(a)),
    )
    lattice = next(make() for last, make in lattices if number <= last)
    places = [rng.choice([0, 0.25, 0.5], 3), np.round(rng.random(3), 4)]
    structure = Structure.from_spacegroup(number, lattice, ["Ca", "O"], places)
    if structure.distance_matrix[~np.eye(len(structure), dtype=bool)].min() < 0.1:
        return None
    return from_pymatgen(standardise(structure).primitive)
