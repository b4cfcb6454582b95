"""Features of compositions."""

from __future__ import annotations

import gzip
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Composition, Element

from hibana.learn.features.composition import composition_dictionary, composition_features, element_fractions
from hibana.learn.features.elements import CLASSES, N_ELEMENTS, property_table

SAMPLE = ("MgO", "SrTiO3", "KBa2Nd(TaO3)6", "NaN", "XeF4", "Fe0.98O", "ND3", "LaNiO3", "Cs2AgBiBr6", "HeNe", "FrCl", "U3O8", "O2")


def test_statistics_are_those_of_matminer(recorded):
    from matminer.featurizers.composition import ElementProperty, Stoichiometry, ValenceOrbital
    from matminer.utils.data import MagpieData

    with gzip.open(recorded / "ml_data/mp_formation_energy/table.csv.gz", "rt") as lines:
        formulas = [line.split(",")[1] for line in itertools.islice(lines, 1, None, 900)]
    formulas += [formula for formula in SAMPLE if "D" not in formula]
    ours = composition_features(formulas)
    magpie = ElementProperty.from_preset("magpie", impute_nan=False)
    for featuriser in (magpie, Stoichiometry(), ValenceOrbital(impute_nan=False)):
        labels = featuriser.feature_labels()
        theirs = np.array([featuriser.featurize(Composition(formula)) for formula in formulas])
        assert set(labels) <= set(ours.columns)
        np.testing.assert_allclose(ours[labels], theirs, rtol=1e-6, atol=1e-6, equal_nan=True)
    assert (
        np.isnan(MagpieData(impute_nan=False).get_elemental_property(Element("Xe"), "Electronegativity"))
        == ours.loc[formulas.index("XeF4")].isna().any()
    )


@given(st.lists(st.sampled_from(SAMPLE), min_size=1, max_size=8), st.integers(2, 5))
def test_a_formula_has_its_features_in_any_company(formulas, times):
    together = composition_features(formulas)
    names = [feature.name for feature in composition_dictionary()]
    assert list(together.columns) == names
    for place, formula in enumerate(formulas):
        multiple = Composition(formula) * times
        np.testing.assert_allclose(together.iloc[[place]], composition_features([multiple]), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("formula", ["", "no formula", "Xx2", "Mg-O", "Og"])
def test_what_is_no_formula_has_no_features(formula):
    features = composition_features([formula, "MgO"])
    assert features.iloc[0].isna().all()
    assert features.loc[1, "MagpieData mean Number"] == 10
    assert element_fractions([formula]).isna().all(axis=None)


def test_salt_called_nan_is_no_missing_value():
    features = composition_features(["NaN"])
    assert features.loc[0, "MagpieData maximum Number"] == 11
    assert element_fractions(["NaN"])[["Na", "N"]].to_numpy().tolist() == [[0.5, 0.5]]


def test_unknown_property_of_an_element_is_not_imputed():
    features = composition_features(["XeF4", "ArH", "NaCl"])
    assert features["MagpieData mean Electronegativity"].isna().tolist() == [False, True, False]


def test_no_formulas_have_no_rows():
    assert composition_features([]).shape == (0, len(composition_dictionary()))


def test_every_element_is_in_one_class():
    members = [number for numbers in CLASSES.values() for number in numbers]
    assert sorted(members) == list(range(1, N_ELEMENTS + 1))
    assert composition_features(["KTaO3"]).loc[0, "fraction transition_metal"] == pytest.approx(0.2)


def test_table_of_elements_has_no_made_up_numbers():
    assert np.isnan(property_table()[0]).all()
    unknown = np.isnan(property_table()[1:]).sum()
    assert 0 < unknown < 40
