"""Structures beside a table: one line a material, as JSON that pymatgen reads, compressed the same way every time."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any, Self

from hibana.documents.crystal import Crystal

STRUCTURES_FILE = "structures.jsonl.gz"
LEVEL = 6


class StructuresWriter:
    """Writes structures line by line.

    Parameters
    ----------
    path
        File to write.
    """

    def __init__(self, path: Path) -> None:
        self._raw = path.open("wb")
        self._file = gzip.GzipFile(filename="", mode="wb", compresslevel=LEVEL, fileobj=self._raw, mtime=0)

    def write(self, material_id: str, crystal: Crystal) -> bytes:
        """Add the structure of a material; gives the line as it was written, without its end."""
        content = {"material_id": material_id, "structure": as_pymatgen(crystal)}
        line = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
        self._file.write(line + b"\n")
        return line

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._raw.close()


def as_pymatgen(crystal: Crystal) -> dict[str, Any]:
    """A crystal in the form of ``pymatgen.core.Structure.as_dict``, made without pymatgen: a table may have a million of them."""
    moments = crystal.magmoms or (None,) * len(crystal.species)
    return {
        "@module": "pymatgen.core.structure",
        "@class": "Structure",
        "charge": 0,
        "lattice": {"matrix": [list(row) for row in crystal.lattice], "pbc": [True, True, True]},
        "properties": {},
        "sites": [
            {
                "species": [{"element": symbol, "occu": 1}],
                "abc": list(coords),
                "properties": {} if moment is None else {"magmom": moment},
                "label": symbol,
            }
            for symbol, coords, moment in zip(crystal.species, crystal.frac_coords, moments, strict=True)
        ],
    }
