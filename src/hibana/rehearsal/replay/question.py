"""The four input files as a question, read without the heavy libraries, and the digest that a question is known by."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hibana.rehearsal.errors import RehearsalError
from hibana.rehearsal.replay.points import Points, read_points
from hibana.rehearsal.result import Floats, Species
from hibana.rehearsal.tags import HONOURED, NO_EFFECT, as_bool, as_floats, as_int, parse_incar, plain_value

ALGORITHM = NO_EFFECT | {
    *("ALGO", "NELM", "NELMIN", "ISTART", "ICHARG", "LWAVE", "LCHARG", "SYSTEM", "ISEARCH"),
    *("SYMPREC", "KGAMMA", "LPEAD", "LAECHG", "LVHAR", "NBANDS", "LORBIT", "EDIFF"),
}
"""Tags that say how, not what: a question is the same one whatever they are."""

RELAXATION_ONLY = ("NSW", "EDIFFG", "POTIM")
"""Tags that mean nothing where no ion moves."""

_GRID = 5
"""Decimals (Å, and of fractional coordinates) to which two structures are the same question."""


@dataclass(frozen=True)
class Question:
    """What the input files ask for.

    Parameters
    ----------
    incar
        INCAR's tags, upper-case, with plain values.
    lattice, frac_coords
        (3, 3) rows are vectors, Å; (n_atoms, 3).
    species
        One entry a block of POSCAR.
    points
        The k points.
    comment
        First line of POSCAR.
    movable
        (n_atoms, 3) flags of selective dynamics, or None.
    """

    incar: dict[str, Any]
    lattice: Floats
    frac_coords: Floats
    species: tuple[Species, ...]
    points: Points
    comment: str
    movable: Any = None

    @property
    def symbols(self) -> list[str]:
        """Chemical symbol of every atom."""
        return [item.symbol for item in self.species for _ in range(item.count)]

    @property
    def valence(self) -> float:
        """Electrons of the neutral cell."""
        return float(sum(item.zval * item.count for item in self.species))

    def flag(self, tag: str) -> bool:
        """Whether a logical tag is true; false where it is absent."""
        return as_bool(self.incar.get(tag, False))

    def integer(self, tag: str, default: int) -> int:
        """An integer tag."""
        return as_int(self.incar.get(tag, default))

    def number(self, tag: str, default: float) -> float:
        """A real tag."""
        return float(self.incar.get(tag, default))

    @property
    def relaxes(self) -> bool:
        """Whether the ions move."""
        return self.integer("NSW", 0) > 1 and self.integer("IBRION", 0) in (1, 2, 3)

    @property
    def relaxes_cell(self) -> bool:
        """Whether the cell moves too."""
        return self.relaxes and self.integer("ISIF", 2) == 3

    @property
    def digest(self) -> str:
        """SHA-256 of what is asked: INCAR but for tags that say only how, k points, structure, TITELs of the potentials."""
        left_out = ALGORITHM if self.relaxes else {*ALGORITHM, *RELAXATION_ONLY}
        points = np.column_stack([self.points.coordinates, self.points.weights])
        content = [
            {tag: value for tag, value in sorted(self.incar.items()) if tag not in left_out},
            [[item.symbol, item.count, item.titel] for item in self.species],
            [_on_grid(self.lattice), _on_grid(self.frac_coords % 1.0 % 1.0), _on_grid(points)],
        ]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def read_question(directory: Path, suffix: str = "") -> Question:
    """Read INCAR, POSCAR, KPOINTS and POTCAR.

    Parameters
    ----------
    directory
        Where they are.
    suffix
        Ending of INCAR's name: that of an earlier stage of the run.

    Raises
    ------
    RehearsalError
        HIB-180, HIB-181, HIB-186 or HIB-189.
    """
    texts = {}
    for name in (f"INCAR{suffix}", "POSCAR", "POTCAR", "KPOINTS"):
        try:
            texts[name] = (directory / name).read_text()
        except FileNotFoundError:
            if name != "KPOINTS":
                raise RehearsalError(180, name, where=directory) from None
        except (OSError, UnicodeDecodeError) as error:
            raise RehearsalError(181, str(error), where=directory / name) from error
    incar = _parsed(_tags, texts[f"INCAR{suffix}"], directory / f"INCAR{suffix}")
    lattice, frac, blocks, movable, comment = _parsed(_structure, texts["POSCAR"], directory / "POSCAR")
    species = _species(_parsed(_potentials, texts["POTCAR"], directory / "POTCAR"), blocks, directory)
    numbers = np.repeat(np.arange(len(blocks)), [count for _, count in blocks])
    spacing = (float(incar.get("KSPACING", 0.5)), as_bool(incar.get("KGAMMA", True)))
    points = read_points(texts.get("KPOINTS"), (lattice, frac, numbers), spacing)
    return Question(incar, lattice, frac, species, points, comment, movable)


def _parsed(reader: Any, text: str, path: Path) -> Any:
    try:
        return reader(text)
    except (ValueError, IndexError) as error:
        raise RehearsalError(181, f"{type(error).__name__}: {error}", where=path) from error


def _tags(text: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for tag, value in parse_incar(text).items():
        kind = HONOURED.get(tag)
        if kind == "bool":
            found[tag] = as_bool(value)
        elif kind == "str":
            found[tag] = value
        elif kind == "floats":
            found[tag] = as_floats(value)
        else:
            found[tag] = plain_value(value)
    return found


def _structure(text: str) -> tuple[Floats, Floats, list[tuple[str, int]], Any, str]:
    """Lattice, fractional coordinates, blocks, flags and comment of a POSCAR with element symbols."""
    lines = text.splitlines()
    scale = float(lines[1].split()[0])
    lattice = np.array([[float(x) for x in line.split()[:3]] for line in lines[2:5]])
    factor = scale if scale > 0 else (-scale / abs(np.linalg.det(lattice))) ** (1 / 3)
    lattice *= factor
    symbols = [word.split("_")[0] for word in lines[5].split()]
    counts = [int(word) for word in lines[6].split()]
    if len(symbols) != len(counts) or not counts or min(counts) < 1:
        raise ValueError(f"{lines[5]!r} and {lines[6]!r} do not name the atoms")
    selective = lines[7].strip()[:1].upper() == "S"
    start = 9 if selective else 8
    rows = [line.split() for line in lines[start : start + sum(counts)]]
    coordinates = np.array([[float(x) for x in row[:3]] for row in rows])
    if coordinates.shape != (sum(counts), 3) or not np.isfinite(coordinates).all() or abs(np.linalg.det(lattice)) < 1e-3:
        raise ValueError("the lattice or the coordinates are not complete")
    if lines[start - 1].strip()[:1].upper() in ("C", "K"):
        coordinates = coordinates * factor @ np.linalg.inv(lattice)
    movable = np.array([[word.upper().startswith("T") for word in row[3:6]] for row in rows]) if selective else None
    return lattice, coordinates, list(zip(symbols, counts, strict=True)), movable, lines[0]


def _potentials(text: str) -> list[dict[str, Any]]:
    """What each POTCAR says of itself."""
    found = []
    for block in text.split("End of Dataset"):
        if not block.strip():
            continue
        words = {key: block.split(f"{key}", 1)[1].partition("=")[2] for key in ("TITEL", "ZVAL", "ENMAX", "POMASS", "VRHFIN")}
        found.append(
            {
                "header": block.strip().splitlines()[0].strip(),
                "titel": words["TITEL"].splitlines()[0].strip(),
                "symbol": words["VRHFIN"].split(":")[0].strip(),
                **{key.lower(): float(words[key].split(";")[0].split()[0]) for key in ("ZVAL", "ENMAX", "POMASS")},
            }
        )
    return found


def _species(potentials: list[dict[str, Any]], blocks: list[tuple[str, int]], directory: Path) -> tuple[Species, ...]:
    if [item["symbol"] for item in potentials] != [symbol for symbol, _ in blocks]:
        what = f"POSCAR has {[symbol for symbol, _ in blocks]}, POTCAR has {[item['symbol'] for item in potentials]}"
        raise RehearsalError(186, what, where=directory / "POTCAR")
    return tuple(
        Species(symbol, count, item["header"], item["titel"], item["zval"], item["enmax"], item["pomass"])
        for (symbol, count), item in zip(blocks, potentials, strict=True)
    )


def _on_grid(numbers: Floats) -> list[list[int]]:
    """Numbers as integers of 1e-5; what rounds to a whole lattice vector is 0."""
    return [[int(x) for x in row] for row in np.round(np.asarray(numbers) * 10**_GRID).astype(np.int64)]
