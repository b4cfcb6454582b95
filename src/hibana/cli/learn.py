"""``hibana learn``: the modules that learn from exported tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

learn_app = typer.Typer(
    help="Learn from exported tables: regression, clustering, spectra, new candidates, priorities. Needs the extra `learn`.",
    no_args_is_help=True,
)

SplitsOption = Annotated[
    Path | None,
    typer.Option("--splits", help="File that hibana split wrote; default with --split: splits.json beside the table."),
]
