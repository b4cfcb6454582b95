"""``hibana failures``: what failed, how often, and what to do."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Annotated

import typer

from hibana.cli.console import JsonOption, LaunchpadOption, open_store, output, print_json

if TYPE_CHECKING:
    from hibana.launch.failures import Failure


def failures(
    cause: Annotated[
        str | None,
        typer.Option("--cause", "-c", help="Only this cause (zbrent, HIB-095, a part of a reason), with more examples."),
    ] = None,
    launchpad: LaunchpadOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what failed and why: how often, examples, what to do.

    Example: hibana failures --cause electronic_limit
    """
    from hibana.cli.status import counting
    from hibana.launch.failures import KINDS_OF_FAILURE
    from hibana.launch.failures import failures as find

    found = find(open_store(launchpad), cause, say=counting())
    if as_json:
        print_json([item.as_dict() for item in found])
        return
    for kind, group in groupby(found, key=lambda item: item.kind):
        output().print(KINDS_OF_FAILURE[kind], style="bold", markup=False)
        for item in group:
            _print(item)
    if not found:
        output().print("nothing failed, and nothing is flagged", markup=False)


def _print(item: Failure) -> None:
    out = output()
    places = ", ".join(f"{number:,} {place}" if len(item.places) > 1 else place for place, number in item.places.items())
    words = {"correction": f", {item.state}; {item.unresolved:,} of them in vain", "flag": f", {item.state}"}.get(item.kind, "")
    title = f": {item.title}" if item.title else ""
    out.print(f"  {item.n:>7,}  {item.cause}{title} ({places}{words})", markup=False)
    out.print(f"           {item.mend}", markup=False)
    for example in item.examples:
        out.print(f"           e.g. {example.name}" + (f" in {example.place}" if example.place else ""), markup=False)
