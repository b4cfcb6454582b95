"""Making VASP inputs of one structure: hibana against plain vise and against atomate2's relaxation set with PBEsol.

Run ``python benchmarks/bench_inputs.py``; the times are also written to ``benchmarks/results/inputs.json``. All three make the
inputs of the same crystals from the same POTCAR library (made-up potentials of a real one's size), one after the other in one
process; the time is the smallest CPU time of several repetitions after a first, uncounted one. Read the ratios: the times
depend on the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

REPETITIONS = 5
POTENTIALS = {"Mg": (2, 200.0), "O": (6, 400.0), "Zn": (12, 276.7), "Ti": (4, 178.3), "Ga_d": (13, 282.7), "Ba_sv": (10, 187.2)}
POTENTIALS |= {"Si": (4, 245.3), "Ti_pv": (10, 222.3), "Ti_sv": (12, 274.6), "Al": (3, 240.3)}
POTCAR = """  PAW_PBE {0} 01Jan2000
 {1}
 parameters from PSCTR are:
   VRHFIN ={2}: made up
   LEXCH  = PE
   TITEL  = PAW_PBE {0} 01Jan2000
   POMASS =   1.000; ZVAL   =   {1:.3f}    mass and valenz
   ENMAX  =  {3:.3f}; ENMIN  =  100.000 eV
END of PSCTR-controll parameters
 local part
{4}
 End of Dataset
"""


def write_library(folder: Path) -> None:
    numbers = "\n".join("  ".join(f"{(row * 5 + column) * 1e-3:.8E}" for column in range(5)) for row in range(2300))
    for label, (zval, enmax) in POTENTIALS.items():
        place = folder / "POT_GGA_PAW_PBE_54" / label
        place.mkdir(parents=True)
        (place / "POTCAR").write_text(POTCAR.format(label, zval, label.split("_")[0], enmax, numbers))


def crystals() -> dict:
    from pymatgen.core import Lattice, Structure

    make = Structure.from_spacegroup
    half = [0.5, 0.5, 0.5]
    found = {
        "MgO": make("Fm-3m", Lattice.cubic(4.212), ["Mg", "O"], [[0, 0, 0], half]),
        "ZnO": make("P6_3mc", Lattice.hexagonal(3.25, 5.207), ["Zn", "O"], [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0.3819]]),
        "BaTiO3": make("Pm-3m", Lattice.cubic(4.0), ["Ba", "Ti", "O"], [[0, 0, 0], half, [0.5, 0.5, 0]]),
        "TiO2": make("P4_2/mnm", Lattice.tetragonal(4.594, 2.959), ["Ti", "O"], [[0, 0, 0], [0.305, 0.305, 0]]),
        "Al2O3": make("R-3c", Lattice.hexagonal(4.76, 12.99), ["Al", "O"], [[0, 0, 0.3522], [0.3062, 0, 0.25]]),
        "Ga2O3": make(
            "C2/m",
            Lattice.monoclinic(12.23, 3.04, 5.8, 103.7),
            ["Ga", "Ga", "O", "O", "O"],
            [[0.0904, 0, 0.7948], [0.3414, 0, 0.6857], [0.1674, 0, 0.1011], [0.4957, 0, 0.2553], [0.8279, 0, 0.4365]],
        ),
        "Mg2SiO4": make(
            "Pnma",
            Lattice.orthorhombic(10.207, 5.98, 4.756),
            ["Mg", "Mg", "Si", "O", "O", "O"],
            [
                [0, 0, 0],
                [0.2774, 0.25, 0.9915],
                [0.094, 0.25, 0.4262],
                [0.0913, 0.25, 0.7657],
                [0.4474, 0.25, 0.2215],
                [0.1628, 0.0331, 0.2777],
            ],
        ),
    }
    return {name: structure.get_primitive_structure().get_sorted_structure() for name, structure in found.items()}


def smallest_time(make: Callable[[], object]) -> float:
    """CPU milliseconds."""
    make()
    times = []
    for _ in range(REPETITIONS):
        start = time.process_time()
        make()
        times.append(1000 * (time.process_time() - start))
    return min(times)


def measure(task: str) -> dict[str, dict[str, float]]:
    from atomate2.vasp.sets.core import RelaxSetGenerator

    from hibana.documents.spec import Prior
    from hibana.protocol.binding import load_vise
    from hibana.protocol.inputs import build_inputs
    from hibana.protocol.protocol import load_protocol
    from hibana.structures.convert import from_pymatgen

    vise = load_vise()
    from vise.input_set.input_options import CategorizedInputOptions
    from vise.input_set.vasp_input_files import VaspInputFiles

    protocol, generator = load_protocol("pbesol"), RelaxSetGenerator(user_incar_settings={"GGA": "PS"})
    result = {}
    for name, structure in crystals().items():
        crystal = from_pymatgen(structure)

        def with_vise(structure=structure) -> object:
            options = CategorizedInputOptions(structure=structure, task=vise.task(task), xc=vise.xc("pbesol"), band_gap=3.0)
            made = VaspInputFiles(options)
            return made.incar, made.kpoints, made.poscar, made.potcar

        def with_hibana(crystal=crystal) -> object:
            return build_inputs(crystal, task, "pbesol", protocol, Prior(band_gap=3.0))

        result[name] = {"hibana": smallest_time(with_hibana), "vise": smallest_time(with_vise)}
        if task == "structure_opt":
            result[name]["atomate2"] = smallest_time(lambda structure=structure: generator.get_input_set(structure))
    return result


def table(task: str, times: dict[str, dict[str, float]]) -> str:
    others = [column for column in next(iter(times.values())) if column != "hibana"]
    lines = [f"{task}: CPU ms per structure", f"{'':10}{'hibana':>9}" + "".join(f"{name:>10}{'ratio':>8}" for name in others)]
    for name, row in times.items():
        ratios = "".join(f"{row[other]:10.1f}{row[other] / row['hibana']:7.1f}x" for other in others)
        lines.append(f"{name:10}{row['hibana']:9.1f}{ratios}")
    medians = "".join(
        f"{'':10}{statistics.median(row[other] / row['hibana'] for row in times.values()):7.1f}x" for other in others
    )
    return "\n".join([*lines, f"{'median':19}{medians}"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent / "results" / "inputs.json")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        write_library(Path(folder))
        os.environ["PMG_VASP_PSP_DIR"] = folder
        results = {task: measure(task) for task in ("structure_opt", "band", "dos")}
    for task, times in results.items():
        print(table(task, times), end="\n\n")
    arguments.output.parent.mkdir(exist_ok=True)
    arguments.output.write_text(json.dumps({"unit": "CPU ms", "tasks": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
