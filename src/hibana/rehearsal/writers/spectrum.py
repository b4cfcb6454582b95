"""Frequency-dependent dielectric function in vasprun.xml and OUTCAR."""

from __future__ import annotations

import numpy as np

from hibana.rehearsal.result import RunResult
from hibana.rehearsal.writers.files import rows

COMPONENTS = ("xx", "yy", "zz", "xy", "yz", "zx")
"""Order of the last axis of a spectrum."""

_RULE = "-" * 104


def spectrum_element(result: RunResult) -> str:
    """``<dielectricfunction>`` of the last ``<calculation>``; empty without LOPTICS."""
    spectrum = result.spectrum
    if spectrum is None:
        return ""
    fields = "".join(f"     <field>{name}</field>\n" for name in ("energy", *COMPONENTS))
    row = "      <r>" + " %10.4f" * 7 + " </r>\n"
    text = '  <dielectricfunction comment="density-density">\n'
    for name, part in (("imag", spectrum.imag), ("real", spectrum.real)):
        text += f'   <{name}>\n    <array>\n     <dimension dim="1">gridpoints</dimension>\n{fields}     <set>\n'
        text += rows(row, np.column_stack([spectrum.energies, part])) + f"     </set>\n    </array>\n   </{name}>\n"
    return f"{text}  </dielectricfunction>\n"


def spectrum_blocks(result: RunResult) -> str:
    """Blocks of OUTCAR; empty without LOPTICS."""
    spectrum = result.spectrum
    if spectrum is None:
        return ""
    text, line = "", "  " + "-" * 110 + "\n"
    for name, part in (("IMAGINARY", spectrum.imag), ("REAL", spectrum.real)):
        text += f"  frequency dependent {name:>9s} DIELECTRIC FUNCTION (independent particle, no local field effects)"
        text += f" density-density\n     E(ev)      X         Y         Z        XY        YZ        ZX\n{line}"
        text += rows(" %12.6f" * 7 + "\n", np.column_stack([spectrum.energies, part])) + "\n"
    return f"{text}\n{_RULE}\n\n\n"
