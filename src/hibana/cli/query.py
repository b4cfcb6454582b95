"""``hibana query``: documents of the store."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from hibana.cli.console import JsonOption, LaunchpadOption, open_store, output, print_json

COLLECTIONS = (
    *("candidates", "tasks", "arrays", "claims", "outcomes"),
    *("relaxation", "electronic", "dielectric", "phonon", "optics", "sites", "dispersion", "materials"),
    *("supercells", "vacancies", "vacancy_summaries", "chemical_potentials"),
)
"""Names of the collections, here as well so that help needs no database driver."""


def query(
    filter: Annotated[str, typer.Argument(help='MongoDB filter as JSON, for instance \'{"formula": "MgO"}\'.')] = "{}",
    collection: Annotated[
        str,
        typer.Option("--collection", help=f"{', '.join(COLLECTIONS)}."),
    ] = "electronic",
    fields: Annotated[
        str, typer.Option("--fields", help="Fields to show, separated by commas, nested ones with dots; default: all.")
    ] = "",
    limit: Annotated[int, typer.Option("--limit", min=0, help="Show at most so many; 0 for all.")] = 0,
    launchpad: LaunchpadOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show documents of the store that match a filter.

    Example: hibana query '{"formula": "MgO"}' --collection electronic --fields material_id,band_gap_pbesol
    """
    from hibana.store.fields import check_fields, check_filter
    from hibana.store.queries import parse_filter

    names = [name.strip() for name in fields.split(",") if name.strip()]
    wanted = parse_filter(filter)
    store = open_store(launchpad)
    check_fields(store.database, collection, names)
    check_filter(store.database, collection, wanted)
    found = list(store.query(collection, wanted, names, limit))
    if as_json:
        print_json(found)
    elif names:
        _print_table(found, names)
    else:
        for document in found:
            output().print_json(data=document, default=str)
    if not as_json and not found:
        output().print(f"no document of {collection} matches", markup=False)


def _print_table(found: list[dict[str, Any]], names: list[str]) -> None:
    from rich.table import Table

    if not found:
        return
    table = Table(*names, box=None, pad_edge=False)
    for document in found:
        table.add_row(*(str(_value(document, name)) for name in names))
    output().print(table)


def _value(document: dict[str, Any], name: str) -> Any:
    value = _inside(document, name.split("."))
    return "-" if value is None or value == [] else value


def _inside(value: Any, parts: list[str]) -> Any:
    """What a dotted name means in a document; of a list what it means in each entry."""
    if not parts:
        return value
    if isinstance(value, list):
        return [_inside(item, parts) for item in value]
    return _inside(value.get(parts[0]), parts[1:]) if isinstance(value, dict) else None
