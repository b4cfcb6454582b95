"""``hibana learn substitute``: structures for formulas, from known crystals."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hibana.cli.console import JsonOption, errors, output, print_json
from hibana.cli.learn import FolderOption, learn_app


@learn_app.command()
def substitute(
    formulas: Annotated[
        list[str], typer.Argument(help="Formulas, or CSV files with a column `formula` (generated.csv of hibana learn generate).")
    ],
    templates: Annotated[Path, typer.Option("--templates", "-T", help="Table with structures beside it: the known crystals.")],
    folder: FolderOption,
    each: Annotated[int, typer.Option("--each", "-n", min=1, help="Candidates wanted of each formula.")] = 1,
    sites: Annotated[int, typer.Option("--sites", min=2, help="Largest template.")] = 60,
    trees: Annotated[int, typer.Option("--trees", min=1, help="Rounds of boosting of the classifier.")] = 200,
    seed: Annotated[int, typer.Option("--seed", help="Of what is held out, the pairs and the classifier.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Make structures of formulas by replacing the elements of known crystals.

    A classifier learns from pairs of known crystals which formulas have one prototype, ranks the crystals for each formula, and
    is compared with the nearest descriptor on formulas held out. The folder gets candidates.jsonl.gz, which hibana screen and
    hibana submit take, substitutions.csv with every template tried, result.json, a figure and the classifier.

    Example: hibana learn substitute new/generated.csv -T tables/structures -o new && hibana screen new -o screened
    """
    from hibana.learn.dataset import read_dataset
    from hibana.learn.generation.candidates import make_structures, read_formulas
    from hibana.learn.generation.extra import needs

    needs("sklearn", "skops", "matminer")
    notes = errors()
    result = make_structures(
        read_formulas(formulas),
        read_dataset(templates),
        folder,
        each=each,
        most_sites=sites,
        trees=trees,
        seed=seed,
        say=lambda text: notes.print(text, markup=False),
    )
    print_json(result) if as_json else _show(result, folder)


def _show(result: dict[str, Any], folder: Path) -> None:
    """The report in a few lines."""
    console, ranking, fates = output(), result["ranking"], result["fates"]
    console.print(f"{result['templates']['name']}: {result['templates']['n_used']} templates", markup=False)
    console.print(f"right prototype first (and among the first five), {ranking['n_asked']} formulas held out:", markup=False)
    for name in ("classifier", "nearest_descriptor", "random"):
        console.print(f"  {name.replace('_', ' '):20}{ranking[name]['top_1']:.0%} ({ranking[name]['top_5']:.0%})", markup=False)
    console.print(
        f"{fates.get('candidate', 0)} candidates of {result['formulas_with_candidates']} of {result['formulas']} formulas; "
        f"{fates.get('refused', 0)} templates refused, {fates.get('no_template', 0)} formulas without one",
        markup=False,
    )
    console.print(f"  {folder}", markup=False)
