"""The card of a table for programs: JSON-LD in the vocabulary of Croissant 1.0 (mlcommons.org/croissant)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from hibana.tables.cells import Dtype
from hibana.tables.columns import Column
from hibana.tables.manifest import Manifest
from hibana.tables.structures_file import STRUCTURES_FILE

CONTEXT: Mapping[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""Names of the vocabulary, as the specification prescribes them."""

ENCODINGS: Mapping[str, str] = {
    ".parquet": "application/x-parquet",
    ".csv": "text/csv",
    ".json": "application/json",
    ".jsonl": "application/jsonlines",
    ".jsonl.gz": "application/gzip",
    ".h5": "application/x-hdf5",
    ".md": "text/markdown",
}
"""Suffix of a file to its media type."""

DATA_TYPES: Mapping[Dtype, str] = {
    "string": "sc:Text",
    "integer": "sc:Integer",
    "number": "sc:Float",
    "boolean": "sc:Boolean",
    "list of strings": "sc:Text",
    "list of numbers": "sc:Float",
    "map of numbers": "sc:Text",
    "map of strings": "sc:Text",
    "spectrum": "sc:Float",
}

MAPS = ("map of numbers", "map of strings")
"""Types of cells that Croissant has no word for: they are described as the text that they are in the CSV file."""

REPEATED = ("list of strings", "list of numbers", "spectrum")
"""Types of cells with several values."""


def croissant(manifest: Manifest, files: Mapping[str, Mapping[str, Any]]) -> str:
    """Text of ``croissant.json``.

    Parameters
    ----------
    manifest
        What is known of the export.
    files
        Name of each file to its hash and size.
    """
    table = manifest.table
    plain = [column for column in table.columns if column.dtype not in MAPS]
    maps = [column for column in table.columns if column.dtype in MAPS]
    row_id = table.columns[table.index("row_id")]
    content = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "name": table.name,
        "description": "\n\n".join((f"{table.title}.", *table.about)),
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "version": "1.0.0",
        "identifier": f"sha256:{manifest.snapshot}",
        **({"license": manifest.licence} if manifest.licence else {}),
        **({"citeAs": "; ".join(manifest.citation)} if manifest.citation else {}),
        "isLiveDataset": False,
        "keywords": [manifest.series.calculator, f"{manifest.series.protocol} version {manifest.series.protocol_version}"],
        "distribution": [_file(name, about) for name, about in files.items()],
        "recordSet": [
            _records("rows", f"{table.name}.parquet", plain, "Rows of the table, without its maps."),
            _records("maps", f"{table.name}.csv", [row_id, *maps], "Maps of the rows, as text: key:value;key:value."),
        ],
    }
    return json.dumps(content, ensure_ascii=False, indent=2) + "\n"


def _file(name: str, about: Mapping[str, Any]) -> dict[str, Any]:
    suffix = next(suffix for suffix in sorted(ENCODINGS, key=len, reverse=True) if name.endswith(suffix))
    meaning = {"description": "One structure a material, as JSON lines that pymatgen reads."} if name == STRUCTURES_FILE else {}
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        **meaning,
        "contentUrl": name,
        "contentSize": f"{about['bytes']} B",
        "encodingFormat": ENCODINGS[suffix],
        "sha256": about["sha256"],
    }


def _records(name: str, file: str, columns: Sequence[Column], description: str) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": description,
        "key": {"@id": f"{name}/row_id"},
        "field": [_field(name, column, file) for column in columns],
    }


def _field(records: str, column: Column, file: str) -> dict[str, Any]:
    unit = "" if column.unit is None or column.unit == "1" else f" Unit: {column.unit}."
    return {
        "@type": "cr:Field",
        "@id": f"{records}/{column.name}",
        "name": column.name,
        "description": column.meaning + unit,
        "dataType": DATA_TYPES[column.dtype],
        **({"repeated": True} if column.dtype in REPEATED else {}),
        "source": {"fileObject": {"@id": file}, "extract": {"column": column.name}},
    }
