"""A stand-in for the program bader, for tests of what is made of its table: it gives every point of the grid to the nearest atom.

``fake_bader.py CHGCAR -ref CHGCAR_sum``. What the environment variable FAKE_BADER says it does instead: ``crash`` (ends with
status 3), ``hang``, ``cut`` (half of the table), ``short`` (one electron in ten is lost), ``old`` (a table without volumes).
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np


def read(path: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lattice, positions and density (nx, ny, nz)."""
    lines = Path(path).read_text().splitlines()
    lattice = np.array([line.split() for line in lines[2:5]], dtype=float) * float(lines[1])
    n_atoms = sum(map(int, lines[6].split()))
    positions = np.array([line.split()[:3] for line in lines[8 : 8 + n_atoms]], dtype=float)
    grid = [int(number) for number in lines[9 + n_atoms].split()]
    numbers = np.array(" ".join(lines[10 + n_atoms :]).split()[: np.prod(grid)], dtype=float)
    return lattice, positions, numbers.reshape(grid, order="F")


def main() -> None:
    mode = os.environ.get("FAKE_BADER", "")
    charge, flag, reference = sys.argv[1:]
    assert flag == "-ref"
    if mode == "crash":
        print("not enough memory")
        sys.exit(3)
    if mode == "hang":
        time.sleep(60)
    lattice, positions, density = read(charge)
    assert read(reference)[2].shape == density.shape
    grid = np.array(density.shape)
    points = np.stack(np.meshgrid(*[np.arange(n) / n for n in grid], indexing="ij"), axis=-1).reshape(-1, 3)
    images = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    distances = np.array(
        [
            np.min([np.linalg.norm((points - position + image) @ lattice, axis=1) for image in images], axis=0)
            for position in positions
        ]
    )
    share = (np.isclose(distances, distances.min(axis=0))).astype(float)
    share /= share.sum(axis=0)
    electrons = share @ density.ravel() / grid.prod() * (0.9 if mode == "short" else 1.0)
    volumes = share.sum(axis=1) / grid.prod() * abs(np.linalg.det(lattice))
    rule = " " + "-" * 80
    title = "    #         X           Y           Z       CHARGE      MIN DIST" + ("" if mode == "old" else "   ATOMIC VOL")
    rows = [
        f"{number:5d}" + "".join(f"{value:12.6f}" for value in (*position @ lattice, charge, 0.5, volume))
        for number, (position, charge, volume) in enumerate(zip(positions, electrons, volumes, strict=True), 1)
    ]
    ends = ["    VACUUM CHARGE:               0.0000", "    VACUUM VOLUME:               0.0000"]
    lines = [title, rule, *rows, rule, *ends, f"    NUMBER OF ELECTRONS:       {electrons.sum():10.5f}"]
    Path("ACF.dat").write_text("\n".join(lines[:3] if mode == "cut" else lines) + "\n")
    print("GRID BASED BADER ANALYSIS (Version 0.0 fake)")


main()
