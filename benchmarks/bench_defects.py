"""Analysis of defects: hibana against pydefect, over recorded supercells; supercells of published hosts.

Run ``python benchmarks/bench_defects.py``; the numbers are also written to ``benchmarks/results/defects.json``. Both analyse the
same runs: the extended FNV correction, the comparison of the structures, the states around the gap and where the electrons are,
and the formation energy. hibana begins with the packed arrays of a store, pydefect with objects in memory (its own results and
pymatgen's ``Vasprun``). KInO2 was recorded without its states. The time is the smallest CPU time of the repetitions; pydefect is
run once. Recorded runs are no part of the repository; ``HIBANA_RECORDED`` names their folder. Read the ratios.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
RECORDED = Path(os.environ.get("HIBANA_RECORDED", HERE.parents[1] / "shared"))
HOSTS = RECORDED / "ml_data" / "oxygen_vacancy_formation" / "structures.jsonl.gz"
REPEATS = 5
EVERY = 12
"""Of the published hosts every so many are taken."""

GAN, CDTE = np.diag([9.28, 9.28, 10.1]), 10.3 * np.eye(3)
CASES = (
    *(("GaN_supercell", f"GaN_Mg_Ga_q{charge:+d}", charge, GAN, {"Ga": 1, "Mg": -1}) for charge in (0, 1, -1, -2)),
    ("CdTe_supercell_hse", "CdTe_v_Cd_q-2_hse", -2, CDTE, {"Cd": 1}),
)
"""Perfect cell, defect, charge, static dielectric tensor and atoms removed."""

ZEROS = {"Ga": -3.3, "Mg": -1.7, "Cd": -0.9, "O": -5.1}
EDGE_ENERGIES = (0.5, 3.0)


@dataclass
class Defect:
    """One recorded defect in both forms; ``states`` is None where they were not recorded."""

    name: str
    charge: int
    epsilon: np.ndarray
    removed: dict[str, int]
    ours: Callable[[], Any]
    perfect: Any
    start: Any
    their_results: tuple[Any, Any]
    their_cells: tuple[Any, Any, Any]
    states: tuple[Any, Any] | None


def timed(function: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """Smallest CPU time in seconds, and the result."""
    best = np.inf
    for _ in range(repeats):
        began = time.process_time()
        result = function()
        best = min(best, time.process_time() - began)
    return float(best), result


def pydefect(module: str, name: str) -> Any:
    """A name of pydefect."""
    from hibana.defects.binding import pydefect_module

    return getattr(pydefect_module(module), name)


def run_of(case: str) -> Callable[[], Any]:
    """Makes the run of a recorded case from packed arrays, as they come from a store."""
    from hibana.defects.run import defect_run
    from hibana.documents.arrays import pack, unpack
    from hibana.vasp.reader import read_run

    with tempfile.TemporaryDirectory() as scratch:
        for part in ("inputs", "outputs"):
            for path in (RECORDED / "vasp_runs" / case / part).iterdir():
                if path.is_file() and not path.name.startswith(("LOCPOT", "POTCAR")):
                    shutil.copy(path, scratch)
        run, arrays = read_run(Path(scratch))
    packed = {run.arrays[name].sha256: pack(array) for name, array in arrays.items()}
    return lambda: defect_run(run, lambda ref: unpack(packed[ref.sha256]))


def vasprun_of(case: str) -> Any:
    """The recorded vasprun.xml as pymatgen reads it, with projections."""
    from pymatgen.io.vasp import Vasprun

    path = RECORDED / "vasp_runs" / case / "outputs" / "vasprun.xml.gz"
    return Vasprun(path, parse_projected_eigen=True, parse_potcar_file=False, parse_dos=False)


def from_runs() -> Iterator[Defect]:
    """Recorded defects with all files."""
    from hibana.structures.convert import to_pymatgen

    results = pydefect("analyzer.calc_results", "CalcResults")
    for whole, case, charge, epsilon, removed in CASES:
        make, perfect = run_of(case), run_of(whole)()
        run = make()
        start = run.initial if len(run.crystal.species) == len(perfect.crystal.species) else without(perfect.crystal, run.crystal)
        cells = tuple(to_pymatgen(cell.model_copy(update={"magmoms": None})) for cell in (perfect.crystal, start, run.crystal))
        theirs = tuple(
            results(cell, found.energy, 0.0, found.site_potentials.tolist(), True, True)
            for cell, found in ((cells[2], run), (cells[0], perfect))
        )
        states = vasprun_of(whole), vasprun_of(case)
        yield Defect(case, charge, epsilon, removed, make, perfect, start, theirs, cells, states)


def from_results() -> Iterator[Defect]:
    """The oxygen vacancy of KInO2, of which pydefect's results were recorded."""
    from hibana.defects.run import DefectRun
    from hibana.structures.convert import from_pymatgen

    folder = RECORDED / "vasp_runs" / "KInO2_Va_O_2" / "outputs" / "pydefect"
    results = pydefect("analyzer.calc_results", "CalcResults")
    perfect, defect = (
        results.from_dict(json.loads((folder / f"{name}.json").read_text())) for name in ("perfect_calc_results", "calc_results")
    )
    unit = json.loads((folder / "unitcell.json").read_text())
    epsilon = np.array(unit["ele_dielectric_const"]) + np.array(unit["ion_dielectric_const"])
    runs = [
        DefectRun(cell := from_pymatgen(item.structure), cell, energy=item.energy, site_potentials=np.array(item.potentials))
        for item in (perfect, defect)
    ]
    start = without(runs[0].crystal, runs[1].crystal)
    from hibana.structures.convert import to_pymatgen

    cells = (perfect.structure, to_pymatgen(start), defect.structure)
    yield Defect("KInO2_Va_O_2", 2, epsilon, {"O": 1}, lambda: runs[1], runs[0], start, (defect, perfect), cells, None)


def without(perfect: Any, defect: Any) -> Any:
    """The perfect cell without the atom that the other lacks."""
    from hibana.defects.mapping import map_sites

    (missing,) = map_sites(defect, perfect, 1.0).removed
    keep = [site for site in range(len(perfect.species)) if site != missing]
    update = {name: tuple(getattr(perfect, name)[site] for site in keep) for name in ("species", "frac_coords")}
    return perfect.model_copy(update={**update, "magmoms": None})


def our_correction(item: Defect) -> Callable[[], Any]:
    from hibana.defects.correction import extended_fnv
    from hibana.protocol.protocol import load_protocol

    rule, run = load_protocol("pbesol").defects, item.ours()
    return lambda: extended_fnv(item.charge, item.perfect, run, item.epsilon, rule)


def their_correction(item: Defect) -> Callable[[], Any]:
    make = pydefect("cli.vasp.make_efnv_correction", "make_efnv_correction")
    return lambda: make(item.charge, *item.their_results, item.epsilon)


def our_analysis(item: Defect) -> Callable[[], Any]:
    """Everything hibana does with one run, from its packed arrays on."""
    from hibana.defects.analysis import RELAXED_ANGLE_TOLERANCE, RELAXED_SYMPREC
    from hibana.defects.correction import extended_fnv
    from hibana.defects.edge_outcome import band_edge_outcome, eigenvalue_diagram
    from hibana.defects.formation import GapEdges, formation_energy
    from hibana.defects.structure_change import structure_change
    from hibana.protocol.protocol import load_protocol

    rule, edges = load_protocol("pbesol").defects, GapEdges("pbesol", *EDGE_ENERGIES)

    def analyse() -> Any:
        run = item.ours()
        correction = extended_fnv(item.charge, item.perfect, run, item.epsilon, rule)
        change = structure_change(
            item.perfect.crystal,
            item.start,
            run.crystal,
            mapping_distance=rule.mapping_distance,
            neighbour_factor=rule.displacement_cutoff,
            symprec=RELAXED_SYMPREC,
            angle_tolerance=RELAXED_ANGLE_TOLERANCE,
        )
        outcome = None
        if item.states is not None:
            outcome = band_edge_outcome(item.perfect, run, rule)
            eigenvalue_diagram(outcome, run)
            [level.participation(change.neighbours) for level in outcome.levels]
        energy = formation_energy(item.charge, item.perfect, run, edges, ZEROS, correction, removed=item.removed)
        return energy.at(), outcome

    return analyse


def their_analysis(item: Defect) -> Callable[[], Any]:
    """The same by pydefect's Python API."""
    efnv = their_correction(item)
    compare = pydefect("analyzer.make_defect_structure_info", "MakeDefectStructureInfo")
    make_infos = pydefect("cli.vasp.make_band_edge_orbital_infos", "make_band_edge_orbital_infos")
    make_states = pydefect("analyzer.make_band_edge_states", "make_band_edge_states")
    make_energy = pydefect("analyzer.make_defect_energy_info", "make_defect_energy_info")
    edges = None if item.states is None else perfect_edges(item.states[0])

    def analyse() -> Any:
        correction = efnv()
        change = compare(*item.their_cells, symprec=0.1, dist_tol=1.0).defect_structure_info
        states = None
        if edges is not None:
            procar = SimpleNamespace(data=item.states[1].projected_eigenvalues)
            infos = make_infos(procar, item.states[1], edges.vbm_info.energy, edges.cbm_info.energy, change)
            states = make_states(infos, edges)
        entry, unit = SimpleNamespace(name="defect", charge=item.charge), SimpleNamespace(vbm=EDGE_ENERGIES[0])
        defect, perfect = item.their_results
        energy = make_energy(entry, defect, correction, perfect, ZEROS, unit, states)
        return energy.defect_energy.energy(with_correction=True), states

    return analyse


def perfect_edges(vasprun: Any) -> Any:
    make = pydefect("cli.vasp.make_perfect_band_edge_state", "make_perfect_band_edge_state_from_vasp")
    procar = SimpleNamespace(data=vasprun.projected_eigenvalues)
    return make(procar, vasprun, SimpleNamespace(nelect=vasprun.parameters["NELECT"], total_mag=0.0))


def defects() -> list[dict[str, Any]]:
    """Times of each recorded defect."""
    rows = []
    for item in (*from_runs(), *from_results()):
        ours, found = timed(our_correction(item), REPEATS)
        theirs, expected = timed(their_correction(item), 1)
        mine, (energy, outcome) = timed(our_analysis(item), REPEATS)
        whole, (their_energy, states) = timed(their_analysis(item), 1)
        if states is not None and outcome.is_perturbed_host != states.is_shallow:
            raise SystemExit(f"{item.name}: the two do not agree on perturbed host states")
        rows.append(
            {
                "name": item.name,
                "atoms": len(item.their_cells[2]),
                "states": states is not None,
                "correction_ms": 1000 * ours,
                "correction_pydefect_ms": 1000 * theirs,
                "correction_pydefect_over_hibana": theirs / ours,
                "correction_difference_eV": abs(found.total - expected.correction_energy),
                "analysis_ms": 1000 * mine,
                "analysis_pydefect_ms": 1000 * whole,
                "analysis_pydefect_over_hibana": whole / mine,
                "energy_difference_eV": abs(energy - their_energy),
            }
        )
    return rows


def made_up(repeat: int) -> Defect:
    """An oxygen vacancy of charge 2 in conventional cells of MgO, its states and potentials by simple laws."""
    from pymatgen.core import Lattice, Structure

    from hibana.defects.run import DefectRun, SiteWeights
    from hibana.structures.convert import from_pymatgen

    random = np.random.default_rng(0)
    whole = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.21), ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]]) * repeat
    relaxed = whole.copy()
    relaxed.remove_sites([len(whole) // 2])
    relaxed.perturb(0.01)
    n_oxygen = len(whole) // 2
    p, s = np.array([[0, 0, 0, 0], [0, 0.8, 0, 0]]), np.array([[0.8, 0, 0, 0], [0, 0, 0, 0]])

    def run(structure: Structure, levels: list[float]) -> DefectRun:
        energies = np.concatenate([np.linspace(-5, 0, 3 * n_oxygen), levels, np.linspace(4.6, 12, n_oxygen)])
        filled = (energies <= 0).astype(float)
        characters = np.array([p if energy < 1 else s if energy > 4 else 0.4 * (p + s) for energy in energies])
        bands = np.arange(3 * n_oxygen - 16, 3 * n_oxygen + 16)
        cell = from_pymatgen(structure)
        return DefectRun(
            *(cell, cell),
            energy=-6.0 * len(cell.species),
            kpoints=np.zeros((1, 3)),
            kpoint_weights=np.ones(1),
            eigenvalues=np.tile(energies, (2, 1, 1)),
            occupations=np.tile(filled, (2, 1, 1)),
            projections=np.tile(characters, (2, 1, 1, 1, 1)),
            site_potentials=random.normal(40.0, 0.1, len(cell.species)),
            site_weights=SiteWeights(bands, random.random((2, 1, 32, len(cell.species)))),
        )

    perfect, defect = run(whole, []), run(relaxed, [2.5])
    start = without(perfect.crystal, defect.crystal)
    states = (None, None)
    return Defect("MgO", 2, 9.8 * np.eye(3), {"O": 1}, lambda: defect, perfect, start, states, (None, None, None), states)


def by_size() -> list[dict[str, float]]:
    """Analyses per minute of vacancies in cells of several sizes."""
    rows = []
    for repeat in (2, 3, 4):
        item = made_up(repeat)
        seconds, (_, outcome) = timed(our_analysis(item), 3)
        if outcome.kind != "localised":
            raise SystemExit(f"{outcome.kind}: {outcome.reason}")
        atoms = len(item.perfect.crystal.species) - 1
        rows.append({"atoms": atoms, "analysis_ms": 1000 * seconds, "per_minute": 60 / seconds})
    return rows


def supercells() -> dict[str, Any]:
    """Search of supercells of published hosts: medians, and how many cells are the same."""
    from pymatgen.core import Structure

    from hibana.defects.supercell import make_supercell
    from hibana.protocol.protocol import load_protocol
    from hibana.structures.convert import from_pymatgen, to_pymatgen
    from hibana.structures.standardise import standardise

    protocol = load_protocol("pbesol")
    rule, symmetry = protocol.defects, protocol.symmetry
    maker = pydefect("input_maker.supercell_maker", "SupercellMaker")
    limits = {"min_num_atoms": rule.min_atoms, "max_num_atoms": rule.max_atoms}
    limits |= {"symprec": symmetry.symprec, "angle_tolerance": symmetry.angle_tolerance}
    ours, theirs, same = [], [], 0
    with gzip.open(HOSTS, "rt") as lines:
        hosts = [json.loads(line)["structure"] for number, line in enumerate(lines) if number % EVERY == 0]
    for host in hosts:
        crystal = from_pymatgen(standardise(Structure.from_dict(host)).primitive)
        structure = to_pymatgen(crystal)
        mine, found = timed(lambda crystal=crystal: make_supercell(crystal, rule, symmetry), 2)
        whole, made = timed(lambda structure=structure: maker(structure, **limits).supercell_info, 1)
        ours.append(1000 * mine)
        theirs.append(1000 * whole)
        same += found.n_atoms == len(made.structure)
    return {
        "hosts": len(hosts),
        "same_size": same,
        "hibana_ms": statistics.median(ours),
        "pydefect_ms": statistics.median(theirs),
        "pydefect_over_hibana": statistics.median(there / here for here, there in zip(ours, theirs, strict=True)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=HERE / "results" / "defects.json")
    arguments = parser.parse_args()
    if not HOSTS.is_file():
        print(f"no recorded runs in {RECORDED}; nothing to measure")
        return
    rows = defects()
    print(f"{'':22}{'atoms':>6}{'correction ms':>15}{'ratio':>7}{'analysis ms':>13}{'ratio':>7}{'difference eV':>15}")
    for row in rows:
        print(
            f"{row['name']:22}{row['atoms']:6}{row['correction_ms']:15.1f}{row['correction_pydefect_over_hibana']:7.0f}"
            f"{row['analysis_ms']:13.1f}{row['analysis_pydefect_over_hibana']:7.0f}{row['energy_difference_eV']:15.1e}"
        )
    rate = {
        name: 60_000 * len(rows) / sum(row[f"analysis{kind}_ms"] for row in rows)
        for name, kind in (("hibana", ""), ("pydefect", "_pydefect"))
    }
    print(f"analyses per minute, all six one after another: hibana {rate['hibana']:.0f}, pydefect {rate['pydefect']:.0f}")
    sizes = by_size()
    for row in sizes:
        print(f"a vacancy in MgO, {row['atoms']} atoms: {row['analysis_ms']:.0f} ms, {row['per_minute']:.0f} per minute")
    cells = supercells()
    print(
        f"supercells of {cells['hosts']} hosts: hibana {cells['hibana_ms']:.0f} ms, pydefect {cells['pydefect_ms']:.0f} ms, "
        f"ratio {cells['pydefect_over_hibana']:.1f}, same size {cells['same_size']}"
    )
    arguments.output.parent.mkdir(exist_ok=True)
    report = {"unit": "CPU ms", "defects": rows, "analyses_per_minute": rate, "by_size": sizes, "supercells": cells}
    arguments.output.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
