"""Synthetic numbers never share a table with others, and the card says what they are."""

from __future__ import annotations

import pytest

from hibana.core.errors import HibanaError
from hibana.documents.spec import Spec
from hibana.tables.export import export
from results import ROCK_SALT


def test_a_table_of_synthetic_numbers_holds_no_others(campaign, tmp_path) -> None:
    for formula, calculator in (("MgO", "synthetic"), ("ZnO", "vasp"), ("CaO", "gpaw-rehearsal")):
        campaign.complete(formula, calculator=calculator)
    with pytest.raises(HibanaError, match="HIB-131"):
        export(campaign.store, "electronic", tmp_path)
    report = export(campaign.store, "electronic", tmp_path, calculator="synthetic")
    assert report.n_rows == 1
    assert "MgO" in (tmp_path / "electronic.csv").read_text()
    card = (tmp_path / "README.md").read_text()
    assert "Synthetic" in card
    assert "true of no material" in card


def test_the_three_calculators_have_different_addresses_for_one_question() -> None:
    question = {
        "material_id": "hib-0",
        "structure_key": "0",
        "crystal": ROCK_SALT,
        "task": "band",
        "functional": "pbesol",
        "protocol": "pbesol",
        "protocol_version": 1,
        "potcars": ("PAW_PBE Mg",),
    }
    calculators = ("vasp", "gpaw-rehearsal", "synthetic")
    assert len({Spec(**question, calculator=name).address for name in calculators}) == 3
    with pytest.raises(ValueError, match="calculator"):
        Spec(**question, calculator="toy")
