"""The host gate: every rule refuses what it names, with its numbers, and what is not known is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from defect_hosts import OXIDES, protocol, prototype_host, published_hosts
from hypothesis import given
from hypothesis import strategies as st

from hibana.defects.gate import Refusal, host_refusals, moment_of, refusals_of
from hibana.documents.crystal import Crystal
from hibana.documents.properties import ElectronicDoc
from hibana.protocol.protocol import load_protocol, protocol_names

HOST = protocol().defects.host
MGO = prototype_host("rock salt MgO")
GOOD = {
    "space_group": 225,
    "n_anion_sites": 1,
    "band_gap": 4.7,
    "magnetization": 0.0,
    "max_magnetization": protocol().prior.magnetization_criterion,
}


def crystal_of(*species: str, **changes) -> Crystal:
    places = tuple((index / len(species), 0.0, 0.0) for index in range(len(species)))
    lattice = ((4.0 * len(species), 0.0, 0.0), (0.0, 4.0, 0.0), (0.0, 0.0, 4.0))
    return Crystal(lattice=lattice, species=species, frac_coords=places, **changes)


def electronic(**changes) -> ElectronicDoc:
    values = {
        "material_id": "hib-0",
        "formula": "MgO",
        "elements": ("Mg", "O"),
        "calculator": "vasp",
        "calculator_version": "6.4.2",
        "protocol": "pbesol",
        "protocol_version": 1,
        "addresses": {},
        "built_with": "0",
        "built_at": datetime.now(UTC),
        "status": "complete",
        "gap_class": "gapped",
        "band_gap_pbesol": 4.7,
    }
    return ElectronicDoc(**(values | changes))


def refusals(crystal=MGO, rule=HOST, **changes):
    return host_refusals(crystal, rule, **(GOOD | changes))


def test_a_host_is_not_refused():
    assert refusals() == ()
    assert refusals_of(MGO, electronic(magnetization=0.0), protocol()) == ()


@pytest.mark.parametrize(
    ("rule", "crystal", "changes", "words"),
    [
        ("anions", crystal_of("Zn", "As"), {}, ("no O", "As, Zn")),
        ("anions", crystal_of("Ca", "O", "F"), {}, ("F", "O")),
        ("excluded_elements", crystal_of("Ni", "O"), {}, ("Ni",)),
        ("excluded_elements", crystal_of("Ca", "C", "O"), {}, ("C",)),
        ("excluded_space_groups", MGO, {"space_group": 1}, ("1",)),
        ("max_atoms", crystal_of(*["Mg", "O"] * 16), {}, ("32", "30")),
        ("max_anion_sites", MGO, {"n_anion_sites": 5}, ("5", "4")),
        ("min_gap", MGO, {"band_gap": 0.2999}, ("0.2999 eV", "0.3 eV")),
        ("min_gap", MGO, {"band_gap": 0.0}, ("0 eV",)),
        ("min_gap", MGO, {"band_gap": None}, ("unknown",)),
        ("magnetization", MGO, {"magnetization": -1.73}, ("1.73 μB", "0.1 μB")),
        ("magnetization", MGO, {"magnetization": None}, ("unknown",)),
        ("magnetization", crystal_of("Mg", "O", magmoms=(2.0, -2.0)), {}, ("ordered", "2 μB")),
    ],
)
def test_each_rule_refuses_with_its_numbers(rule, crystal, changes, words):
    found = {refusal.rule: refusal.what for refusal in refusals(crystal, **changes)}
    assert rule in found
    assert all(word in found[rule] for word in words)
    if "F" not in crystal.species:
        assert set(found) == {rule}


def test_all_rules_that_refuse_are_named():
    found = refusals(crystal_of(*["Fe", "S"] * 20), space_group=1, n_anion_sites=9, band_gap=None, magnetization=None)
    assert sorted(refusal.rule for refusal in found) == sorted([*type(HOST).model_fields, "magnetization"])


@given(gap=st.floats(0, 10), limit=st.floats(0.01, 5), atoms=st.integers(1, 60), moment=st.floats(-3, 3))
def test_limits_belong_to_the_host(gap, limit, atoms, moment):
    rule = HOST.model_copy(update={"min_gap": limit})
    crystal = crystal_of(*(["O"] * atoms))
    found = {refusal.rule for refusal in refusals(crystal, rule, band_gap=gap, magnetization=moment)}
    assert ("min_gap" in found) == (gap < limit)
    assert ("max_atoms" in found) == (atoms > rule.max_atoms)
    assert ("magnetization" in found) == (abs(moment) > 0.1)


@pytest.mark.parametrize("name", OXIDES)
def test_symmetry_is_taken_from_the_crystal(name):
    crystal = prototype_host(name)
    found = {refusal.rule: refusal.what for refusal in refusals_of(crystal, electronic(), protocol())}
    assert ("excluded_space_groups" in found) == name.startswith("P1")
    sites = {"olivine Mg2SiO4": 3, "P1": 8}.get(name, 0)
    assert ("max_anion_sites" in found) == (sites > HOST.max_anion_sites)
    assert "anions" not in found


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"gap_class": "metal", "band_gap_pbesol": 0.0}, "min_gap"),
        ({"gap_class": "unknown", "band_gap_pbesol": None}, "min_gap"),
        ({"magnetization": 2.0}, "magnetization"),
    ],
)
def test_electronic_structure_is_taken_from_its_document(changes, rule):
    (refusal,) = refusals_of(MGO, electronic(**changes), protocol())
    assert refusal.rule == rule


def test_without_a_document_nothing_is_known():
    assert refusals_of(MGO, None, protocol()) == (
        Refusal("min_gap", "the gap is unknown"),
        Refusal("magnetization", "the moment is unknown"),
    )


def test_a_moment_is_unknown_only_where_one_is_expected():
    prior = SimpleNamespace(spin_polarised_elements=("V", "Ce"))
    assert moment_of(MGO, None, prior) == 0.0
    assert moment_of(MGO, 0.4, prior) == 0.4
    assert moment_of(crystal_of("V", "O"), None, prior) is None
    assert moment_of(crystal_of("V", "O"), 0.0, prior) == 0.0


@pytest.mark.parametrize("name", protocol_names())
def test_no_published_host_is_refused_for_what_it_is_made_of(recorded, name):
    """Elements, sizes, symmetries and oxygen sites of the hosts of the published vacancies; two are known to have more sites."""
    packaged = load_protocol(name)
    refused = []
    for formula, crystal in published_hosts(recorded, 4):
        found = refusals_of(crystal, electronic(magnetization=0.0), packaged)
        refused += [(formula, refusal) for refusal in found]
    assert {refusal.rule for _, refusal in refused} <= {"max_anion_sites", "excluded_space_groups"}, refused
    assert len({formula for formula, _ in refused}) <= 2, refused
