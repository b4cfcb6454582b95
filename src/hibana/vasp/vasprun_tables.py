"""The large tables of one ionic step in vasprun.xml, as arrays under the names of the packed arrays."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hibana.vasp.numbers import DamagedTableError, inner, table

Array = NDArray[np.float64]

_FIELD = re.compile(rb"<field[^>]*>([^<]*)</field>")


def eigenvalues(xml: bytes) -> dict[str, Array]:
    """Eigenvalues and occupations (nspin, nk, nbands); with spinors there is one channel."""
    nspin = xml.count(b'comment="spin ')
    nk = xml.count(b'comment="kpoint ') // max(nspin, 1)
    values = table(xml, (nspin, nk, -1, 2))
    return {"eigenvalues": values[..., 0], "occupations": values[..., 1]}


def densities_of_states(
    xml: bytes, species: tuple[str, ...], sites: Callable[[], NDArray[np.intp] | None] | None = None
) -> dict[str, Array]:
    """Total DOS (nspin, ne), partial DOS (n_elements, nspin, 4, ne), and the DOS of some sites; of spinors' four parts the first.

    Parameters
    ----------
    xml
        Content of <dos>.
    species
        Symbol of each site.
    sites
        Gives the sites (m,) whose DOS (m, nspin, 4, ne) is kept; asked only where there is a partial DOS.

    Raises
    ------
    DamagedTableError
        If a table does not have the numbers it should have.
    """
    total = inner(xml, b"total") or b""
    nspin = total.count(b'comment="spin ')
    values = table(total, (nspin, -1, 3))
    keep = 1 if nspin > 2 else nspin
    found = {"dos_energies": values[0, :, 0], "dos_total": values[:keep, :, 1]}
    by_ion = inner(xml, b"partial")
    if by_ion is not None and b"<r>" in by_ion:
        shells = _shells(_FIELD.findall(by_ion)[1:])
        ions = table(by_ion, (len(species), nspin, values.shape[1], len(shells) + 1))[:, :keep, :, 1:]
        found["dos_partial"] = np.moveaxis(_by_element_and_shell(ions, species, shells), -1, 2)
        kept = sites() if sites is not None else None
        if kept is not None:
            found["inequivalent_sites"] = kept
            found["site_dos"] = np.moveaxis(_by_shell(ions[kept], shells), -1, 2)
    return found


def projections(
    xml: bytes, species: tuple[str, ...], bands: Callable[[], NDArray[np.intp] | None] | None = None
) -> dict[str, Array]:
    """Projections (nspin, nk, nbands, n_elements, 4); of spinors' four parts the first one, the density, counts.

    Parameters
    ----------
    xml
        Content of <projected>.
    species
        Symbol of each site.
    bands
        Gives the bands (m,) whose projections onto single sites (nspin, nk, m, n_sites), all orbitals summed, are kept.

    Raises
    ------
    DamagedTableError
        If the table does not have the numbers it should have.
    """
    array = xml[xml.rfind(b"<array") :]
    nspin = array.count(b'comment="spin')
    nk = array.count(b'comment="kpoint ') // max(nspin, 1)
    shells = _shells(_FIELD.findall(array))
    values = table(array, (nspin, nk, -1, len(species), len(shells)))
    values = values[: 1 if nspin > 2 else nspin]
    found = {"projections": np.moveaxis(_by_element_and_shell(np.moveaxis(values, 3, 0), species, shells), 0, 3)}
    kept = bands() if bands is not None else None
    if kept is not None and kept.size and kept[-1] < values.shape[2]:
        found |= {"site_weight_bands": kept, "site_weights": values[:, :, kept].sum(axis=-1)}
    return found


def dielectric_function(xml: bytes) -> dict[str, Array]:
    """Energies (ne,) and both parts (ne, 6) in the order xx yy zz xy yz zx."""
    imaginary = table(inner(xml, b"imag") or b"", (-1, 7))
    real = table(inner(xml, b"real") or b"", (-1, 7))
    return {"dielectric_energies": imaginary[:, 0], "dielectric_real": real[:, 1:], "dielectric_imag": imaginary[:, 1:]}


def _shells(names: list[bytes]) -> list[int]:
    """Index of s, p, d or f of each column; VASP cuts the names (dx2-y2 becomes x2-y2 or dx2)."""
    letters = [name.strip()[:1].decode() for name in names]
    try:
        return ["spdf".index("d" if letter == "x" else letter) for letter in letters]
    except ValueError as error:
        raise DamagedTableError(f"unknown orbital among {letters}") from error


def _by_shell(ions: Array, shells: list[int]) -> Array:
    """Sum the columns (..., n_columns) of each shell to (..., 4)."""
    columns = np.array(shells)
    summed = np.zeros((*ions.shape[:-1], 4))
    for shell in set(shells):
        ions[..., columns == shell].sum(axis=-1, out=summed[..., shell])
    return summed


def _by_element_and_shell(ions: Array, species: tuple[str, ...], shells: list[int]) -> Array:
    """Sum (n_ions, ..., n_columns) to (n_elements, ..., 4), elements in the order of their first appearance."""
    elements = list(dict.fromkeys(species))
    rows = np.array([elements.index(symbol) for symbol in species])
    summed = np.zeros((len(elements), *ions.shape[1:-1], 4))
    for row, ion in zip(rows, ions, strict=True):
        summed[row] += _by_shell(ion, shells)
    return summed
