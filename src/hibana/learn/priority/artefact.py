"""What a replay leaves behind: ``result.json``, the runs of every seed, and the figure."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hibana.learn.dataset import Dataset
from hibana.learn.priority.figures import hits_against_runs
from hibana.learn.priority.replay import Replay
from hibana.learn.result import packages, plain, table_of, write_result

RUNS, FIGURE = "runs.csv", "hits_against_runs.png"


def write_replay(
    replay: Replay, dataset: Dataset, inputs: Sequence[str], versions: Mapping[str, str], folder: Path
) -> dict[str, Any]:
    """Write a replay to a folder.

    Parameters
    ----------
    replay
        The replay.
    dataset
        The table that was replayed.
    inputs, versions
        Sources of features, and what their numbers depend on.
    folder
        Folder to write to; made where it is missing.

    Returns
    -------
    dict
        What ``result.json`` says.
    """
    folder.mkdir(parents=True, exist_ok=True)
    result: dict[str, Any] = plain(
        {
            "module": "priority",
            "table": table_of(dataset),
            "features": {"sources": list(inputs), "versions": versions},
            "goals": replay.rule.words,
            "rule": replay.rule.as_dict(),
            "seeds": [trace.seed for trace in replay.traces],
            "scores": replay.scores(),
            "packages": packages(),
        }
    )
    with (folder / RUNS).open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("seed", "run", "row_id", "is_hit"))
        for trace in replay.traces:
            for number, (name, hit) in enumerate(zip(trace.names, trace.hits, strict=True), 1):
                rows.writerow((trace.seed, number, name, int(hit)))
    hits_against_runs(replay, folder / FIGURE)
    write_result(folder, result)
    return result
