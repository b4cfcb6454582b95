"""Figures of recorded VASP runs of MgO, read, stored and drawn."""

from __future__ import annotations

import dataclasses

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.image import imread
from recorded_runs import NOW, task_of

from hibana.core.errors import HibanaError
from hibana.documents.arrays import pack
from hibana.documents.properties import ElectronicDoc
from hibana.documents.task import TaskDoc
from hibana.report.band_dos import BandsAndDos, bands_and_dos, load_bands_and_dos
from hibana.report.bands_figure import draw_bands_and_dos
from hibana.report.canvas import style
from hibana.report.gallery import draw_gallery

GAP, VBM = 4.6597, 3.0663
"""Recorded gap and valence-band maximum of the band run, eV."""


@pytest.fixture(scope="module")
def runs(recorded, tmp_path_factory) -> dict[str, tuple[TaskDoc, dict[str, np.ndarray]]]:
    folder = tmp_path_factory.mktemp("runs")
    return {task: task_of(recorded, folder / task, f"MgO_{task}_pbesol", task) for task in ("band", "dos")}


@pytest.fixture(scope="module")
def electronic(runs) -> ElectronicDoc:
    band = runs["band"][0]
    return ElectronicDoc(
        material_id="hib-0",
        formula="MgO",
        elements=("Mg", "O"),
        calculator="vasp",
        calculator_version="5.4.4",
        protocol="pbesol",
        protocol_version=1,
        status="complete",
        addresses={task: runs[task][0].address for task in ("band", "dos")},
        built_with="0.1.0",
        built_at=NOW,
        gap_class="gapped",
        band_gap_pbesol=band.edges.band_gap,
        is_gap_direct=band.edges.is_direct,
        vbm=band.edges.vbm,
        band_gap_hse06_nsc=6.57,
    )


@pytest.fixture(scope="module")
def data(runs, electronic) -> BandsAndDos:
    arrays = {doc.arrays[name].sha256: array for doc, named in runs.values() for name, array in named.items()}
    return bands_and_dos(electronic, "Fm-3m", runs["band"][0], runs["dos"][0], lambda ref: arrays[ref.sha256])


@pytest.fixture
def axes(data):
    """Axes of the drawn figure: bands, density of states."""
    with style():
        figure = draw_bands_and_dos(data)
    return figure.axes


def curves(axis) -> list[tuple[np.ndarray, np.ndarray]]:
    """Points of every line with more than two points."""
    return [(line.get_xdata(), line.get_ydata()) for line in axis.lines if len(line.get_xdata()) > 5]


def test_bands_have_the_recorded_gap_at_gamma(axes) -> None:
    energies = np.concatenate([y for _, y in curves(axes[0])])
    assert energies[energies < 1.0].max() == pytest.approx(0.0, abs=1e-3)
    assert energies[energies > 1.0].min() == pytest.approx(GAP, abs=1e-3)
    gammas = [tick.get_position()[0] for tick in axes[0].get_xticklabels() if tick.get_text() == "Γ"]
    for edge in (0.0, GAP):
        (marks,) = [line for line in axes[0].lines if line.get_marker() == "o" and abs(line.get_ydata()[0] - edge) < 1e-3]
        assert all(min(abs(x - gamma) for gamma in gammas) < 0.05 for x in marks.get_xdata())


def test_the_path_is_labelled_and_broken_at_the_joint(axes, data) -> None:
    labels = [tick.get_text() for tick in axes[0].get_xticklabels()]
    assert labels == ["Γ", "X", "U|K", "Γ", "L", "W", "X"]
    joint = axes[0].get_xticks()[2]
    for x, _ in curves(axes[0]):
        assert not x.min() < joint - 1e-6 < joint + 1e-6 < x.max(), "a line crosses the joint"
    assert axes[0].get_xlim() == pytest.approx((0.0, data.path.distances[-1]))


def test_distances_are_those_of_the_reciprocal_lattice(axes) -> None:
    """In an fcc crystal of lattice constant a, |ΓX| is 2π/a and |ΓL| is √3 π/a."""
    a = 2 * 2.104833
    ticks = axes[0].get_xticks()
    assert ticks[1] == pytest.approx(2 * np.pi / a, rel=1e-4)
    assert ticks[4] - ticks[3] == pytest.approx(np.sqrt(3) * np.pi / a, rel=1e-4)


def test_all_bands_are_drawn_on_every_branch(axes, data) -> None:
    assert len(curves(axes[0])) == data.bands.shape[2] * len(data.path.branches)


def test_the_window_shows_valence_and_conduction_bands(axes) -> None:
    low, high = axes[0].get_ylim()
    assert low == -8.0
    assert high == pytest.approx(GAP + 5.0, abs=1e-3)
    assert axes[1].get_ylim() == (low, high)
    assert axes[0].get_ylabel() == "Energy − VBM (eV)"


def test_the_density_of_states_counts_the_electrons(data) -> None:
    """Mg 3s and O 2s 2p: 8 electrons below the gap (the recorded run integrates to 8.0)."""
    dos = data.dos
    below = dos.energies < GAP / 2
    assert np.trapezoid(dos.total[0, below], dos.energies[below]) == pytest.approx(8.0, abs=0.05)
    in_gap = (dos.energies > 0.3) & (dos.energies < GAP - 0.3)
    assert dos.total[0, in_gap].max() < 1e-3


def test_the_valence_band_is_made_of_oxygen(axes, data) -> None:
    labels = [text.get_text() for text in axes[1].get_legend().get_texts()]
    assert labels == ["total", "Mg", "O"]
    valence = (data.dos.energies > -6) & (data.dos.energies < 0.1)
    weight = {element: density[0, valence].sum() for element, density in data.dos.by_element.items()}
    assert weight["O"] > 5 * weight["Mg"]
    assert sum(weight.values()) <= data.dos.total[0, valence].sum()


def test_title_and_source_say_what_it_is(axes) -> None:
    figure = axes[0].figure
    title = figure.get_suptitle()
    assert title.startswith("MgO (Fm")
    assert "PBEsol gap 4.66 eV (direct)" in title
    assert "HSE06@PBEsol gap 6.57 eV" in title
    assert "vasp 5.4.4, protocol pbesol version 1" in figure.get_supxlabel()


def test_a_metal_is_drawn_from_the_fermi_level(runs, electronic) -> None:
    band, arrays = runs["band"]
    metal = electronic.model_copy(update={"gap_class": "metal", "band_gap_pbesol": 0.0, "vbm": None})
    data = bands_and_dos(metal, "Fm-3m", band, None, lambda ref: next(a for n, a in arrays.items() if band.arrays[n] == ref))
    with style():
        figure = draw_bands_and_dos(data)
    (bands,) = figure.axes
    assert "E_" in bands.get_ylabel()
    assert bands.get_ylim() == (-8.0, 5.0)
    assert figure.get_suptitle().endswith("metal")
    valence = max(y.max() for _, y in curves(bands) if y.max() < 1.0)
    assert valence == pytest.approx(VBM - band.edges.efermi, abs=1e-3)


def test_both_spins_are_drawn(data) -> None:
    dos = data.dos
    polarised = BandsAndDos(
        data.electronic,
        data.space_group_symbol,
        data.path,
        np.concatenate([data.bands, data.bands + 0.3]),
        type(dos)(dos.energies, np.repeat(dos.total, 2, axis=0), {e: np.repeat(d, 2, axis=0) for e, d in dos.by_element.items()}),
    )
    with style():
        bands, density = draw_bands_and_dos(polarised).axes
    assert [text.get_text() for text in bands.get_legend().get_texts()] == ["up", "down"]
    assert len(curves(bands)) == 2 * len(data.path.branches) * data.bands.shape[2]
    low, high = density.get_xlim()
    assert low == -high
    left = [x.min() for x, _ in curves(density)]
    assert min(left) < 0


def test_the_style_of_the_process_is_left_alone(data) -> None:
    before = dict(mpl.rcParams)
    with style():
        draw_bands_and_dos(data)
        assert mpl.rcParams["font.size"] == 9
    assert dict(mpl.rcParams) == before


@pytest.fixture
def filled(store, runs, electronic):
    """A store with both runs and the claim about them."""
    from hibana.store.owner import Owner

    for doc, arrays in runs.values():
        claim = store.claim(doc.address, owner=Owner.here())
        assert store.complete(doc, {name: pack(array) for name, array in arrays.items()}, claim)
    store.put_property(electronic)
    return store


def test_a_figure_is_drawn_from_the_store(filled, tmp_path) -> None:
    (path,) = draw_gallery(filled, tmp_path / "figures").files
    picture = imread(path)
    assert picture.shape == (1200, 1890, 4)
    assert picture.std() > 0.1
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("kind", ["png", "pdf", "svg"])
def test_the_same_results_give_the_same_file(filled, tmp_path, monkeypatch, kind) -> None:
    files = []
    for second in ("1", "100000"):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", second)
        files.append(draw_gallery(filled, tmp_path / second, file_format=kind).files[0].read_bytes())
    assert files[0] == files[1]


def test_float32_keeps_the_gap(filled, electronic) -> None:
    data = load_bands_and_dos(filled, electronic, "Fm-3m")
    assert data.bands[data.bands > 1.0].min() == pytest.approx(GAP, abs=1e-3)


def test_gallery_of_the_store(filled, electronic, tmp_path) -> None:
    other = electronic.model_copy(update={"material_id": "hib-1", "formula": "CaO", "addresses": {}, "reason": "band: killed"})
    filled.put_property(other)
    gallery = draw_gallery(filled, tmp_path / "g", file_format="svg")
    assert [path.name for path in gallery.files] == ["MgO_hib-0.svg"]
    assert gallery.without == {"CaO hib-1": "no band run; band: killed"}
    chosen = draw_gallery(filled, tmp_path / "h", materials=["hib-0"])
    assert [path.name for path in chosen.files] == ["MgO_hib-0.png"]
    assert chosen.without == {}
    with pytest.raises(HibanaError, match="HIB-153"):
        draw_gallery(filled, tmp_path / "i", materials=["MgO", "no such"])
    assert not (tmp_path / "i").exists(), "a wrong name is told before anything is drawn"


def test_what_cannot_be_drawn_has_a_reason(filled, electronic, tmp_path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HibanaError, match="HIB-152"):
        draw_gallery(filled, tmp_path / "file")
    filled.put_property(electronic.model_copy(update={"addresses": {"band": electronic.addresses["dos"]}}))
    gallery = draw_gallery(filled, tmp_path / "g")
    assert gallery.files == []
    assert "no band path" in gallery.without["MgO hib-0"]
    with pytest.raises(HibanaError, match=r"HIB-155.*band_dos; there are: bands"):
        draw_gallery(filled, tmp_path / "g", figures=["band_dos"])


def test_all_hybrid_gaps_are_named(data) -> None:
    claimed = data.electronic.model_copy(update={"band_gap_ddh_nsc": 7.9})
    with style():
        figure = draw_bands_and_dos(dataclasses.replace(data, electronic=claimed))
    assert figure.get_suptitle().endswith("HSE06@PBEsol gap 6.57 eV, dd-hybrid@PBEsol gap 7.90 eV")
