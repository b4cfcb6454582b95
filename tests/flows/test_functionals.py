"""The flows fill fields named after their functionals, and refuse protocols with others."""

from __future__ import annotations

from pathlib import Path

import pytest
from pymatgen.core import Lattice, Structure
from ruamel.yaml import YAML

from hibana.core.errors import HibanaError
from hibana.flows.bulk import bulk_flow
from hibana.protocol.protocol import load_protocol
from hibana.structures.identity import make_candidate
from hibana.structures.reading import ReadStructure

MGO = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.22), ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def protocol_file(folder: Path, hybrids: dict, **changes) -> str:
    protocol = load_protocol("pbesol").model_dump(mode="json")
    for name, rule in hybrids.items():
        if rule is None:
            del protocol["hybrids"][name]
        else:
            protocol["hybrids"][name] |= rule
    path = folder / "mine.yaml"
    YAML(typ="safe").dump({**protocol, "name": "mine", **changes}, path)
    return str(path)


def make(folder: Path, label: str, hybrids: dict, **changes):
    return bulk_flow(make_candidate(ReadStructure(MGO, "MgO")), protocol_file(folder, hybrids, **changes), "vasp", label)


@pytest.mark.parametrize(
    ("hybrids", "changes"),
    [
        ({}, {"functional": "pbe"}),
        ({"hse06_nsc": {"functional": "pbe0"}}, {}),
        ({"hse06_nsc": {"exchange_ratio": 0.3}}, {}),
        ({"hse06_nsc": None}, {}),
        ({"ddh_nsc": {"exchange_ratio": 0.3}}, {}),
    ],
)
def test_other_functionals_are_refused(tmp_path, hybrids, changes):
    with pytest.raises(HibanaError, match="HIB-098"):
        make(tmp_path, "bulk", hybrids, **changes)


def test_a_hybrid_that_is_not_asked_for_does_not_matter(tmp_path):
    assert "mine" in make(tmp_path, "electronic", {"ddh_nsc": {"exchange_ratio": 0.3}}).name
    assert "mine" in make(tmp_path, "bulk:band", {"hse06_nsc": None}).name


def test_other_numbers_are_free(tmp_path):
    assert "mine" in make(tmp_path, "bulk", {}, spectrum_step=0.02).name
