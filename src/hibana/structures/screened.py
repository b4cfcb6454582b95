"""The files of a screening: candidates, a row for every input, and the sums."""

from __future__ import annotations

import csv
import gzip
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hibana.documents.crystal import Crystal
from hibana.structures.convert import to_pymatgen
from hibana.structures.matching import FAMILY_RULE
from hibana.structures.reading import CANDIDATES
from hibana.structures.screening import FATES, Row, Screening

REPORT = "report.csv"
SUMMARY = "summary.json"

COLUMNS = (
    *("source", "index", "name", "formula", "material_id", "family", "fate", "rule", "reason"),
    *("n_sites", "space_group", "hull_distance", "band_gap", "moment", "is_magnetic"),
)
"""Columns of the report; units eV/atom, eV, μB."""


def write_screening(screening: Screening, folder: Path) -> dict[str, Path]:
    """Write ``candidates.jsonl.gz``, ``report.csv`` and ``summary.json``; each appears under its name when it is complete.

    The same inputs give the same bytes, in whatever order they came.

    Parameters
    ----------
    screening
        The result.
    folder
        Where they go; it exists.

    Raises
    ------
    OSError
        If the folder cannot be written.
    """
    files = {"candidates": folder / CANDIDATES, "report": folder / REPORT, "summary": folder / SUMMARY}
    _write_candidates(screening, files["candidates"])
    _write_report(screening, files["report"])
    with _replacing(files["summary"]) as path:
        path.write_text(json.dumps(summary_of(screening), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return files


def summary_of(screening: Screening) -> dict[str, Any]:
    """The sums of a screening as plain data."""
    rows = [row for row in screening.rows if row.family]
    readings = [row for row in screening.rows if row.fate != "passed_over"]
    of_family = Counter(row.family for row in rows if row.fate == "candidate")
    by_rule: dict[str, int] = {}
    for row in sorted(readings, key=lambda row: row.rule):
        if row.rule:
            by_rule[row.rule] = by_rule.get(row.rule, 0) + 1
    return {
        "rules": screening.rules.model_dump(mode="json"),
        "inputs": len(readings),
        "fates": {fate: screening.count(fate) for fate in FATES},
        "by_rule": by_rule,
        "crystals": len({row.key for row in rows}),
        "families": len({row.family for row in rows}),
        "candidates_of_one_family": sum(number for number in of_family.values() if number > 1),
        "funnel": [{"step": name, "left": left} for name, left in screening.funnel()],
    }


def _write_candidates(screening: Screening, path: Path) -> None:
    with _replacing(path) as scratch, scratch.open("wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as packed:
        for row, crystal in screening.candidates():
            text = json.dumps(_line(row, crystal), separators=(",", ":"), ensure_ascii=False, default=float)
            packed.write(text.encode() + b"\n")


def _line(row: Row, crystal: Crystal) -> dict[str, Any]:
    return {
        "id": row.name or row.material_id,
        "material_id": row.material_id,
        "structure_key": row.key,
        "family": row.family,
        "family_rule": FAMILY_RULE,
        "source": _source(row),
        "formula": row.formula,
        "space_group_number": row.space_group,
        "values": row.values,
        "structure": to_pymatgen(crystal).as_dict(),
    }


def _source(row: Row) -> str:
    place = f"{row.source}#{row.index}" if row.index else row.source
    return f"{place} ({row.name})" if row.name else place


def _write_report(screening: Screening, path: Path) -> None:
    with _replacing(path) as scratch, scratch.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(_cells(row) for row in screening.rows)


def _cells(row: Row) -> Iterator[Any]:
    for name in COLUMNS:
        value = row.values.get(name) if name in ("hull_distance", "band_gap", "moment", "is_magnetic") else getattr(row, name)
        yield "" if value is None or (name in ("n_sites", "space_group") and value == 0) else value


class _replacing:  # noqa: N801
    """A path beside the one to be written, which takes its place in the end if nothing failed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.scratch = path.with_name(f".{path.name}.part")

    def __enter__(self) -> Path:
        return self.scratch

    def __exit__(self, kind: object, *others: object) -> None:
        if kind is None:
            self.scratch.replace(self.path)
        else:
            self.scratch.unlink(missing_ok=True)
