"""Candidates: substitution from formulas and templates to a folder that ``hibana screen`` and ``hibana submit`` take."""

from __future__ import annotations

import csv
import gzip
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hibana.documents.candidate import CandidateDoc
from hibana.learn.dataset import Dataset
from hibana.learn.errors import NO_FORMULAS, NO_LEARN_EXTRA, NO_TEMPLATES
from hibana.learn.features.elements import N_ELEMENTS
from hibana.learn.generation.compounds import whole_formula
from hibana.learn.generation.figures import ranking_figure
from hibana.learn.generation.pairs import accuracy, fit_ranker
from hibana.learn.generation.substitution import Attempt, substitute
from hibana.learn.generation.templates import MOST_SITES, read_templates
from hibana.learn.generation.volumes import fit_volumes
from hibana.learn.result import packages, table_of, write_result
from hibana.structures.convert import to_pymatgen
from hibana.structures.reading import CANDIDATES

MODULE = "substitution"
ATTEMPTS = "substitutions.csv"
CLASSIFIER = "classifier.skops"
COLUMNS = ("formula", "reduced_formula")


def make_structures(
    formulas: Sequence[str],
    dataset: Dataset,
    folder: Path,
    *,
    each: int = 1,
    most_sites: int = MOST_SITES,
    trees: int = 200,
    seed: int = 0,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Rank templates, substitute, and write the candidates.

    Parameters
    ----------
    formulas
        Reduced formulas, as :func:`read_formulas` gives them.
    dataset
        A table with structures beside it: the templates.
    folder
        Where to: ``candidates.jsonl.gz``, ``substitutions.csv`` (a row for each template tried), ``result.json``,
        ``ranking.png`` and the classifier (``classifier.skops``).
    each
        Candidates wanted of each formula.
    most_sites
        Larger templates are left out.
    trees
        Rounds of boosting of the classifier.
    seed
        Of the held-out formulas, the pairs and the trees.
    say
        Told how it gets on.

    Returns
    -------
    dict
        What ``result.json`` holds.

    Raises
    ------
    HibanaError
        HIB-262 (too few templates to learn from), HIB-263 (no structures), HIB-264 (a package is missing), HIB-282 (no formula
        has a template).
    """
    try:
        import skops.io as io
    except ImportError as error:
        raise NO_LEARN_EXTRA.error(f"skops ({error})") from error
    say("reading templates")
    templates, left_out = read_templates(dataset.structures(), most_sites)
    say(f"{len(templates)} templates; how well are they ranked?")
    right = accuracy(templates, trees=trees, seed=seed)
    ranker = fit_ranker(templates, trees=trees, seed=seed)
    volumes = fit_volumes(
        [item.formula for item in templates], np.array([item.structure.volume / len(item.structure) for item in templates])
    )
    say("substituting")
    attempts = substitute(formulas, ranker, volumes, each)
    if all(attempt.fate == "no_template" for attempt in attempts):
        raise NO_TEMPLATES.error(f"none of {len(templates)} for {', '.join(formulas[:5])}", where=dataset.path)
    folder.mkdir(parents=True, exist_ok=True)
    write_candidates(attempts, folder / CANDIDATES)
    write_attempts(attempts, folder / ATTEMPTS)
    io.dump(ranker.classifier, folder / CLASSIFIER)
    asked = right.pop("asked")
    ranking_figure(right, folder / "ranking.png")
    result = {
        "module": MODULE,
        "templates": {**table_of(dataset), "n_used": len(templates), "left_out": left_out},
        "parameters": {"each": each, "most_sites": most_sites, "trees": trees, "seed": seed},
        "ranking": {**right, "n_asked": asked["n"], "n_held_out": asked["held_out"]},
        "volumes": {"unit": "Å^3 per atom", "of_element": dict(volumes.of_element)},
        "formulas": len(formulas),
        "fates": dict(Counter(attempt.fate for attempt in attempts)),
        "formulas_with_candidates": len({attempt.formula for attempt in attempts if attempt.candidate}),
        "packages": packages(),
    }
    write_result(folder, result)
    return result


def read_formulas(items: Sequence[str]) -> list[str]:
    """Reduced formulas, each once, of words and of CSV files with a column ``formula`` or ``reduced_formula``.

    Raises
    ------
    HibanaError
        HIB-280 if a file has no such column, or an item is no formula of two or more elements with whole numbers.
    """
    found: dict[str, None] = {}
    for item in items:
        path = Path(item)
        texts: Iterable[str] = _column(path) if path.suffix == ".csv" or path.is_file() else [item]
        found |= dict.fromkeys(_reduced(text) for text in texts)
    if not found:
        raise NO_FORMULAS.error("there is none")
    return list(found)


def write_candidates(attempts: Sequence[Attempt], path: Path) -> None:
    """Write the candidates in the format of ``hibana screen``; the same candidates give the same bytes."""
    scratch = path.with_name(f".{path.name}.part")
    with scratch.open("wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as packed:
        for attempt in attempts:
            if attempt.candidate is not None:
                packed.write(
                    json.dumps(
                        _line(attempt, attempt.candidate), separators=(",", ":"), ensure_ascii=False, default=float
                    ).encode()
                    + b"\n"
                )
    scratch.replace(path)


def write_attempts(attempts: Sequence[Attempt], path: Path) -> None:
    """Write a row for each template that was tried."""
    names = [field.name for field in fields(Attempt) if field.name != "candidate"]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*names, "material_id"])
        for attempt in attempts:
            values = [getattr(attempt, name) for name in names]
            cells = ["" if value != value else value for value in values]
            writer.writerow([*cells, attempt.candidate.material_id if attempt.candidate else ""])


def _line(attempt: Attempt, candidate: CandidateDoc) -> dict[str, Any]:
    return {
        "id": f"{attempt.formula}-{attempt.template}",
        "material_id": candidate.material_id,
        "structure_key": candidate.structure_key,
        "family": candidate.material_id,
        "source": candidate.sources[0],
        "formula": candidate.formula,
        "space_group_number": candidate.space_group_number,
        "values": {},
        "structure": to_pymatgen(candidate.crystal).as_dict(),
    }


def _column(path: Path) -> list[str]:
    try:
        frame = pd.read_csv(path, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise NO_FORMULAS.error(str(error).splitlines()[0], where=path) from error
    name = next((name for name in COLUMNS if name in frame.columns), None)
    if name is None:
        raise NO_FORMULAS.error(f"no column {' or '.join(COLUMNS)}", where=path)
    return [str(text) for text in frame[name]]


def _is_known(symbol: str) -> bool:
    """Whether a symbol is that of an element with features; a made-up one gets a number of its own from pymatgen."""
    from pymatgen.core import Element

    return Element.is_valid_symbol(symbol) and Element(symbol).Z <= N_ELEMENTS


def _reduced(text: str) -> str:
    from pymatgen.core import Composition

    amounts = whole_formula(text)
    if amounts is None or len(amounts) < 2 or not all(_is_known(symbol) for symbol in amounts):
        raise NO_FORMULAS.error(f"{text!r} is no formula of two or more elements with whole numbers")
    return str(Composition(amounts).reduced_formula)
