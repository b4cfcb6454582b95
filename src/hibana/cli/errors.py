"""``hibana errors``: what an error's number means. Also the kinds of error of the command line itself."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated

import typer

from hibana.cli.console import JsonOption, output, print_json
from hibana.core.errors import declare

UNKNOWN_NUMBER = declare(
    160,
    "no error has this number",
    "List all numbers with `hibana errors`.",
)


def errors(
    number: Annotated[str | None, typer.Argument(help="Number to explain, as 42 or HIB-042; default: list all.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the page docs/errors.md.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List all errors with their numbers, or explain one.

    Example: hibana errors HIB-131
    """
    from hibana.cli.catalogue import as_markdown, catalogue

    entries = catalogue()
    if number is not None:
        digits = number.upper().removeprefix("HIB-")
        entries = [entry for entry in entries if digits.isdecimal() and entry.number == int(digits)]
        if not entries:
            raise UNKNOWN_NUMBER.error(number)
    if as_json:
        print_json([asdict(entry) for entry in entries])
    elif markdown:
        sys.stdout.write(as_markdown(entries))
    else:
        for entry in entries:
            output().print(f"{entry.code}  {entry.title}\n         {entry.fix}", markup=False)
