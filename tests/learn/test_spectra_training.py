"""Training on a small set from table to folder: it learns, it goes on after a kill, and what it saves is what it was."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from pymatgen.core import Lattice, Structure

from hibana.core.errors import HibanaError
from hibana.learn.dataset import read_dataset
from hibana.learn.spectra.model import load
from hibana.learn.spectra.network import Shape, make_network
from hibana.learn.spectra.run import SIZES, Options, gather, learn_spectra
from hibana.learn.spectra.split import split_rows
from hibana.learn.spectra.training import CHECKPOINT, Settings, pick_device, rate_at
from hibana.learn.spectra.weights import read_tensors, write_tensors

CATIONS = ["Li", "Na", "K", "Mg", "Ca", "Sr", "Zn", "Cd", "Ni", "Mn"]
ANIONS = ["O", "S", "F", "Cl"]
POINTS = 21


def made(cation: str, anion: str, length: float) -> tuple[Structure, np.ndarray]:
    """A rocksalt crystal, and a peak whose place follows from the lattice and whose height from the anion."""
    structure = Structure.from_spacegroup("Fm-3m", Lattice.cubic(length), [cation, anion], [[0, 0, 0], [0.5, 0.5, 0.5]])
    grid = np.linspace(0, 1, POINTS)
    place = (length - 4) / 3
    return structure.get_primitive_structure(), (1 + ANIONS.index(anion) / 2) * np.exp(-(((grid - place) / 0.15) ** 2))


def write_table(folder, n_rows=90, points=POINTS):
    """An export's folder with spectra as lists; a row without spectrum, one without structure."""
    folder.mkdir(exist_ok=True)
    generator = np.random.default_rng(1)
    rows, lines = [], []
    for number in range(n_rows):
        cation, anion = CATIONS[number % len(CATIONS)], ANIONS[number // len(CATIONS) % len(ANIONS)]
        structure, spectrum = made(cation, anion, generator.uniform(4.2, 6.8))
        spectrum[-2:] = np.nan if number % 3 == 0 else spectrum[-2:]
        values = None if number == 5 else spectrum[:points].tolist()
        formula = structure.composition.reduced_formula
        rows.append({"material_id": f"m{number}", "reduced_formula": formula, "log10_absorption": values})
        if number != 6:
            lines.append(json.dumps({"material_id": f"m{number}", "structure": structure.as_dict()}))
    grid = json.dumps({"name": "energy", "unit": "eV", "start": 0.0, "step": 0.05, "count": POINTS})
    fields = [
        pa.field("material_id", pa.string()),
        pa.field("reduced_formula", pa.string()),
        pa.field("log10_absorption", pa.list_(pa.float32()), metadata={"unit": "1", "grid": grid}),
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema(fields)), folder / "optical_absorption.parquet")
    with gzip.open(folder / "structures.jsonl.gz", "wt") as file:
        file.write("\n".join(lines) + "\n")
    return read_dataset(folder)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setitem(
        SIZES,
        "small",
        {"channels": 16, "alignn_layers": 1, "gcn_layers": 1, "distance_bins": 30, "angle_bins": 8, "expansion": 16},
    )


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return write_table(tmp_path_factory.mktemp("table"))


OPTIONS = Options(settings=Settings(epochs=25, batch=8, rate=5e-3), clusters=8, device="cpu")


@pytest.fixture(scope="module")
def learned(table, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(
            SIZES, "small", {**SIZES["small"], "channels": 16, "alignn_layers": 1, "gcn_layers": 1, "distance_bins": 30}
        )
        folder = tmp_path_factory.mktemp("learned")
        material = gather(table, "absorption", OPTIONS, cache=folder / "cache")
        return material, learn_spectra(table, material, folder, OPTIONS), folder


def test_it_learns_and_says_so(learned):
    _, result, folder = learned
    history = result["history"]
    assert history[-1]["training"] < 0.3 * history[0]["training"]
    scores = result["scores"]["test"]
    assert scores["mae"] < 0.7 * scores["mae_mean_spectrum"]
    assert scores["r2"] > 0.4
    assert json.loads((folder / "result.json").read_text())["table"]["n_used"] == 88
    assert result["table"]["left_out"] == {"no spectrum": 1, "no structure": 1}
    assert {file.name for file in folder.iterdir()} >= {
        "model", "latents.parquet", "predictions.parquet", "clusters.csv", "comparison.csv",
        "learning.png", "spectra.png", "clusters.png", "explained.png",
    }  # fmt: skip
    assert not (folder / CHECKPOINT).exists()


def test_latent_clusters_explain_more_than_random_ones(learned):
    _, result, _ = learned
    shares = result["clusters"]["explained_held_out"]
    assert set(shares) == {
        "embedding", "alignn_1", "gcn_1", "predicted_spectrum", "composition_features", "spectra_themselves", "random",
    }  # fmt: skip
    assert shares["gcn_1"] > 0.2
    assert shares["gcn_1"] > max(shares["composition_features"], shares["random"])
    assert shares["spectra_themselves"] > max(0.5, shares["random"])


def test_latent_vectors_are_there_for_every_row_and_layer(learned):
    material, result, folder = learned
    latents = pd.read_parquet(folder / "latents.parquet")
    assert latents.index.tolist() == list(material.rows)
    assert set(latents["split"]) == {"training", "validation", "test"}
    for layer in ("embedding", "alignn_1", "gcn_1"):
        assert np.stack(latents[layer]).shape == (88, result["network"]["channels"])
    predictions = pd.read_parquet(folder / "predictions.parquet")
    assert np.stack(predictions["prediction"]).shape == (88, POINTS)
    assert np.stack(predictions["prediction"]).min() >= 0


def test_a_saved_model_predicts_the_same(learned, table):
    material, _, folder = learned
    model = load(folder / "model")
    assert model.snapshot == table.snapshot
    assert model.grid == pytest.approx(np.linspace(0, 1, POINTS))
    stored = np.stack(pd.read_parquet(folder / "predictions.parquet")["prediction"])
    assert model.predict_graphs(material.graphs) == pytest.approx(stored, abs=1e-5)
    structure, _ = made("Li", "O", 5.0)
    assert model.predict([structure, structure])[1] == pytest.approx(model.predict([structure])[0], rel=1e-5)


def test_a_changed_file_is_no_model(learned, tmp_path):
    _, _, folder = learned
    for name in ("weights.safetensors", "model.json"):
        content = (folder / "model" / name).read_bytes()
        (tmp_path / name).write_bytes(content)
    with (tmp_path / "weights.safetensors").open("r+b") as file:
        file.seek(-4, 2)
        file.write(b"\0\0\0\1")
    with pytest.raises(HibanaError) as caught:
        load(tmp_path)
    assert caught.value.kind.number == 269


class KilledError(Exception):
    """The process ends here."""


def test_a_killed_training_goes_on_to_the_same_end(table, tmp_path):
    options = replace(OPTIONS, settings=Settings(epochs=6, batch=8, rate=5e-3))
    material = gather(table, "log10_absorption", options)
    straight = learn_spectra(table, material, tmp_path / "straight", options)

    def kill(text: str) -> None:
        if text.startswith("epoch 4"):
            raise KilledError

    with pytest.raises(KilledError):
        learn_spectra(table, material, tmp_path / "killed", options, say=kill, every=0)
    assert (tmp_path / "killed" / CHECKPOINT).is_file()
    said: list[str] = []
    resumed = learn_spectra(table, material, tmp_path / "killed", options, say=said.append, every=0)
    assert any(text.startswith("going on after epoch 3") for text in said)
    assert resumed["history"] == straight["history"]
    assert resumed["scores"] == straight["scores"]
    first, second = (read_tensors(tmp_path / name / "model/weights.safetensors")[0] for name in ("straight", "killed"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_another_training_is_not_gone_on_with(table, tmp_path):
    options = replace(OPTIONS, settings=Settings(epochs=3, batch=8))
    material = gather(table, "absorption", options)

    def kill(text: str) -> None:
        if text.startswith("epoch 2"):
            raise KilledError

    with pytest.raises(KilledError):
        learn_spectra(table, material, tmp_path, options, say=kill, every=0)
    other = replace(options, settings=Settings(epochs=2, batch=8))
    with pytest.raises(HibanaError) as caught:
        learn_spectra(table, material, tmp_path, other)
    assert caught.value.kind.number == 278
    assert learn_spectra(table, material, tmp_path, replace(other, restart=True))["training"]["epochs_done"] == 2


def test_weights_are_those_of_the_seed_and_random_numbers_of_others_stay():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, second, other = (make_network(Shape(3, channels=8), seed) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(first.readout.weight, second.readout.weight)
    assert not torch.equal(first.readout.weight, other.readout.weight)


def test_tensors_survive_their_file_and_are_in_the_published_format(tmp_path):
    file = tmp_path / "t.safetensors"
    tensors = {
        "b": torch.arange(6, dtype=torch.int64).reshape(2, 3),
        "a": torch.tensor(1.5),
        "c": torch.rand(3, dtype=torch.float64),
    }
    write_tensors(file, tensors, {"what": "a test"})
    found, texts = read_tensors(file)
    assert texts == {"what": "a test"}
    assert all(torch.equal(found[name], tensors[name]) and found[name].dtype == tensors[name].dtype for name in tensors)
    content = file.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    assert length % 8 == 0
    assert header["b"] == {"dtype": "I64", "shape": [2, 3], "data_offsets": [4, 52]}
    assert [path.name for path in tmp_path.iterdir()] == ["t.safetensors"]


@pytest.mark.parametrize("content", [b"", b"\xff" * 30, (5).to_bytes(8, "little") + b"{nope"])
def test_damaged_files_of_tensors_are_said_to_be_damaged(tmp_path, content):
    file = tmp_path / "t.safetensors"
    file.write_bytes(content)
    with pytest.raises(ValueError):  # noqa: PT011
        read_tensors(file)


def test_split_keeps_groups_together():
    groups = [f"g{number // 3}" for number in range(90)]
    split = split_rows(groups, 0)
    parts = [{groups[row] for row in part} for part in (split.training, split.validation, split.test)]
    assert sum(map(len, parts)) == 30
    assert len(split.labels()) == 90
    with pytest.raises(HibanaError) as caught:
        split_rows(["a"] * 50, 0)
    assert caught.value.kind.number == 262


def test_rate_rises_to_its_largest_and_falls():
    settings = Settings(rate=1e-2)
    rates = [rate_at(step, 100, settings) for step in range(101)]
    assert rates.index(max(rates)) == 30
    assert max(rates) == pytest.approx(1e-2)
    assert rates[0] == pytest.approx(4e-4)
    assert rates[-1] == pytest.approx(1e-6)


@pytest.mark.parametrize("target", ["nothing", "material_id"])
def test_tables_without_such_spectra_say_so(table, target):
    with pytest.raises(HibanaError) as caught:
        gather(table, target, OPTIONS)
    assert caught.value.kind.number == 277


def test_too_few_rows_are_said_to_be_too_few(tmp_path):
    table = write_table(tmp_path / "few", 9)
    with pytest.raises(HibanaError) as caught:
        learn_spectra(table, gather(table, "absorption", OPTIONS), tmp_path / "out", OPTIONS)
    assert caught.value.kind.number == 262


def test_grid_of_another_length_is_refused(tmp_path):
    with pytest.raises(HibanaError) as caught:
        gather(write_table(tmp_path / "short", 12, points=POINTS - 1), "absorption", OPTIONS)
    assert caught.value.kind.number == 277


def test_devices_that_are_not_there(tmp_path):
    assert pick_device("auto").type in ("cpu", "cuda")
    if not torch.cuda.is_available():
        with pytest.raises(HibanaError) as caught:
            pick_device("cuda")
        assert caught.value.kind.number == 279
    with pytest.raises(HibanaError):
        pick_device("abacus")


def test_numbered_columns_are_spectra_too(recorded):
    table = read_dataset(recorded / "ml_data/gamma_phonon_spectra/spectra.csv.gz")
    beside = replace(table, path=recorded / "ml_data/oxide_dielectric_pbesol/spectra.csv.gz")
    small = replace(table, frame=table.frame.iloc[:12])
    beside = replace(beside, frame=small.frame)
    material = gather(small, "s", OPTIONS, structures=beside)
    assert material.spectra.shape == (12, 111)
    assert (material.what.grid[0], material.what.grid[-1], material.what.grid_unit) == (-5.0, 50.0, "THz")
    for graph, formula in zip(material.graphs, small.frame["reduced_formula"], strict=True):
        found = {int(number) for number in graph.numbers}
        assert found == {element.Z for element in crystal_elements(formula)}


def crystal_elements(formula):
    from pymatgen.core import Composition

    return Composition(formula).elements


def test_graphs_in_the_cache_are_not_made_again(table, tmp_path, monkeypatch):
    first = gather(table, "absorption", OPTIONS, cache=tmp_path)

    def never(*_: object) -> None:
        raise AssertionError("made again")

    monkeypatch.setattr("hibana.learn.spectra.graphs.crystal_graph", never)
    second = gather(table, "absorption", OPTIONS, cache=tmp_path)
    assert all(np.array_equal(one.outward, other.outward) for one, other in zip(first.graphs, second.graphs, strict=True))
