"""``hibana learn``: the modules that learn from exported tables."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from hibana.core.errors import HibanaError

OUTPUT = "hibana.output"
"""Under which name a command remembers where its results go."""

DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO})
"""Failures of a write, which name no file."""


def _unwritable(what: str, where: Path) -> HibanaError:
    from hibana.learn.errors import UNWRITABLE_RESULTS

    return UNWRITABLE_RESULTS.error(what, where=where)


def _checked(context: typer.Context, output: Path) -> Path:
    """Refuse, before any work is done for it, an output that cannot be made. Nothing is made yet."""
    context.meta[OUTPUT] = output
    own = output.absolute()
    there = next(path for path in (own, *own.parents) if os.access(path, os.F_OK))
    if there != own and not there.is_dir():
        raise _unwritable(f"{there} is no folder", output)
    if not os.access(there, os.W_OK):
        raise _unwritable(f"no permission to write to {there}", output)
    return output


def _is_about(error: OSError, output: Path) -> bool:
    """Whether an error of the system is one of writing the results."""
    if error.filename is None:
        return error.errno in DISK or str(output) in str(error)
    path, own = Path(os.fsdecode(error.filename)).absolute(), output.absolute()
    return path.is_relative_to(own) or own.is_relative_to(path)


class LearnGroup(TyperGroup):
    """The verbs that learn; results that cannot be written are a numbered error of each."""

    def invoke(self, ctx: Any) -> Any:
        """Run a verb."""
        try:
            return super().invoke(ctx)
        except OSError as error:
            output = ctx.meta.get(OUTPUT)
            if output is None or not _is_about(error, output):
                raise
            what = os.strerror(error.errno) if error.errno else str(error)  # pyarrow's own words are longer
            raise _unwritable(what, Path(os.fsdecode(error.filename or output))) from error


learn_app = typer.Typer(
    cls=LearnGroup,
    help="Learn from exported tables: regression, clustering, spectra, new candidates, priorities. Needs the extra `learn`.",
    no_args_is_help=True,
)

FolderOption = Annotated[
    Path,
    typer.Option("--output", "-o", file_okay=False, callback=_checked, help="Folder to write to; made where it is missing."),
]
FileOption = Annotated[Path, typer.Option("--output", "-o", dir_okay=False, callback=_checked, help="CSV file to write.")]
SplitsOption = Annotated[
    Path | None,
    typer.Option("--splits", help="File that hibana split wrote; default with --split: splits.json beside the table."),
]
