"""Decisions about candidates that wait, from an exported table and a file of candidates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from hibana.learn.dataset import Dataset
from hibana.learn.errors import SEVERAL_ROWS
from hibana.learn.priority.decide import Decisions, decide
from hibana.learn.priority.rule import Rule
from hibana.learn.regression.inputs import gather

MATERIAL_ID = "material_id"


@dataclass(frozen=True)
class Sources:
    """Where features come from.

    Parameters
    ----------
    sets
        Names of sets of features: ``composition``, ``elements``, ``structure``.
    cache
        Folder to keep features of structures in.
    workers
        Processes.
    """

    sets: tuple[str, ...]
    cache: Path | None = None
    workers: int = 1


def known_materials(table: Dataset) -> list[str]:
    """Materials of a table, in the order of its rows.

    Raises
    ------
    HibanaError
        HIB-261 if there is no column ``material_id``, HIB-289 if a material has several rows.
    """
    ids = table.column(MATERIAL_ID).astype(str)
    if not ids.is_unique:
        name = ids[ids.duplicated()].iloc[0]
        raise SEVERAL_ROWS.error(f"{name} has {int((ids == name).sum())}", where=table.path)
    return ids.tolist()


def rank(
    table: Dataset,
    candidates: Dataset,
    waiting: Sequence[str],
    rule: Rule,
    sources: Sources,
    *,
    seed: int,
    batch: int,
) -> Decisions:
    """Put waiting candidates into the order in which they should be calculated.

    Features of a material are those of its candidate, as it was submitted; those of a known material that is no candidate come
    from its row of the table.

    Parameters
    ----------
    table
        What is known.
    candidates
        Candidates by ``material_id``, known and waiting ones.
    waiting
        Which of them wait.
    rule, seed, batch
        As for :func:`hibana.learn.priority.decide.decide`.
    sources
        Where features come from.

    Raises
    ------
    HibanaError
        Those of :func:`known_materials`, of ``gather`` and of ``decide``.
    """
    known = known_materials(table)
    options = {"cache": sources.cache, "workers": sources.workers}
    features = gather(candidates, sources.sets, **options).values
    of_known = features.reindex(known)
    strangers = [name for name in known if name not in features.index]
    if strangers:
        own = gather(table, sources.sets, **options).values.set_axis(known)
        of_known.loc[strangers] = own.loc[strangers]
    targets = pd.DataFrame({goal.column: table.column(goal.column) for goal in rule.goals}).set_axis(known)
    return decide(of_known, targets, features.reindex(list(waiting)), rule, seed=seed, batch=batch)
