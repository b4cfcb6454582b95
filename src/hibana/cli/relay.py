"""``hibana relay``: VASP on compute nodes that do not reach the database, hibana on a login node that does."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

relay_app = typer.Typer(
    help="Run VASP on compute nodes that have no route to the database, and hibana on a login node.", no_args_is_help=True
)

FolderArgument = Annotated[Path, typer.Argument(help="A folder of your own that login and compute nodes see.")]


@relay_app.command()
def serve(
    folder: FolderArgument,
    cores: Annotated[int | None, typer.Option("--cores", min=1, help="Cores; default: those of the queue's job.")] = None,
    timeout: Annotated[float | None, typer.Option("--timeout", "-t", min=1, help="Seconds; default: the queue's job.")] = None,
) -> None:
    """Run what is asked for in the folder; the command of a job of the queue. It needs no database.

    Example: hibana relay serve $HOME/relays/a
    """
    from hibana.launch.cores import allocated_cores
    from hibana.launch.relay import serve as run

    run(folder, cores or allocated_cores(), timeout)


@relay_app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "allow_interspersed_args": False})
def ask(
    folder: FolderArgument,
    command: Annotated[list[str], typer.Argument(help="The command and its arguments.")],
) -> None:
    """Let the relay of the folder run a command here; for vasp_cmd of the worker file on the login node.

    Example: hibana relay ask $HOME/relays/a mpirun -np 8 vasp_std
    """
    from hibana.launch.relay import ask as hand_over

    sys.exit(hand_over(folder, command))
