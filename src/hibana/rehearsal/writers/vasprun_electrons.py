"""Electronic parts of vasprun.xml: eigenvalues, densities of states, projections."""

from __future__ import annotations

import numpy as np

from hibana.rehearsal.result import Floats, RunResult
from hibana.rehearsal.writers.files import rows
from hibana.rehearsal.writers.orbitals import orbital_columns, orbital_names


def eigenvalue_block(result: RunResult, indent: str) -> str:
    """``<eigenvalues>``: energy (eV) and occupation (0-1) of every band."""
    bands = result.bands
    text = [_array_head(("band", "kpoint", "spin"), ("eigene", "occ"), f"{indent} ")]
    row = f"{indent}     <r> %9.4f %9.4f </r>\n"
    for spin in range(result.nspin):
        text.append(f'{indent}   <set comment="spin {spin + 1}">\n')
        for k, (energies, occupations) in enumerate(zip(bands.eigenvalues[spin], bands.occupations[spin], strict=True)):
            text += [f'{indent}    <set comment="kpoint {k + 1}">\n', rows(row, np.column_stack([energies, occupations]))]
            text.append(f"{indent}    </set>\n")
        text.append(f"{indent}   </set>\n")
    return f"{indent}<eigenvalues>\n" + "".join(text) + _array_tail(f"{indent} ") + f"{indent}</eigenvalues>\n"


def dos_block(result: RunResult) -> str:
    """``<dos>``: Fermi level, total and integrated densities, and those of the sites where the result has them."""
    dos = result.dos
    text = [f'  <dos>\n   <i name="efermi"> {result.efermi:16.8f} </i>\n   <total>\n']
    text.append(_array_head(("gridpoints", "spin"), ("energy", "total", "integrated"), "    "))
    for spin in range(result.nspin):
        text.append(_dos_set(spin, np.column_stack([dos.energies, dos.total[spin], dos.integrated[spin]]), "      "))
    text += [_array_tail("    "), "   </total>\n"]
    if dos.partial is not None:
        partial = orbital_columns(result, dos.partial, axis=2)
        text.append("   <partial>\n")
        text.append(_array_head(("gridpoints", "spin", "ion"), ("energy", *orbital_names(result)), "    "))
        for ion, site in enumerate(partial, start=1):
            text.append(f'      <set comment="ion {ion}">\n')
            text += [_dos_set(spin, np.column_stack([dos.energies, site[spin].T]), "       ") for spin in range(result.nspin)]
            text.append("      </set>\n")
        text += [_array_tail("    "), "   </partial>\n"]
    return "".join(text) + "  </dos>\n"


def projection_block(result: RunResult) -> str:
    """``<projected>``: projections of every band on the sites; empty where the result has none."""
    bands = result.bands
    if bands.projections is None or int(result.parameters["LORBIT"]) < 10:
        return ""
    projections = orbital_columns(result, bands.projections, axis=4)
    row = "        <r>" + " %7.4f" * projections.shape[-1] + " </r>\n"
    text = ["  <projected>\n", eigenvalue_block(result, "   ")]
    text.append(_array_head(("ion", "band", "kpoint", "spin"), orbital_names(result), "   "))
    for spin, of_spin in enumerate(projections, start=1):
        text.append(f'     <set comment="spin{spin}">\n')
        for k, of_point in enumerate(of_spin, start=1):
            text.append(f'      <set comment="kpoint {k}">\n')
            for band, sites in enumerate(of_point, start=1):
                text += [f'       <set comment="band {band}">\n', rows(row, sites), "       </set>\n"]
            text.append("      </set>\n")
        text.append("     </set>\n")
    return "".join(text) + _array_tail("   ") + "  </projected>\n"


def _dos_set(spin: int, table: Floats, indent: str) -> str:
    row = f"{indent} <r>" + " %10.4f" * table.shape[1] + " </r>\n"
    return f'{indent}<set comment="spin {spin + 1}">\n{rows(row, table)}{indent}</set>\n'


def _array_head(dimensions: tuple[str, ...], fields: tuple[str, ...], indent: str) -> str:
    text = f"{indent}<array>\n"
    text += "".join(f'{indent} <dimension dim="{n}">{name}</dimension>\n' for n, name in enumerate(dimensions, start=1))
    return text + "".join(f"{indent} <field>{name}</field>\n" for name in fields) + f"{indent} <set>\n"


def _array_tail(indent: str) -> str:
    return f"{indent} </set>\n{indent}</array>\n"
