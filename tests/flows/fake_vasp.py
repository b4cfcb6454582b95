"""A fake VASP for tests: a toy model behind VASP's files. It calculates nothing that is true of any material.

It reads INCAR, POSCAR, KPOINTS and POTCAR, relaxes towards a volume, makes up bands with a given gap, and writes VASP's files
through the writers of the rehearsal engine. What it does beyond that is said by the JSON file that ``FAKE_VASP`` names:

    gap        PBEsol gap in eV; negative for a metal (default 4.5). The HSE06 gap is 2 eV larger, others in proportion to AEXX.
    volume     Å^3 per atom towards which it relaxes (default 9.4)
    moves      relaxations that never end at their first ionic step
    fail       {step: how}; how is "crash" (no output), "nelm" (electrons unconverged), "half" (dead in the middle) or
               "disk" (so for want of room); a step of charged cells alone is named with the charge, "supercell +1"
    seconds    how long a calculation takes; STOPCAR ends it (default 0)
    stop_after ionic steps that a relaxation has done when STOPCAR ends it (default 1)
    stop_first steps whose first run ends as if stopped at the walltime
    say_first  {step: text} that its first run prints before it ends without output
    hang_first steps whose first run hangs for good behind its first ionic step, with a child that hangs as well

``FAKE_VASP_LOG`` names a file that gets a line a run: step, folder, process id.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from hibana.rehearsal.result import Bands, Dos, IonicStep, KpointMesh, Response, RunResult, ScfStep, Species, Spectrum
from hibana.rehearsal.tags import as_floats
from hibana.rehearsal.writers import write_outputs

WIDTH = 1.0
"""Width of the bands, eV."""

EPSILON = 3.2
"""Electronic dielectric constant."""

SPRING = 11.0
"""Force constant, eV/Å^2."""

COULOMB, TERAHERTZ = 180.95, 15.633
"""e²/ε0 in eV Å, and the frequency of 1 u on a spring of 1 eV/Å^2 in THz."""


def main() -> int:
    here = Path.cwd()
    script = json.loads(Path(os.environ["FAKE_VASP"]).read_text()) if os.environ.get("FAKE_VASP") else {}
    incar = read_incar(here / "INCAR")
    points, weights, mesh = read_kpoints(here / "KPOINTS")
    step = name_of(incar, weights)
    first = log(step, here)
    how = script.get("fail", {}).get(step) or script.get("fail", {}).get(f"{step} {charge_of(here, incar):+g}")
    if how == "crash":
        sys.stderr.write("made to crash\n")
        return 1
    if first and step in script.get("say_first", {}):
        print(script["say_first"][step])
        return 1
    result = calculate(here, script, step, incar, points, weights, mesh)
    if "NUPDOWN" in incar:
        result = as_polarised(result, float(incar["NUPDOWN"]))
    if step in script.get("hang_first", ()) and first:
        hang(here, result)
    stopped = work(here, float(script.get("seconds", 0)))
    if stopped or (step in script.get("stop_first", ()) and first):
        result = as_stopped(result, script.get("stop_after", 1))
    if how == "nelm":
        result = as_unconverged(result)
    write_outputs(result, here)
    if how in ("half", "disk"):
        text = (here / "vasprun.xml").read_bytes()
        (here / "vasprun.xml").write_bytes(text[: int(len(text) * 0.7)])
        if how == "disk":
            sys.stderr.write("forrtl: No space left on device\n")
        return 1
    if incar.get("LWAVE", True):
        (here / "WAVECAR").write_bytes(b"fake")
    return 0


def name_of(incar: dict, weights: np.ndarray) -> str:
    if "NUPDOWN" in incar:
        return "oxygen"
    if incar.get("NSW", 0) > 1:
        return "supercell" if incar.get("ISIF") == 2 else "relax"
    if incar.get("LHFCALC"):
        return "hse06" if incar.get("AEXX", 0.25) == 0.25 else "ddh"
    if incar.get("LEPSILON"):
        return "dielectric"
    if incar.get("LOPTICS"):
        return "optics"
    if incar.get("ADDGRID"):
        return "phonon"
    if incar.get("LWAVE"):
        return "hse06 semilocal"
    return "band" if np.any(weights == 0) else "dos"


def charge_of(here: Path, incar: dict) -> float:
    """Electrons of the neutral cell less NELECT."""
    _, _, symbols, counts = read_poscar(here / "POSCAR")
    neutral = float(sum(item.zval * item.count for item in read_potcar(here / "POTCAR", symbols, counts)))
    return neutral - float(incar.get("NELECT", neutral))


def log(step: str, here: Path) -> bool:
    """Write a line; whether it is the first of this step."""
    if not os.environ.get("FAKE_VASP_LOG"):
        return True
    path = Path(os.environ["FAKE_VASP_LOG"])
    before = path.read_text().splitlines() if path.exists() else []
    with path.open("a") as file:
        file.write(f"{step}\t{here}\t{os.getpid()}\n")
    return not any(line.startswith(f"{step}\t") for line in before)


def work(here: Path, seconds: float) -> bool:
    """Take time; True if STOPCAR ended it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if (here / "STOPCAR").exists():
            (here / "STOPCAR").unlink()
            return True
        time.sleep(0.05)
    return False


def hang(here: Path, result: RunResult) -> None:
    """Leave what VASP leaves in its second ionic step, and hang."""
    subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(300)"], process_group=0)
    energy, lattice = result.steps[0].free_energy, result.steps[min(1, len(result.steps) - 1)].lattice
    (here / "OSZICAR").write_text(f"DAV:   1    {energy:.8E}\n   1 F= {energy:.8E} E0= {energy:.8E}  d E =0.0\n")
    text = (here / "POSCAR").read_text().splitlines()
    text[1:5] = ["1.0", *(" ".join(f"{x:.16f}" for x in row) for row in lattice)]
    (here / "CONTCAR").write_text("\n".join(text) + "\n")
    (here / "HANGS").touch()
    time.sleep(300)


def calculate(here: Path, script: dict, step: str, incar: dict, points, weights, mesh: KpointMesh) -> RunResult:
    lattice, frac, symbols, counts = read_poscar(here / "POSCAR")
    species = read_potcar(here / "POTCAR", symbols, counts)
    nelect = float(incar.get("NELECT", sum(item.zval * item.count for item in species)))
    nbands = max(int(incar.get("NBANDS", 0)), int(nelect / 2) + 4)
    gap = float(script.get("gap", 4.5)) + (8.0 * float(incar.get("AEXX", 0.25)) if incar.get("LHFCALC") else 0.0)
    bands = make_bands(points, weights, int(nelect / 2), nbands, gap)
    steps = ionic_steps(step, lattice, frac, float(script.get("volume", 9.4)), bool(script.get("moves")))
    limit = int(incar.get("NSW", 0))
    energies = np.linspace(-5, 10, 51)
    total = np.ones((1, 51))
    parameters = {
        "ENCUT": float(incar.get("ENCUT", 400.0)),
        "NELM": int(incar.get("NELM", 60)),
        "NELECT": nelect,
        "ISPIN": 1,
        "NBANDS": nbands,
        "LORBIT": int(incar.get("LORBIT", 0)),
        "NSW": limit,
        "IBRION": int(incar.get("IBRION", -1)),
        "ISIF": int(incar.get("ISIF", 0)),
        "ISMEAR": int(incar.get("ISMEAR", 0)),
        "SIGMA": float(incar.get("SIGMA", 0.1)),
        "GGA": str(incar.get("GGA", "PS")),
        "LHFCALC": bool(incar.get("LHFCALC", False)),
        "AEXX": float(incar.get("AEXX", 0.0)),
        "HFSCREEN": float(incar.get("HFSCREEN", 0.0)),
        "EDIFF": float(incar.get("EDIFF", 1e-5)),
        "EDIFFG": float(incar.get("EDIFFG", -0.01)),
        "NEDOS": 51,
        "LEPSILON": bool(incar.get("LEPSILON", False)),
        "LOPTICS": bool(incar.get("LOPTICS", False)),
    }
    n_scf = 1 if parameters["NELM"] == 1 else 4
    made = [
        IonicStep(
            lattice=cell,
            frac_coords=frac,
            free_energy=energy,
            energy_wo_entropy=energy,
            energy_sigma0=energy,
            forces=None if incar.get("LHFCALC") else restoring(cell, frac) if step == "phonon" else np.zeros_like(frac),
            stress=np.eye(3) * 0.1 if step == "relax" else None,
            scf=tuple(ScfStep(energy + 10.0**-n, -(10.0**-n), 10.0**-n) for n in range(1, n_scf + 1)),
        )
        for cell, energy in steps
    ]
    orbitals = np.full((1, len(points), nbands, len(frac), 9), 1 / 9 / len(frac))
    return RunResult(
        incar=incar,
        parameters=parameters,
        kpoint_mesh=mesh,
        species=species,
        steps=tuple(made),
        bands=Bands(points, weights, *bands, projections=orbitals if parameters["LORBIT"] else None),
        dos=Dos(energies, total, np.cumsum(total, axis=1), np.full((len(frac), 1, 9, 51), 0.01)),
        efermi=0.1,
        core_potentials=np.full(len(frac), -50.0),
        nelect=nelect,
        provenance={"engine": "gpaw-rehearsal (fake_vasp of the tests)", "engine_version": "0"},
        site_charges=np.ones((len(frac), 3)),
        electronic_converged=True,
        ionic_converged=limit <= 1 or len(made) < limit,
        started=time.time(),
        wall_seconds=1.0,
        response=make_response(lattice, species) if step == "dielectric" else None,
        spectrum=make_spectrum(lattice, nelect) if step == "optics" else None,
    )


def restoring(lattice, frac) -> np.ndarray:
    """Forces on a supercell of rock salt, two conventional cells along each axis: springs to the centre of mass."""
    moved = (frac - np.round(4 * frac) / 4) @ lattice
    return SPRING * (moved.mean(axis=0) - moved)


def make_response(lattice, species: tuple[Species, ...]) -> Response:
    """Every atom on one spring to the centre of mass of all, oxygen with the charge -2."""
    symbols = [item.symbol for item in species for _ in range(item.count)]
    n, oxygen = len(symbols), symbols.count("O")
    charges = np.array([-2.0 if symbol == "O" else 2.0 * oxygen / (n - oxygen) for symbol in symbols])
    masses = np.repeat([item.mass for item in species for _ in range(item.count)], 3)
    springs = np.kron(SPRING * (np.eye(n) - 1 / n), np.eye(3))
    born = charges[:, None, None] * np.eye(3)
    field = born.transpose(0, 2, 1).reshape(3 * n, 3)
    ionic = COULOMB / abs(np.linalg.det(lattice)) * field.T @ np.linalg.pinv(springs) @ field
    values, vectors = np.linalg.eigh(springs / np.sqrt(np.outer(masses, masses)))
    frequencies = np.sign(values) * np.sqrt(np.abs(values)) * TERAHERTZ
    order = np.argsort(-frequencies)
    return Response(
        epsilon=EPSILON * np.eye(3),
        epsilon_rpa=0.95 * EPSILON * np.eye(3),
        born_charges=born,
        epsilon_ionic=ionic,
        force_constants=springs,
        frequencies=frequencies[order],
        eigenvectors=vectors.T[order].reshape(3 * n, n, 3),
    )


def make_spectrum(lattice, nelect: float) -> Spectrum:
    """One oscillator with all electrons, whose static constant is EPSILON."""
    energies = np.linspace(0, 80, 4001)
    plasma = 1378.9 * nelect / abs(np.linalg.det(lattice))
    centre = plasma / (EPSILON - 1)
    values = 1 + plasma / (centre - energies**2 - 1j * energies)
    diagonal = np.array([1, 1, 1, 0, 0, 0])
    return Spectrum(energies, values.real[:, None] * diagonal, values.imag[:, None] * diagonal)


def make_bands(points, weights, filled: int, nbands: int, gap: float):
    """Valence bands below 0 with their top at Γ, conduction bands above the gap with their bottom at Γ."""
    wave = (1 - np.cos(2 * np.pi * points)).sum(axis=1) / 6 * WIDTH
    depth = np.arange(filled)[::-1] * 0.5
    height = np.arange(nbands - filled) * 0.5
    valence = -wave[:, None] - depth[None, :]
    conduction = gap + wave[:, None] + height[None, :]
    values = np.concatenate([valence, conduction], axis=1)
    if gap > 0:
        filling = np.where(np.arange(nbands) < filled, 1.0, 0.0)[None, :].repeat(len(points), axis=0)
    else:
        filling = 1 / (1 + np.exp(np.clip((values - gap / 2) / 0.05, -50, 50)))
    return np.sort(values, axis=1)[None], -np.sort(-filling, axis=1)[None]


def ionic_steps(step: str, lattice, frac, volume: float, moves: bool):
    """Cells and energies on the way to the volume; one step if it is there."""
    now = abs(np.linalg.det(lattice)) / len(frac)
    ratio = (volume / now) ** (1 / 3)
    energy = -6.0 * len(frac)
    if step != "relax" or (abs(ratio - 1) < 1e-4 and not moves):
        return [(lattice, energy)]
    return [(lattice * (1 + (ratio - 1) * part), energy + (1 - part) * 0.1) for part in (0.0, 0.5, 1.0)]


def as_stopped(result: RunResult, steps: int) -> RunResult:
    """As if a STOPCAR had ended it after so many ionic steps (of a relaxation) or in its electronic steps."""
    changes = {"steps": result.steps[:steps], "ionic_converged": False}
    if result.parameters["NSW"] <= 1:
        changes["electronic_converged"] = False
    return RunResult(**{**result.__dict__, **changes})


def as_polarised(result: RunResult, moment: float) -> RunResult:
    """Two spins with equal bands, filled to a total moment."""
    bands, dos = result.bands, result.dos
    filled = [round((result.nelect + sign * moment) / 2) for sign in (1, -1)]
    occupations = np.array([[(np.arange(bands.eigenvalues.shape[2]) < n).astype(float)] * len(bands.weights) for n in filled])
    orbitals = None if bands.projections is None else np.repeat(bands.projections, 2, axis=0)
    doubled = {name: np.repeat(getattr(dos, name), 2, axis=0) for name in ("total", "integrated")}
    return replace(
        result,
        parameters={**result.parameters, "ISPIN": 2},
        steps=tuple(replace(step, magnetization=moment) for step in result.steps),
        bands=replace(bands, eigenvalues=np.repeat(bands.eigenvalues, 2, axis=0), occupations=occupations, projections=orbitals),
        dos=replace(dos, **doubled, partial=np.repeat(dos.partial, 2, axis=1)),
    )


def as_unconverged(result: RunResult) -> RunResult:
    """All NELM electronic steps and no convergence."""
    last = result.steps[-1]
    scf = tuple(ScfStep(last.free_energy + 0.1 * (-1) ** n, 0.2, 0.1) for n in range(result.parameters["NELM"]))
    return replace(result, steps=(*result.steps[:-1], replace(last, scf=scf)), electronic_converged=False)


def read_incar(path: Path) -> dict:
    found = {}
    for line in path.read_text().splitlines():
        name, equals, text = line.partition("=")
        if equals:
            tag = name.strip().upper()
            found[tag] = as_floats(text) if tag == "MAGMOM" else typed(text.strip())
    return found


def typed(text: str):
    if text.strip(".").upper() in ("TRUE", "FALSE", "T", "F"):
        return text.strip(".").upper().startswith("T")
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def read_poscar(path: Path):
    lines = path.read_text().splitlines()
    lattice = np.array([[float(x) for x in line.split()] for line in lines[2:5]]) * float(lines[1])
    symbols, counts = lines[5].split(), [int(n) for n in lines[6].split()]
    frac = np.array([[float(x) for x in line.split()[:3]] for line in lines[8 : 8 + sum(counts)]])
    return lattice, frac, symbols, counts


def read_potcar(path: Path, symbols, counts) -> tuple[Species, ...]:
    blocks = [block for block in path.read_text().split("End of Dataset") if block.strip()]
    species = []
    for block, symbol, count in zip(blocks, symbols, counts, strict=True):
        header = block.strip().splitlines()[0].strip()
        zval = float(block.split("ZVAL   =")[1].split()[0])
        species.append(Species(symbol, count, header, header, zval, 400.0, 20.0))
    return tuple(species)


def read_kpoints(path: Path):
    lines = path.read_text().splitlines()
    if int(lines[1].split()[0]) == 0:
        divisions = tuple(int(n) for n in lines[3].split()[:3])
        axes = [np.arange(n) / n for n in divisions]
        points = np.array(np.meshgrid(*axes, indexing="ij")).reshape(3, -1).T
        style = "Gamma" if lines[2].strip().lower().startswith("g") else "Monkhorst-Pack"
        return points, np.full(len(points), 1 / len(points)), KpointMesh(style, divisions, (0.0, 0.0, 0.0))
    rows = np.array([[float(x) for x in line.split()[:4]] for line in lines[3 : 3 + int(lines[1].split()[0])]])
    return rows[:, :3], rows[:, 3] / rows[:, 3].sum(), KpointMesh("listgenerated")


if __name__ == "__main__":
    sys.exit(main())
