"""An interaction regression from table to folder: benchmark, model, figure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hibana.learn.dataset import Dataset
from hibana.learn.ilr.benchmark import Split, benchmark, best_peers
from hibana.learn.ilr.columns import Columns
from hibana.learn.ilr.figures import errors_by_split
from hibana.learn.ilr.model import COMPONENTS, MINORITY, fit, save
from hibana.learn.result import packages, table_of, write_result

if TYPE_CHECKING:
    from hibana.tables.splits_file import StoredSplit

MODULE = "ilr"


def learn(
    dataset: Dataset,
    columns: Columns,
    splits: Sequence[Split],
    folder: Path,
    *,
    components: int = COMPONENTS,
    minority: float = MINORITY,
    seed: int = 0,
    written: Sequence[StoredSplit] = (),
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Benchmark the regression on splits, fit it on all rows, and write everything into a folder.

    Parameters
    ----------
    dataset
        The table, for its name and identity.
    columns
        Target, descriptors and categories.
    splits
        How rows are parted.
    folder
        Where to: ``result.json``, ``benchmark.csv``, ``benchmark.png`` and the model, ``model.json``.
    components, minority
        Of the regression.
    seed
        As the splits were made with; of the forest among the peers.
    written
        Those of the splits that were read from a file, for the result.
    say
        Told how it gets on.

    Returns
    -------
    dict
        What ``result.json`` holds.

    Raises
    ------
    HibanaError
        HIB-262 if a split has too few rows, HIB-264 if scikit-learn is not installed.
    """
    found = benchmark(columns, splits, components=components, minority=minority, seed=seed, say=say)
    model = fit(columns.descriptors, columns.categories, columns.target, components=components, minority=minority)
    target = {"column": columns.target_name, "unit": columns.unit}
    folder.mkdir(parents=True, exist_ok=True)
    save(model, folder, {"target": target, "table_snapshot": dataset.snapshot})
    found.to_csv(folder / "benchmark.csv", index=False)
    errors_by_split(found, columns.unit, folder / "benchmark.png")
    beside = best_peers(found)
    result = {
        "module": MODULE,
        "table": {**table_of(dataset), "n_used": len(columns.target), "left_out": columns.left_out},
        "target": target,
        "descriptors": list(columns.descriptors.columns),
        "categories": list(columns.categories.columns),
        "crossed": list(model.categories),
        "n_terms": len(model.terms),
        "parameters": {"components": components, "minority": minority, "seed": seed},
        "splits": [item.as_dict() for item in written],
        "benchmark": found.to_dict("records"),
        "beside_the_best": beside.reset_index().to_dict("records"),
        "loses_on": {name: beside.index[beside[f"loses_{name}"]].tolist() for name in ("descriptors", "both")},
        "packages": packages(),
    }
    write_result(folder, result)
    return result
