"""Figures of spectra and phonons: what is plotted is what the documents say."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest
from matplotlib.image import imread
from recorded_runs import task_of

from bulk_results import ENERGIES, oscillator, spectra
from hibana.core.errors import HibanaError
from hibana.documents.arrays import pack
from hibana.documents.candidate import Material
from hibana.documents.dielectric import PhononDoc
from hibana.documents.dispersion import DispersionDoc
from hibana.documents.optics import OpticsDoc
from hibana.documents.properties import RelaxationDoc
from hibana.properties.dielectric import build_dielectric
from hibana.properties.evidence import Evidence
from hibana.properties.optics import build_optics
from hibana.properties.phonon import build_phonon
from hibana.protocol.protocol import load_protocol
from hibana.report.absorption_figure import draw_absorption
from hibana.report.canvas import style
from hibana.report.dielectric_figure import component_groups, draw_dielectric_function
from hibana.report.dispersion_figure import Dispersion, draw_dispersion
from hibana.report.figures import FIGURES
from hibana.report.gallery import draw_gallery
from hibana.report.gamma_figure import draw_gamma_modes, sticks
from hibana.report.spectra import Absorption, DielectricFunction, load_absorption
from hibana.store.owner import Owner
from hibana.tables.export import export
from results import NOON, SERIES, material_id

HEAD = {
    "material_id": "hib-0",
    "formula": "ZnO",
    "elements": ("O", "Zn"),
    "calculator_version": "6.4.2",
    "status": "complete",
    "built_with": "0.1.0",
    "built_at": NOON,
    **SERIES,
}


def optics(**fields) -> OpticsDoc:
    values = {"gap_source": "ddh_nsc", "scissor_shift": 1.5, "gap_used": 3.0, "direct_gap": 3.4, "onset": 3.6}
    return OpticsDoc(**HEAD | values | {"epsilon_zero_average": 3.5} | fields)


def function(anisotropy: float = 0.0, **fields) -> DielectricFunction:
    arrays = spectra(anisotropy=anisotropy)
    return DielectricFunction(optics(**fields), arrays["energy"], arrays["epsilon_real"], arrays["epsilon_imag"])


def labels(axes) -> list[str]:
    """What the legend names."""
    return [text.get_text() for text in axes.get_legend().get_texts()]


def curve(axes, label: str):
    """Points of the line of a label."""
    (line,) = [line for line in axes.lines if line.get_label() == label]
    return np.asarray(line.get_xdata(), dtype=float), np.asarray(line.get_ydata(), dtype=float)


def drawn(make, *arguments):
    with style():
        return make(*arguments)


def test_both_parts_of_the_dielectric_function_are_drawn_by_component() -> None:
    figure = drawn(draw_dielectric_function, function(anisotropy=0.5), "P6_3mc")
    real, imag = figure.axes
    assert labels(real) == ["xx = yy", "zz", "direct gap"]
    wanted = oscillator(ENERGIES)
    for axes, part in ((real, wanted.real), (imag, wanted.imag)):
        energies, values = curve(axes, "xx = yy")
        assert energies == pytest.approx(ENERGIES)
        assert values == pytest.approx(part)
        assert curve(axes, "direct gap")[0].tolist() == [3.4, 3.4]
    assert (real.get_ylabel(), imag.get_ylabel(), imag.get_xlabel()) == ("Re ε", "Im ε", "Photon energy (eV)")
    assert figure.get_suptitle().endswith("ε(0) = 3.50 before the shift, shifted by 1.50 eV to the dd-hybrid gap")
    assert "vasp 6.4.2, protocol pbesol version 1" in figure.get_supxlabel()


def test_the_legend_of_the_dielectric_function_covers_no_curve() -> None:
    figure = drawn(draw_dielectric_function, function(anisotropy=0.5), "P6_3mc")
    real = figure.axes[0]
    figure.canvas.draw()
    legend = real.get_legend().get_window_extent()
    assert legend.y0 >= real.get_window_extent().y1
    (title,) = [text for text in figure.texts if text.get_text() == figure.get_suptitle()]
    assert legend.y1 <= title.get_window_extent().y0


def test_components_are_joined_by_symmetry_and_off_diagonal_ones_are_drawn_where_they_are() -> None:
    assert component_groups(function()) == [[0, 1, 2]]
    skew = function(anisotropy=0.5)
    skew.real[:, 5] = 0.3
    assert component_groups(skew) == [[0, 1], [2], [5]]
    skew.real[1200:] = skew.imag[1200:] = np.nan
    assert component_groups(skew) == [[0, 1], [2], [5]]


def absorption(**fields) -> Absorption:
    return Absorption(optics(**fields), ENERGIES, spectra()["log10_absorption"], None)


def test_absorption_is_drawn_with_its_gaps_and_onset() -> None:
    unshifted = (ENERGIES[:100], np.full(100, 4.5))
    data = Absorption(optics(), ENERGIES, spectra()["log10_absorption"], unshifted)
    (axes,) = drawn(draw_absorption, data, None).axes
    energies, values = curve(axes, "shifted to the dd-hybrid gap")
    assert energies == pytest.approx(ENERGIES)
    assert values == pytest.approx(spectra()["log10_absorption"])
    assert curve(axes, "PBEsol, as calculated")[1].tolist() == [4.5] * 100
    assert curve(axes, "fundamental gap 3.00 eV")[0].tolist() == [3.0, 3.0]
    assert curve(axes, "direct gap 3.40 eV")[0].tolist() == [3.4, 3.4]
    assert [float(x[0]) for x in curve(axes, "onset 3.60 eV")] == [3.6, 4.0]
    assert axes.get_ylim()[0] == 2.0
    assert axes.get_xlim() == (0.0, 15.0)


def test_what_is_not_known_is_not_marked() -> None:
    data = absorption(gap_source="none", scissor_shift=0.0, gap_used=None, direct_gap=None, onset=None)
    figure = drawn(draw_absorption, data, None)
    assert labels(figure.axes[0]) == ["PBEsol"]
    assert figure.get_suptitle().endswith("PBEsol spectrum, not shifted")


def phonon(**fields) -> PhononDoc:
    values = {
        "source": "force_constants",
        "frequencies": (-2.0, 0.0, 0.0, 0.0, 3.0, 3.001, 8.0, 8.0, 12.0),
        "frequencies_raw": (-2.0, -0.1, 0.05, 0.05, 3.0, 3.0, 8.0, 8.0, 12.0),
        "n_imaginary": 1,
        "is_stable": False,
        "threshold": -0.3,
    }
    return PhononDoc(**HEAD | values | fields)


def test_modes_are_sticks_as_high_as_they_are_many() -> None:
    found = {kind: list(zip(*map(list, sizes), strict=True)) for kind, sizes in sticks(phonon()).items()}
    assert found == {
        "optical": [(pytest.approx(3.0005), 2), (8.0, 2), (12.0, 1)],
        "acoustic": [(0.0, 3)],
        "imaginary": [(-2.0, 1)],
    }
    printed = phonon(
        source="printed", frequencies=(-0.2, -0.1, 0.05, 0.3, 4.0, 5.0), acoustic_frequencies=(-0.2, -0.1, 0.05), is_stable=True
    )
    assert sum(sticks(printed)["acoustic"][1]) == 3
    assert sticks(printed)["optical"][0].tolist() == [0.3, 4.0, 5.0]
    assert len(sticks(printed)["imaginary"][0]) == 0


def test_the_stick_figure_shows_threshold_raw_modes_and_verdict() -> None:
    figure = drawn(draw_gamma_modes, phonon(), "P6_3mc")
    (axes,) = figure.axes
    assert labels(axes) == ["optical", "acoustic", "imaginary", "without the sum rule", "threshold -0.3 THz"]
    heights = {round(path.vertices[0, 0], 2): path.vertices[1, 1] for lines in axes.collections for path in lines.get_paths()}
    assert heights == {-2.0: 1.0, 0.0: 3.0, 3.0: 2.0, 8.0: 2.0, 12.0: 1.0}
    assert sorted(curve(axes, "without the sum rule")[0]) == sorted(phonon().frequencies_raw)
    assert axes.get_xlim()[0] < -2.0 < 12.0 < axes.get_xlim()[1]
    assert figure.get_suptitle().endswith("phonons at Γ: unstable, imaginary modes: 1")
    with pytest.raises(HibanaError, match=r"HIB-150.*dielectric: killed"):
        draw_gamma_modes(phonon(frequencies=None, reason="dielectric: killed"), None)


def dispersion(**fields) -> DispersionDoc:
    values = {
        "path_labels": ("GAMMA", "X", "X", "U", "K", "GAMMA"),
        "path_indices": (0, 4, 5, 7, 8, 12),
        "min_frequency": -0.5,
        "is_stable": False,
        "has_nac": True,
    }
    return DispersionDoc(**HEAD | values | fields)


def test_the_dispersion_is_drawn_by_segments_and_labelled() -> None:
    distances = np.array([0, 1, 2, 3, 4, 4, 5, 6, 6, 7, 8, 9, 10], dtype=np.float32)
    frequencies = np.stack([np.linspace(-0.5, 3, 13), np.linspace(4, 9, 13)], axis=1)
    density = (np.linspace(-1, 10, 50), np.ones(50))
    data = Dispersion(dispersion(), distances, frequencies, density)
    figure = drawn(draw_dispersion, data, None)
    axes, dos = figure.axes
    assert [(tick, text.get_text()) for tick, text in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)] == [
        *((0.0, "Γ"), (4.0, "X"), (6.0, "U|K"), (10.0, "Γ"))
    ]
    lines = [line for line in axes.lines if line.get_color() == "0.1"]
    assert len(lines) == 3 * 2, "three segments of two bands"
    assert {len(line.get_xdata()) for line in lines} == {5, 3}
    ends = sorted({float(line.get_xdata()[0]) for line in lines})
    assert ends == [0.0, 4.0, 6.0]
    assert axes.get_ylim()[0] < -0.5
    assert axes.get_ylim()[1] > 9
    assert axes.get_ylabel() == "Frequency (THz), imaginary ones negative"
    assert dos.get_xlabel() == "DOS (states/THz)"
    assert figure.get_suptitle().endswith("phonons: unstable, lowest frequency -0.50 THz, with LO-TO splitting")
    assert len(drawn(draw_dispersion, Dispersion(dispersion(), distances, frequencies, None), None).axes) == 1


def test_the_gallery_draws_what_there_is_and_names_what_is_missing(bulk, names, tmp_path) -> None:
    """MgO has all but a band run, ZnO has only unavailable properties, Al was never asked for more than the relaxation."""
    for formula in ("MgO", "ZnO", "Al"):
        bulk.relaxation(formula)
    bulk.optics("MgO")
    bulk.phonon("MgO")
    bulk.electronic("MgO", addresses={}, reason="band: killed", status="unavailable")
    path = {"distances": np.arange(3.0), "frequencies": np.ones((3, 6))}
    bulk.put(DispersionDoc, "MgO", path, path_labels=("GAMMA", "X"), path_indices=(0, 2))
    bulk.put(OpticsDoc, "ZnO", status="unavailable", reason="dielectric_function: walltime")
    bulk.put(PhononDoc, "ZnO", status="unavailable", reason="dielectric: killed")
    gallery = draw_gallery(bulk.store, tmp_path / "g")
    mgo, zno = names("MgO"), names("ZnO")
    assert {path.name for path in gallery.files} == {
        f"MgO_{mgo}_{name}.png" for name in ("dielectric_function", "absorption", "gamma_modes", "dispersion")
    }
    assert {path.name for path in (tmp_path / "g").iterdir()} == {path.name for path in gallery.files}
    assert gallery.without == {
        f"MgO {mgo}": "no band run; band: killed",
        f"ZnO {zno} dielectric_function": "dielectric_function: walltime",
        f"ZnO {zno} absorption": "dielectric_function: walltime",
        f"ZnO {zno} gamma_modes": "dielectric: killed",
    }
    assert imread(gallery.files[0]).std() > 0.05
    asked = draw_gallery(bulk.store, tmp_path / "h", figures=["gamma_modes", "dispersion"], materials=["ZnO"])
    assert asked.files == []
    assert asked.without[f"ZnO {zno} dispersion"] == "no dispersion document"


@pytest.mark.parametrize("file_format", ["png", "pdf", "svg"])
def test_the_same_documents_give_the_same_file(bulk, tmp_path, file_format) -> None:
    bulk.optics("MgO")
    contents = []
    for folder in ("a", "b"):
        files = draw_gallery(bulk.store, tmp_path / folder, file_format=file_format).files
        contents.append({path.name: path.read_bytes() for path in files})
    assert contents[0] == contents[1]
    assert len(contents[0]) == 2


@pytest.fixture
def recorded_results(store, recorded, tmp_path):
    """A store with the recorded optics run of MgSe and dielectric run of NaCl, and the documents made from them."""
    protocol = load_protocol("pbesol")
    for case, task, formula, builders in (
        ("MgSe_optics_pbe", "dielectric_function", "MgSe", (build_optics,)),
        ("NaCl_2_dielectric", "dielectric", "NaCl", (build_dielectric, build_phonon)),
    ):
        run, arrays = task_of(recorded, tmp_path / case, case, task)
        run = run.model_copy(update={"address": formula[0].lower() * 64, "material_id": material_id(formula)})
        packed = {name: pack(array) for name, array in arrays.items()}
        assert store.complete(run, packed, store.claim(run.address, owner=Owner.here()))
        name = material_id(formula)
        about = Material(material_id=name, structure_key=name, formula=formula, elements=("X",), space_group_number=225)
        evidence = Evidence(material=about, protocol=protocol, tasks={task: run}, built_at=NOON, array=store.array)
        for build in builders:
            built = build(evidence)
            store.put_property(built.document, built.arrays)
        store.put_property(RelaxationDoc(**evidence.head(task), status="complete"))
    return store


def test_recorded_runs_become_tables_and_figures(recorded_results, tmp_path) -> None:
    """NaCl by DFPT: the tensor VASP printed; rock salt is isotropic and has three acoustic modes at 0."""
    export(recorded_results, "dielectric", tmp_path / "d")
    (salt,) = pq.read_table(tmp_path / "d" / "dielectric.parquet").to_pylist()
    assert salt["epsilon_electronic_xx"] == pytest.approx(2.52448471, abs=1e-6)
    assert salt["epsilon_electronic_eigenvalues_1"] == pytest.approx(salt["epsilon_electronic_eigenvalues_3"])
    assert salt["epsilon_static_average"] == pytest.approx(salt["epsilon_electronic_average"] + salt["epsilon_ionic_average"])
    export(recorded_results, "phonon_gamma", tmp_path / "p")
    (salt,) = pq.read_table(tmp_path / "p" / "phonon_gamma.parquet").to_pylist()
    assert len(salt["frequencies"]) == 24
    assert salt["frequencies"][:3] == [0.0, 0.0, 0.0]
    assert sum(salt["spectrum"]) * 0.5 == pytest.approx(1.0, abs=1e-5)
    gallery = draw_gallery(recorded_results, tmp_path / "g")
    assert gallery.without == {}
    assert {path.stem.split("_", 2)[2] for path in gallery.files} == {"dielectric_function", "absorption", "gamma_modes"}


def test_the_spectrum_without_shift_is_made_from_the_run(recorded_results, tmp_path) -> None:
    """The document of MgSe is not shifted, so what is drawn as the spectrum before a shift has to be what it says."""
    export(recorded_results, "optical_absorption", tmp_path, include_flagged=True)
    (row,) = pq.read_table(tmp_path / "optical_absorption.parquet").to_pylist()
    (document,) = recorded_results.properties(OpticsDoc)
    assert load_absorption(recorded_results, document).as_calculated is None
    data = load_absorption(recorded_results, document.model_copy(update={"scissor_shift": 1.0}))
    energies, values = data.as_calculated
    assert data.shifted.tolist() == row["log10_absorption"]
    above = data.energies > row["onset"]
    assert np.interp(data.energies, energies, values)[above] == pytest.approx(data.shifted[above], abs=5e-3)
    assert values.min() == 2.0


def test_help_of_the_command_line_names_all_figures_tables_and_collections() -> None:
    from hibana.cli import export, figures, query
    from hibana.store.indexes import COLLECTIONS
    from hibana.tables.registry import TABLES

    assert tuple(FIGURES) == figures.FIGURES
    assert tuple(TABLES) == export.TABLES
    assert sorted(query.COLLECTIONS) == sorted(COLLECTIONS)
