"""Structures in JSON: pymatgen's and ASE's, OPTIMADE responses, documents of the Materials Project."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import DummySpecies, Element, Lattice, Structure

from hibana.core.errors import HibanaError
from hibana.structures.errors import NOT_PERIODIC, UNREADABLE
from hibana.structures.texts import structures_of_cif

Kind = Literal["pymatgen", "document", "cif", "optimade", "ase"]

CONTAINERS = ("data", "response", "docs", "structures")
"""Where a response or a dump keeps its list of entries."""

NAMES = ("material_id", "id", "entry_id", "task_id", "mp_id", "host_formula", "formula")
"""Where an entry has its name, the first that is there."""


@dataclass(frozen=True)
class Entry:
    """One entry of a JSON file.

    Parameters
    ----------
    number
        Its place in the file, from 1.
    name
        What it calls itself; empty if it has no name.
    kind
        How its structure is written, None if it has none.
    data
        The entry.
    """

    number: int
    name: str
    kind: Kind | None
    data: Any


def entries_of(data: Any) -> Iterator[Entry]:
    """Entries of a JSON value: a structure, a list, a response, or a mapping of names to structures."""
    for number, (name, item) in enumerate(_items(data), 1):
        yield Entry(number, name or _name_of(item), kind_of(item), item)


def kind_of(item: Any) -> Kind | None:
    """How an entry writes its structure, or None if it has none."""
    if not isinstance(item, Mapping):
        return None
    if {"lattice", "sites"} <= item.keys():
        return "pymatgen"
    if isinstance(item.get("structure"), Mapping) and kind_of(item["structure"]):
        return "document"
    if isinstance(item.get("attributes"), Mapping) and "species_at_sites" in item["attributes"]:
        return "optimade"
    if "numbers" in item and "positions" in item and "cell" in item:
        return "ase"
    if isinstance(item.get("atoms_json"), str):
        return "ase"
    return "cif" if isinstance(item.get("cif"), str) else None


def structure_of_entry(entry: Entry, where: Path | str) -> Structure:
    """The structure of an entry as it is written, disorder included.

    Raises
    ------
    HibanaError
        HIB-013 if it cannot be read, HIB-020 if it is not periodic in three dimensions, and what a CIF in it raises.
    """
    try:
        if entry.kind == "pymatgen":
            return Structure.from_dict(entry.data)
        if entry.kind == "document":
            inner = entry.data["structure"]
            return structure_of_entry(Entry(entry.number, entry.name, kind_of(inner), inner), where)
        if entry.kind == "optimade":
            return _from_optimade(entry.data["attributes"], where)
        if entry.kind == "ase":
            return _from_ase(entry.data, where)
        if entry.kind == "cif":
            return structures_of_cif(entry.data["cif"], where)[0][1]
    except HibanaError:
        raise
    except Exception as error:
        raise UNREADABLE.error(f"not a structure that can be read: {error!r}", where=where) from error
    raise UNREADABLE.error("the entry holds no structure", where=where)


def _items(data: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(data, list):
        for item in data:
            yield "", item
        return
    if not isinstance(data, Mapping) or kind_of(data):
        yield "", data
        return
    inner = next((data[name] for name in CONTAINERS if isinstance(data.get(name), list | Mapping)), None)
    if inner is not None:
        yield from _items(inner)
        return
    named = {name: item for name, item in data.items() if kind_of(item)}
    if named:
        yield from ((str(name), item) for name, item in named.items())
    else:
        yield "", data


def _name_of(item: Any) -> str:
    if not isinstance(item, Mapping):
        return ""
    found = next((item[name] for name in NAMES if isinstance(item.get(name), str | int) and item[name] != ""), "")
    return str(found)


def _from_optimade(attributes: Mapping[str, Any], where: Path | str) -> Structure:
    periodic = attributes.get("dimension_types")
    if periodic is not None and list(periodic) != [1, 1, 1]:
        raise NOT_PERIODIC.error(f"dimension_types are {list(periodic)}", where=where)
    species = {kind["name"]: _occupancies(kind) for kind in attributes.get("species") or ()}
    sites = [species.get(name, {name: 1.0}) for name in attributes["species_at_sites"]]
    return Structure(
        Lattice(attributes["lattice_vectors"]),
        [{_species(symbol): occupancy for symbol, occupancy in site.items()} for site in sites],
        attributes["cartesian_site_positions"],
        coords_are_cartesian=True,
    )


def _occupancies(kind: Mapping[str, Any]) -> dict[str, float]:
    found: dict[str, float] = {}
    for symbol, occupancy in zip(kind["chemical_symbols"], kind["concentration"], strict=True):
        if symbol != "vacancy":
            found[symbol] = found.get(symbol, 0.0) + float(occupancy)
    return found


def _species(symbol: str) -> Element | DummySpecies:
    return Element(symbol) if Element.is_valid_symbol(symbol) else DummySpecies("X")


def _from_ase(item: Mapping[str, Any], where: Path | str) -> Structure:
    atoms = json.loads(item["atoms_json"]) if "atoms_json" in item else item
    periodic = np.broadcast_to(_array(atoms.get("pbc", True)).astype(bool), 3)
    if not periodic.all():
        raise NOT_PERIODIC.error(f"periodic along {int(periodic.sum())} of 3 axes", where=where)
    cell = atoms["cell"]
    lattice = _array(cell["array"] if isinstance(cell, Mapping) and "array" in cell else cell).reshape(3, 3)
    symbols = [_species_of_number(int(number)) for number in _array(atoms["numbers"])]
    structure = Structure(Lattice(lattice), symbols, _array(atoms["positions"]).reshape(-1, 3), coords_are_cartesian=True)
    moments = atoms.get("initial_magmoms")
    if moments is not None:
        structure.add_site_property("magmom", _array(moments).tolist())
    return structure


def _species_of_number(number: int) -> Element | DummySpecies:
    return Element.from_Z(number) if 1 <= number <= 118 else DummySpecies("X")


def _array(value: Any) -> NDArray[Any]:
    """An array of ASE's JSON: nested lists, or shape, type and the numbers in one list."""
    if isinstance(value, Mapping) and "__ndarray__" in value:
        shape, kind, numbers = value["__ndarray__"]
        return np.array(numbers, dtype=kind).reshape(shape)
    return np.array(value)
