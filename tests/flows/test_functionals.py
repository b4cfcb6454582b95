"""The electronic flow fills fields named after PBEsol and HSE06, and refuses protocols with other functionals."""

from __future__ import annotations

from pathlib import Path

import pytest
from pymatgen.core import Lattice, Structure
from ruamel.yaml import YAML

from hibana.core.errors import HibanaError
from hibana.flows.electronic import electronic_flow
from hibana.protocol.protocol import load_protocol
from hibana.structures.identity import make_candidate
from hibana.structures.reading import ReadStructure

MGO = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.22), ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def protocol_file(folder: Path, hybrid: dict, **changes) -> str:
    protocol = load_protocol("pbesol").model_dump(mode="json")
    protocol["hybrid"] |= hybrid
    path = folder / "mine.yaml"
    YAML(typ="safe").dump({**protocol, "name": "mine", **changes}, path)
    return str(path)


@pytest.mark.parametrize(
    ("hybrid", "changes"), [({}, {"functional": "pbe"}), ({"functional": "pbe0"}, {}), ({"exchange_ratio": 0.3}, {})]
)
def test_other_functionals_are_refused(tmp_path, hybrid, changes):
    candidate = make_candidate(ReadStructure(MGO, "MgO"))
    with pytest.raises(HibanaError, match="HIB-098"):
        electronic_flow(candidate, protocol_file(tmp_path, hybrid, **changes), "vasp")


def test_other_numbers_are_free(tmp_path):
    flow = electronic_flow(make_candidate(ReadStructure(MGO, "MgO")), protocol_file(tmp_path, {}, spectrum_step=0.02), "vasp")
    assert "mine" in flow.name
