"""The manifest of an export: what it is, where it is from and the hash of each file, as ``manifest.json``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hibana
from hibana.tables.errors import CHANGED_SNAPSHOT, NO_SNAPSHOT
from hibana.tables.left_out import LEFT_OUT_MEANINGS
from hibana.tables.missing import MISSING_MEANINGS
from hibana.tables.series import Series

if TYPE_CHECKING:
    from hibana.tables.table import Table

MANIFEST = "manifest.json"
FORMAT = 1
"""Version of the manifest's form."""

PACKAGES = ("numpy", "pyarrow", "pydantic")
"""Packages whose versions decide the bytes of the files."""


@dataclass(frozen=True)
class Manifest:
    """What is known of an export before its files are hashed.

    Parameters
    ----------
    table, series
        Table and series.
    snapshot
        Identity of the content.
    content
        Hashes of rows, structures and what was left out.
    counts
        How much went in and came out.
    calculator_versions
        Versions of the code.
    include_flagged
        Whether flagged rows were let in.
    formats
        Formats besides Parquet and CSV.
    licence, citation
        What the person who exports says of the right to use it and of what to cite.
    """

    table: Table
    series: Series
    snapshot: str
    content: Mapping[str, str]
    counts: Mapping[str, Any]
    calculator_versions: tuple[str, ...]
    include_flagged: bool
    formats: tuple[str, ...] = ()
    licence: str | None = None
    citation: tuple[str, ...] = ()

    def text(self, files: Mapping[str, Mapping[str, Any]]) -> str:
        """The file.

        Parameters
        ----------
        files
            Name of each other file to its hash and size.
        """
        kinds = (*self.table.documents, *self.table.optional)
        content = {
            "format": FORMAT,
            "snapshot": self.snapshot,
            "table": self.table.name,
            "title": self.table.title,
            **self.series.as_dict(),
            "calculator_versions": list(self.calculator_versions),
            "filter": filter_of(include_flagged=self.include_flagged),
            "query": {
                "collections": ["candidates", "outcomes", *(kind.collection for kind in kinds)],
                "filter": self.series.as_dict(),
                "sorted_by": "material_id",
            },
            "counts": self.counts,
            "left_out_codes": LEFT_OUT_MEANINGS,
            "missing_codes": MISSING_MEANINGS,
            "content": self.content,
            "columns": [column.as_dict() for column in self.table.columns],
            "licence": self.licence,
            "citation": list(self.citation),
            "software": {"hibana": hibana.__version__, **{name: version(name) for name in PACKAGES}},
            "files": files,
        }
        return json.dumps(content, ensure_ascii=False, indent=2) + "\n"


def filter_of(*, include_flagged: bool) -> dict[str, Any]:
    """What decides which rows are in."""
    return {"include_flagged": include_flagged}


def hashes(folder: Path) -> dict[str, dict[str, Any]]:
    """SHA-256 and size of every file of a folder, by name."""
    return {
        path.name: {"sha256": hash_of(path), "bytes": path.stat().st_size}
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name != MANIFEST
    }


def hash_of(path: Path) -> str:
    """SHA-256 of a file."""
    digest = sha256()
    with path.open("rb") as content:
        while block := content.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of an exported folder.

    Raises
    ------
    HibanaError
        HIB-139 if there is none that can be read.
    """
    path = folder / MANIFEST
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        what = f"there is no {MANIFEST} in it" if folder.is_dir() else "there is no such folder"
        raise NO_SNAPSHOT.error(what, where=folder) from error
    except OSError as error:
        raise NO_SNAPSHOT.error(f"its {MANIFEST} cannot be read: {error.strerror}", where=folder) from error
    except ValueError as error:
        raise NO_SNAPSHOT.error(f"its {MANIFEST} is no JSON", where=folder) from error
    needed = ("format", "snapshot", "table", "columns", "files")
    if not isinstance(content, dict) or any(name not in content for name in needed):
        raise NO_SNAPSHOT.error(f"{MANIFEST} is not that of a table", where=path)
    return content


def check_files(folder: Path, manifest: Mapping[str, Any], names: Iterable[str] | None = None) -> None:
    """Compare the files of a folder with its manifest.

    Parameters
    ----------
    folder
        The folder.
    manifest
        Its manifest.
    names
        Which files; default: all that the manifest names.

    Raises
    ------
    HibanaError
        HIB-140 if one is missing or another one.
    """
    for name in manifest["files"] if names is None else names:
        path = folder / name
        if not path.is_file():
            raise CHANGED_SNAPSHOT.error(f"{name} is missing", where=folder)
        if hash_of(path) != manifest["files"].get(name, {}).get("sha256"):
            raise CHANGED_SNAPSHOT.error(f"{name} was changed after the export", where=path)
