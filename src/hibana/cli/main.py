"""The command ``hibana``: thin verbs over the rooms.

Nothing heavy is imported here or at the head of a verb's module, so that ``hibana --help`` answers at once; each verb
imports what it needs when it is called.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from hibana import __version__
from hibana.cli.console import print_error
from hibana.cli.diagnose import diagnose
from hibana.cli.errors import errors
from hibana.cli.export import export
from hibana.cli.figures import figures
from hibana.cli.inputs import inputs
from hibana.cli.query import query
from hibana.cli.read import read
from hibana.cli.rebuild import rebuild
from hibana.cli.run import run
from hibana.cli.store import store_app
from hibana.cli.submit import submit
from hibana.cli.summary import summary
from hibana.cli.why import why
from hibana.core.errors import HibanaError

USER_ERROR = 2
"""Exit code of a user's mistake, the same as for an option that does not exist."""

VERBS = {
    "One run": (inputs, read, diagnose),
    "A campaign": (submit, run, why),
    "Results": (query, export, figures, summary),
}

app = typer.Typer(
    name="hibana",
    help="From crystal structures to curated tables of computed properties.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hibana {__version__}")
        raise typer.Exit


@app.callback()
def _hibana(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """From crystal structures to curated tables of computed properties."""


for _panel, _verbs in VERBS.items():
    for _verb in _verbs:
        app.command(rich_help_panel=_panel)(_verb)
app.add_typer(store_app, name="store", rich_help_panel="Upkeep")
for _verb in (rebuild, errors):
    app.command(rich_help_panel="Upkeep")(_verb)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one verb; an error a user can mend is printed without a traceback and ends with exit code 2.

    Parameters
    ----------
    arguments
        Command line without the program's name; default: that of this process.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        app(args=words, prog_name="hibana")
    except HibanaError as error:
        print_error(error, as_json="--json" in words)
        sys.exit(USER_ERROR)
