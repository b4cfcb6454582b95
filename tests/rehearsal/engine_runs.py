"""Input directories for the engine and runs in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from hibana.rehearsal.datasets import default_folder, ensure
from hibana.rehearsal.engine import run
from hibana.rehearsal.inputs import read_inputs
from hibana.rehearsal.potcar import potcar_text
from hibana.rehearsal.result import IonicStep, RunResult, ScfStep

MGO = """MgO
1.0
0.0 {h} {h}
{h} 0.0 {h}
{h} {h} 0.0
Mg O
1 1
direct
0 0 0
0.5 0.5 0.5
"""

ZNO = """ZnO
1.0
3.24 0 0
-1.62 2.805922 0
0 0 5.21
Zn O
2 2
direct
0.333333333333 0.666666666667 0
0.666666666667 0.333333333333 0.5
0.333333333333 0.666666666667 0.3805
0.666666666667 0.333333333333 0.8805
"""

GAMMA_MESH = "mesh\n0\nGamma\n{0} {1} {2}\n"


def mgo(a: float = 4.22) -> str:
    """POSCAR of primitive rock-salt MgO with the conventional lattice constant ``a``."""
    return MGO.format(h=a / 2)


def write_run(folder: Path, *, poscar: str, incar: str, kpoints: str | None, elements: list[str]) -> Path:
    """Write the four input files."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "POSCAR").write_text(poscar)
    (folder / "INCAR").write_text(incar)
    if kpoints is not None:
        (folder / "KPOINTS").write_text(kpoints)
    texts = [potcar_text(ensure(e, folder=default_folder()), e) for e in elements]
    (folder / "POTCAR").write_text("".join(texts))
    return folder


@dataclass
class Recorder:
    """A listener that keeps what it hears."""

    scf: list[ScfStep] = field(default_factory=list)
    ionic: list[IonicStep] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def scf_step(self, n: int, step: ScfStep) -> None:
        self.scf.append(step)

    def ionic_step(self, n: int, step: IonicStep) -> None:
        self.ionic.append(step)

    def note(self, text: str) -> None:
        self.notes.append(text)


def run_in(folder: Path, listener: Recorder | None = None) -> RunResult:
    """Run the engine in a directory with input files."""
    return run(read_inputs(folder), folder, listener or Recorder())
