"""Extended FNV correction and structure comparison of a defect: hibana against pydefect, on the recorded cell of KInO2.

Run ``python benchmarks/bench_efnv.py``; the numbers are also written to ``benchmarks/results/efnv.json``.
The supercell has 191 atoms and an O vacancy of charge 2. pydefect gives the potential of the point charge at the atoms outside
the sphere of the defect, or with ``calc_all_sites`` at all of them; hibana always gives it at all. The time is the smallest CPU
time of the repetitions; pydefect is run once. Both start from objects in memory. Where there is no recorded run, a synthetic
vacancy in MgO is taken, and the script says so. Read the ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
RECORDED = (
    Path(os.environ.get("HIBANA_RECORDED", HERE.parents[1] / "shared")) / "vasp_runs" / "KInO2_Va_O_2" / "outputs" / "pydefect"
)
REPEATS = 7
CHARGE = 2
SYMPREC = 0.1


def recorded() -> tuple[Any, Any, np.ndarray]:
    """Results of the perfect cell and the defect, and the dielectric tensor, in pydefect's form."""
    from hibana.defects.binding import pydefect_module

    results = pydefect_module("analyzer.calc_results").CalcResults
    perfect, defect = (
        results.from_dict(json.loads((RECORDED / f"{name}.json").read_text()))
        for name in ("perfect_calc_results", "calc_results")
    )
    cell = json.loads((RECORDED / "unitcell.json").read_text())
    return perfect, defect, np.array(cell["ele_dielectric_const"]) + np.array(cell["ion_dielectric_const"])


def synthetic() -> tuple[Any, Any, np.ndarray]:
    """An O vacancy in 216 atoms of MgO, atoms and potentials slightly disordered."""
    from pymatgen.core import Lattice, Structure

    from hibana.defects.binding import pydefect_module

    results = pydefect_module("analyzer.calc_results").CalcResults
    random = np.random.default_rng(0)
    perfect = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.21), ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]]) * 3
    defect = perfect.copy()
    defect.remove_sites([150])
    defect.perturb(0.05)
    potentials = [random.normal(40.0, 0.1, len(structure)).tolist() for structure in (perfect, defect)]
    cells = [results(structure, 0.0, 0.0, values) for structure, values in zip((perfect, defect), potentials, strict=True)]
    return cells[0], cells[1], 9.8 * np.eye(3)


def timed(function: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """Smallest CPU time in seconds, and the result."""
    best = np.inf
    for _ in range(repeats):
        began = time.process_time()
        result = function()
        best = min(best, time.process_time() - began)
    return float(best), result


def runs(perfect: Any, defect: Any, epsilon: np.ndarray) -> dict[str, dict[str, float]]:
    """Name to both CPU times and the largest difference of the results, for each part."""
    from hibana.defects.binding import pydefect_module
    from hibana.defects.correction import extended_fnv
    from hibana.defects.mapping import map_sites
    from hibana.defects.run import DefectRun
    from hibana.defects.structure_change import structure_change
    from hibana.protocol.protocol import load_protocol
    from hibana.structures.convert import from_pymatgen, to_pymatgen

    rule = load_protocol("pbesol").defects
    efnv = pydefect_module("cli.vasp.make_efnv_correction").make_efnv_correction
    compare = pydefect_module("analyzer.make_defect_structure_info").MakeDefectStructureInfo
    cells = [from_pymatgen(cell.structure) for cell in (perfect, defect)]
    ours = [
        DefectRun(cell, cell, site_potentials=np.array(results.potentials))
        for cell, results in zip(cells, (perfect, defect), strict=True)
    ]
    removed = map_sites(cells[1], cells[0], rule.mapping_distance).removed[0]
    start = perfect.structure.copy()
    start.remove_sites([removed])
    initial = from_pymatgen(start)

    def change() -> Any:
        return structure_change(
            cells[0],
            initial,
            cells[1],
            mapping_distance=rule.mapping_distance,
            neighbour_factor=rule.displacement_cutoff,
            symprec=SYMPREC,
            angle_tolerance=5.0,
        )

    structures = [to_pymatgen(cell) for cell in (cells[0], initial, cells[1])]
    mine, found = timed(lambda: extended_fnv(CHARGE, *ours, epsilon, rule), REPEATS)
    some, _ = timed(lambda: efnv(CHARGE, defect, perfect, epsilon), 1)
    every, theirs = timed(lambda: efnv(CHARGE, defect, perfect, epsilon, calc_all_sites=True), 1)
    my_change, moves = timed(change, REPEATS)
    their_change, info = timed(lambda: compare(*structures, symprec=SYMPREC, dist_tol=rule.mapping_distance), 1)
    potentials = np.array([site.pc_potential for site in theirs.sites])
    lengths = np.array([entry.displace_distance for entry in info.defect_structure_info.displacements if entry is not None])
    energy = abs(found.total - theirs.correction_energy)
    return {
        "correction": {"hibana": mine, "pydefect": some, "difference": float(energy)},
        "correction, potentials at all atoms": {
            "hibana": mine,
            "pydefect": every,
            "difference": float(np.abs(found.sheet.point_charge - potentials).max()),
        },
        "structure": {
            "hibana": my_change,
            "pydefect": their_change,
            "difference": float(np.abs(moves.displacements.lengths - lengths).max()),
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=HERE / "results" / "efnv.json")
    arguments = parser.parse_args()
    source = "recorded KInO2 supercell" if RECORDED.is_dir() else "synthetic MgO supercell"
    if not RECORDED.is_dir():
        print(f"no recorded run {RECORDED}; a synthetic vacancy is taken")
    perfect, defect, epsilon = recorded() if RECORDED.is_dir() else synthetic()
    rows = []
    print(f"{'':38}{'hibana ms':>11}{'pydefect ms':>13}{'ratio':>8}{'difference':>12}")
    for name, cost in runs(perfect, defect, epsilon).items():
        ratio = cost["pydefect"] / cost["hibana"]
        rows.append(
            {
                "name": name,
                "hibana_ms": 1000 * cost["hibana"],
                "pydefect_ms": 1000 * cost["pydefect"],
                "pydefect_over_hibana": ratio,
                "max_difference": cost["difference"],
            }
        )
        print(f"{name:38}{1000 * cost['hibana']:11.1f}{1000 * cost['pydefect']:13.0f}{ratio:8.0f}{cost['difference']:12.1e}")
    arguments.output.parent.mkdir(exist_ok=True)
    arguments.output.write_text(
        json.dumps({"unit": "CPU ms", "cell": source, "atoms": len(defect.structure), "runs": rows}, indent=2) + "\n"
    )


if __name__ == "__main__":
    main()
