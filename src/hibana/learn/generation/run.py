"""Generation from table to folder: generator, judge, report, and formulas for a wanted value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hibana.learn.dataset import Dataset
from hibana.learn.errors import NO_SUCH_VALUE
from hibana.learn.generation.compounds import Compounds
from hibana.learn.generation.figures import generation_figure
from hibana.learn.generation.generator import Generator, check_value, fit_generator, save_generator
from hibana.learn.generation.judge import Judge, fit_judge
from hibana.learn.generation.network import Effort
from hibana.learn.generation.reports import distances, fractions_of, likeness, track
from hibana.learn.regression.model import save
from hibana.learn.result import PACKAGES, packages, table_of, write_result

MODULE = "generation"
GENERATED = "generated.csv"
OVERSAMPLE = 5
"""Different formulas drawn for each one that is kept."""

ROUNDS = 20
"""Draws of that many before it is settled that there are no more different formulas."""


def generate(
    dataset: Dataset,
    compounds: Compounds,
    value: float,
    number: int,
    folder: Path,
    *,
    effort: Effort | None = None,
    trees: int = 300,
    draws: int = 100,
    only_new: bool = False,
    seed: int = 0,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Fit a generator and a judge, report on them, and write formulas for a wanted value.

    Of five times as many different formulas as are wanted those are kept whose estimate by the judge is nearest to the value;
    the report is on draws that nobody chose from.

    Parameters
    ----------
    dataset
        The table, for its name and identity.
    compounds
        What is learned from.
    value
        Wanted value of the target.
    number
        Formulas wanted.
    folder
        Where to: ``generated.csv``, ``result.json``, ``generation.png``, the generator
        (``generator.safetensors``) and the judge (``judge/``).
    effort
        Of the generator.
    trees
        Of the judge.
    draws
        For each wanted value of the report.
    only_new
        Leave formulas of the compounds out.
    seed
        Of everything drawn.
    say
        Told how it gets on.

    Returns
    -------
    dict
        What ``result.json`` holds.

    Raises
    ------
    HibanaError
        HIB-281 if the value cannot be asked for, HIB-264 if a package is missing.
    """
    effort = effort or Effort()
    check_value(value, compounds.values.min(), compounds.values.max(), compounds.target)
    generator, losses = fit_generator(compounds, effort, seed, dataset.snapshot, say)
    say("fitting the judge")
    judge = fit_judge(dataset, compounds, trees=trees, seed=seed)
    tracking = track(generator, judge, compounds, draws=draws, seed=seed + 1)
    wishes = np.random.default_rng(seed + 2).choice(compounds.values, size=5 * draws)
    like = likeness(generator.draw(wishes, seed + 2), compounds, seed)
    formulas = propose(generator, judge, compounds, value, number, only_new=only_new, seed=seed + 3)
    folder.mkdir(parents=True, exist_ok=True)
    save_generator(generator, folder)
    save(judge.model, folder / "judge")
    formulas.to_csv(folder / GENERATED, index=False)
    generation_figure(tracking, like, compounds.target, compounds.unit, folder / "generation.png")
    result = {
        "module": MODULE,
        "table": {**table_of(dataset), "n_compounds": len(compounds.formulas), "left_out": dict(compounds.left_out)},
        "target": {"column": compounds.target, "unit": compounds.unit},
        "wanted": {"value": value, "number": number, "only_new": only_new},
        "parameters": {**asdict(effort), "trees": trees, "draws": draws, "seed": seed},
        "loss": {"unit": "nats a formula", "first": losses[0], "last": losses[-1]},
        "judge": judge.scores.as_dict(),
        "tracking": tracking.as_dict(),
        "likeness": like,
        "generated": {
            "n": len(formulas),
            "mean_estimate": float(formulas["estimate"].mean()),
            "largest_miss": float((formulas["estimate"] - value).abs().max()),
            "new": float(formulas["is_new"].mean()),
        },
        "packages": packages((*PACKAGES, "torch")),
    }
    write_result(folder, result)
    return result


def propose(
    generator: Generator, judge: Judge, compounds: Compounds, value: float, number: int, *, only_new: bool = False, seed: int = 0
) -> pd.DataFrame:
    """Different formulas for a value, nearest estimate first.

    Parameters
    ----------
    generator, judge
        Fitted.
    compounds
        What they learned from.
    value
        Wanted value.
    number
        Formulas wanted; fewer come where there are not so many different ones.
    only_new
        Leave formulas of the compounds out.
    seed
        Of the draws.

    Returns
    -------
    DataFrame
        Columns ``formula``, ``wanted``, ``estimate``, ``n_elements``, ``is_new``, ``distance`` to the nearest known compound.

    Raises
    ------
    HibanaError
        HIB-281 if the value cannot be asked for, or nothing new is drawn for it.
    """
    known, found = set(compounds.formulas), dict[str, None]()
    for turn in range(ROUNDS):
        drawn = generator.draw(np.full(OVERSAMPLE * number, value), seed + 1000 * turn)
        found |= dict.fromkeys(formula for formula in drawn if not (only_new and formula in known))
        if len(found) >= OVERSAMPLE * number:
            break
    formulas = list(found)
    if not formulas:
        raise NO_SUCH_VALUE.error(f"{value:g}; all {ROUNDS * OVERSAMPLE * number} formulas drawn for it are known")
    fractions = fractions_of(formulas, compounds.symbols)
    frame = pd.DataFrame(
        {
            "formula": formulas,
            "wanted": value,
            "estimate": judge.predict(formulas),
            "n_elements": (fractions > 0).sum(axis=1),
            "is_new": [formula not in known for formula in formulas],
            "distance": distances(fractions, compounds.fractions),
        }
    )
    nearest = (frame["estimate"] - value).abs().sort_values(kind="stable").index
    return frame.loc[nearest[:number]].reset_index(drop=True)
