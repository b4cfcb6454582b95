"""A user's table of energies of competing phases, CSV or JSON.

Columns ``formula``, one of ``energy_per_atom``, ``energy_per_formula`` (total energies, eV) and ``formation_energy_per_atom``
(eV/atom from the elements), ``source``, and as far as known ``calculator``, ``protocol`` (``name@version``) and ``cutoff`` (eV).
In JSON a list of objects with these keys, or such a list under ``phases``.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hibana.core.errors import HibanaError
from hibana.defects.errors import BAD_ENERGY_TABLE, BAD_ENERGY_VALUE, MIXED_ENERGIES
from hibana.defects.phases import Conditions, PhaseEnergy, amounts_of, disagreement, reduced_formula

ENERGY_COLUMNS = ("energy_per_atom", "energy_per_formula", "formation_energy_per_atom")
COLUMNS = ("formula", *ENERGY_COLUMNS, "source", "calculator", "protocol", "cutoff")
"""``energy_per_formula`` counts the formula as it is written: Mg2O2 has twice the energy of MgO."""


@dataclass(frozen=True)
class _Row:
    """One phase as written, and where."""

    values: Mapping[str, Any]
    path: Path
    line: int

    def where(self, column: str) -> str:
        return f"{self.path}, line {self.line}, column {column}"


def read_energy_table(path: Path, host: Conditions = Conditions()) -> tuple[PhaseEnergy, ...]:  # noqa: B008 - frozen
    """Read a table of energies of competing phases.

    Parameters
    ----------
    path
        ``*.csv`` (comma, semicolon or tab) or ``*.json``. Empty lines of a CSV and those that begin with ``#`` do not count.
    host
        How the host was calculated. Total energies that say they were calculated otherwise are refused; formation energies
        are differences already, and need only be alike among themselves.

    Returns
    -------
    tuple
        The phases in the order of the table. Several of one formula are polymorphs; the lowest counts.

    Raises
    ------
    HibanaError
        HIB-230 (no such table), HIB-231 (a value in it), HIB-232 (energies that do not go together).
    """
    text = _text(path)
    rows = list(_json_rows(text, path) if path.suffix.lower() == ".json" else _csv_rows(text, path))
    if not rows:
        raise BAD_ENERGY_TABLE.error("it has no phases", where=path)
    phases = tuple(_phase(row) for row in rows)
    total = any(phase.kind == "total" for phase in phases)
    if problem := disagreement(phases, host if total else Conditions()):
        raise MIXED_ENERGIES.error(problem, where=path)
    return phases


def _text(path: Path) -> str:
    if path.suffix.lower() not in (".csv", ".tsv", ".json"):
        raise BAD_ENERGY_TABLE.error(f"the name {path.name!r} is neither *.csv, *.tsv nor *.json", where=path)
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BAD_ENERGY_TABLE.error(f"it cannot be read as text: {error}", where=path) from error


def _csv_rows(text: str, path: Path) -> Iterator[_Row]:
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip() and not line.startswith("#")]
    if not lines:
        return
    head = lines[0][1]
    delimiter = max(",;\t", key=head.count)
    names = [name.strip() for name in next(csv.reader([head], delimiter=delimiter))]
    _check_names(names, f"{path}, line {lines[0][0]}")
    for number, line in lines[1:]:
        cells = [cell.strip() for cell in next(csv.reader(io.StringIO(line), delimiter=delimiter))]
        if len(cells) != len(names):
            what = f"{len(cells)} cells under {len(names)} names"
            raise BAD_ENERGY_TABLE.error(what, where=f"{path}, line {number}", fix="Quote cells that have the delimiter in them.")
        yield _Row({name: cell for name, cell in zip(names, cells, strict=True) if cell}, path, number)


def _json_rows(text: str, path: Path) -> Iterator[_Row]:
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        where = f"{path}, line {error.lineno}, column {error.colno}"
        raise BAD_ENERGY_TABLE.error(f"not JSON: {error.msg}", where=where) from error
    items = data.get("phases") if isinstance(data, dict) else data
    if not isinstance(items, list):
        raise BAD_ENERGY_TABLE.error("it is neither a list of phases nor has one under 'phases'", where=path)
    for item, line in zip(items, _lines_of_items(text, len(items)), strict=True):
        if not isinstance(item, dict):
            raise BAD_ENERGY_TABLE.error(f"{item!r} is no object", where=f"{path}, line {line}")
        _check_names(list(item), f"{path}, line {line}")
        yield _Row({name: value for name, value in item.items() if value is not None and value != ""}, path, line)


def _lines_of_items(text: str, count: int) -> list[int]:
    """Lines on which the items of the list begin in a JSON text that is known to be sound."""
    decoder, position, lines = json.JSONDecoder(), _start_of_list(text), []
    for _ in range(count):
        while text[position] in " \t\r\n,[":
            position += 1
        lines.append(text.count("\n", 0, position) + 1)
        _, position = decoder.raw_decode(text, position)
    return lines


def _start_of_list(text: str) -> int:
    """Where the list of phases begins: at the start, or after the key ``phases`` of the outer object."""
    position = len(text) - len(text.lstrip())
    if text[position] == "[":
        return position
    decoder = json.JSONDecoder()
    position += 1
    while True:
        while text[position] in " \t\r\n,":
            position += 1
        key, position = decoder.raw_decode(text, position)
        while text[position] in " \t\r\n:":
            position += 1
        if key == "phases":
            return position
        _, position = decoder.raw_decode(text, position)


def _check_names(names: list[str], where: str) -> None:
    unknown = [name for name in names if name not in COLUMNS]
    twice = sorted({name for name in names if names.count(name) > 1})
    if unknown or twice:
        what = f"unknown column {unknown[0]!r}" if unknown else f"column {twice[0]!r} stands twice"
        raise BAD_ENERGY_TABLE.error(what, where=where, fix=f"Columns are {', '.join(COLUMNS)}.")
    if "formula" not in names:
        raise BAD_ENERGY_TABLE.error("there is no column 'formula'", where=where)
    if not set(names) & set(ENERGY_COLUMNS):
        raise BAD_ENERGY_TABLE.error(
            "there is no column of energies", where=where, fix=f"Give one of {', '.join(ENERGY_COLUMNS)}."
        )


def _phase(row: _Row) -> PhaseEnergy:
    amounts = _amounts(row)
    given = [name for name in ENERGY_COLUMNS if name in row.values]
    if len(given) != 1:
        what = "no energy" if not given else f"{' and '.join(given)} in one row"
        raise _bad(row, given[0] if given else ENERGY_COLUMNS[0], what, f"Give exactly one of {', '.join(ENERGY_COLUMNS)}.")
    energy = _number(row, given[0])
    if given[0] == "energy_per_formula":
        energy /= sum(amounts.values())
    if given[0] == "formation_energy_per_atom" and len(amounts) == 1 and energy < 0:
        raise _bad(row, given[0], f"{energy:g} eV/atom for an element", "The formation energy of a stable element is 0.")
    cutoff = _number(row, "cutoff") if "cutoff" in row.values else None
    if cutoff is not None and cutoff <= 0:
        raise _bad(row, "cutoff", f"a cutoff of {cutoff:g} eV")
    protocol = _words(row, "protocol")
    if protocol is not None and not _is_protocol(protocol):
        raise _bad(row, "protocol", f"{protocol!r}", "Write name@version, as in pbesol@1.")
    return PhaseEnergy(
        formula=reduced_formula(amounts),
        energy=energy,
        kind="formation" if given[0] == "formation_energy_per_atom" else "total",
        source=_words(row, "source") or f"{row.path.name}, line {row.line}",
        conditions=Conditions(_words(row, "calculator"), protocol, cutoff),
    )


def _amounts(row: _Row) -> dict[str, float]:
    formula = row.values.get("formula")
    if not isinstance(formula, str):
        raise _bad(row, "formula", "no formula" if formula is None else f"{formula!r} is no formula")
    try:
        return amounts_of(formula)
    except ValueError as error:
        raise _bad(row, "formula", str(error)) from error


def _number(row: _Row, column: str) -> float:
    value = row.values[column]
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise _bad(row, column, f"{value!r} is no number", "Write a number in eV with a decimal point, without unit.")
    return number


def _words(row: _Row, column: str) -> str | None:
    value = row.values.get(column)
    if value is not None and not isinstance(value, str):
        raise _bad(row, column, f"{value!r} is no text")
    return value


def _is_protocol(text: str) -> bool:
    name, mark, version = text.partition("@")
    return bool(name) and mark == "@" and version.isdigit()


def _bad(row: _Row, column: str, what: str, fix: str | None = None) -> HibanaError:
    return BAD_ENERGY_VALUE.error(what, where=row.where(column), fix=fix)
