"""``hibana figures``: the figures of each material."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hibana.cli import console
from hibana.cli.console import CalculatorOption, JsonOption, LaunchpadOption, ProtocolOption, ProtocolVersionOption

FIGURES = (
    *("bands", "dielectric_function", "absorption", "gamma_modes", "dispersion"),
    *("formation_energies", "chemical_potentials", "site_potentials", "eigenvalues"),
)
"""Names of the figures, here as well so that help needs no plotting library."""


def figures(
    directory: Annotated[Path, typer.Option("--output", "-o", help="Folder to write to; made where it is missing.")],
    material: Annotated[
        list[str] | None, typer.Option("--material", "-m", help="material_id or formula; may be repeated; default: all.")
    ] = None,
    figure: Annotated[
        list[str] | None,
        typer.Option("--figure", "-f", help=f"{', '.join(FIGURES)}; may be repeated; default: all there are results for."),
    ] = None,
    file_format: Annotated[str, typer.Option("--format", help="png, pdf or svg.")] = "png",
    protocol: ProtocolOption = None,
    protocol_version: ProtocolVersionOption = None,
    calculator: CalculatorOption = None,
    launchpad: LaunchpadOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draw the results of each material, one file a figure: bands with density of states, spectra, phonons, vacancies.

    Example: hibana figures -o figures --material MgO --figure bands --figure absorption
    """
    from hibana.report.gallery import draw_gallery

    gallery = draw_gallery(
        console.open_store(launchpad),
        directory,
        materials=material or (),
        figures=figure or (),
        file_format=file_format,
        protocol=protocol,
        protocol_version=protocol_version,
        calculator=calculator,
    )
    if as_json:
        console.print_json(gallery.as_dict())
        return
    for path in gallery.files:
        console.output().print(str(path), markup=False)
    if not gallery.files and not gallery.without:
        console.errors().print("no figure: no result yet; `hibana why MATERIAL` says where a candidate is", markup=False)
    for name, reason in gallery.without.items():
        console.errors().print(f"no figure of {name}: {reason}", markup=False)
