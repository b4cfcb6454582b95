"""Put published dielectric tensors through hibana's property documents and count what each gate finds.

    python scripts/check_published_oxides.py FOLDER

FOLDER holds two files of JSON lines, gzipped or not, in the same order:

``structures.jsonl``
    ``material_id``, ``structure`` (a pymatgen Structure as a dictionary);
``tensors.jsonl``
    ``material_id``, ``eps_electronic`` and ``eps_ionic`` (3x3, in the Cartesian axes of the structure),
    ``born_charge_tensors_e`` (n x 3 x 3), ``phonon_gamma_freq_THz`` (3 n);

and ``table.csv`` with ``material_id`` and ``band_gap_pbesol_eV``.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import numpy as np
from pymatgen.core import Structure

from hibana.documents.arrays import pack
from hibana.documents.candidate import Material
from hibana.documents.dielectric import DielectricDoc, PhononDoc
from hibana.documents.task import BandEdges, Calculator, Inputs, Machine, TaskDoc
from hibana.properties.dielectric import build_dielectric
from hibana.properties.evidence import Evidence
from hibana.properties.phonon import build_phonon
from hibana.protocol.protocol import Protocol, load_protocol
from hibana.structures.convert import from_pymatgen

PUBLISHED = datetime(2020, 10, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Entry:
    """One published result."""

    material_id: str
    structure: Structure
    electronic: np.ndarray
    ionic: np.ndarray
    born_charges: np.ndarray
    frequencies: np.ndarray
    band_gap: float


def read_entries(folder: Path) -> Iterator[Entry]:
    """The entries of a folder, in the order of its files."""
    with (folder / "table.csv").open(encoding="utf-8", newline="") as file:
        gaps = {row["material_id"]: float(row["band_gap_pbesol_eV"]) for row in csv.DictReader(file)}
    with _lines(folder, "structures.jsonl") as structures, _lines(folder, "tensors.jsonl") as tensors:
        for one, other in zip(structures, tensors, strict=True):
            crystal, values = json.loads(one), json.loads(other)
            if crystal["material_id"] != values["material_id"]:
                raise SystemExit(f"{folder}: {crystal['material_id']} and {values['material_id']} are on one line")
            yield Entry(
                material_id=crystal["material_id"],
                structure=Structure.from_dict(crystal["structure"]),
                electronic=np.array(values["eps_electronic"]),
                ionic=np.array(values["eps_ionic"]),
                born_charges=np.array(values["born_charge_tensors_e"]),
                frequencies=np.array(values["phonon_gamma_freq_THz"]),
                band_gap=gaps[crystal["material_id"]],
            )


def _lines(folder: Path, name: str) -> IO[str]:
    plain = folder / name
    return plain.open(encoding="utf-8") if plain.exists() else gzip.open(folder / f"{name}.gz", "rt", encoding="utf-8")


def documents(entry: Entry, protocol: Protocol) -> tuple[DielectricDoc, PhononDoc]:
    """The property documents of an entry, by the builders that make those of hibana's own runs."""
    evidence = _evidence(entry, protocol)
    dielectric, phonon = build_dielectric(evidence).document, build_phonon(evidence).document
    if not (isinstance(dielectric, DielectricDoc) and isinstance(phonon, PhononDoc)):
        raise TypeError("the builders give other documents")
    return dielectric, phonon


def _evidence(entry: Entry, protocol: Protocol) -> Evidence:
    arrays = {"born_charges": entry.born_charges, "gamma_frequencies": entry.frequencies}
    refs = {name: pack(array).ref for name, array in arrays.items()}
    by_hash = {ref.sha256: arrays[name] for name, ref in refs.items()}
    crystal = from_pymatgen(entry.structure)
    elements = tuple(sorted(set(crystal.species)))
    formula = entry.structure.composition.reduced_formula
    task = TaskDoc(
        formula=formula,
        elements=elements,
        n_sites=len(crystal.species),
        status="converged",
        calculator=Calculator(name="vasp", version="published"),
        inputs=Inputs(incar={}, kpoints={}, potcars=()),
        initial=crystal,
        final=crystal,
        edges=BandEdges(gap_class="gapped" if entry.band_gap > 0 else "metal", band_gap=entry.band_gap),
        epsilon_electronic=_rows(entry.electronic),
        epsilon_ionic=_rows(entry.ionic),
        arrays=refs,
        address=entry.material_id,
        material_id=entry.material_id,
        task="dielectric_dfpt",
        functional="pbesol",
        protocol=protocol.name,
        protocol_version=protocol.version,
        machine=Machine(host="", directory="", started=PUBLISHED, finished=PUBLISHED, cores=0, core_hours=0.0),
    )
    material = Material(material_id=entry.material_id, structure_key="", formula=formula, elements=elements, space_group_number=1)
    return Evidence(material, protocol, {"dielectric": task}, PUBLISHED, array=lambda ref: by_hash[ref.sha256])


def _rows(tensor: np.ndarray) -> Any:
    return tuple(tuple(float(value) for value in row) for row in tensor)


def gates_of(document: DielectricDoc | PhononDoc) -> list[str]:
    """Names of the gates that a document does not pass."""
    return [flag.partition(":")[0] for flag in document.flags]


def main() -> None:
    """Count, and list what does not pass."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="folder with structures.jsonl, tensors.jsonl and table.csv")
    folder = parser.parse_args().folder
    protocol = load_protocol("pbesol")
    counts: dict[str, Counter[str]] = {"dielectric": Counter(), "phonon": Counter()}
    n_entries = n_clean = 0
    for entry in read_entries(folder):
        flags = 0
        for document in documents(entry, protocol):
            counts[document.collection].update(gates_of(document))
            flags += len(document.flags)
            for flag in document.flags:
                print(f"{entry.material_id}  {document.formula}  {document.collection}  {flag}")
        n_entries += 1
        n_clean += flags == 0
    print(f"\n{n_entries} entries, {n_clean} pass every gate")
    for kind, found in counts.items():
        for gate, count in found.most_common():
            print(f"{kind:12s} {gate:15s} {count:5d}")


if __name__ == "__main__":
    main()
