"""The command ``hibana``: thin verbs over the rooms.

Nothing heavy is imported here or at the head of a verb's module, so that ``hibana --help`` answers at once; each verb
imports what it needs when it is called.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

import hibana.cli.learn_cluster
import hibana.cli.learn_features
import hibana.cli.learn_generate
import hibana.cli.learn_ilr
import hibana.cli.learn_regress
import hibana.cli.learn_simulate
import hibana.cli.learn_spectra
import hibana.cli.learn_substitute  # noqa: F401
from hibana import __version__
from hibana.cli.console import errors as to_stderr
from hibana.cli.console import print_error
from hibana.cli.cost import cost
from hibana.cli.diagnose import diagnose
from hibana.cli.diff import diff
from hibana.cli.doctor import doctor
from hibana.cli.errors import errors
from hibana.cli.export import export
from hibana.cli.failures import failures
from hibana.cli.figures import figures
from hibana.cli.help import flow
from hibana.cli.init import init
from hibana.cli.inputs import inputs
from hibana.cli.learn import learn_app
from hibana.cli.loop import loop
from hibana.cli.misuse import UsageError, misused
from hibana.cli.priority import priority
from hibana.cli.query import query
from hibana.cli.read import read
from hibana.cli.rebuild import rebuild
from hibana.cli.reconcile import reconcile
from hibana.cli.rehearse import rehearse
from hibana.cli.relay import relay_app
from hibana.cli.run import run
from hibana.cli.screen import screen
from hibana.cli.split import split
from hibana.cli.status import status
from hibana.cli.store import store_app
from hibana.cli.submit import submit
from hibana.cli.summary import summary
from hibana.cli.vacancies import vacancies
from hibana.cli.why import why
from hibana.cli.withdraw import withdraw
from hibana.core.errors import HibanaError

USER_ERROR = 2
"""Exit code of a user's mistake, the same as for an option that does not exist."""

ABORTED = 1
"""Exit code where a question was not answered."""

VERBS = {
    "A site": (init, doctor),
    "One run": (inputs, read, diagnose),
    "A campaign": (screen, submit, withdraw, run, priority, loop, reconcile, status, failures, cost, why, rehearse),
    "Results": (query, export, diff, split, figures, summary, vacancies),
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
app.add_typer(learn_app, name="learn", rich_help_panel="Results")
app.add_typer(relay_app, name="relay", rich_help_panel="A site")
app.add_typer(store_app, name="store", rich_help_panel="Upkeep")
for _verb in (rebuild, errors):
    app.command(rich_help_panel="Upkeep")(_verb)
flow(app)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one verb; an error a user can mend is printed without a traceback and ends with exit code 2.

    Parameters
    ----------
    arguments
        Command line without the program's name; default: that of this process.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        sys.exit(app(args=words, prog_name="hibana", standalone_mode=False) or 0)
    except HibanaError as error:
        _stop(error, words)
    except UsageError as error:
        found = misused(error, words, [group.name or "" for group in app.registered_groups])
        if found is None:
            sys.exit(USER_ERROR)
        _stop(found, words)
    except typer.Abort:
        to_stderr().print("aborted")
        sys.exit(ABORTED)
    except Exception as error:
        found = _of_a_library(error)
        if found is None:
            raise
        _stop(found, words)


def _of_a_library(error: Exception) -> HibanaError | None:
    """The numbered error for one of a library, which is known by the names of its classes, for nothing is imported here."""
    names = {kind.__name__ for kind in type(error).__mro__}
    if "FWConfigurationError" in names:  # of FireWorks, which then refuses to be imported
        from hibana.launch.errors import CONFIG_TRAP

        return CONFIG_TRAP.error(str(error))
    if names & {"ConnectionFailure", "CursorNotFound"}:  # of pymongo
        from hibana.store.errors import STORE_DOWN

        return STORE_DOWN.error(f"it went away in the middle: {str(error).partition(',')[0]}")
    return None


def _stop(error: HibanaError, words: Sequence[str]) -> NoReturn:
    print_error(error, as_json="--json" in words)
    sys.exit(USER_ERROR)
