"""``hibana read``: a finished VASP folder as a document."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hibana.cli import console
from hibana.cli.console import JsonOption

if TYPE_CHECKING:
    from rich.table import Table

    from hibana.documents.task import RunDoc


def read(
    directory: Annotated[Path, typer.Argument(help="Folder of a VASP run; its files may be gzipped.")],
    symprec: Annotated[float, typer.Option("--symprec", help="Tolerance of the space group, Å.")] = 0.01,
    as_json: JsonOption = False,
) -> None:
    """Read a VASP run: how it ended, energy, forces, gap, moments, dielectric tensors.

    Example: hibana read runs/MgO_band --json
    """
    from hibana.vasp.reader import read_run

    run, _ = read_run(directory, symprec=symprec)
    if as_json:
        console.print_json(run.model_dump(mode="json"))
        return
    console.output().print(_table(run))
    for warning in run.warnings:
        console.errors().print(f"note: {warning}", markup=False)


def _table(run: RunDoc) -> Table:
    from rich.table import Table

    table = Table(show_header=False, box=None, pad_edge=False)
    for name, value in _lines(run):
        if value is not None:
            table.add_row(name, value)
    return table


def _lines(run: RunDoc) -> list[tuple[str, str | None]]:
    edges = run.edges
    steps = f"{run.n_ionic_steps} ionic, {run.n_electronic_steps} electronic in the last"
    kind = "" if edges.is_direct is None else " direct" if edges.is_direct else " indirect"
    return [
        ("formula", f"{run.formula} ({run.n_sites} atoms, space group {run.space_group_number})"),
        ("status", run.status),
        ("failure", f"{run.failure.kind}: {run.failure.message}" if run.failure else None),
        ("calculator", f"{run.calculator.name} {run.calculator.version}"),
        ("potentials", ", ".join(run.inputs.potcars) or None),
        ("steps", steps),
        ("energy", _number(run.energy, "eV", 6)),
        ("energy per atom", _number(run.energy_per_atom, "eV", 6)),
        ("largest force", _number(run.max_force, "eV/Å", 4)),
        ("largest stress", _largest(run.stress, "kbar")),
        ("moment", _number(run.magnetization, "μB", 4)),
        ("gap", edges.gap_class if edges.gap_class != "gapped" else f"{edges.band_gap:.4f} eV{kind}"),
        ("VBM, CBM", f"{edges.vbm:.4f}, {edges.cbm:.4f} eV" if edges.vbm is not None and edges.cbm is not None else None),
        ("ε electronic", _diagonal(run.epsilon_electronic)),
        ("ε ionic", _diagonal(run.epsilon_ionic)),
        ("arrays", ", ".join(run.arrays) or None),
    ]


def _number(value: float | None, unit: str, digits: int) -> str | None:
    return None if value is None else f"{value:.{digits}f} {unit}"


def _largest(tensor: tuple[tuple[float, ...], ...] | None, unit: str) -> str | None:
    return None if tensor is None else _number(max(abs(value) for row in tensor for value in row), unit, 2)


def _diagonal(tensor: tuple[tuple[float, ...], ...] | None) -> str | None:
    return None if tensor is None else ", ".join(f"{tensor[axis][axis]:.3f}" for axis in range(3))
