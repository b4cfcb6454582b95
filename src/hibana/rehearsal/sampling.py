"""A shifted regular mesh as an argument of GPAW, which itself knows Gamma-centred and Monkhorst-Pack meshes only."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms
from ase.dft.kpoints import monkhorst_pack
from gpaw.dft import BZSampling
from gpaw.new.brillouin import MonkhorstPackKPoints

from hibana.rehearsal.kpoints import Grid


class RegularMesh(BZSampling):  # type: ignore[misc]
    """The ``kpts`` argument for a :class:`~hibana.rehearsal.kpoints.Grid`."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid

    def todict(self) -> dict[str, Any]:
        """How GPAW stores it: as the list of points."""
        return {"kpts": self.build(None).kpt_Kc}

    def build(self, atoms: Atoms | None) -> MonkhorstPackKPoints:  # noqa: ARG002 (GPAW's signature)
        """The points."""
        return regular_points(self.grid)


def regular_points(grid: Grid) -> MonkhorstPackKPoints:
    """GPAW's own object for a regular mesh, which its tetrahedra and hybrids need."""
    size = np.array(grid.divisions)
    shift = np.array(grid.origin) - monkhorst_pack(size)[0]
    return MonkhorstPackKPoints(size, (shift * size - np.round(shift * size)) / size)
