"""Figures of many materials: one file each, and the reason where there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hibana.core.errors import HibanaError
from hibana.documents.properties import ElectronicDoc
from hibana.report.errors import NO_RESULT, NO_SUCH_MATERIAL, UNKNOWN_FORMAT, UNKNOWN_PATH
from hibana.report.figures import band_dos_figure
from hibana.tables.reading import series_there
from hibana.tables.registry import find_table
from hibana.tables.series import Series, choose_series

if TYPE_CHECKING:
    from hibana.store.store import Store

FORMATS = ("png", "pdf", "svg")


@dataclass
class Gallery:
    """What was drawn, and why the rest was not."""

    series: Series
    files: list[Path] = field(default_factory=list)
    without: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The gallery as plain data."""
        return {**self.series.as_dict(), "files": [str(path) for path in self.files], "without": self.without}


def draw_gallery(
    store: Store,
    directory: Path,
    *,
    materials: Sequence[str] = (),
    file_format: str = "png",
    protocol: str | None = None,
    protocol_version: int | None = None,
    calculator: str | None = None,
) -> Gallery:
    """Draw the figure of each material of one series to ``<formula>_<material_id>.<format>``.

    Parameters
    ----------
    store
        Where the documents and arrays are.
    directory
        Folder to write to; made where it is missing.
    materials
        Which, by material_id or formula; default: all.
    file_format
        png, pdf or svg.
    protocol, protocol_version, calculator
        Which series; each may be left out where the store leaves no choice.

    Raises
    ------
    HibanaError
        If the store holds several series or none that fits, a material is unknown, or a file cannot be written.
    """
    if file_format not in FORMATS:
        raise UNKNOWN_FORMAT.error(file_format)
    there = series_there(store, find_table("electronic"))
    series = choose_series(there, protocol=protocol, protocol_version=protocol_version, calculator=calculator)
    gallery = Gallery(series)
    chosen = _named(store, series, materials) if materials else store.properties(ElectronicDoc, series.as_dict())
    for doc in chosen:
        path = directory / f"{doc.formula}_{doc.material_id}.{file_format}"
        try:
            band_dos_figure(store, doc.material_id, series.protocol, series.protocol_version, series.calculator, path)
        except HibanaError as error:
            if error.kind not in (NO_RESULT, UNKNOWN_PATH):
                raise
            gallery.without[f"{doc.formula} {doc.material_id}"] = error.what
        else:
            gallery.files.append(path)
    return gallery


def _named(store: Store, series: Series, materials: Sequence[str]) -> list[ElectronicDoc]:
    """Documents of the materials named; all names are looked at before anything is drawn."""
    named = set(materials)
    found = [doc for doc in store.properties(ElectronicDoc, series.as_dict()) if named & {doc.material_id, doc.formula}]
    unknown = named - {name for doc in found for name in (doc.material_id, doc.formula)}
    if unknown:
        raise NO_SUCH_MATERIAL.error(", ".join(sorted(unknown)))
    return found
