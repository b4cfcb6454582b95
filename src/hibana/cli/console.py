"""What all verbs share: printing, JSON, errors, options, and the connection to the store."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

if TYPE_CHECKING:
    from hibana.core.errors import HibanaError
    from hibana.store.store import Store

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for scripts instead of text for people.")]
LaunchpadOption = Annotated[
    Path | None,
    typer.Option(
        "--launchpad",
        "-l",
        help="FireWorks launchpad file that names the database; default: HIBANA_LAUNCHPAD, then FireWorks' own search.",
    ),
]
CalculatorOption = Annotated[str | None, typer.Option("--calculator", "-c", help="vasp, gpaw-rehearsal or synthetic.")]
ProtocolOption = Annotated[str | None, typer.Option("--protocol", "-p", help="Name of the protocol.")]
ProtocolVersionOption = Annotated[int | None, typer.Option("--protocol-version", help="Version of the protocol.")]


UNCUT = 10_000
"""Width of a pipe or file, wide enough that no table is cut."""


def output() -> Console:
    """Console of the standard output; nothing is wrapped, cut or coloured when it is no terminal."""
    if sys.stdout.isatty():
        return Console(highlight=False)
    return Console(highlight=False, soft_wrap=True, width=UNCUT)


def errors() -> Console:
    """Console of the standard error, for notes and messages that must not mix with results."""
    return Console(stderr=True, soft_wrap=True, highlight=False)


def print_json(value: Any) -> None:
    """Print a value as JSON on the standard output; dates are written in ISO 8601, paths as text."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2, default=_plain) + "\n")


def print_error(error: HibanaError, *, as_json: bool) -> None:
    """Print the message of an error on the standard error and, for scripts, ``{"error": ...}`` on the standard output."""
    if as_json:
        print_json({"error": error.as_dict()})
    errors().print(str(error), style="red", markup=False)


def open_store(launchpad: Path | None) -> Store:
    """Connect to the store that a launchpad file names.

    Raises
    ------
    HibanaError
        If there is no launchpad file, or the server it names does not answer or refuses the user.
    """
    from hibana.store.connection import connect

    return connect(launchpad)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
