from __future__ import annotations

import json
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition
from recorded_defects import pydefect

from hibana.defects.chemical_potentials import ON_HULL, chemical_potentials, diagram
from hibana.defects.oxygen import references_of
from hibana.defects.phases import PhaseEnergy
from hibana.documents.chemical_potentials import ChemicalPotentials, Diagram

ELEMENTS = {"Mg": -1.6, "O": -5.1, "K": -1.1, "In": -2.7, "Ga": -3.0}
BINARY = {"MgO": -2.9, "MgO2": -1.9}
TERNARY = {"KInO2": -2.15, "K2O": -1.1, "KO2": -0.95, "K2O2": -1.2, "In2O3": -1.9, "KIn2": -0.1, "K8In11": -0.14}
QUATERNARY = {**TERNARY, "MgO": -2.9, "In2MgO4": -2.25, "K2MgO2": -1.9, "KMgInO3": -2.45, "MgIn": -0.05, "K6MgO4": -1.55}
SYSTEMS = {"MgO": BINARY, "KInO2": TERNARY, "KMgInO3": QUATERNARY}


def phases_of(compounds: dict[str, float], zeros: dict[str, float] = ELEMENTS) -> list[PhaseEnergy]:
    """Total energies of compounds with these formation energies, and of their elements."""
    elements = sorted({str(element) for formula in compounds for element in Composition(formula)})
    found = [PhaseEnergy(element, zeros[element], source="element") for element in elements]
    for formula, energy in compounds.items():
        fractions = Composition(formula).fractional_composition
        total = energy + sum(fractions[element] * zeros[element] for element in elements)
        found.append(PhaseEnergy(formula, total, source="made up"))
    return found


def of_pydefect(phases: list[PhaseEnergy], target: str):
    """pydefect's diagram of the same total energies."""
    energies = pydefect("chem_pot_diag.chem_pot_diag", "CompositionEnergies")
    energy = pydefect("chem_pot_diag.chem_pot_diag", "CompositionEnergy")
    maker = pydefect("chem_pot_diag.chem_pot_diag", "ChemPotDiagMaker")
    table = {Composition(phase.formula): energy(phase.energy * Composition(phase.formula).num_atoms, "") for phase in phases}
    standard, relative = energies(table).std_rel_energies
    elements = [str(element) for element in Composition(target)]
    return standard, relative, maker(relative, sorted(elements), target).chem_pot_diag


def partners(ours: object, theirs: object) -> list[int]:
    """Index of the one point of `theirs` that is each of `ours`, to the five digits that pydefect keeps."""
    ours, theirs = np.array([list(point) for point in ours]), np.array([list(point) for point in theirs])
    near = np.abs(ours[:, None] - theirs[None]).max(axis=2) < 2e-5
    assert (near.sum(axis=0) == 1).all()
    assert (near.sum(axis=1) == 1).all()
    return near.argmax(axis=1).tolist()


@pytest.mark.parametrize("target", SYSTEMS)
def test_corners_are_pydefects(target):
    phases = phases_of(SYSTEMS[target])
    found = diagram(phases, target)
    standard, relative, expected = of_pydefect(phases, target)
    assert found.status == "stable"
    assert found.standard_energies == pytest.approx(dict(standard))
    formation = {phase.formula: phase.formation_energy_per_atom for phase in found.phases}
    assert formation == pytest.approx(dict(relative), abs=1e-9)
    theirs = list(expected.target_vertices_dict.values())
    same = partners(
        [vertex.chemical_potentials.values() for vertex in found.vertices],
        [[vertex.chem_pot[element] for element in found.elements] for vertex in theirs],
    )
    assert len(same) >= len(found.elements)
    for vertex, index in zip(found.vertices, same, strict=True):
        assert set(vertex.competing_phases) == set(theirs[index].competing_phases)


@pytest.mark.parametrize("target", ["MgO", "KInO2"])
def test_regions_for_the_figure_are_pydefects(target):
    phases = phases_of(SYSTEMS[target])
    found = diagram(phases, target)
    _, _, expected = of_pydefect(phases, target)
    assert {region.formula for region in found.regions} == set(expected.polygons)
    for region in found.regions:
        partners(region.vertices, expected.polygons[region.formula])


def test_what_cannot_be_drawn_has_no_regions():
    assert diagram(phases_of(QUATERNARY), "KMgInO3").regions == ()


NAMES = ["MgO", "MgO2", "KO2", "K2O", "In2O3", "KIn2", "MgIn", "KInO2", "In2MgO4", "K2MgO2", "KMgInO3", "K2Mg2In3O7", "KMg2O3"]
GIVEN = st.fixed_dictionaries({name: st.floats(-3, 0.5).map(lambda energy: round(energy, 3)) for name in NAMES})


@settings(max_examples=40)
@given(GIVEN, st.sampled_from(NAMES))
def test_stability_is_pymatgens_and_corners_are_equilibria(compounds, target):
    phases = phases_of(compounds)
    found = diagram(phases, target)
    inside = [phase for phase in phases if set(Composition(phase.formula).elements) <= set(Composition(target).elements)]
    entries = [PDEntry(Composition(phase.formula), phase.energy * Composition(phase.formula).num_atoms) for phase in inside]
    entry = next(entry for entry in entries if entry.composition == Composition(target))
    hull = PhaseDiagram(entries)
    assert found.energy_above_hull == pytest.approx(hull.get_e_above_hull(entry), abs=1e-6)
    if abs(found.stability) < 1e-3:
        return
    assert (found.status == "stable") == (found.stability < 0)
    assert (found.vertices == ()) == (found.status == "unstable")
    assert sum(found.decomposition.values()) == pytest.approx(1)
    others = {item.formula: item.formation_energy_per_atom for item in found.phases}
    for vertex in found.vertices:
        for formula, energy in others.items():
            fractions = Composition(formula).fractional_composition
            room = energy - sum(fractions[element] * value for element, value in vertex.chemical_potentials.items())
            assert room > -1e-6
            assert (abs(room) < 2e-5) or formula not in (*vertex.competing_phases, target)
        assert len(vertex.competing_phases) >= len(found.elements) - 1


@settings(max_examples=20)
@given(st.sampled_from(list(SYSTEMS)), st.lists(st.floats(-50, 50), min_size=5, max_size=5))
def test_another_zero_of_the_energies_of_elements_changes_nothing(target, shifts):
    moved = {element: energy + shift for (element, energy), shift in zip(ELEMENTS.items(), shifts, strict=True)}
    one, two = diagram(phases_of(SYSTEMS[target]), target), diagram(phases_of(SYSTEMS[target], moved), target)
    assert two.formation_energy_per_atom == pytest.approx(one.formation_energy_per_atom, abs=1e-9)
    assert [vertex.competing_phases for vertex in two.vertices] == [vertex.competing_phases for vertex in one.vertices]
    for first, second in zip(one.vertices, two.vertices, strict=True):
        assert second.chemical_potentials == pytest.approx(first.chemical_potentials, abs=1e-7)


def test_limits_of_oxygen():
    found = diagram(phases_of(TERNARY), "KInO2")
    rich, poor = found.limit("O-rich"), found.limit("O-poor")
    potentials = [vertex.chemical_potentials["O"] for vertex in found.vertices]
    assert (rich.chemical_potentials["O"], poor.chemical_potentials["O"]) == (max(potentials), pytest.approx(min(potentials)))
    assert rich.vertex == "A"
    assert potentials == sorted(potentials, reverse=True)
    assert found.limit("O-medium") is None


def test_the_published_range_of_zinc_oxide():
    """Zn-rich Δμ(O) of -3.58 eV: twice the formation energy of -1.791 eV/atom."""
    found = diagram([PhaseEnergy("ZnO", -1.7909, "formation"), PhaseEnergy("Zn", 0.0, "formation")], "ZnO")
    assert found.limit("O-rich").chemical_potentials == pytest.approx({"O": 0.0, "Zn": -3.5818})
    assert found.limit("O-poor").chemical_potentials == pytest.approx({"O": -3.5818, "Zn": 0.0})
    assert found.limit("O-poor").competing_phases == ("Zn",)
    assert (found.energy_kind, found.standard_energies) == ("formation", {})
    assert all(phase.energy_per_atom is None for phase in found.phases)


def test_an_unstable_target_is_an_answer():
    compounds = {**TERNARY, "KInO2": -1.5}
    found = diagram(phases_of(compounds), "KInO2")
    mixture = (3 * TERNARY["K2O"] + 5 * TERNARY["In2O3"]) / 8
    assert found.status == "unstable"
    assert found.energy_above_hull == pytest.approx(found.stability) == pytest.approx(-1.5 - mixture)
    assert found.decomposition == pytest.approx({"In2O3": 5 / 8, "K2O": 3 / 8})
    assert set(found.decomposition) <= set(compounds) | set(ELEMENTS)
    assert "eV/atom above" in found.reason
    assert found.limits == ()
    assert "KInO2" not in {region.formula for region in found.regions}
    unstable = pydefect("chem_pot_diag.chem_pot_diag", "UnstableTargetError")
    with pytest.raises(unstable):
        of_pydefect(phases_of(compounds), "KInO2")


def test_a_compound_on_a_tie_line_has_no_range():
    """K2O2 has the energy of a mixture of K2O and KO2, which have half of its atoms each."""
    compounds = {"K2O": -1.2, "KO2": -1.0, "K2O2": -1.1}
    found = diagram(phases_of(compounds), "K2O2")
    assert abs(found.stability) < ON_HULL
    assert (found.status, found.energy_above_hull, found.vertices) == ("unstable", 0.0, ())
    assert "as stable as" in found.reason
    assert diagram(phases_of({**compounds, "K2O2": -1.101}), "K2O2").status == "stable"


def test_a_polymorph_that_is_not_the_lowest_is_above_the_hull():
    phases = [*phases_of(BINARY), PhaseEnergy("MgO", phases_of(BINARY)[2].energy - 0.05, source="a better polymorph")]
    assert diagram(phases, "MgO").formation_energy_per_atom == pytest.approx(-2.95)
    host = PhaseEnergy("MgO", phases_of(BINARY)[2].energy, source="host")
    found = diagram(phases, host)
    assert (found.status, found.energy_above_hull) == ("unstable", pytest.approx(0.05))
    assert "same composition" in found.reason
    assert diagram(phases_of(BINARY), host).status == "stable"


def test_the_lowest_of_several_elements_is_the_standard_state():
    phases = [PhaseEnergy("Mg", -1.0, source="fcc"), *phases_of(BINARY)]
    assert diagram(phases, "MgO").standard_energies["Mg"] == -1.6
    assert next(phase for phase in diagram(phases, "MgO").phases if phase.formula == "Mg").source == "element"


@pytest.mark.parametrize(
    ("phases", "target", "status", "words"),
    [
        (phases_of(BINARY), "Mg2O", "missing_target", "no energy of Mg2O"),
        ([], "MgO", "missing_target", "no energy of MgO"),
        (phases_of(BINARY)[1:], "MgO", "missing_element", "no energy of Mg"),
        (phases_of(BINARY)[2:], "MgO", "missing_element", "no energy of Mg and O"),
    ],
)
def test_what_is_missing_is_an_answer(phases, target, status, words):
    found = diagram(phases, target)
    assert (found.status, found.vertices) == (status, ())
    assert words in found.reason


def test_phases_of_other_elements_are_left_out_and_named():
    found = diagram(phases_of(TERNARY), "In2O3")
    assert set(found.ignored) == {"K", "KInO2", "K2O", "KO2", "K2O2", "KIn2", "K8In11"}
    assert found.elements == ("In", "O")


def test_total_and_formation_energies_are_not_mixed():
    with pytest.raises(ValueError, match="total and with formation"):
        diagram([*phases_of(BINARY), PhaseEnergy("MgO2", -1.0, "formation")], "MgO")


def test_both_references_of_oxygen():
    oxygen = references_of(-5.1, -1.8, "atom")
    found = chemical_potentials(phases_of(BINARY), "MgO", oxygen)
    atom, molecule = found.diagrams
    assert (atom.oxygen_reference, molecule.oxygen_reference) == ("atom", "molecule")
    assert (atom.standard_energies["O"], molecule.standard_energies["O"]) == (oxygen.atom, -5.1)
    assert found.diagram("molecule") is molecule
    rich = {item.oxygen_reference: oxygen.of(item.oxygen_reference) for item in found.diagrams}
    poor = {
        item.oxygen_reference: oxygen.of(item.oxygen_reference) + item.limit("O-poor").chemical_potentials["O"]
        for item in found.diagrams
    }
    assert rich["atom"] - rich["molecule"] == pytest.approx(oxygen.difference) != 0
    assert poor["atom"] == pytest.approx(poor["molecule"])


def test_a_reference_that_is_missing_leaves_its_diagram_without_an_answer():
    oxygen = references_of(-5.1, None, "atom", reasons={"atom": "the run failed"})
    used, other = chemical_potentials(phases_of(BINARY), "MgO", oxygen).diagrams
    assert (used.status, used.reason) == ("missing_element", "oxygen: the run failed")
    assert (used.target, other.status) == ("MgO", "stable")


def test_formation_energies_serve_both_references():
    phases = [PhaseEnergy("MgO", -2.9, "formation")]
    found = chemical_potentials(phases, "MgO", references_of(-5.1, -1.8, "molecule"))
    (only,) = found.diagrams
    assert found.diagram("atom") is found.diagram("molecule") is only
    assert only.limit("O-poor").chemical_potentials["O"] == pytest.approx(-5.8)


@pytest.mark.parametrize("target", SYSTEMS)
def test_it_goes_through_json(target):
    found = chemical_potentials(phases_of(SYSTEMS[target]), target, references_of(-5.1, -1.8, "atom"))
    assert ChemicalPotentials.model_validate(json.loads(found.model_dump_json())) == found


def test_many_phases_of_five_elements():
    names = [f"K{a}Mg{b}In{c}Ga{d}O{e}" for a, b, c, d, e in product((1, 2), (1, 2), (1, 2), (1, 2), (3, 5))]
    rng = np.random.default_rng(3)
    compounds = {
        Composition(name).reduced_formula: float(energy) for name, energy in zip(names, rng.uniform(-2.0, -1.8, 32), strict=True)
    }
    target = min(compounds, key=compounds.get)
    found: Diagram = diagram(phases_of(compounds), target)
    assert found.status == "stable"
    labels = [vertex.label for vertex in found.vertices]
    assert labels[:26] == list("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    assert labels[26:29] == ["AA", "AB", "AC"]
    assert len(set(labels)) == len(labels)
    for vertex in found.vertices:
        total = sum(Composition(target).fractional_composition[e] * value for e, value in vertex.chemical_potentials.items())
        assert total == pytest.approx(compounds[target], abs=1e-6)
