"""``hibana learn simulate``: a finished campaign replayed with a rule for choosing candidates."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hibana.cli.console import JsonOption, errors, output, print_json
from hibana.cli.goals import (
    SOURCES,
    AboveOption,
    AlsoOption,
    BelowOption,
    BetweenOption,
    KappaOption,
    LogOption,
    ModelOption,
    RuleOption,
    SigmaOption,
    StartOption,
    TargetOption,
    TreesOption,
    read_rule,
)
from hibana.cli.learn import FolderOption, learn_app
from hibana.cli.learn_regress import CacheOption, ColumnsOption, WorkersOption

SourcesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--features",
        "-f",
        help="composition, elements, structure or site, or a file of features (hibana learn features); may be repeated. "
        "Default: composition and elements where no column is named.",
    ),
]


@learn_app.command()
def simulate(
    table: Annotated[Path, typer.Argument(help="Parquet or CSV file, or the folder of an export.")],
    target: TargetOption,
    folder: FolderOption,
    above: AboveOption = None,
    below: BelowOption = None,
    between: BetweenOption = None,
    also: AlsoOption = None,
    log: LogOption = None,
    rule: RuleOption = "probability",
    model: ModelOption = "both",
    features: SourcesOption = None,
    column: ColumnsOption = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Replays, with seeds 0, 1, 2, ...")] = 10,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Runs between two decisions.")] = 10,
    runs: Annotated[int | None, typer.Option("--runs", min=2, help="Runs of a replay; default: a tenth of the rows.")] = None,
    start: StartOption = 20,
    trees: TreesOption = 100,
    kappa: KappaOption = 1.0,
    sigma: SigmaOption = 0.1,
    cache: CacheOption = None,
    jobs: WorkersOption = 1,
    as_json: JsonOption = False,
) -> None:
    """Replay a finished campaign: how many more hits a rule finds in as many runs than candidates drawn at random.

    Each row is a candidate, and its values are seen only when it has been run. The folder gets result.json, runs.csv, a figure.

    Example: hibana learn simulate tables/materials -t band_gap_pbesol --above 3.5 --and epsilon_electronic_average:4: -o replay
    """
    from hibana.learn.dataset import read_dataset
    from hibana.learn.priority.artefact import write_replay
    from hibana.learn.priority.replay import simulate as replay
    from hibana.learn.regression.inputs import gather

    chosen = read_rule(
        target,
        *(above, below, between, also, log),
        kind=rule,
        surrogate=model,
        **{"trees": trees, "start": start, "kappa": kappa, "sigma": sigma},
    )
    dataset = read_dataset(table)
    for goal in chosen.goals:
        dataset.column(goal.column)
    sources = list(features or ([] if column else SOURCES))
    inputs = gather(dataset, sources, column or (), cache=cache, workers=jobs)
    notes = errors()
    found = replay(
        inputs.values,
        dataset.frame,
        chosen,
        seeds=range(seeds),
        batch=batch,
        runs=runs,
        say=lambda text: notes.print(text, markup=False),
    )
    names = [*sources, *(f"column {name}" for name in column or ())]
    result = write_replay(found, dataset, names, inputs.versions, folder)
    print_json(result) if as_json else _show(result, folder)


def _show(result: dict[str, Any], folder: Path) -> None:
    found, console = result["scores"], output()

    def of_seeds(name: str) -> str:
        item = found[name]
        sd = "" if item["sd"] is None else f" ± {item['sd']:.2g}"
        return f"{item['mean']:.3g}{sd} ({item['min']:.3g} to {item['max']:.3g})"

    console.print(f"{result['goals']}: {found['n_hits_there']} of {found['n_candidates']} candidates", markup=False)
    if found["n_left_out"]:
        console.print(f"{found['n_left_out']} rows without a value were left out", markup=False)
    expected = found["random_hits"]
    console.print(f"hits in {found['n_runs']} runs: {of_seeds('hits')}", markup=False)
    console.print(f"hits of random draws: {expected['mean']:.3g} ± {expected['sd']:.2g}", markup=False)
    console.print(f"hits a run, over those of random draws: {of_seeds('gain')}", markup=False)
    console.print(f"the same after the random start: {of_seeds('gain_after_start')}", markup=False)
    console.print(f"  {folder}", markup=False)
