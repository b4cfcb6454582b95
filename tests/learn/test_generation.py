"""Compositions for a wanted value: neutral, of few elements, repeatable, and following the wish."""

from __future__ import annotations

import json
from itertools import product
from math import gcd
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hibana.core.errors import HibanaError
from hibana.learn.dataset import Dataset, read_dataset
from hibana.learn.generation.charges import neutral_charges
from hibana.learn.generation.compounds import Compounds, read_compounds, whole_formula
from hibana.learn.generation.decoding import MOST_ATOMS, decode, nearest_neutral, text_of, whole_amounts
from hibana.learn.generation.generator import FILE, fit_generator, load_generator, save_generator
from hibana.learn.generation.network import Effort
from hibana.learn.generation.reports import distances
from hibana.learn.generation.run import generate
from size import FULL

SYMBOLS = ("O", "F", "S", "Cl", "N", "Li", "Na", "Mg", "Ca", "Al", "La", "Ti", "Zr", "Si", "Nb", "W")
SMALL = Effort(steps=200, hidden=64, latent=8)


def number(error: pytest.ExceptionInfo[HibanaError]) -> int:
    return error.value.kind.number


def made_up() -> pd.DataFrame:
    """Neutral compounds with a value that is the share of the anion's electronegativity less that of the cation's charge."""
    charge = {
        "Li": 1,
        "Na": 1,
        "K": 1,
        "Rb": 1,
        "Mg": 2,
        "Ca": 2,
        "Sr": 2,
        "Ba": 2,
        "Al": 3,
        "La": 3,
        "Y": 3,
        "Ti": 4,
        "Zr": 4,
        "Hf": 4,
    }
    rows = []
    for (one, q1), (other, q2), (anion, q, x) in product(
        charge.items(), charge.items(), (("O", 2, 3.4), ("F", 1, 4.0), ("S", 2, 2.6), ("Cl", 1, 3.2))
    ):
        total = q1 + q2
        formula = f"{one}{q}{anion}{q1}" if one == other else f"{one}{q}{other}{q}{anion}{total}"
        rows.append((formula, -x * total / (total + 2 * q) - 0.2 * (q1 + q2)))
    return pd.DataFrame(rows, columns=["formula", "energy"])


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    path = tmp_path_factory.mktemp("made_up") / "table.csv"
    made_up().to_csv(path, index=False)
    return read_dataset(path)


@pytest.fixture(scope="module")
def compounds(table: Dataset) -> Compounds:
    return read_compounds(table, "energy")


@pytest.mark.parametrize("formula", ["MgO", "SrTiO3", "Fe2O3", "NaCl", "LiNbO3", "Ca5P3O12F", "LaOF", "Na2SO4", "BN"])
def test_common_compounds_are_neutral(formula: str) -> None:
    amounts = whole_formula(formula)
    assert amounts is not None
    charges = neutral_charges(amounts)
    assert charges is not None
    assert sum(amounts[symbol] * charge for symbol, charge in charges.items()) == 0


@pytest.mark.parametrize("formula", ["MgO2", "Na3Cl", "NiTi", "CaMg", "He2O", "SrTiO4"])
def test_other_formulas_are_not(formula: str) -> None:
    assert neutral_charges(whole_formula(formula) or {}) is None


@pytest.mark.parametrize("formula", ["MgO", "Al2O3", "CaTiO3", "LiNbO3", "MgAl2O4", "Ca3SiO5", "La2Zr2O7", "NaLaTi2O6"])
def test_decoding_finds_a_known_formula_again(formula: str) -> None:
    amounts = whole_formula(formula) or {}
    shares = np.array([amounts.get(symbol, 0) for symbol in SYMBOLS], dtype=float)
    assert decode(shares / shares.sum(), len(amounts), SYMBOLS) == amounts


weights = st.one_of(st.floats(0, 1), st.sampled_from([0.0, float("nan"), float("inf"), -1.0]))


@given(st.lists(weights, min_size=len(SYMBOLS), max_size=len(SYMBOLS)), st.integers(0, 7))
def test_whatever_comes_in_a_neutral_formula_comes_out(shares: list[float], n_elements: int) -> None:
    found = decode(np.array(shares), n_elements, SYMBOLS, frozenset({(1, 1), (1, 2), (1, 1, 3)}))
    assert 2 <= len(found) <= 6
    assert sum(found.values()) <= MOST_ATOMS
    assert gcd(*found.values()) == 1
    assert neutral_charges(found) is not None
    assert whole_formula(text_of(found)) == found


def test_amounts_are_all_there_are_without_a_common_divisor() -> None:
    wanted = {(i, j) for i in range(1, 20) for j in range(1, 20) if i + j <= MOST_ATOMS and gcd(i, j) == 1}
    assert set(map(tuple, whole_amounts(2).tolist())) == wanted


def test_no_neutral_amounts_is_none() -> None:
    assert nearest_neutral(np.array([0.5, 0.5]), ("Na", "Mg")) is None


def test_kinds_are_preferred() -> None:
    shares = np.array([0.24, 0.26, 0.50])
    assert decode(shares, 3, ("Ca", "Ti", "O"), frozenset({(1, 1, 3)})) == {"Ca": 1, "Ti": 1, "O": 3}


def test_distance_leaves_the_row_itself_out() -> None:
    known = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])
    assert distances(known, known).tolist() == [0, 0, 0]
    assert distances(known, known, np.arange(3)).tolist() == [0.5, 0.5, 0.5]


def test_what_cannot_be_learned_from_is_counted(tmp_path: Path) -> None:
    frame = pd.concat([made_up(), pd.DataFrame({"formula": ["NiTi", "O2", "", "MgO", "MgO"], "energy": [0, 0, 0, 5.0, -9.0]})])
    frame.to_csv(tmp_path / "t.csv", index=False)
    lowest = read_compounds(read_dataset(tmp_path / "t.csv"), "energy", reduction="lowest")
    assert lowest.left_out["not_neutral"] == 1
    assert lowest.left_out["number_of_elements"] == 1
    assert lowest.left_out["no_formula_or_target"] == 1
    assert lowest.values[lowest.formulas.index("MgO")] == -9.0
    highest = read_compounds(read_dataset(tmp_path / "t.csv"), "energy", reduction="highest")
    assert highest.values[highest.formulas.index("MgO")] == 5.0
    assert np.allclose(lowest.fractions.sum(axis=1), 1)


def test_too_few_compounds(tmp_path: Path) -> None:
    made_up().head(30).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(HibanaError) as error:
        read_compounds(read_dataset(tmp_path / "t.csv"), "energy")
    assert number(error) == 262


def test_from_a_value_to_formulas(table: Dataset, compounds: Compounds, tmp_path: Path) -> None:
    result = generate(table, compounds, -2.5, 10, tmp_path, effort=SMALL, trees=60, draws=30, seed=1)
    found = pd.read_csv(tmp_path / "generated.csv", keep_default_na=False)
    assert len(found) == 10
    assert found["formula"].is_unique
    assert all(neutral_charges(whole_formula(formula) or {}) for formula in found["formula"])
    assert (found["estimate"] + 2.5).abs().is_monotonic_increasing
    assert result["likeness"]["neutral"] == 1
    assert abs(result["likeness"]["mean_n_elements"]["drawn"] - result["likeness"]["mean_n_elements"]["known"]) < 0.7
    assert result["tracking"]["rank_correlation_of_means"] > 0.8
    assert json.loads((tmp_path / "result.json").read_text())["table"]["snapshot"] == table.snapshot
    assert (tmp_path / "generation.png").stat().st_size > 1000
    again = load_generator(tmp_path)
    values = np.full(20, -2.5)
    first, _ = fit_generator(compounds, SMALL, 1, table.snapshot)
    assert first.draw(values, 7) == again.draw(values, 7)
    assert again.draw(values, 7) != again.draw(values, 8)


def test_a_value_out_of_range_is_refused(table: Dataset, compounds: Compounds, tmp_path: Path) -> None:
    for value in (100.0, float("nan")):
        with pytest.raises(HibanaError) as error:
            generate(table, compounds, value, 10, tmp_path)
        assert number(error) == 281


def test_a_damaged_generator_is_refused(table: Dataset, compounds: Compounds, tmp_path: Path) -> None:
    generator, _ = fit_generator(compounds, Effort(steps=1, hidden=8, latent=2), 0, table.snapshot)
    save_generator(generator, tmp_path)
    content = (tmp_path / FILE).read_bytes()
    for damaged in (content[:100], b"", content.replace(b"hibana generator", b"another program ")):
        (tmp_path / FILE).write_bytes(damaged)
        with pytest.raises(HibanaError) as error:
            load_generator(tmp_path)
        assert number(error) == 283


@pytest.mark.slow
def test_formation_energies_follow_the_wish(recorded: Path, tmp_path: Path) -> None:
    dataset = read_dataset(recorded / "ml_data" / "mp_formation_energy" / "table.csv.gz")
    dataset = Dataset(dataset.name, dataset.path, dataset.frame[:: 1 if FULL else 12], dataset.units, dataset.snapshot)
    most = 10_000 if FULL else 2_000
    compounds = read_compounds(dataset, "formation_energy_eV_per_atom", reduction="lowest", most_rows=most)
    effort = Effort(steps=2000 if FULL else 500)
    result = generate(dataset, compounds, -2.5, 20, tmp_path, effort=effort, trees=300 if FULL else 100, draws=60)
    like, tracking = result["likeness"], result["tracking"]
    assert like["neutral"] == 1
    assert abs(like["mean_n_elements"]["drawn"] - like["mean_n_elements"]["known"]) < 0.7
    assert like["distance"]["drawn"]["median"] < 2 * like["distance"]["known"]["median"]
    assert result["judge"]["r2"] > 0.85
    assert tracking["is_monotone"]
    assert tracking["rank_correlation"] > 0.8
    assert tracking["of_means"]["r2"] > 0.8
    assert result["generated"]["largest_miss"] < 0.5
