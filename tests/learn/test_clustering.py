"""Target-dependent clustering from table to folder, on made-up rows and on the published constants of 857 oxides."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy.cluster.hierarchy import is_valid_linkage

from hibana.core.errors import HibanaError
from hibana.learn.clustering.leaves import Forest
from hibana.learn.clustering.run import Settings, cluster, find_groups, other_column
from hibana.learn.dataset import read_dataset
from hibana.learn.features.structure import structure_features
from hibana.learn.regression.inputs import gather
from hibana.learn.regression.model import load
from hibana.learn.regression.task import make_task
from size import FULL

FEW = Settings(groups=6, forest=Forest(trees=30), repeats=2, at_least=2.0)
SEEDS = range(0, 50, 10) if FULL else (0, 20, 40)


@pytest.fixture
def made_up(tmp_path):
    """A constant that falls with the gap, and is larger than that for a tenth of the rows: those with a > 1.3."""
    rng = np.random.default_rng(0)
    rows = 400
    frame = pd.DataFrame(rng.normal(size=(rows, 6)), columns=list("abcdef"))
    frame["e"] *= 100
    frame["gap"] = rng.uniform(1, 6, rows)
    frame["g"] = frame["gap"] + 0.2 * rng.normal(size=rows)
    frame["eps"] = 8 - frame["gap"] + 3 * (frame["a"] > 1.3) + 0.2 * rng.normal(size=rows)
    frame.loc[3, "gap"] = np.nan
    frame.loc[5, "eps"] = np.nan
    frame.to_csv(tmp_path / "made_up.csv", index=False)
    return read_dataset(tmp_path / "made_up.csv")


def task_of(dataset):
    return make_task(dataset, "eps", gather(dataset, [], list("abcdefg")))


def test_folder_holds_everything(made_up, tmp_path):
    task = task_of(made_up)
    result = cluster(made_up, task, tmp_path / "out", against="gap", settings=FEW, inputs=["columns"])
    assert result == json.loads((tmp_path / "out/result.json").read_text())
    rows = pd.read_parquet(tmp_path / "out/clusters.parquet")
    assert rows.columns.tolist() == ["row_id", "cluster"]
    assert rows["row_id"].tolist() == task.row_ids.tolist()
    assert rows["cluster"].value_counts().to_dict() == {group["group"]: group["n"] for group in result["groups"]}
    assert result["table"] == {
        "name": "made_up",
        "snapshot": made_up.snapshot,
        "n_rows": 400,
        "n_used": 399,
        "left_out": {"no_target": 1},
    }
    assert result["seed"] == 0
    assert result["parameters"]["forest"]["trees"] == 30
    assert result["parameters"]["least_size"] == 5
    assert result["stability"]["seeds"] == [0, 1]
    assert 0.3 < result["stability"]["adjusted_rand"]["mean"] <= 1
    assert 0.7 < result["forest"]["oob_r2"][0] < 1
    assert is_valid_linkage(np.array(result["tree"]))
    means = [group["target_mean"] for group in result["groups"]]
    assert means == sorted(means, reverse=True)
    for name in ("map", "features", "dendrogram"):
        assert (tmp_path / f"out/{name}.png").stat().st_size > 10_000
    signatures = pd.read_csv(tmp_path / "out/features_of_groups.csv")
    assert set(signatures["feature"]) == set("abcdefg")
    forest = load(tmp_path / "out/forest")
    assert forest.snapshot == made_up.snapshot
    assert len(forest.predict(made_up.frame)) == 400


def test_rows_that_exceed_what_their_gap_lets_expect_are_found_and_explained(made_up, tmp_path):
    result = cluster(made_up, task_of(made_up), tmp_path / "out", against="gap", settings=FEW)
    best = result["groups"][result["promising"][0]]
    assert best["residual_mean"] > 1.5
    assert best["features"][0]["feature"] == "a"
    assert best["features"][0]["ks"] > 0.8
    assert best["features"][0]["median"] > 1.3
    assert best["features"][0]["fdr"] < 1e-6


def test_asked_twice_the_answer_is_the_same(made_up, tmp_path):
    for name in ("one", "two"):
        cluster(made_up, task_of(made_up), tmp_path / name, against="gap", settings=FEW)
    for name in ("result.json", "clusters.parquet", "features_of_groups.csv", "groups.csv", "map.png", "features.png"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_without_another_column(made_up, tmp_path):
    result = cluster(made_up, task_of(made_up), tmp_path / "out", settings=Settings(groups=4, forest=Forest(trees=10), low=True))
    assert result["against"] is None
    assert result["promising"][0] == 3
    assert result["expectation"]["r2"] == 0
    assert len(result["stability"]["adjusted_rand"]["pairs"]) == 3
    assert (tmp_path / "out/map.png").is_file()


def test_too_few_rows_are_told(made_up):
    with pytest.raises(HibanaError, match=r"HIB-262.*399 rows for 100 groups; 500 are needed"):
        find_groups(task_of(made_up), None, Settings(groups=100))


@pytest.mark.parametrize(("name", "code"), [("eps", "HIB-274"), ("same", "HIB-274"), ("word", "HIB-274"), ("nothing", "HIB-261")])
def test_column_to_compare_with_must_be_of_use(made_up, name, code):
    made_up.frame["same"] = 1.0
    made_up.frame["word"] = "MgO"
    with pytest.raises(HibanaError, match=code):
        other_column(made_up, task_of(made_up), name)


@pytest.mark.slow
def test_wide_gap_and_high_constant_mean_octahedral_transition_metals(recorded):
    """Of 857 oxides (Phys. Rev. Materials 4, 103801 (2020)) a group is found, whatever the seed, that is judged by what is in it.

    Its gap is above 2.5 eV, its electronic constant larger than the gap lets expect, it has more than twice as much of the
    transition metals as all oxides, and its sites are octahedral. In the reduced form features come from formulas alone, so the
    coordination is something that the forest has never seen; it is looked up for some rows. In full, it is among the features,
    and must be one of the clearest.
    """
    dataset = read_dataset(recorded / "ml_data/oxide_dielectric_pbesol")
    inputs = gather(dataset, ["composition", "structure"] if FULL else ["composition"])
    task = make_task(dataset, "eps_electronic_avg", inputs, transform="log10")
    gap = other_column(dataset, task, "band_gap_pbesol_eV")
    metal = inputs.values["fraction transition_metal"].to_numpy()
    crystals = inputs.values if FULL else None
    found = []
    for seed in SEEDS:
        settings = Settings(forest=Forest(trees=300 if FULL else 60), seed=seed, repeats=2, at_least=2.5)
        result = find_groups(task, gap, settings)
        assert result.stability.rand[0] > 0.4
        assert 0.65 < result.oob_r2[0] < 0.9
        for group in result.promising:
            row, inside = result.groups.loc[group], result.partition.labels == group
            assert row["against_median"] > 2.5
            if metal[inside].mean() <= 2 * metal.mean() or row["residual_mean"] < 0.05:
                continue
            if crystals is None:
                crystals = some_crystals(dataset, inside)
            octahedral = crystals["maximum octahedral CN_6"]
            own = octahedral[octahedral.index.intersection(task.row_ids[inside])]
            if own.median() > octahedral.median() and (not FULL or among_the_clearest(result, group)):
                found.append(seed)
                break
    assert len(found) >= len(SEEDS) - 1


def some_crystals(dataset, inside):
    """Features of the structures of every twelfth row, and of 20 rows of a group."""
    names = [*dataset.frame.index[::12], *dataset.frame.index[inside][:20]]
    wanted = {name: structure for name, structure in dataset.structures() if name in set(names)}
    return structure_features(wanted.values()).set_axis(list(wanted))


def among_the_clearest(result, group):
    """Whether octahedral coordination of transition metals is, with a positive sign, in the first twentieth of the features."""
    said = result.signatures[result.signatures["group"] == group].reset_index(drop=True)
    place = said.index[said["feature"] == "octahedral transition_metal"][0]
    return place < 0.05 * len(said) and said["ks"][place] > 0
