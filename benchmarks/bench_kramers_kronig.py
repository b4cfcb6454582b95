"""Kramers-Kronig transformation: hibana against vise and pymatgen, on the recorded optical spectrum of MgSe.

Run ``python benchmarks/bench_kramers_kronig.py``; the numbers are also written to ``benchmarks/results/kramers_kronig.json``.
All transform the same imaginary part, 4,002 points. MgSe is cubic, so vise transforms one component of six (it repeats one that
equals the one before, and skips zeros); pymatgen's function takes one component; hibana always transforms the whole tensor.
"a component" is the ratio of the times over the number of components that were transformed. The differences are those of the
real part from vise's on the same grid, and from the one VASP printed where the crystal is transparent. vise is given the uniform
grid (the printed energies are rounded). The time is the smallest CPU time of the repetitions; vise and pymatgen are run once.
Where there is no recorded run, a synthetic spectrum of the same size is taken, and the script says so. Read the ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent
RECORDED = Path(os.environ.get("HIBANA_RECORDED", HERE.parents[1] / "shared")) / "vasp_runs" / "MgSe_optics_pbe"
REPEATS = 5
TRANSPARENT = 2.0
"""eV; below it MgSe absorbs nothing in the recorded run, and VASP's complex shift of 0.01 eV does not count."""

Floats = NDArray[np.float64]


def recorded() -> tuple[Floats, Floats, Floats]:
    """Energies, and real and imaginary part as VASP printed them."""
    from hibana.vasp.reader import read_run

    with tempfile.TemporaryDirectory() as scratch:
        for part in ("inputs", "outputs"):
            for path in (RECORDED / part).iterdir():
                if path.is_file() and not path.name.startswith(("POTCAR", "custodian")):
                    shutil.copy(path, scratch)
        _, arrays = read_run(Path(scratch), projections=False)
    return arrays["dielectric_energies"], arrays["dielectric_real"], arrays["dielectric_imag"]


def synthetic() -> tuple[Floats, Floats, Floats]:
    """A cubic Lorentz oscillator on a grid of the same size."""
    energies = np.linspace(0.0, 41.7246, 4002)
    column = 1 + 150.0 / (36.0 - energies**2 - 0.5j * energies)
    tensor = np.stack([column] * 3 + [np.zeros_like(column)] * 3, axis=1)
    return energies, tensor.real, tensor.imag


def timed(function: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """Smallest CPU time in seconds, and the result."""
    best = np.inf
    for _ in range(repeats):
        began = time.process_time()
        result = function()
        best = min(best, time.process_time() - began)
    return float(best), result


def runs(grid: Floats, imag: Floats) -> dict[str, tuple[float, int, Floats]]:
    """Name to CPU time, number of components transformed, and real part of xx."""
    from pymatgen.io.vasp.optics import kramers_kronig
    from vise.analyzer.dielectric_function import kramers_kronig_trans

    from hibana.properties.kramers_kronig import broadened_susceptibility, real_part, susceptibility

    susceptibility(grid[:100], imag[:100])
    step = grid[1]
    energies, columns = grid.tolist(), imag.T.copy()
    found = {
        "hibana, principal value": (*timed(lambda: real_part(grid, imag), REPEATS), 6),
        "hibana, vise's definition": (*timed(lambda: 1 + broadened_susceptibility(grid, imag), REPEATS), 6),
        "pymatgen": (*timed(lambda: 1 + kramers_kronig(imag[:, 0], len(grid), step, cshift=0.01), 1), 1),
        "vise": (*timed(lambda: kramers_kronig_trans(columns, energies), 1), 1),
    }
    first = {"pymatgen": lambda real: real.real, "vise": lambda real: real[0]}
    return {name: (cpu, n, first.get(name, lambda real: real[:, 0])(real)) for name, (cpu, real, n) in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=HERE / "results" / "kramers_kronig.json")
    arguments = parser.parse_args()
    source = "recorded MgSe spectrum" if RECORDED.is_dir() else "synthetic spectrum"
    if not RECORDED.is_dir():
        print(f"no recorded run {RECORDED}; a synthetic spectrum of the same size is taken")
    energies, real, imag = recorded() if RECORDED.is_dir() else synthetic()
    grid = np.linspace(0.0, float(energies[-1]), len(energies))
    found = runs(grid, imag)
    vise_cpu, _, vise_real = found["vise"]
    inside = grid <= TRANSPARENT
    rows = []
    print(f"{'':28}{'CPU ms':>10}{'components':>12}{'vise / it':>11}{'a component':>13}{'from vise':>12}{'from the code':>15}")
    for name, (cpu, n, xx) in found.items():
        row = {
            "name": name,
            "ms": 1000 * cpu,
            "components": n,
            "vise_over_it": vise_cpu / cpu,
            "vise_over_it_per_component": vise_cpu / (cpu / n),
            "max_difference_from_vise": float(np.abs(xx - vise_real).max()),
            "max_difference_from_code_below_2_eV": float(np.abs(xx - real[:, 0])[inside].max()),
        }
        rows.append(row)
        print(
            f"{name:28}{row['ms']:10.1f}{n:12}{row['vise_over_it']:11.1f}{row['vise_over_it_per_component']:13.1f}"
            f"{row['max_difference_from_vise']:12.1e}{row['max_difference_from_code_below_2_eV']:15.1e}"
        )
    arguments.output.parent.mkdir(exist_ok=True)
    arguments.output.write_text(
        json.dumps({"unit": "CPU ms", "spectrum": source, "points": len(grid), "runs": rows}, indent=2) + "\n"
    )


if __name__ == "__main__":
    main()
