"""Figures of many materials: one file each, and the reason where there is none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hibana.core.errors import HibanaError
from hibana.documents.properties import PropertyDoc, RelaxationDoc
from hibana.report.canvas import save, style
from hibana.report.errors import NO_RESULT, NO_SUCH_MATERIAL, UNKNOWN_FIGURE, UNKNOWN_FORMAT, UNKNOWN_PATH
from hibana.report.figures import FIGURES, FigureKind
from hibana.tables.reading import gathered, stored_series, submitted_series
from hibana.tables.series import Series, choose_series

if TYPE_CHECKING:
    from hibana.store.store import Store

FORMATS = ("png", "pdf", "svg")
Documents = Mapping[type[PropertyDoc], Sequence[PropertyDoc]]
"""The property documents of one material, by their type; of a type with parts all of them."""


@dataclass
class Gallery:
    """What was drawn, and why the rest was not: formula, material_id and figure to the reason."""

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
    figures: Sequence[str] = (),
    file_format: str = "png",
    protocol: str | None = None,
    protocol_version: int | None = None,
    calculator: str | None = None,
) -> Gallery:
    """Draw the figures of each material of one series to ``<formula>_<material_id>_<figure>.<format>``.

    The figure of bands and density of states has no name at the end. Figures of a vacancy have its name there, in its charge
    state. A figure whose property is unavailable is left out with the
    reason; one whose property was never asked for is left out without a word, unless it is named.

    Parameters
    ----------
    store
        Where the documents and arrays are.
    directory
        Folder to write to; made where it is missing.
    materials
        Which, by material_id or formula; default: all.
    figures
        Which, by name; default: all.
    file_format
        png, pdf or svg.
    protocol, protocol_version, calculator
        Which series; each may be left out where the store leaves no choice.

    Raises
    ------
    HibanaError
        If the store holds several series or none that fits, a material or figure is unknown, or a file cannot be written.
    """
    if file_format not in FORMATS:
        raise UNKNOWN_FORMAT.error(file_format)
    kinds = _kinds(figures)
    there = stored_series(store, *(kind.document for kind in FIGURES.values())) | submitted_series(store)
    series = choose_series(sorted(there), protocol=protocol, protocol_version=protocol_version, calculator=calculator)
    gallery = Gallery(series)
    for documents in list(_named(store, series, materials)) if materials else _groups(store, series):
        for kind in kinds:
            if kind.document in documents or figures:
                _draw(store, documents, kind, directory, file_format, gallery)
    return gallery


def _draw(store: Store, documents: Documents, kind: FigureKind, directory: Path, file_format: str, gallery: Gallery) -> None:
    """Draw one figure of each document it is made of, or note why there is none."""
    material = next(iter(documents.values()))[0]
    about = f"{material.formula} {material.material_id}"
    relaxation = next(iter(documents.get(RelaxationDoc, ())), None)
    symbol = relaxation.space_group_symbol if isinstance(relaxation, RelaxationDoc) else None
    if kind.document not in documents:
        gallery.without[_titled(about, kind)] = f"no {kind.document.collection} document"
        return
    for document in documents[kind.document]:
        part = f"_{document.part}" if document.part else ""
        path = directory / f"{about.replace(' ', '_')}{kind.suffix}{part}.{file_format}"
        try:
            with style():
                save(kind.make(store, document, symbol), path)
        except HibanaError as error:
            if error.kind not in (NO_RESULT, UNKNOWN_PATH):
                raise
            gallery.without[_titled(about, kind, document.part)] = error.what
        else:
            gallery.files.append(path)


def _titled(about: str, kind: FigureKind, part: str = "") -> str:
    """What a figure is called where it is missing."""
    return " ".join(word for word in (about, kind.name if kind.suffix else "", part) if word)


def _kinds(names: Sequence[str]) -> list[FigureKind]:
    if unknown := [name for name in names if name not in FIGURES]:
        raise UNKNOWN_FIGURE.error(f"{', '.join(unknown)}; there are: {', '.join(FIGURES)}")
    return [kind for name, kind in FIGURES.items() if not names or name in names]


def _groups(store: Store, series: Series) -> Iterator[Documents]:
    """Documents of each material that a figure is made from."""
    wanted: list[type[PropertyDoc]] = [RelaxationDoc, *(kind.document for kind in FIGURES.values())]
    kinds = tuple(dict.fromkeys(wanted))
    return gathered(store, kinds, series.as_dict())


def _named(store: Store, series: Series, materials: Sequence[str]) -> Iterator[Documents]:
    """Documents of the materials named; all names are looked at before anything is drawn."""
    named = set(materials)
    known: set[str] = set()
    for documents in _groups(store, series):
        document = next(iter(documents.values()))[0]
        if found := named & {document.material_id, document.formula}:
            known |= found
            yield documents
    if unknown := named - known:
        raise NO_SUCH_MATERIAL.error(", ".join(sorted(unknown)))
