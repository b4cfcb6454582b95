"""Figures of vacancies: what is plotted is what the documents say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.image import imread
from recorded_runs import task_of

from hibana.core.errors import HibanaError
from hibana.defects.charge_states import ChargeState
from hibana.defects.correction import extended_fnv
from hibana.defects.edge_outcome import band_edge_outcome, eigenvalue_diagram
from hibana.defects.formation import NoEnergy
from hibana.defects.run import DefectRun, defect_run
from hibana.documents.arrays import pack
from hibana.documents.chemical_potentials import ChemicalPotentialDoc
from hibana.documents.vacancy import EdgeLike, SpinChannel, VacancyDoc, VacancyLevel
from hibana.protocol.protocol import load_protocol
from hibana.report.canvas import style
from hibana.report.chemical_potential_figure import MOST_VERTICES, draw_chemical_potentials, outline
from hibana.report.eigenvalue_figure import draw_eigenvalues, load_eigenvalues, state_kinds
from hibana.report.gallery import draw_gallery
from hibana.report.site_potential_figure import draw_site_potentials, load_site_potentials
from hibana.report.vacancy_energy_figure import charge_text, draw_formation_energies, panels_of
from hibana.store.owner import Owner
from results import material_id
from vacancy_results import ATOM, ENERGIES, GAP, LEVEL_10, LEVEL_21, MOLECULE, NEUTRAL, potentials, sheet, states, ternary

QUATERNARY = {"MgO": (-3.0, 1, 2), "Al2O3": (-3.4, 3, 5), "SiO2": (-3.1, 2, 3), "MgAlSiO4": (-3.3, 4, 7)}
"""Formation energy per atom, oxygen atoms and atoms."""


def drawn(make, *arguments):
    with style():
        return make(*arguments)


def undetermined() -> list[ChargeState]:
    """States of which it is not known where their electrons are."""
    return [replace(state, edge_state="undetermined") for state in states("O1", ENERGIES)]


def points(axes, label: str) -> tuple[np.ndarray, np.ndarray]:
    """Points of the line of a label."""
    (line,) = [line for line in axes.lines if line.get_label() == label]
    return np.asarray(line.get_xdata(), dtype=float), np.asarray(line.get_ydata(), dtype=float)


def words(axes) -> list[str]:
    """Every text within the axes."""
    return [text.get_text() for text in axes.texts]


def test_lines_have_the_charge_as_their_slope_and_levels_where_they_cross(vacancies) -> None:
    figure = drawn(draw_formation_energies, vacancies.summary("MgO", *states("O1", ENERGIES)), "Fm-3m")
    rich, poor = figure.axes
    for axes, shift in ((rich, 0.0), (poor, -6.0)):
        for charge, energy in ENERGIES.items():
            fermi, energies = points(axes, f"_O1 {charge_text(charge)}")
            assert np.diff(energies)[0] / np.diff(fermi)[0] == pytest.approx(charge)
            assert energies[0] - charge * fermi[0] == pytest.approx(energy + shift)
        levels, heights = points(axes, "_O1 levels")
        assert levels == pytest.approx([LEVEL_21, LEVEL_10])
        assert heights == pytest.approx([NEUTRAL - LEVEL_10 + LEVEL_21 + shift, NEUTRAL + shift])
        fermi, lowest = points(axes, "$V_\\mathrm{O1}$")
        grid = np.linspace(fermi[0], fermi[-1], 201)
        every = [energy + shift + charge * grid for charge, energy in ENERGIES.items()]
        assert np.interp(grid, fermi, lowest) == pytest.approx(np.min(every, axis=0))
        assert {"(2+/1+)", "(1+/0)"} <= set(words(axes))
        assert points(axes, "supercell VBM, CBM")[0].tolist() == [0.6, 0.6]
        (gap,) = [patch for patch in axes.patches if patch.get_width() == GAP]
        assert gap.get_x() == 0.0
    assert "O-rich" in rich.get_title()
    assert "O-poor" in poor.get_title()
    assert "-6.00 eV" in poor.get_title()
    assert "dd-hybrid gap 6.00 eV, oxygen from the calculated molecule" in figure.get_suptitle()


def test_a_negative_u_level_is_where_the_lowest_charge_changes(vacancies) -> None:
    """(2+/0) at 2.5 eV; the state +1 is above the others everywhere and has a line but no level."""
    summary = vacancies.summary("MgO", *states("O1", {0: 7.0, 1: 6.0, 2: 2.0}))
    axes = drawn(draw_formation_energies, summary, None).axes[0]
    assert points(axes, "_O1 levels")[0] == pytest.approx([2.5])
    assert "(2+/0)" in words(axes)
    assert len(points(axes, "_O1 1+")[0]) == 2


def test_every_site_is_drawn_and_states_that_are_not_used_are_named(vacancies) -> None:
    found = [*states("O1", ENERGIES), *states("O2", {0: 6.0}, {2: NoEnergy("no_correction", "no potentials")})]
    figure = drawn(draw_formation_energies, vacancies.summary("MgO", *found), None)
    axes = figure.axes[0]
    legend = [text.get_text() for text in figure.axes[-1].get_legend().get_texts()]
    assert legend == ["$V_\\mathrm{O1}$", "$V_\\mathrm{O2}$", "supercell VBM, CBM"]
    assert points(axes, "$V_\\mathrm{O2}$")[1] == pytest.approx([6.0, 6.0])
    assert "Va_O2_2: no correction" in words(axes)


def test_states_that_are_left_out_are_dashed_with_their_charge_as_slope(vacancies) -> None:
    out = {"left_out": "undetermined", "removed": {"O": 1}}
    unused = [vacancies.vacancy("MgO", charge=charge, **out) for charge in (0, 2)]
    figure = drawn(draw_formation_energies, vacancies.summary("MgO", *undetermined()), None, unused)
    assert [axes.get_title().partition(":")[0] for axes in figure.axes] == ["O-rich", "O-poor"]
    for axes, shift in zip(figure.axes, (0.0, -6.0), strict=True):
        for charge in (0, 2):
            label = f"_O1 {charge_text(charge)} not used"
            fermi, energies = points(axes, label)
            assert energies - charge * fermi == pytest.approx(ENERGIES[charge] + shift)
            (line,) = [line for line in axes.lines if line.get_label() == label]
            assert line.get_linestyle() == "--"
            assert label.removeprefix("_") in words(axes)


def test_the_gallery_draws_them_too(vacancies, tmp_path) -> None:
    vacancies.vacancy("MgO", charge=2, left_out="undetermined", removed={"O": 1})
    vacancies.summary("MgO", *undetermined())
    gallery = draw_gallery(vacancies.store, tmp_path, figures=["formation_energies"])
    assert (len(gallery.files), gallery.without) == (1, {})


def test_without_limits_the_standard_states_are_drawn(vacancies) -> None:
    nothing = potentials("MgO", {"Mg": -1.6, "O2": MOLECULE})
    summary = vacancies.summary("MgO", *states("O1", ENERGIES), chemical_potentials=nothing)
    assert list(panels_of(summary)) == ["standard states"]
    (axes,) = drawn(draw_formation_energies, summary, None).axes
    assert points(axes, "_O1 0")[1] == pytest.approx([NEUTRAL, NEUTRAL])


def test_energies_are_of_the_oxygen_reference_that_is_used(vacancies) -> None:
    summary = vacancies.summary("MgO", *states("O1", ENERGIES))
    other = summary.model_copy(update={"oxygen_reference": "atom"})
    (high,), (low,) = (panels_of(item)["O-rich"] for item in (other, summary))
    assert high.lines[0].energy - low.lines[0].energy == pytest.approx(ATOM - MOLECULE)


def test_no_gap_and_no_energies_have_a_reason(vacancies) -> None:
    for fields, why in (({"band_gap": None}, "there is no band gap"), ({"reason": "supercell: killed"}, "supercell: killed")):
        found = states("O1", ENERGIES) if "band_gap" in fields else []
        with pytest.raises(HibanaError, match=f"HIB-150.*{why}"):
            draw_formation_energies(vacancies.summary("MgO", *found, **fields), None)


def document(head, **fields) -> ChemicalPotentialDoc:
    return ChemicalPotentialDoc(**head | fields)


def test_a_binary_compound_is_stable_on_a_line(vacancies) -> None:
    found = vacancies.chemical_potentials("MgO")
    figure = drawn(draw_chemical_potentials, found, "Fm-3m")
    (axes,) = figure.axes
    assert sorted(zip(*points(axes, "_MgO"), strict=True)) == [pytest.approx((-6.0, 0.0)), pytest.approx((0.0, -6.0))]
    assert [float(value[0]) for value in points(axes, "_A")] == [pytest.approx(-6.0), pytest.approx(0.0)]
    assert {"A, O-rich", "B, O-poor", "MgO", "Mg", "O"} <= set(words(axes))
    assert words(axes)[-1] == "A: O\nB: Mg"
    assert (axes.get_xlabel(), axes.get_ylabel()) == (
        "$\\Delta\\mu_\\mathrm{Mg}$ (eV)",
        "$\\Delta\\mu_\\mathrm{O}$ (eV)",
    )


def test_a_ternary_compound_has_a_region_with_its_corners(vacancies) -> None:
    """Every corner of the region is on the line of a competing phase: μ(Mg) + μ(O) = -6 eV beside MgO."""
    found = ternary()
    head = vacancies.head("MgTiO3")
    (axes,) = drawn(draw_chemical_potentials, document(head, chemical_potentials=found), None).axes
    (target,) = [patch for patch in axes.patches if patch.get_alpha() == 0.35]
    corners = {tuple(np.round(point, 6)) for point in target.get_xy()}
    diagram = found.diagrams[0]
    wanted = {tuple(np.round([v.chemical_potentials["Mg"], v.chemical_potentials["O"]], 6)) for v in diagram.vertices}
    assert corners == wanted
    assert len(wanted) == 4
    for vertex in diagram.vertices:
        potential = vertex.chemical_potentials
        assert potential["Mg"] + potential["Ti"] + 3 * potential["O"] == pytest.approx(5 * -3.2)
        if "MgO" in vertex.competing_phases:
            assert potential["Mg"] + potential["O"] == pytest.approx(-6.0)
    ends = np.array(points(axes, "_MgO")).T
    assert ends.sum(axis=1) == pytest.approx([-6.0, -6.0], abs=1e-6), "a phase without titanium is a line in this plane"


def test_the_outline_goes_around_and_a_line_has_none() -> None:
    square = np.array([[0.0, 0.0], [1.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    ordered = outline(square)
    assert {tuple(np.abs(step)) for step in np.diff(ordered, axis=0)} == {(0.0, 1.0), (1.0, 0.0)}
    assert outline(np.array([[0.0, -6.0], [-6.0, 0.0], [-3.0, -3.0]])) is None


def test_more_elements_are_bars(vacancies) -> None:
    energies = {"Mg": 0.0, "Al": 0.0, "Si": 0.0, "O2": MOLECULE}
    energies |= {name: energy + MOLECULE * oxygen / atoms for name, (energy, oxygen, atoms) in QUATERNARY.items()}
    found = potentials("MgAlSiO4", energies)
    diagram = found.diagrams[0]
    (axes,) = drawn(draw_chemical_potentials, document(vacancies.head("MgAlSiO4"), chemical_potentials=found), None).axes
    assert len(diagram.vertices) <= MOST_VERTICES
    heights = {group.get_label(): [bar.get_height() for bar in group] for group in axes.containers}
    assert heights == {
        element: [vertex.chemical_potentials[element] for vertex in diagram.vertices] for element in ("Al", "Mg", "O", "Si")
    }
    assert axes.get_xticklabels()[0].get_text().startswith("A, O-rich\n")


def test_an_unstable_compound_says_how_far_it_is_above(vacancies) -> None:
    """MgO at -3 eV/atom with a better oxide beside it."""
    zeros = {"Mg": -1.6, "O2": MOLECULE}
    energies = {"MgO": (-1.6 + MOLECULE) / 2 - 1.0, "MgO2": (-1.6 + 2 * MOLECULE) / 3 - 3.0}
    found = potentials("MgO", zeros | energies)
    assert found.diagrams[0].status == "unstable"
    above = found.diagrams[0].energy_above_hull
    figure = drawn(draw_chemical_potentials, document(vacancies.head("MgO"), chemical_potentials=found), None)
    assert f"unstable, {above:.3f} eV/atom above" in figure.get_suptitle()
    assert "MgO" not in words(figure.axes[0])
    missing = potentials("MgO", zeros)
    with pytest.raises(HibanaError, match=r"HIB-150.*no energy of MgO is known"):
        draw_chemical_potentials(document(vacancies.head("MgO"), chemical_potentials=missing), None)


def test_site_potentials_show_what_the_alignment_is_the_mean_of(vacancies) -> None:
    vacancy = vacancies.vacancy("MgO", "O1", 2)
    figure = drawn(draw_site_potentials, load_site_potentials(vacancies.store, vacancy), "Fm-3m")
    (axes,) = figure.axes
    wanted = sheet(2)
    distances, rest = points(axes, "$\\Delta V - V_\\mathrm{PC}$")
    assert distances == pytest.approx(wanted["sheet_distances"])
    assert rest == pytest.approx(wanted["sheet_differences"] - wanted["sheet_point_charge"], abs=1e-6)
    assert points(axes, "$V_\\mathrm{PC}$")[1] == pytest.approx(wanted["sheet_point_charge"])
    oxygen = points(axes, "$\\Delta V$ O")
    assert oxygen[0].tolist() == [2.0, 4.0, 6.0, 8.0, 10.0]
    assert oxygen[1] == pytest.approx(wanted["sheet_differences"][1::2])
    start, mean = points(axes, "mean 0.200 V")
    assert start[0] == vacancy.sphere_radius
    assert mean == pytest.approx([0.2, 0.2])
    (region,) = [patch for patch in axes.patches if patch.get_label() == "outside the sphere"]
    assert region.get_x() == vacancy.sphere_radius
    assert figure.get_suptitle().endswith("Va_O1_2: point charge 0.800 eV, alignment -0.200 eV, correction 0.600 eV")
    with pytest.raises(HibanaError, match=r"HIB-150.*a neutral vacancy without site potentials"):
        load_site_potentials(vacancies.store, vacancies.vacancy("MgO", "O1", 0, arrays={}))


def channel(level: float, occupation: float) -> SpinChannel:
    vbm, cbm = (EdgeLike(band=band, energy=energy, occupation=1, dissimilarity=0) for band, energy in ((1, 0.0), (3, 5.0)))
    own = VacancyLevel(band=2, energy=level, occupation=occupation, degeneracy=1, characters={"O": (0.1, 0.2, 0, 0)})
    return SpinChannel(vbm=vbm, cbm=cbm, vbm_holes=0, cbm_electrons=0, levels=(own,))


@pytest.fixture
def levels(vacancies) -> VacancyDoc:
    """A vacancy with a level 2 eV above the VBM, filled with spin up and half filled with spin down."""
    up, down = ([-1.0, 0.0, level, 5.0, 6.0] for level in (2.0, 2.5))
    arrays = {
        "eigenvalue_energies": np.array([[up, up], [down, down]]),
        "eigenvalue_occupations": np.array([[[1, 1, 1, 0, 0]] * 2, [[1, 1, 0.5, 0, 0]] * 2], dtype=float),
        "eigenvalue_kpoints": np.array([[0.0, 0.0, 0.0], [0.5, 0.0, 0.0]]),
    }
    channels = (channel(2.0, 1.0), channel(2.5, 0.5))
    return vacancies.vacancy("MgO", "O1", 1, channels=channels, supercell_gap=5.0, arrays=sheet(1) | arrays)


def heights(axes, kind: str) -> list[float]:
    """Energies of the levels that are drawn as occupied, half occupied or empty."""
    (lines,) = [item for item in axes.collections if item.get_label() == f"_{kind}"]
    return sorted({round(float(path.vertices[0, 1]), 4) for path in lines.get_paths()})


def test_eigenvalues_are_by_spin_from_the_vbm_of_the_supercell(levels, vacancies) -> None:
    figure = drawn(draw_eigenvalues, load_eigenvalues(vacancies.store, levels), "Fm-3m")
    up, down = figure.axes
    assert [points(axes, "_own")[1].tolist() for axes in figure.axes] == [[2.0], [2.5]]
    assert (up.get_title(), down.get_title()) == ("spin up", "spin down")
    assert heights(up, "occupied")[-2:] == [0.0, 2.0]
    assert heights(up, "half occupied") == []
    assert heights(down, "half occupied") == [2.5]
    assert heights(down, "occupied")[-1] == 0.0
    assert heights(up, "empty")[0] == heights(down, "empty")[0] == 5.0
    for axes in figure.axes:
        (gap,) = axes.patches
        assert (gap.get_y(), gap.get_height()) == (0.0, 5.0)
        assert [text.get_text() for text in axes.get_xticklabels()] == ["Γ", "0.5, 0, 0"]
    assert [text.get_text() for text in down.get_legend().get_texts()] == [
        *("occupied", "half occupied", "empty", "level of the vacancy")
    ]


def test_states_are_named_by_their_occupation() -> None:
    occupations = np.array([[1.0, 0.95, 0.5], [0.11, 0.05, -0.01]])
    assert state_kinds(occupations).tolist() == [["occupied", "occupied", "half occupied"], ["half occupied", "empty", "empty"]]


def test_without_eigenvalues_there_is_a_reason(levels, vacancies) -> None:
    lost = levels.model_copy(update={"supercell_gap": None, "edge_reason": "perfect supercell: it has no band gap"})
    with pytest.raises(HibanaError, match=r"HIB-150.*perfect supercell: it has no band gap"):
        load_eigenvalues(vacancies.store, lost)
    with pytest.raises(HibanaError, match=r"HIB-150.*the document has no eigenvalues"):
        load_eigenvalues(vacancies.store, levels.model_copy(update={"arrays": {}}))


def test_the_gallery_has_a_file_for_each_vacancy_and_a_reason_for_each_that_is_missing(levels, vacancies, tmp_path) -> None:
    vacancies.relaxation("MgO")
    vacancies.summary("MgO", *states("O1", ENERGIES))
    vacancies.chemical_potentials("MgO")
    vacancies.vacancy("MgO", "O1", 2, arrays={}, addresses={}, status="unavailable", reason="vacancy: killed")
    gallery = draw_gallery(vacancies.store, tmp_path / "g")
    start = f"MgO_{material_id('MgO')}_"
    assert {path.name.removeprefix(start) for path in gallery.files} == {
        *("formation_energies.png", "chemical_potentials.png", "site_potentials_Va_O1_1.png", "eigenvalues_Va_O1_1.png")
    }
    about = f"MgO {material_id('MgO')}"
    assert gallery.without == {
        f"{about} site_potentials Va_O1_2": "vacancy: killed",
        f"{about} eigenvalues Va_O1_2": "vacancy: killed",
    }
    assert all(imread(path).std() > 0.05 for path in gallery.files)
    asked = draw_gallery(vacancies.store, tmp_path / "h", figures=["site_potentials", "bands"])
    assert [path.name for path in asked.files] == [f"{start}site_potentials_Va_O1_1.png"]
    assert asked.without[about] == "no electronic document"


def test_the_same_documents_give_the_same_files(levels, vacancies, tmp_path) -> None:
    vacancies.summary("MgO", *states("O1", ENERGIES))
    vacancies.chemical_potentials("MgO")
    contents = [
        {path.name: path.read_bytes() for path in draw_gallery(vacancies.store, tmp_path / name, file_format="svg").files}
        for name in ("a", "b")
    ]
    assert contents[0] == contents[1]
    assert len(contents[0]) == 4


@pytest.fixture
def recorded_pair(vacancies, recorded, tmp_path):
    """Puts recorded runs of a perfect supercell and of one with a defect into the store; gives their defect runs."""

    def put(perfect: str, defect: str) -> list[DefectRun]:
        found = []
        for case, address in ((perfect, "5" * 64), (defect, "7" * 64)):
            run, arrays = task_of(recorded, tmp_path / case, case, "defect")
            packed = {name: pack(array) for name, array in arrays.items()}
            run = run.model_copy(update={"address": address})
            assert vacancies.store.complete(run, packed, vacancies.store.claim(address, owner=Owner.here()))
            found.append(defect_run(run, vacancies.store.array))
        return found

    return put


def test_recorded_eigenvalues_are_drawn_as_they_were_printed(recorded_pair, vacancies) -> None:
    """The cadmium vacancy of CdTe with HSE06, q = -2."""
    perfect, defect = recorded_pair("CdTe_supercell_hse", "CdTe_v_Cd_q-2_hse")
    vbm = perfect.eigenvalues[perfect.occupations > 0.5].max()
    gap = perfect.eigenvalues[perfect.occupations < 0.5].min() - vbm
    diagram = eigenvalue_diagram(band_edge_outcome(perfect, defect, load_protocol("pbesol").defects), defect)
    arrays = {
        "eigenvalue_energies": diagram.energies,
        "eigenvalue_occupations": diagram.occupations,
        "eigenvalue_kpoints": diagram.kpoints,
    }
    vacancy = vacancies.vacancy("CdTe", "O1", 1, supercell_gap=diagram.gap, arrays=arrays)
    figure = drawn(draw_eigenvalues, load_eigenvalues(vacancies.store, vacancy), None)
    for axes, energies, occupations in zip(figure.axes, defect.eigenvalues, defect.occupations, strict=True):
        shown = np.round(energies - vbm, 4)
        near = (shown > -0.5) & (shown < gap + 0.5)
        for kind, chosen in (("occupied", occupations > 0.9), ("empty", occupations < 0.1)):
            assert set(np.unique(shown[near & chosen])) <= set(heights(axes, kind))
        (span,) = axes.patches
        assert span.get_height() == pytest.approx(gap)


def test_recorded_site_potentials_are_level_where_the_alignment_is_read(recorded_pair, vacancies) -> None:
    """Mg on Ga in GaN, q = -1: the line is the offset of the correction, and its title has the terms."""
    perfect, defect = recorded_pair("GaN_supercell", "GaN_Mg_Ga_q-1")
    rule = load_protocol("pbesol").defects
    correction = extended_fnv(-1, perfect, defect, 10.0 * np.eye(3), rule)
    table = correction.sheet
    arrays = {
        "sheet_distances": table.distances,
        "sheet_differences": table.differences,
        "sheet_point_charge": table.point_charge,
        "sheet_outside": table.outside,
    }
    fields = {"charge": 1, "sphere_radius": correction.radius, "sheet_elements": table.elements, "arrays": arrays}
    fields |= {"alignment_correction": correction.alignment, "correction": correction.total}
    vacancy = vacancies.vacancy("GaN", "O1", **fields)
    (axes,) = drawn(draw_site_potentials, load_site_potentials(vacancies.store, vacancy), None).axes
    assert points(axes, f"mean {correction.offset:.3f} V")[1] == pytest.approx([correction.offset] * 2, abs=1e-6)
    assert correction.alignment == pytest.approx(correction.offset)
    assert len(points(axes, "$V_\\mathrm{PC}$")[0]) == len(table.distances) == 31
    assert len(points(axes, "$\\Delta V$ Ga")[0]) == 15
    outside = table.distances > correction.radius
    assert np.ptp((table.differences - table.point_charge)[outside]) < np.ptp(table.differences - table.point_charge)
