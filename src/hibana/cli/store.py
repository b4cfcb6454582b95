"""``hibana store``: the embedded database."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hibana.cli.console import JsonOption, errors, output, print_json

if TYPE_CHECKING:
    from hibana.store.server import ServerStatus

store_app = typer.Typer(
    help="Start, stop and look at the embedded database. With a MongoDB server of your own none of this is needed.",
    no_args_is_help=True,
)

DirectoryOption = Annotated[
    Path | None,
    typer.Option("--directory", "-d", help="Where its files are; default: HIBANA_STORE_DIR, then ./hibana_store."),
]


@store_app.command()
def up(
    directory: DirectoryOption = None,
    port: Annotated[
        int | None,
        typer.Option("--port", min=1, max=65535, help="Port on this machine; default: the one it had before, or a free one."),
    ] = None,
    launchpad: Annotated[
        Path, typer.Option("--launchpad", "-l", help="FireWorks launchpad file to write.", show_default=True)
    ] = Path("my_launchpad.yaml"),
    name: Annotated[str, typer.Option("--name", help="Name of the database.")] = "hibana",
    as_json: JsonOption = False,
) -> None:
    """Start the embedded database, write the launchpad file that names it, and make it ready for FireWorks.

    A database that is up already stays as it is. It listens on this machine only, and is good for some 20,000 fireworks and
    four launchers; above that use a MongoDB server.

    Example: hibana store up && lpad -l my_launchpad.yaml get_fws
    """
    from hibana.store.launchpad_file import write_launchpad_file
    from hibana.store.server import up as start

    if not as_json:
        errors().print("starting the embedded database...", markup=False)
    status = start(_directory(directory), port)
    write_launchpad_file(launchpad, status, name)
    _make_ready(launchpad)
    if as_json:
        print_json({**status.as_dict(), "launchpad": str(launchpad)})
        return
    _print(status)
    output().print(f"launchpad file: {launchpad}", markup=False)


@store_app.command()
def down(directory: DirectoryOption = None, as_json: JsonOption = False) -> None:
    """Stop the embedded database cleanly; what it holds stays in its directory.

    Example: hibana store down
    """
    from hibana.store.server import down as stop

    status = stop(_directory(directory))
    if as_json:
        print_json(status.as_dict())
    else:
        _print(status)


@store_app.command()
def status(directory: DirectoryOption = None, as_json: JsonOption = False) -> None:
    """Say whether the embedded database is up and where; exit code 1 if it is not.

    Example: hibana store status --json
    """
    from hibana.store.server import status as look

    found = look(_directory(directory))
    if as_json:
        print_json(found.as_dict())
    else:
        _print(found)
    if not found.answering:
        raise typer.Exit(1)


def _directory(given: Path | None) -> Path:
    from hibana.core.settings import Settings

    return given or Settings.from_environment().store_dir


def _make_ready(launchpad: Path) -> None:
    from hibana.launch.launchpad import HibanaLaunchPad
    from hibana.store.connection import connect
    from hibana.store.launchpad_file import read_yaml

    connect(launchpad).ensure_indexes()
    quiet = {**read_yaml(launchpad), "strm_lvl": "WARNING"}
    HibanaLaunchPad.from_dict(quiet).initialise()


def _print(status: ServerStatus) -> None:
    console = output()
    if status.answering:
        console.print(f"up: {status.host}:{status.port}, process {status.pid}", markup=False)
    elif status.running:
        console.print(f"process {status.pid} runs but does not answer", markup=False)
    else:
        console.print("not running", markup=False)
    console.print(f"directory: {status.directory}", markup=False)
