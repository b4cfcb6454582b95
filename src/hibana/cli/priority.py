"""``hibana priority``: which materials are calculated first."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hibana.cli.console import JsonOption, LaunchpadOption, errors, output, print_json
from hibana.core.errors import declare

if TYPE_CHECKING:
    from hibana.launch.priorities import PriorityReport

BAD_PRIORITIES = declare(
    177,
    "the priorities cannot be used",
    "Give a CSV file with the columns material_id and priority (whole numbers; higher is earlier).",
)

COLUMNS = ("material_id", "priority")


def priority(
    materials: Annotated[
        list[str] | None, typer.Argument(help="material_ids, reduced formulas, or files they were read from.")
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", help="CSV file with the columns material_id and priority.")] = None,
    where: Annotated[
        str | None, typer.Option("--where", help="Materials whose candidate matches a MongoDB filter, as '{\"n_sites\": 2}'.")
    ] = None,
    set_to: Annotated[int | None, typer.Option("--set", help="Priority for the materials named; higher is earlier.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would change and change nothing.")] = False,
    launchpad: LaunchpadOption = None,
    as_json: JsonOption = False,
) -> None:
    """Set the priority of materials, for all that is not done yet and all that comes of it.

    Example: hibana priority MgO ZnO --set 10
    """
    from hibana.launch.launchpad import HibanaLaunchPad
    from hibana.launch.naming import chosen_materials
    from hibana.launch.priorities import set_priorities
    from hibana.store.store import Store

    named = bool(materials) or where is not None
    if file is None and not named:
        raise typer.BadParameter("name materials, or give --file or --where", param_hint="MATERIALS")
    if named and set_to is None:
        raise typer.BadParameter("say which priority they get, for instance --set 10", param_hint="MATERIALS")
    if set_to is not None and not named:
        raise typer.BadParameter("it is for materials named or --where; a file has priorities of its own", param_hint="--set")
    wanted = {} if file is None else read_priorities(file)
    pad = HibanaLaunchPad.connect(launchpad)
    if set_to is not None:
        wanted |= dict.fromkeys(chosen_materials(Store(pad.db), materials or [], where), set_to)
    report = set_priorities(pad, wanted, dry_run=dry_run)
    if as_json:
        print_json(report.as_dict())
    else:
        _print(report)


def read_priorities(path: Path) -> dict[str, int]:
    """Read the priorities of materials from a CSV file.

    Raises
    ------
    HibanaError
        HIB-177 if it cannot be read, lacks a column, or holds something else than whole numbers.
    """
    try:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BAD_PRIORITIES.error(f"it cannot be read: {error}", where=path) from error
    found: dict[str, int] = {}
    for number, row in enumerate(rows, 2):
        material_id, text = ((row.get(name) or "").strip() for name in COLUMNS)
        where = f"{path}, line {number}"
        if not material_id or not text:
            raise BAD_PRIORITIES.error("material_id or priority is missing", where=where)
        try:
            value = int(text)
        except ValueError as error:
            raise BAD_PRIORITIES.error(f"{text!r} is no whole number", where=where) from error
        if found.setdefault(material_id, value) != value:
            raise BAD_PRIORITIES.error(f"{material_id} has two priorities", where=where)
    if not found:
        raise BAD_PRIORITIES.error("it names no material", where=path)
    return found


def _print(report: PriorityReport) -> None:
    states = ", ".join(f"{count} {state}" for state, count in report.changed.items())
    done = "would change" if report.dry_run else "changed"
    number = sum(report.changed.values())
    output().print(
        f"{number} jobs {done}{f' ({states})' if states else ''}, {report.unchanged} had it already; "
        f"{report.materials} materials, of which {len(report.done)} are done",
        markup=False,
    )
    if report.missing:
        some = ", ".join(report.missing[:10]) + (", ..." if len(report.missing) > 10 else "")
        errors().print(f"{len(report.missing)} materials have no workflow: {some}", markup=False)
