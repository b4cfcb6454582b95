"""What the modules that learn from tables reach on published data: the numbers of docs/learning.md but those of spectra.

Run ``python benchmarks/bench_accuracy.py [--only vacancies replay] [--cache FOLDER]``. Data are those of ``ml_data`` in the
folder that ``HIBANA_RECORDED`` names. Features of structures are computed first where ``--cache`` does not have them. Results go
to ``benchmarks/results/accuracy.json``, case by case, each with its CPU seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd

from hibana.learn.clustering.leaves import Forest
from hibana.learn.clustering.run import Clustering, Settings, find_groups, other_column
from hibana.learn.clustering.stability import stability
from hibana.learn.dataset import Dataset, read_dataset
from hibana.learn.generation.compounds import read_compounds
from hibana.learn.generation.network import Effort as GeneratorEffort
from hibana.learn.generation.pairs import accuracy
from hibana.learn.generation.run import generate
from hibana.learn.generation.templates import read_templates
from hibana.learn.ilr.benchmark import Split, benchmark, make_splits
from hibana.learn.ilr.columns import joined, read_columns
from hibana.learn.priority.goal import Goal
from hibana.learn.priority.replay import Replay, simulate
from hibana.learn.priority.rule import Rule
from hibana.learn.regression.families import FAMILIES, GRADIENT_BOOSTING, RANDOM_FOREST
from hibana.learn.regression.inputs import Inputs, gather
from hibana.learn.regression.run import judge
from hibana.learn.regression.scores import scores
from hibana.learn.regression.task import Task, make_task
from hibana.learn.regression.validation import Effort, make_folds, some_rows, validate
from hibana.learn.regression.validation import gather as pooled
from hibana.learn.result import packages, plain

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "accuracy.json"
DATA = Path(os.environ.get("HIBANA_RECORDED", HERE.parents[1] / "shared")) / "ml_data"
TREES = {RANDOM_FOREST.name: 100, GRADIENT_BOOSTING.name: 200}
FORMATION_TREES = {RANDOM_FOREST.name: 100, GRADIENT_BOOSTING.name: 300}
FORMATION_CHOICES = {RANDOM_FOREST.name: 0, GRADIENT_BOOSTING.name: -1}
"""Hyperparameters, the same at every size."""

FORMULAS = (1_000, 3_000, 10_000, 30_000)
"""Training formulas of the learning curve, before all."""

HOST_COLUMNS = (
    "band_gap_pbesol_eV",
    "eps_electronic_avg",
    "eps_ionic_avg",
    "density_g_cm3",
    "lowest_optical_freq_THz",
    "born_avg_abs_trace_e",
)
SEEDS = range(0, 50, 10)
"""Of the clusterings, far enough apart that none shares a forest with another."""

REPLAYS = range(10)
KEPT: Path | None = None


@cache
def dielectric() -> tuple[Dataset, Inputs]:
    dataset = read_dataset(DATA / "oxide_dielectric_pbesol")
    return dataset, gather(dataset, ["composition", "structure"], cache=KEPT)


@cache
def vacancies() -> tuple[Dataset, Inputs]:
    """Vacancies with the properties of the very host, where it is among the dielectric data."""
    dataset = read_dataset(DATA / "oxygen_vacancy_formation")
    hosts = read_dataset(DATA / "oxide_dielectric_pbesol").frame.set_index("material_id")
    with_hosts = replace(dataset, frame=dataset.frame.join(hosts[list(HOST_COLUMNS)], on="material_id"))
    return with_hosts, gather(with_hosts, ["composition", "site"], ["vbm_from_o_core_eV", *HOST_COLUMNS], cache=KEPT)


@cache
def formation_energies() -> Task:
    """The lowest polymorph of each formula."""
    dataset = read_dataset(DATA / "mp_formation_energy" / "table.csv.gz")
    energy = "formation_energy_eV_per_atom"
    lowest = dataset.frame.sort_values(energy, kind="stable").drop_duplicates("reduced_formula")
    dataset = replace(dataset, frame=lowest)
    return make_task(dataset, energy, gather(dataset, ["composition", "elements"]), group="chemical_system")


def electronic() -> Iterator[tuple[str, dict[str, Any]]]:
    task = make_task(*_with(dielectric(), "eps_electronic_avg"), transform="log10", group="prototype")
    yield from _nested(task)


def ionic() -> Iterator[tuple[str, dict[str, Any]]]:
    task = make_task(*_with(dielectric(), "eps_ionic_avg"), transform="log10", group="prototype")
    yield from _nested(task)


def ionic_without_soft_modes() -> Iterator[tuple[str, dict[str, Any]]]:
    where = "not flag_soft_mode"
    task = make_task(*_with(dielectric(), "eps_ionic_avg"), transform="log10", group="prototype", where=where)
    yield from _nested(task)


def of_vacancies() -> Iterator[tuple[str, dict[str, Any]]]:
    where = "charge == 0 and not flag_perturbed_host_state"
    task = make_task(*_with(vacancies(), "formation_energy_vbm_ref_eV"), group="host_formula", where=where)
    yield from _nested(task)


def _with(data: tuple[Dataset, Inputs], target: str) -> tuple[Dataset, str, Inputs]:
    return data[0], target, data[1]


def _nested(task: Task) -> Iterator[tuple[str, dict[str, Any]]]:
    """Nested cross-validation at random and by group, and each single choice of hyperparameters by group."""
    for family in FAMILIES.values():
        effort = Effort(trees=TREES[family.name])
        found = judge(family, task, effort)
        said: dict[str, Any] = {"rows": len(task.target), "groups": len(set(task.groups)), "trees": effort.trees}
        said |= {"random": found.random.as_dict(), "grouped": found.grouped.as_dict()}
        said["leading_features"] = found.importances.index[:5].tolist()
        for parameters in family.grid:
            fixed = replace(family, grid=(parameters,))
            name = ", ".join(f"{key} {value}" for key, value in parameters.items())
            folds = list(validate(fixed, task, effort, grouped=True))
            said.setdefault("single_choices_grouped", {})[name] = pooled(task.group, task, folds).pooled.as_dict()
        yield family.name, said


def formation() -> Iterator[tuple[str, dict[str, Any]]]:
    """A fifth of the chemical systems held out, the same at every size; one choice of hyperparameters each."""
    task = formation_energies()
    train, test = make_folds(task, 5, 0)[0]
    for family in FAMILIES.values():
        trees, chosen = FORMATION_TREES[family.name], family.grid[FORMATION_CHOICES[family.name]]
        for count in (*FORMULAS, len(train)):
            part = train if count == len(train) else train[some_rows(task.part(train), count, 0)]
            model = family.make(chosen, trees=trees, seed=0).fit(task.features[part], task.target[part])
            found = scores(task.target[test], model.predict(task.features[test])).as_dict()
            said = {"training_formulas": len(part), "formulas": len(task.target), "trees": trees, "parameters": dict(chosen)}
            yield f"{family.name}; {count}", {**said, **found}


def clustering() -> Iterator[tuple[str, dict[str, Any]]]:
    """Groups by the electronic constant with five seeds, from all features by both ways, and from formulas alone."""
    dataset, inputs = dielectric()
    formulas = Inputs(inputs.values[gather(dataset, ["composition"]).values.columns], inputs.versions)
    for name, features, method in (
        ("composition and structure, ward", inputs, "ward"),
        ("composition and structure, average", inputs, "average"),
        ("composition, ward", formulas, "ward"),
    ):
        task = make_task(dataset, "eps_electronic_avg", features, transform="log10")
        gap = other_column(dataset, task, "band_gap_pbesol_eV")
        results = []
        for seed in SEEDS:
            settings = Settings(method=method, forest=Forest(), seed=seed, repeats=2, at_least=2.5)
            results.append(find_groups(task, gap, settings))
        crystals = inputs.values.loc[task.row_ids]
        between = stability([found.partition.labels for found in results], list(SEEDS)).as_dict()
        seeds = {
            seed: {"oob_r2": found.oob_r2[0], "groups": _rich(found, crystals)}
            for seed, found in zip(SEEDS, results, strict=True)
        }
        yield name, {"rows": len(task.target), "features": len(task.names), "between_seeds": between, "seeds": seeds}


def _rich(found: Clustering, crystals: pd.DataFrame) -> list[dict[str, Any]]:
    """Promising groups with twice the share of transition metals of all rows and more octahedral sites, by their rank."""
    metal, octahedral = crystals["fraction transition_metal"], crystals["maximum octahedral CN_6"]
    groups = []
    for group in found.promising:
        inside = found.partition.labels == group
        if metal[inside].mean() <= 2 * metal.mean() or octahedral[inside].median() <= octahedral.median():
            continue
        said = found.signatures[found.signatures["group"] == group]["feature"].tolist()
        row = found.groups.loc[group]
        groups.append(
            {
                "rows": int(inside.sum()),
                "gap_median_eV": row["against_median"],
                "constant_over_expected": 10 ** row["residual_mean"],
                "transition_metals": metal[inside].mean(),
                "transition_metals_of_all": metal.mean(),
                "octahedral_median": octahedral[inside].median(),
                "octahedral_median_of_all": octahedral.median(),
                "place_of_octahedral_transition_metal": said.index("octahedral transition_metal") + 1
                if "octahedral transition_metal" in said
                else None,
                "features_told": len(said),
            }
        )
    return groups


OXIDES = {
    "gap > 3.5, constant > 4": (Goal("band_gap_pbesol_eV", low=3.5), Goal("eps_electronic_avg", low=4, log=True)),
    "gap > 4, constant > 3.5": (Goal("band_gap_pbesol_eV", low=4), Goal("eps_electronic_avg", low=3.5, log=True)),
}
PETOUSIS = (Goal("band_gap_gga_eV", low=2.5), Goal("eps_electronic_poly", low=4, log=True))
NACCARATO = (Goal("band_gap_gga_direct_eV", low=3.5), Goal("n_refractive_avg", low=2, log=True))
SOURCES = {"composition": ["composition"], "composition, elements": ["composition", "elements"]}
DEFAULT = ("both", "composition, elements")


def replay() -> Iterator[tuple[str, dict[str, Any]]]:
    """The default rule with two goals, and others, on the oxides."""
    oxides = read_dataset(DATA / "oxide_dielectric_pbesol")
    first = OXIDES["gap > 3.5, constant > 4"]
    for name, goals in OXIDES.items():
        yield f"{name}; default", _replayed(oxides, Rule(goals), DEFAULT[1])
    for surrogate in ("forest", "process", "both"):
        for sources in SOURCES:
            if (surrogate, sources) != DEFAULT:
                rule = Rule(first, surrogate=surrogate)
                yield f"gap > 3.5, constant > 4; {surrogate}; {sources}", _replayed(oxides, rule, sources)
    novelty = Rule(first, kind="novelty", surrogate="forest")
    yield "gap > 3.5, constant > 4; novelty; forest; composition", _replayed(oxides, novelty, "composition")


def replay_elsewhere() -> Iterator[tuple[str, dict[str, Any]]]:
    """Compounds of other data whose formulas are not among the oxides: all rules on the one, the default on the other."""
    known = read_dataset(DATA / "oxide_dielectric_pbesol").frame["reduced_formula"]
    every = [(surrogate, sources) for surrogate in ("forest", "process", "both") for sources in SOURCES]
    for name, goals, rules in (
        ("naccarato_refractive_index", NACCARATO, every),
        ("petousis_dielectric", PETOUSIS, [DEFAULT]),
    ):
        dataset = read_dataset(DATA / name)
        others = replace(dataset, frame=dataset.frame[~dataset.frame["reduced_formula"].isin(known)])
        for surrogate, sources in rules:
            yield f"{name}; {surrogate}; {sources}", _replayed(others, Rule(goals, surrogate=surrogate), sources)


def _replayed(dataset: Dataset, rule: Rule, sources: str) -> dict[str, Any]:
    features = gather(dataset, SOURCES[sources]).values
    found: Replay = simulate(features, dataset.frame, rule, seeds=REPLAYS)
    return found.scores()


def ilr() -> Iterator[tuple[str, dict[str, Any]]]:
    """Hydration energies: own splits, and the published ones that leave about half of the molecules out."""
    folder = DATA / "qmex_dGs"
    descriptors = read_dataset(folder / "qm_descriptors.csv")
    columns = read_columns(
        joined(descriptors, read_dataset(folder / "categories.csv"), "mol_id"), "dGs", ["mw..dEbase"], ["polar..amide"]
    )
    place = {label: number for number, label in enumerate(descriptors.frame["mol_id"])}
    splits = make_splits(columns, columns.descriptors["mw"].tolist())
    for item in json.loads((folder / "paper_splits.json").read_text()):
        if item["n_inter_label"] == -315:
            train, test = (
                np.array([place[label] for label in item[f"mol_id_{side}"]]) for side in ("interpolation", "extrapolation")
            )
            splits.append(Split(f"published: {item['extrapolation']}", "extrapolation", ((train, test),)))
    found = benchmark(columns, splits)
    yield "hydration energies", {"rows": len(columns.target), "benchmark": found.to_dict("records")}


def generator() -> Iterator[tuple[str, dict[str, Any]]]:
    """Formulas for formation energies, from an eighth of the table."""
    energy = "formation_energy_eV_per_atom"
    dataset = read_dataset(DATA / "mp_formation_energy" / "table.csv.gz")
    dataset = replace(dataset, frame=dataset.frame[::8])
    compounds = read_compounds(dataset, energy, reduction="lowest")
    with tempfile.TemporaryDirectory() as folder:
        found = generate(dataset, compounds, -2.5, 30, Path(folder), effort=GeneratorEffort(steps=1000))
    yield "formation energies", {name: found[name] for name in ("table", "parameters", "judge", "tracking", "likeness")}


def substitution() -> Iterator[tuple[str, dict[str, Any]]]:
    """The template that comes first, for a fifth of the formulas of oxides with up to 40 atoms."""
    templates, _ = read_templates(read_dataset(DATA / "mp_oxide_structures").structures(), 40)
    for seed in range(3):
        yield f"seed {seed}", {"templates": len(templates), **accuracy(templates, seed=seed)}


CASES: dict[str, Callable[[], Iterator[tuple[str, dict[str, Any]]]]] = {
    "electronic": electronic,
    "ionic": ionic,
    "ionic_without_soft_modes": ionic_without_soft_modes,
    "vacancies": of_vacancies,
    "formation_energy": formation,
    "clustering": clustering,
    "ilr": ilr,
    "generator": generator,
    "substitution": substitution,
    "replay": replay,
    "replay_elsewhere": replay_elsewhere,
}


def main() -> None:
    global KEPT
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--cache", type=Path, help="folder that features of structures are kept in")
    arguments = parser.parse_args()
    KEPT = arguments.cache
    for case in arguments.only:
        start = time.process_time()
        for name, found in CASES[case]():
            spent = time.process_time() - start
            print(f"{case}: {name} ({spent:.0f} s)", flush=True)
            kept = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
            kept.setdefault(case, {})[name] = plain({**found, "cpu_s": round(spent, 1)})
            kept["packages"] = packages()
            RESULTS.write_text(json.dumps(kept, indent=1) + "\n")
            start = time.process_time()


if __name__ == "__main__":
    main()
