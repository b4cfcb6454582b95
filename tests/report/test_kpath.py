from __future__ import annotations

import numpy as np
import pytest
import seekpath
from pymatgen.core import Lattice, Structure

from hibana.core.errors import HibanaError
from hibana.documents.crystal import Crystal
from hibana.report.kpath import band_path, pretty_label

CRYSTALS = {
    "rock salt": Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.21), ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]]),
    "wurtzite": Structure.from_spacegroup(
        "P6_3mc", Lattice.hexagonal(3.24, 5.24), ["Zn", "O"], [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0.379]]
    ),
    "baddeleyite": Structure.from_spacegroup(
        "P2_1/c",
        Lattice.monoclinic(5.15, 5.21, 5.32, 99.2),
        ["Zr", "O", "O"],
        [[0.275, 0.04, 0.208], [0.07, 0.332, 0.345], [0.45, 0.757, 0.479]],
    ),
    "anatase": Structure.from_spacegroup("I4_1/amd", Lattice.tetragonal(3.78, 9.51), ["Ti", "O"], [[0, 0, 0], [0, 0, 0.208]]),
    "corundum": Structure.from_spacegroup("R-3c", Lattice.hexagonal(4.76, 12.99), ["Al", "O"], [[0, 0, 0.352], [0.306, 0, 0.25]]),
}


def primitive(structure: Structure) -> tuple[Crystal, tuple]:
    """Primitive cell as hibana and as seekpath take it."""
    cell = structure.get_primitive_structure()
    crystal = Crystal(
        lattice=cell.lattice.matrix.tolist(), species=[str(s) for s in cell.species], frac_coords=cell.frac_coords.tolist()
    )
    return crystal, (cell.lattice.matrix.tolist(), cell.frac_coords.tolist(), [s.Z for s in cell.species])


@pytest.mark.parametrize("name", CRYSTALS)
def test_labels_and_distances_are_those_of_the_path_maker(name: str) -> None:
    crystal, cell = primitive(CRYSTALS[name])
    made = seekpath.get_explicit_k_path_orig_cell(cell, symprec=0.01, angle_tolerance=0.3, reference_distance=0.1)
    kpoints = np.array(made["explicit_kpoints_rel"]).round(6)

    path = band_path(crystal, kpoints)

    wanted = made["explicit_kpoints_linearcoord"]
    assert path.distances == pytest.approx(wanted, abs=1e-4)
    labels: dict[float, list[str]] = {}
    for distance, label in zip(wanted, made["explicit_kpoints_labels"], strict=True):
        if label:
            labels.setdefault(round(distance, 4), []).append(pretty_label(label))
    assert [label for _, label in path.ticks] == ["|".join(items) for items in labels.values()]
    assert [distance for distance, _ in path.ticks] == pytest.approx(list(labels), abs=1e-3)


@pytest.mark.parametrize("name", CRYSTALS)
def test_branches_cover_the_path_and_have_no_jump(name: str) -> None:
    crystal, cell = primitive(CRYSTALS[name])
    made = seekpath.get_explicit_k_path_orig_cell(cell, symprec=0.01, angle_tolerance=0.3, reference_distance=0.05)
    kpoints = np.array(made["explicit_kpoints_rel"])

    path = band_path(crystal, kpoints)

    covered = [index for branch in path.branches for index in range(*branch.indices(len(kpoints)))]
    assert covered == list(range(len(kpoints)))
    reciprocal = 2 * np.pi * np.linalg.inv(np.array(crystal.lattice)).T
    for branch in path.branches:
        steps = np.linalg.norm(np.diff(kpoints[branch] @ reciprocal, axis=0), axis=1)
        assert steps.max() < 0.1
        assert path.distances[branch][-1] - path.distances[branch][0] == pytest.approx(steps.sum())


def test_the_path_of_a_spin_polarised_run_without_inversion() -> None:
    """vise lists the inverted path too; its labels are primed."""
    crystal, cell = primitive(CRYSTALS["wurtzite"])
    made = seekpath.get_explicit_k_path_orig_cell(cell, with_time_reversal=False, reference_distance=0.1)
    path = band_path(crystal, np.array(made["explicit_kpoints_rel"]))
    written = [pretty_label(label) for label in made["explicit_kpoints_labels"] if label]
    assert [part for _, label in path.ticks for part in label.split("|")] == written
    assert any("'" in label for label in written)
    assert path.distances == pytest.approx(made["explicit_kpoints_linearcoord"], abs=1e-4)


def test_a_recorded_band_run_has_the_labels_of_its_kpoints_file(recorded) -> None:
    inputs = recorded / "vasp_runs" / "MgO_band_pbesol" / "inputs"
    structure = Structure.from_file(inputs / "POSCAR")
    crystal = Crystal(
        lattice=structure.lattice.matrix.tolist(),
        species=[str(s) for s in structure.species],
        frac_coords=structure.frac_coords.tolist(),
    )
    lines = [line.split() for line in (inputs / "KPOINTS").read_text().splitlines()[3:]]
    on_path = [line for line in lines if line[3] == "0"]
    kpoints = np.array([[float(x) for x in line[:3]] for line in on_path])

    path = band_path(crystal, kpoints)

    written = [pretty_label(line[4]) for line in on_path if len(line) > 4]
    assert [part for _, label in path.ticks for part in label.split("|")] == written
    assert [label for _, label in path.ticks if "|" in label] == ["U|K"]


@pytest.mark.parametrize("spoil", ["reversed", "cut", "longer", "mesh"])
def test_other_kpoints_are_refused(spoil: str) -> None:
    crystal, cell = primitive(CRYSTALS["rock salt"])
    kpoints = np.array(seekpath.get_explicit_k_path_orig_cell(cell, reference_distance=0.1)["explicit_kpoints_rel"])
    spoilt = {
        "reversed": kpoints[::-1],
        "cut": kpoints[:-3],
        "longer": np.vstack([kpoints, [[0.1, 0.2, 0.3]]]),
        "mesh": np.stack(np.meshgrid(*[np.linspace(0, 0.5, 4)] * 3), axis=-1).reshape(-1, 3),
    }[spoil]
    with pytest.raises(HibanaError, match="HIB-151"):
        band_path(crystal, spoilt)
