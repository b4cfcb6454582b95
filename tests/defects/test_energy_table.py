from __future__ import annotations

import json
from pathlib import Path

import pytest

from hibana.core.errors import HibanaError
from hibana.defects.chemical_potentials import diagram
from hibana.defects.energy_table import read_energy_table
from hibana.defects.phases import Conditions, PhaseEnergy, amounts_of, conditions_of, disagreement, phase_of, reduced_formula

HOST = Conditions("vasp", "pbesol@1", 520.0)
GOOD = """# competing phases of MgO

formula,energy_per_atom,source,calculator,protocol,cutoff
Mg,-1.5,mp-153,vasp,pbesol@1,520
O2,-5.0,O2 in a box,vasp,pbesol@1,520
Mg2O2,-6.0,"mp-1265, relaxed",vasp,pbesol@1,520
"""


@pytest.fixture
def table(tmp_path):
    def write(text: str, name: str = "phases.csv") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def refused(path: Path, host: Conditions = HOST) -> HibanaError:
    with pytest.raises(HibanaError) as caught:
        read_energy_table(path, host)
    return caught.value


def test_a_sound_table(table):
    phases = read_energy_table(table(GOOD), HOST)
    assert [(phase.formula, phase.energy, phase.kind) for phase in phases] == [
        ("Mg", -1.5, "total"),
        ("O", -5.0, "total"),
        ("MgO", -6.0, "total"),
    ]
    assert phases[2].source == "mp-1265, relaxed"
    assert phases[2].conditions == HOST
    assert diagram(phases, "MgO").formation_energy_per_atom == pytest.approx(-2.75)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_delimiters_spaces_and_a_byte_order_mark(table, delimiter):
    lines = ["formula, energy_per_atom, source", "MgO, -6.0, here", ""]
    path = table("\ufeff" + "\n".join(lines).replace(",", delimiter))
    assert read_energy_table(path) == (PhaseEnergy("MgO", -6.0, source="here"),)


def test_energies_by_formula_count_the_formula_as_written(table):
    path = table("formula,energy_per_formula\nMg2O2,-24\nO2,-10\nMg,-1.5\n")
    assert [phase.energy for phase in read_energy_table(path)] == [-6.0, -5.0, -1.5]


def test_rows_may_have_different_columns_of_energy_and_no_source(table):
    path = table("formula,energy_per_atom,energy_per_formula\nMgO,-6,\nO2,,-10\n")
    assert [phase.energy for phase in read_energy_table(path)] == [-6.0, -5.0]
    assert [phase.source for phase in read_energy_table(path)] == ["phases.csv, line 2", "phases.csv, line 3"]


def test_polymorphs_are_kept_and_the_lowest_counts(table):
    path = table("formula,formation_energy_per_atom,source\nTiO2,-3.3,mp\nTiO2,-3.4,mp\n")
    phases = read_energy_table(path)
    assert len(phases) == 2
    assert diagram(phases, "TiO2").formation_energy_per_atom == pytest.approx(-3.4)


@pytest.mark.parametrize("wrapped", [False, True])
def test_json_is_the_same_table(table, wrapped):
    rows = [
        {"formula": "Mg", "energy_per_atom": -1.5, "source": "mp-153"},
        {"formula": "O2", "energy_per_formula": "-10.0", "source": None},
    ]
    path = table(json.dumps({"comment": [1, {"phases": 2}], "phases": rows} if wrapped else rows, indent=1), "phases.json")
    assert [(phase.formula, phase.energy) for phase in read_energy_table(path)] == [("Mg", -1.5), ("O", -5.0)]


FORMULA = '"MgO"'
ITEM = '{"formula": "MgO", "energy_per_atom": -6}'
HEAD = "formula,energy_per_atom,source,cutoff,protocol\n"


@pytest.mark.parametrize(
    ("text", "code", "words", "place"),
    [
        (HEAD + "MgO,-6,a,,\nXy2O,-1,b,,\n", "HIB-231", "'Xy2O' is no formula", "line 3, column formula"),
        (HEAD + "MgO,-6 eV,a,,\n", "HIB-231", "'-6 eV' is no number", "line 2, column energy_per_atom"),
        (HEAD + "# note\n\nMgO,nan,a,,\n", "HIB-231", "is no number", "line 4, column energy_per_atom"),
        (HEAD + "MgO,inf,a,,\n", "HIB-231", "is no number", "line 2, column energy_per_atom"),
        (HEAD + "MgO,,a,,\n", "HIB-231", "no energy", "line 2, column energy_per_atom"),
        (HEAD + ",-6,a,,\n", "HIB-231", "no formula", "line 2, column formula"),
        (HEAD + "Mg0.5O,-6,a,,\n", "HIB-231", "broken numbers", "line 2, column formula"),
        (HEAD + "MgO,-6,a,-5,\n", "HIB-231", "a cutoff of -5", "line 2, column cutoff"),
        (HEAD + "MgO,-6,a,,pbesol\n", "HIB-231", "'pbesol'", "line 2, column protocol"),
        (HEAD + "MgO,-6,a\n", "HIB-230", "3 cells under 5 names", "line 2"),
        (HEAD, "HIB-230", "no phases", "phases.csv"),
        ("", "HIB-230", "no phases", "phases.csv"),
        ("formula,enrgy\nMgO,1\n", "HIB-230", "unknown column 'enrgy'", "line 1"),
        ("formula,source,source\n", "HIB-230", "'source' stands twice", "line 1"),
        ("formula,source\nMgO,a\n", "HIB-230", "no column of energies", "line 1"),
        ("energy_per_atom\n-6\n", "HIB-230", "no column 'formula'", "line 1"),
        (
            "formula,energy_per_atom,energy_per_formula\nMgO,-6,-12\n",
            "HIB-231",
            "energy_per_atom and energy_per_formula",
            "line 2, column energy_per_atom",
        ),
        ("formula,formation_energy_per_atom\nMg,-0.1\n", "HIB-231", "for an element", "line 2, column formation_energy_per_atom"),
    ],
)
def test_faults_say_line_and_column(table, text, code, words, place):
    error = refused(table(text))
    assert error.kind.code == code
    assert words in error.what
    assert error.where.endswith(place)


@pytest.mark.parametrize(
    ("text", "code", "words", "place"),
    [
        ('[\n {"formula": "MgO" "x"}\n]', "HIB-230", "not JSON", "line 2, column 20"),
        ('{"phase": []}', "HIB-230", "neither a list", "phases.json"),
        ("[1]", "HIB-230", "no object", "line 1"),
        (f'[\n {ITEM},\n\n {ITEM.replace(FORMULA, "7")}]', "HIB-231", "7", "line 4, column formula"),
        ('[{"formula": "MgO", "energy_per_atom": true}]', "HIB-231", "True", "line 1, column energy_per_atom"),
        ('[{"formula": "MgO", "energy_per_atom": NaN}]', "HIB-231", "nan", "line 1, column energy_per_atom"),
        ('[{"formula": "MgO", "energy_per_atom": 1, "source": 3}]', "HIB-231", "no text", "line 1, column source"),
        ('[{"formula": "MgO", "energy": 1}]', "HIB-230", "unknown column 'energy'", "line 1"),
    ],
)  # fmt: skip
def test_faults_of_json_say_line_and_key(table, text, code, words, place):
    error = refused(table(text, "phases.json"))
    assert error.kind.code == code
    assert words in error.what
    assert error.where.endswith(place)


def test_files_that_are_no_tables(table, tmp_path):
    assert refused(tmp_path / "absent.csv").kind.code == "HIB-230"
    assert "neither *.csv" in refused(table(GOOD, "phases.txt")).what
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\x01")
    assert "cannot be read" in refused(tmp_path / "binary.csv").what


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("Mg,-1.5,mp-153,vasp", "Mg,-1.5,mp-153,gpaw-rehearsal", "calculator gpaw-rehearsal and vasp"),
        ("-5.0,O2 in a box,vasp,pbesol@1", "-5.0,O2 in a box,vasp,pbesol@2", "protocol pbesol@2 and pbesol@1"),
        ("vasp,pbesol@1,520\nO2", "vasp,pbesol@1,400\nO2", "cutoff 400.0 and 520.0"),
    ],
)
def test_energies_of_other_conditions_are_refused(table, old, new, words):
    assert old in GOOD
    for host in (HOST, Conditions()):
        error = refused(table(GOOD.replace(old, new)), host)
        assert error.kind.code == "HIB-232"
        assert all(word in error.what for word in words.split())


def test_a_table_of_another_calculator_than_the_hosts_is_refused(table):
    error = refused(table(GOOD), Conditions("gpaw-rehearsal"))
    assert error.kind.code == "HIB-232"
    assert "Mg (mp-153) and the host differ: calculator vasp and gpaw-rehearsal" in error.what


def test_formation_energies_need_not_be_the_hosts_but_one_anothers(table):
    text = "formula,formation_energy_per_atom,calculator\nMgO,-3,vasp\nMgO2,-2,{}\n"
    assert len(read_energy_table(table(text.format("vasp")), Conditions("gpaw-rehearsal"))) == 2
    assert refused(table(text.format("gpaw-rehearsal"))).kind.code == "HIB-232"


def test_total_and_formation_energies_in_one_table_are_refused(table):
    text = "formula,energy_per_atom,formation_energy_per_atom\nMgO,-6,\nMgO2,,-2\n"
    assert "formation" in refused(table(text)).what


def test_what_is_not_stated_is_not_compared():
    assert Conditions().differences(HOST) == ()
    assert Conditions("vasp").not_stated == ("protocol", "cutoff")
    assert Conditions(cutoff=520.004).differences(HOST) == ()
    assert disagreement([], HOST) is None


@pytest.mark.parametrize("text", ["", "1", "Mg O!", "X", "MgOx", "-"])
def test_what_is_no_formula(text):
    with pytest.raises(ValueError, match="no formula"):
        amounts_of(text)


def test_elements_are_symbols_and_formulas_are_reduced():
    assert reduced_formula(amounts_of("O2")) == "O"
    assert reduced_formula(amounts_of("Mg2O2")) == "MgO"
    assert PhaseEnergy("In2MgO4", -1.0) == PhaseEnergy("MgIn2O4", -1.0) == PhaseEnergy("Mg2In4O8", -1.0)


def test_phases_of_hibanas_own_runs():
    from flow_documents import task

    run = task("structure_opt")
    phase = phase_of(run)
    assert (phase.formula, phase.energy, phase.source) == ("MgO", run.energy_per_atom, run.address)
    assert conditions_of(run).calculator == run.calculator.name
    assert conditions_of(run).protocol == f"{run.protocol}@{run.protocol_version}"
    with pytest.raises(ValueError, match="has no energy"):
        phase_of(run.model_copy(update={"energy_per_atom": None}))
