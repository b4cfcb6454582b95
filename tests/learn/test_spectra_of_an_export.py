"""``hibana learn spectra`` on the table it is meant for: ``optical_absorption``, exported from a real store."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
from typer.testing import CliRunner

from bulk_results import ENERGIES, RESONANCE, spectra
from crystal_exports import fill
from hibana.cli.main import app
from hibana.learn.dataset import read_dataset
from hibana.learn.spectra.model import load
from hibana.learn.spectra.target import read_spectra
from hibana.tables.export import export
from results import material_id


def test_the_exported_table_is_read_and_learned(bulk, tmp_path) -> None:
    formulas = fill(bulk, 14)
    short, flagged = formulas[0], formulas[1]
    bulk.optics(short, spectra(end=12.0))
    bulk.optics(flagged, flags=("f sum: 0.4",))
    table, out = tmp_path / "optical_absorption", tmp_path / "out"
    export(bulk.store, "optical_absorption", table)

    dataset = read_dataset(table)
    found = read_spectra(dataset, "absorption")
    assert (found.name, found.unit, found.grid_name, found.grid_unit) == ("log10_absorption", "log10(1/cm)", "energy", "eV")
    assert found.values.shape == (13, 1501)
    np.testing.assert_allclose(found.grid, ENERGIES)
    row = dataset.frame.reset_index(drop=True).query("material_id == @name", local_dict={"name": material_id(short)}).index[0]
    assert np.isnan(found.values[row][ENERGIES > 12.0]).all()
    assert np.isfinite(found.values[row][ENERGIES <= 12.0]).all()
    other = dataset.frame.reset_index(drop=True).query("material_id == @name", local_dict={"name": material_id(formulas[5])})
    edge = bulk.store.database["electronic"].find_one({"formula": formulas[5]})["band_gap_pbesol"] + 1.0
    expected = spectra(anisotropy=edge - RESONANCE)["log10_absorption"]
    np.testing.assert_allclose(found.values[other.index[0]], expected, atol=1e-5)

    words = ["learn", "spectra", str(table), "-o", str(out), "--epochs", "25", "--batch", "4", "--clusters", "3", "--json"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert said["table"]["snapshot"] == json.loads((table / "manifest.json").read_text())["snapshot"]
    assert (said["table"]["n_used"], said["table"]["left_out"]) == (13, {})
    assert said["target"] == {"column": "log10_absorption", "unit": "log10(1/cm)", "n_points": 1501, "grid": ["energy", "eV"]}
    losses = [epoch["training"] for epoch in said["history"]]
    assert min(losses) < 0.9 * losses[0]
    predicted = pd.read_parquet(out / "predictions.parquet")
    assert set(predicted.index) == set(dataset.frame.index)
    assert {len(cell) for cell in predicted["prediction"]} == {1501}
    model = load(out / "model")
    assert (model.target, model.grid_unit, model.snapshot) == ("log10_absorption", "eV", dataset.snapshot)
    again = model.predict([structure for _, structure in dataset.structures()])
    assert again.shape == (13, 1501)
    assert (again >= 0).all()
