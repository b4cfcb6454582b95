"""Rules are data: they say of each structure why it is not wanted, and the published ones let the published crystals pass."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest

from hibana.core.errors import HibanaError
from hibana.defects.gate import host_refusals
from hibana.protocol.protocol import load_protocol
from hibana.structures.intake import Facts, take_in, unpacked
from hibana.structures.rules import Rules, load_rules
from hibana.structures.sources import Piece
from hibana.structures.values import read_values, values_of
from prototypes import make_prototypes
from size import FULL

SCREENS = Path(__file__).resolve().parents[2] / "workflows" / "screens"
EVERY = 1 if FULL else 12
"""In the reduced form one of so many published crystals is judged."""


def facts_of(structure) -> Facts:
    (taken,) = take_in(Piece("x", "jsonl", 1, json.dumps(structure.as_dict()).encode()))
    assert taken.facts is not None, taken.error
    return taken.facts


PROTOTYPES = {name: facts_of(structure) for name, structure in make_prototypes().items()}
MGO, ZNO = PROTOTYPES["rock salt MgO"], PROTOTYPES["wurtzite ZnO"]


def judged(facts: Facts, **rule) -> str | None:
    return Rules.model_validate({"name": "x", "rules": [rule]}).rules[0].refusal(facts)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"rule": "elements", "require": ["O"]}, None),
        ({"rule": "elements", "only": ["Mg", "O"]}, None),
        ({"rule": "elements", "only": ["O"]}, "it contains Mg"),
        ({"rule": "elements", "exclude": ["Mg"], "require": ["Zn", "O"]}, "it contains Mg and no Zn"),
        ({"rule": "anions", "only": ["O"]}, None),
        ({"rule": "anions", "only": ["S", "O"]}, None),
        ({"rule": "anions", "only": ["S"]}, "no S among its elements"),
        ({"rule": "sites", "max": 2}, None),
        ({"rule": "sites", "max": 1}, "2 atoms in the primitive cell, at most 1"),
        ({"rule": "sites", "min": 3}, "2 atoms in the primitive cell, at least 3"),
        ({"rule": "number_of_elements", "min": 3}, "2 elements, at least 3"),
        ({"rule": "inequivalent_sites", "of": ["O"], "max": 0}, "1 inequivalent sites of O, at most 0"),
        ({"rule": "inequivalent_sites", "max": 2}, None),
        ({"rule": "space_group", "only": [225]}, None),
        ({"rule": "space_group", "only": [1, 2]}, "space group 225"),
        ({"rule": "space_group", "exclude": [225]}, "space group 225"),
        ({"rule": "volume_per_atom", "max": 9}, "volume per atom 9.34061 Å^3, at most 9"),
        ({"rule": "hull_distance", "max": 0.05}, "energy above the hull unknown"),
        ({"rule": "hull_distance", "max": 0.05, "unknown": "keep"}, None),
        ({"rule": "band_gap", "min": 0.5}, "band gap unknown"),
        ({"rule": "magnetism"}, "moments unknown"),
        ({"rule": "magnetism", "unknown": "keep"}, None),
        ({"rule": "not_in_store"}, None),
    ],
)
def test_rules_on_rock_salt(rule, said):
    assert judged(MGO, **rule) == said


@pytest.mark.parametrize(
    ("values", "rule", "said"),
    [
        ({"hull_distance": 0.05}, {"rule": "hull_distance", "max": 0.05}, None),
        ({"hull_distance": 0.06}, {"rule": "hull_distance", "max": 0.05}, "energy above the hull 0.06 eV/atom, at most 0.05"),
        ({"band_gap": 0.4}, {"rule": "band_gap", "min": 0.5}, "band gap 0.4 eV, at least 0.5"),
        ({"moment": -2.0}, {"rule": "magnetism"}, "moment 2 μB, at most 0.1"),
        ({"is_magnetic": 1.0}, {"rule": "magnetism", "unknown": "keep"}, "the input says it is magnetic"),
        ({"is_magnetic": 0.0}, {"rule": "magnetism"}, None),
    ],
)
def test_rules_on_values(values, rule, said):
    assert judged(replace(MGO, values=values), **rule) == said


def test_moments_of_sites_count_and_so_do_those_that_are_nothing():
    still = make_prototypes()["rock salt MgO"].copy(site_properties={"magmom": [0.001] * 8})
    assert judged(facts_of(still), rule="magnetism") is None
    moving = still.copy(site_properties={"magmom": [2.0, -2.0] * 2 + [0.0] * 4})
    assert judged(facts_of(moving), rule="magnetism", unknown="keep") == "moments of up to 2 μB, at most 0.1"


def test_a_more_electronegative_element_is_another_anion():
    oxyfluoride = replace(MGO, elements=("F", "Mg", "O"))
    assert judged(oxyfluoride, rule="anions", only=["O"]) == "other anions: F"
    assert judged(replace(MGO, elements=("Mg", "O", "S")), rule="anions", only=["O"], others=["S"]) == "other anions: S"
    assert judged(replace(MGO, elements=("Mg", "O", "S")), rule="anions", only=["O"]) is None


@pytest.mark.parametrize("name", sorted(path.stem for path in SCREENS.glob("*.yaml")))
def test_the_rules_that_come_with_hibana_can_be_read(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    rules = load_rules(name)
    assert rules.name == name
    assert rules.about
    assert rules == load_rules(str(SCREENS / f"{name}.yaml"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rules: [", "it is no YAML"),
        ("rules: []", "name"),
        ("name: x\nrules: [{rule: colour}]", "colour"),
        ("name: x\nrules: [{rule: sites, most: 3}]", "most"),
        ("name: x\nrules: [{rule: elements, only: [Mg, Qq]}]", "Qq"),
        ("name: x\nrules: [{rule: space_group, exclude: [0]}]", "exclude entry 1 is 0, and has to be at least 1"),
        ("name: x\nrules: [{rule: sites, mx: 3}]", "mx is not known (is max meant?)"),
        ("name: x\nrules: [{rule: stes, max: 3}]", "'stes' (is sites meant?)"),
        ("name: x\nrules: [{rule: anions, only: []}]", "at least 1"),
    ],
)
def test_wrong_rules_are_told_with_their_place(tmp_path, text, said):
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(HibanaError) as caught:
        load_rules(str(path))
    assert (caught.value.kind.code, caught.value.where) == ("HIB-022", str(path))
    assert said in caught.value.what


def test_rules_that_are_not_there_name_those_that_are(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(HibanaError) as caught:
        load_rules("oxide")
    assert caught.value.kind.code == "HIB-023"
    assert "oxides" in caught.value.what


def test_the_rules_of_vacancies_are_those_of_the_protocol():
    """The gate judges again what has been calculated; what the screening refuses, it would refuse."""
    host = load_protocol("pbesol").defects.host
    rules = {rule.rule: rule for rule in load_rules("oxygen_vacancies").rules}
    assert set(rules["anions"].others) | set(rules["elements"].exclude) == set(host.excluded_elements)
    assert (rules["sites"].max, rules["inequivalent_sites"].max) == (host.max_atoms, host.max_anion_sites)
    assert rules["space_group"].exclude == tuple(host.excluded_space_groups)
    seen = set()
    for facts in PROTOTYPES.values():
        known = {"space_group": facts.space_group, "n_anion_sites": facts.orbits.get("O", 0), "band_gap": 5.0}
        gate = host_refusals(unpacked(facts.crystal), host, **known, magnetization=0.0, max_magnetization=0.1)
        screen = [rule for rule in rules.values() if rule.refusal(facts)]
        assert bool(gate) == bool(screen), facts.formula
        seen.add(bool(gate))
    assert seen == {True, False}


def published(folder: Path) -> dict[str, Facts]:
    with gzip.open(folder / "structures.jsonl.gz", "rt") as file:
        lines = list(file)[::EVERY]
    found = [item for number, line in enumerate(lines, 1) for item in take_in(Piece("x", "jsonl", number, line.encode()))]
    return {item.name: item.facts for item in found}


@pytest.mark.slow
def test_published_hosts_of_vacancies_pass(recorded):
    hosts = published(recorded / "ml_data" / "oxygen_vacancy_formation")
    rules = load_rules("oxygen_vacancies").rules
    refused = {name: said for name, facts in hosts.items() for rule in rules if (said := rule.refusal(facts))}
    assert len(refused) <= 0.01 * len(hosts), refused


@pytest.mark.slow
def test_published_dielectrics_pass(recorded):
    oxides = published(recorded / "ml_data" / "oxide_dielectric_pbesol")
    rules = load_rules("oxides").rules
    refused = {name: said for name, facts in oxides.items() for rule in rules if (said := rule.refusal(facts))}
    assert len(refused) <= 0.01 * len(oxides), refused


def test_tables_of_values(tmp_path, recorded):
    path = tmp_path / "x.csv"
    path.write_text("material_id,e_above_hull_eV_per_atom,band_gap_mp_gga_eV,ordering\nmp-1,0.1,,NM\nmp-2,,nan,FM\n")
    assert read_values(path) == {
        "mp-1": {"hull_distance": 0.1, "is_magnetic": 0.0},
        "mp-2": {"is_magnetic": 1.0},
    }
    assert len(read_values(recorded / "ml_data" / "mp_oxide_structures" / "table.csv")) == 5966
    for text in ("formula,gap\nMgO,4\n", "material_id,colour\nmp-1,red\n", ""):
        path.write_text(text)
        with pytest.raises(HibanaError) as caught:
            read_values(path)
        assert caught.value.kind.code == "HIB-025"


def test_values_go_by_many_names():
    assert values_of({"attributes": {"_mp_band_gap": 1, "_oqmd_stability": -0.01}}) == {"band_gap": 1.0, "hull_distance": -0.01}
    assert values_of({"energy_above_hull": 0.1, "e_above_hull": None, "total_magnetization": "x", "is_magnetic": False}) == {
        "hull_distance": 0.1,
        "is_magnetic": 0.0,
    }
