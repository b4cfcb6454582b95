"""``hibana learn``: the modules that learn from exported tables."""

from __future__ import annotations

import typer

learn_app = typer.Typer(
    help="Learn from exported tables: regression, clustering, spectra, new candidates, priorities. Needs the extra `learn`.",
    no_args_is_help=True,
)
