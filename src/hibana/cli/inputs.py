"""``hibana inputs``: VASP inputs for one structure."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hibana.cli.console import JsonOption, output, print_json
from hibana.core.errors import declare

if TYPE_CHECKING:
    from hibana.protocol.vasp_inputs import VaspInputs

SEVERAL_STRUCTURES = declare(
    165, "more than one structure", "Name a file with one structure, or submit the folder with `hibana submit`."
)


def inputs(
    structure: Annotated[Path, typer.Argument(help="CIF, POSCAR or pymatgen JSON file.")],
    directory: Annotated[Path, typer.Option("--output", "-o", help="Folder to write to; made where it is missing.")],
    task: Annotated[str, typer.Option("--task", "-t", help="vise's task: structure_opt, band, dos, ...")] = "structure_opt",
    functional: Annotated[
        str | None, typer.Option("--functional", "-f", help="pbesol; hse06_nsc or ddh_nsc with the task band.")
    ] = None,
    protocol: Annotated[str, typer.Option("--protocol", "-p", help="Name of a protocol, or path of its file.")] = "pbesol",
    gap: Annotated[float | None, typer.Option("--gap", min=0.0, help="Band gap in eV if known, 0 for a metal.")] = None,
    vbm: Annotated[float | None, typer.Option("--vbm", help="Valence-band maximum in eV, if known.")] = None,
    cbm: Annotated[float | None, typer.Option("--cbm", help="Conduction-band minimum in eV, if known.")] = None,
    magnetization: Annotated[
        float | None, typer.Option("--magnetization", "-m", help="Total moment in μB per cell, if known.")
    ] = None,
    exchange_ratio: Annotated[
        float | None,
        typer.Option("--exchange-ratio", min=0.0, max=1.0, help="Share of exact exchange of ddh_nsc: 3 / trace of ε∞."),
    ] = None,
    cores: Annotated[int, typer.Option("--cores", min=1, help="Cores of the run, for KPAR; with 1 it is not set.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Write INCAR, KPOINTS, POSCAR and POTCAR for one structure.

    What is known of the material decides the k-points, the smearing, the spin and the window of the DOS; what is not given is
    unknown, and the inputs are on the safe side. A functional of two stages leaves the later INCAR as INCAR.<stage>.

    Example: hibana inputs MgO.cif --task dos --functional pbesol --gap 4.5 -o MgO_dos
    """
    from hibana.documents.spec import Prior
    from hibana.protocol.inputs import build_inputs
    from hibana.protocol.protocol import load_protocol
    from hibana.structures.convert import from_pymatgen
    from hibana.structures.reading import read_structures

    if vbm is not None and cbm is not None and cbm < vbm:
        raise typer.BadParameter(f"the conduction-band minimum {cbm:g} lies below the valence-band maximum {vbm:g}")
    found = read_structures(structure)
    if len(found) > 1:
        raise SEVERAL_STRUCTURES.error(f"{len(found)} were read", where=structure)
    rules = load_protocol(protocol)
    prior = Prior(band_gap=gap, vbm=vbm, cbm=cbm, magnetization=magnetization)
    options = {} if exchange_ratio is None else {"exchange_ratio": exchange_ratio}
    crystal = from_pymatgen(found[0].structure)
    made = build_inputs(crystal, task, functional or rules.functional, rules, prior, cores=cores, options=options)
    made.write(directory, all_incars=True)
    if as_json:
        print_json({"directory": str(directory), "protocol": f"{rules.name}@{rules.version}", **_summary(made)})
        return
    console = output()
    console.print(f"{made.structure.composition.formula}: {task}, protocol {rules.name}@{rules.version}", markup=False)
    for name, text in made.texts(all_incars=True).items():
        if name.startswith("INCAR"):
            console.print(f"\n{name}\n{text}", markup=False, end="")
    console.print(f"\nKPOINTS  {_summary(made)['kpoints']}", markup=False)
    console.print(f"POTCAR   {', '.join(made.potcar_titles)}\n{directory}", markup=False)


def _summary(made: VaspInputs) -> dict[str, Any]:
    mesh = made.stages[0].kpoints
    listed = f"{mesh.num_kpts} points, {sum(1 for weight in mesh.kpts_weights or () if weight == 0)} of them of weight 0"
    divisions = "x".join(str(number) for number in mesh.kpts[0])
    return {
        "formula": made.structure.composition.reduced_formula,
        "n_sites": len(made.structure),
        "potcars": list(made.potcar_titles),
        "kpoints": listed if mesh.num_kpts else f"{divisions}, shift {' '.join(f'{x:g}' for x in mesh.kpts_shift)}",
        "stages": [{"name": stage.name, "incar": stage.incar} for stage in made.stages],
    }
