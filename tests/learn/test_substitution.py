"""Structures for formulas: templates ranked by learning from pairs, elements replaced, files that a screening takes."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from hibana.cli.main import main
from hibana.core.errors import HibanaError
from hibana.learn.dataset import Dataset, read_dataset
from hibana.learn.generation.candidates import make_structures, read_formulas
from hibana.learn.generation.compounds import read_compounds
from hibana.learn.generation.network import Effort
from hibana.learn.generation.pairs import Ranker, accuracy, fit_ranker, pairs_of
from hibana.learn.generation.run import generate
from hibana.learn.generation.substitution import replaced, replacement, substitute, turned
from hibana.learn.generation.templates import Template, anonymous_of, prototype_of, read_templates
from hibana.learn.generation.volumes import fit_volumes
from hibana.structures.reading import read_structures
from size import FULL

LARGE, SMALL_IONS = ("Ca", "Sr", "Ba", "Pb", "Eu"), ("Ti", "Zr", "Hf", "Sn", "Ce", "Ge")
ALKALI, PENTAVALENT = ("Li", "Na", "K", "Ag", "Cu"), ("Nb", "Ta", "V", "Sb")
SIZES = {symbol: 0.04 * place for place, symbol in enumerate((*LARGE, *SMALL_IONS, *ALKALI, *PENTAVALENT))}


def perovskite(large: str, small: str, anion: str = "O") -> Structure:
    lattice = Lattice.cubic(3.8 + SIZES.get(large, 0) + SIZES.get(small, 0))
    positions = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    return Structure(lattice, [large, small, *[anion] * 3], positions)


def ferroelectric(large: str, small: str) -> Structure:
    """The structure of LiNbO3."""
    lattice = Lattice.hexagonal(5.1 + SIZES[large], 13.8 + 2 * SIZES[small])
    sites = [[0, 0, 0.28], [0, 0, 0], [0.047, 0.343, 0.063]]
    return Structure.from_spacegroup("R3c", lattice, [large, small, "O"], sites).get_primitive_structure()


def crystals() -> Iterator[tuple[str, Structure]]:
    for large in LARGE:
        for small in SMALL_IONS:
            yield f"p-{large}{small}", perovskite(large, small)
    for large in ALKALI:
        for small in PENTAVALENT:
            yield f"f-{large}{small}", ferroelectric(large, small)
    for symbol in ("Mg", "Ca", "Sr", "Ba"):
        yield f"r-{symbol}", Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.3), [symbol, "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def written(folder: Path, structures: Iterator[tuple[str, Structure]]) -> Dataset:
    folder.mkdir(parents=True, exist_ok=True)
    names = []
    with gzip.open(folder / "structures.jsonl.gz", "wt", encoding="utf-8") as file:
        for name, structure in structures:
            names.append(f"{name},{structure.composition.reduced_formula}")
            file.write(json.dumps({"material_id": name, "structure": structure.as_dict()}) + "\n")
    (folder / "table.csv").write_text("\n".join(["material_id,formula", *names]) + "\n")
    return read_dataset(folder)


def test_prototypes_do_not_depend_on_elements_or_cell() -> None:
    one = prototype_of(perovskite("Ca", "Ti"))
    assert one == prototype_of(perovskite("Ba", "Zr")) == prototype_of(perovskite("Ba", "Zr") * [2, 1, 1])
    assert one != prototype_of(ferroelectric("Li", "Nb"))
    squeezed = perovskite("Ca", "Ti")
    squeezed.apply_strain([0, 0, 0.1])
    assert prototype_of(squeezed) != one


@pytest.fixture(scope="module")
def templates() -> list[Template]:
    return read_templates(crystals())[0]


@pytest.fixture(scope="module")
def ranker(templates: list[Template]) -> Ranker:
    return fit_ranker(templates, trees=20)


def test_what_is_no_template_is_counted() -> None:
    disordered = Structure(Lattice.cubic(4), [{"Mg": 0.5, "Ca": 0.5}, "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    iron = Structure(Lattice.cubic(2.8), ["Fe"], [[0, 0, 0]])
    found, left_out = read_templates([("a", perovskite("Ca", "Ti")), ("b", disordered), ("c", iron)], most_sites=10)
    assert [item.name for item in found] == ["a"]
    assert left_out == {"HIB-011": 1, "one_element": 1}
    assert read_templates([("a", perovskite("Ca", "Ti"))], most_sites=4) == ([], {"too_many_sites": 1})


@pytest.mark.parametrize(
    ("old", "new", "pairs"),
    [
        ("CaTiO3", "BaZrO3", {"Ca": "Ba", "Ti": "Zr", "O": "O"}),
        ("BaZrO3", "KTaO3", {"Ba": "K", "Zr": "Ta", "O": "O"}),
        ("KMgF3", "SrTiO3", {"K": "Sr", "Mg": "Ti", "F": "O"}),
        ("MgAl2O4", "ZnFe2O4", {"Mg": "Zn", "Al": "Fe", "O": "O"}),
        ("LaOF", "BiOCl", {"La": "Bi", "O": "O", "F": "Cl"}),
    ],
)
def test_elements_take_the_place_of_like_ones(old: str, new: str, pairs: dict[str, str]) -> None:
    assert replacement(old, new) == pairs


def test_anions_do_not_take_the_place_of_cations() -> None:
    assert turned("CaTiO3", "BaZrO3", replacement("CaTiO3", "BaZrO3")) == []
    assert turned("K3BrO", "SrTiO3", replacement("K3BrO", "SrTiO3"))


def test_replacing_scales_the_volume_and_keeps_the_symmetry() -> None:
    old = ferroelectric("Li", "Nb")
    new = replaced(old, {"Li": "Na", "Nb": "Ta", "O": "O"}, 1.3)
    assert new.volume == pytest.approx(1.3 * old.volume)
    assert new.composition.reduced_formula == "NaTaO3"
    assert prototype_of(new) == prototype_of(old)
    assert np.allclose(new.lattice.angles, old.lattice.angles)


def test_volumes_of_elements_are_found_again() -> None:
    truth = {"Mg": 12.0, "Ba": 35.0, "Ti": 15.0, "O": 9.0}
    kinds = [
        ("MgO", {"Mg": 1, "O": 1}),
        ("BaO", {"Ba": 1, "O": 1}),
        ("TiO2", {"Ti": 1, "O": 2}),
        ("BaTiO3", {"Ba": 1, "Ti": 1, "O": 3}),
    ]
    per_atom = [sum(truth[symbol] * count for symbol, count in amounts.items()) / sum(amounts.values()) for _, amounts in kinds]
    found = fit_volumes([formula for formula, _ in kinds] * 100, np.array(per_atom * 100))
    for formula, amounts in kinds:
        volume = sum(truth[symbol] * count for symbol, count in amounts.items())
        assert found.of(amounts) == pytest.approx(volume, rel=0.01), formula
    assert all(volume > 0 for volume in found.of_element.values())
    assert found.of_element["Cs"] > found.of_element["Li"]


def test_pairs_are_of_one_kind_and_of_different_formulas(templates: list[Template]) -> None:
    features = np.random.default_rng(0).normal(size=(len(templates), 3))
    pairs = pairs_of(templates, features, 0)
    assert len(pairs) == len({tuple(pair) for pair in pairs.tolist()})
    for one, other in pairs:
        assert templates[one].anonymous == templates[other].anonymous
        assert templates[one].formula != templates[other].formula


def test_the_classifier_learns_which_crystals_are_alike(templates: list[Template], ranker: Ranker) -> None:
    for formula, prototype in (("BaPbO3", "p-"), ("RbNbO3", "f-")):
        ranked = ranker.rank(formula)
        assert ranker.templates[ranked[0][0]].name.startswith(prototype)
        assert {anonymous_of(ranker.templates[place].formula) for place, _, _ in ranked} == {"ABC3"}
    assert ranker.rank("Ca3Al2O6") == []
    assert all(ranker.templates[place].formula != "CaTiO3" for place, _, _ in ranker.rank("CaTiO3"))
    found = accuracy(templates, trees=20)
    assert found["random"]["top_1"] < found["classifier"]["top_1"] == 1.0


def test_no_candidate_comes_twice(templates: list[Template], ranker: Ranker) -> None:
    volumes = fit_volumes([t.formula for t in templates], np.array([t.structure.volume / len(t.structure) for t in templates]))
    attempts = substitute(["BaPbO3"], ranker, volumes, each=3)
    fates = [attempt.fate for attempt in attempts]
    assert "duplicate" not in fates[:1]
    keys = [attempt.candidate.structure_key for attempt in attempts if attempt.candidate]
    assert len(keys) == len(set(keys))
    assert [attempt.rank for attempt in attempts] == list(range(1, len(attempts) + 1))


def test_files_are_read_back_and_repeatable(tmp_path: Path) -> None:
    dataset = written(tmp_path / "templates", crystals())
    formulas = ["BaPbO3", "AgBiO3", "Ca3Al2O6"]
    result = make_structures(formulas, dataset, tmp_path / "one", trees=20)
    make_structures(formulas, dataset, tmp_path / "two", trees=20)
    assert result["fates"] == {"candidate": 2, "no_template": 1}
    read = read_structures(tmp_path / "one")
    assert [item.structure.composition.reduced_formula for item in read] == ["BaPbO3", "AgBiO3"]
    for name in ("candidates.jsonl.gz", "substitutions.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    with pytest.raises(HibanaError) as error:
        make_structures(["Ca3Al2O6"], dataset, tmp_path / "three", trees=20)
    assert error.value.kind.number == 282


def test_formulas_are_read(tmp_path: Path) -> None:
    (tmp_path / "generated.csv").write_text("formula,estimate\nSr2Ti2O6,1\nNaN,2\n")
    assert read_formulas([str(tmp_path / "generated.csv"), "O3TiSr", "MgO"]) == ["SrTiO3", "NaN", "MgO"]
    (tmp_path / "other.csv").write_text("name\nSrTiO3\n")
    for wrong in (str(tmp_path / "other.csv"), str(tmp_path / "absent.csv"), "Xx2O3", "Ti", ""):
        with pytest.raises(HibanaError) as error:
            read_formulas([wrong])
        assert error.value.kind.number == 280, wrong


def test_a_mistake_on_the_command_line_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path / "templates", islice(crystals(), 5))
    for words, code in ((["Xx2O3"], "HIB-280"), (["BaPbO3"], "HIB-262")):
        with pytest.raises(SystemExit) as stop:
            main(["learn", "substitute", *words, "-T", str(tmp_path / "templates"), "-o", str(tmp_path / "new")])
        assert stop.value.code == 2
        assert code in capsys.readouterr().err


@pytest.mark.slow
def test_learned_ranking_beats_the_nearest_descriptor(recorded: Path) -> None:
    dataset = read_dataset(recorded / "ml_data" / "mp_oxide_structures")
    templates, _ = read_templates(islice(dataset.structures(), None if FULL else 2_000), 40)
    found = [accuracy(templates, trees=100, seed=seed) for seed in range(5 if FULL else 2)]
    asked = np.array([item["asked"]["n"] for item in found])
    top = {
        name: float(np.array([item[name]["top_1"] for item in found]) @ asked / asked.sum())
        for name in found[0]
        if name != "asked"
    }
    assert asked.min() > 50
    assert top["classifier"] > top["nearest_descriptor"] > top["random"]


@pytest.mark.slow
def test_from_a_value_to_structures_in_a_screening(recorded: Path, tmp_path: Path) -> None:
    from hibana.structures.rules import NO_RULES
    from hibana.structures.screening import screen

    dataset = read_dataset(recorded / "ml_data" / "flla_formation_energy")
    compounds = read_compounds(dataset, "formation_energy_eV_per_atom", reduction="lowest")
    generate(dataset, compounds, -2.5, 20, tmp_path / "new", effort=Effort(steps=300, hidden=96), trees=40, draws=20)
    formulas = read_formulas([str(tmp_path / "new" / "generated.csv")])
    templates = read_dataset(recorded / "ml_data" / "oxide_dielectric_pbesol")
    result = make_structures(formulas, templates, tmp_path / "new", trees=40)
    made = read_structures(tmp_path / "new")
    assert len(made) == result["fates"]["candidate"] > 0
    (tmp_path / "scratch").mkdir()
    screened = screen([tmp_path / "new" / "candidates.jsonl.gz"], tmp_path / "scratch", NO_RULES, workers=1)
    assert screened.count("candidate") == len(made)
    assert {row.formula for row in screened.rows} <= set(formulas)
