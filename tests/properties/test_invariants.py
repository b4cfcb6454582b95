"""Gates of tensors, charges and modes: each one opens and closes."""

from __future__ import annotations

import numpy as np
import pytest
from response_evidence import rock_salt

from hibana.documents.task import BandEdges
from hibana.properties import invariants
from hibana.properties.invariants import (
    Finding,
    acoustic_findings,
    born_findings,
    electronic_findings,
    gap_findings,
    ionic_findings,
    phonon_findings,
    soft_findings,
    stability_findings,
)
from hibana.properties.tensors import conventional_frame
from hibana.protocol.protocol import load_protocol

FRAME = conventional_frame(rock_salt("Mg", "O", 4.2), load_protocol("pbesol").symmetry)
CHARGES = np.array([np.eye(3) * 1.97, -np.eye(3) * 1.97])


def gates(found: list[Finding]) -> list[str]:
    return [item.gate for item in found]


def test_sound_results_pass():
    assert electronic_findings(np.eye(3) * 3.2, FRAME) == []
    assert ionic_findings(np.eye(3) * 6.9, FRAME, np.eye(3) * 6.95) == []
    assert ionic_findings(np.zeros((3, 3)), FRAME, np.zeros((3, 3))) == []
    assert born_findings(CHARGES, FRAME) == []
    assert phonon_findings(np.array([-0.1, 0.0, 0.1]), np.array([11.0, 12.0]), np.array([0.0, 0.0, 0.0, 11.0, 12.0]), -0.3) == []
    assert gap_findings(BandEdges(gap_class="gapped", band_gap=0.1)) == []


@pytest.mark.parametrize("above", [True, False])
@pytest.mark.parametrize("which", [electronic_findings, ionic_findings])
def test_asymmetric_tensor(which, above):
    tensor = np.eye(3) * 4.0
    tensor[0, 1] += 4.0 * invariants.ASYMMETRY_LIMIT * (1.01 if above else 0.99)
    assert ("symmetric" in gates(which(tensor, FRAME))) == above


@pytest.mark.parametrize("above", [True, False])
@pytest.mark.parametrize("which", [electronic_findings, ionic_findings])
def test_tensor_with_less_symmetry_than_the_crystal(which, above):
    off = 4.0 * invariants.POINT_GROUP_LIMIT * (1.01 if above else 0.99)
    found = which(np.diag([4.0, 4.0, 4.0 - off]), FRAME)
    assert ("point_group" in gates(found)) == above
    if above:
        assert "changes by 0.20% under the point group" in found[0].text


def test_electrons_screen():
    assert gates(electronic_findings(np.eye(3) * 0.99, FRAME)) == ["electronic"]
    assert "0.990" in electronic_findings(np.eye(3) * 0.99, FRAME)[0].text


def test_ions_do_not_amplify():
    assert gates(ionic_findings(np.eye(3) * -0.02, FRAME)) == ["ionic"]
    assert ionic_findings(np.eye(3) * -0.005, FRAME) == []


def test_large_ionic_part():
    assert gates(ionic_findings(np.eye(3) * 101, FRAME)) == ["large_ionic"]


def test_ionic_part_of_other_charges_or_force_constants():
    assert gates(ionic_findings(np.eye(3) * 6.9, FRAME, np.eye(3) * 7.1)) == ["cross_check"]


def test_sum_rule_is_judged_per_site():
    off = np.eye(3) * 1.01 * invariants.SUM_RULE_LIMIT
    assert gates(born_findings(CHARGES + off, FRAME)) == ["sum_rule"]
    assert born_findings(CHARGES + off * 0.97, FRAME) == []


def test_born_charges_have_the_symmetry_of_their_sites():
    uneven = CHARGES + np.array([np.diag([0.0, 0.0, 0.05]), -np.diag([0.0, 0.0, 0.05])])
    assert gates(born_findings(uneven, FRAME)) == ["site_symmetry"]


def test_modes():
    assert gates(acoustic_findings(0.31)) == ["acoustic"]
    assert gates(stability_findings(-0.31, -0.3)) == ["unstable"]
    assert gates(soft_findings(np.array([0.99, 5.0]))) == ["soft_mode"]
    assert soft_findings(np.array([])) == []
    bad = phonon_findings(np.array([-0.5, 0.0, 0.0]), np.array([-1.0, 3.0]), np.array([-1.0, 0.0, 0.0, 0.0, 3.0]), -0.3)
    assert gates(bad) == ["acoustic", "unstable", "soft_mode"]
    assert bad[1].flag == "unstable: the lowest phonon is at -1.00 THz, below -0.3 THz: dynamically unstable"


def test_closed_gap():
    assert gates(gap_findings(BandEdges(gap_class="metal", band_gap=0.0))) == ["gap"]
    assert gap_findings(BandEdges(gap_class="unknown")) == []
