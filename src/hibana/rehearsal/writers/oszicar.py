"""OSZICAR and the same lines on standard output, while the run goes on."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import TextIO

from hibana.rehearsal.result import IonicStep, RunResult, ScfStep
from hibana.rehearsal.writers.files import write_atomically

HEADER = "       N       E                     dE             rms(c)\n"
"""Column heads, by which pymatgen names the numbers. VASP's ``d eps``, ``ncg`` and ``rms`` have no counterpart."""


def scf_line(number: int, step: ScfStep) -> str:
    """Line of one electronic step: its number, energy, change (eV) and density error (electrons)."""
    return f"DAV:{number:4d}  {step.energy:21.12E}  {step.change:13.5E}  {step.density_error:11.3E}\n"


def ionic_line(number: int, step: IonicStep, previous: float) -> str:
    """Line of one ionic step.

    Parameters
    ----------
    number
        Its number, from 1.
    step
        The step.
    previous
        Free energy of the step before, eV; 0 for the first one.
    """
    energies = f"{number:4d} F= {step.free_energy:.8E} E0= {step.energy_sigma0:.8E}  d E ={step.free_energy - previous:.6E}"
    moment = "" if step.magnetization is None else f"  mag= {step.magnetization:10.4f}"
    return energies + moment + "\n"


def oszicar_text(result: RunResult) -> str:
    """The whole OSZICAR of a finished run."""
    text, previous = "", 0.0
    for number, step in enumerate(result.steps, start=1):
        text += HEADER + "".join(scf_line(n, scf) for n, scf in enumerate(step.scf, start=1))
        text += ionic_line(number, step, previous)
        previous = step.free_energy
    return text


def complete_oszicar(result: RunResult, path: Path) -> None:
    """Write OSZICAR, unless the file there has every line of it already: one written live, which may have more lines."""
    text = oszicar_text(result)
    if path.is_file():
        present = iter(path.read_text(encoding="utf-8").splitlines())
        if all(line in present for line in text.splitlines()):
            return
    write_atomically(path, text)


class LiveOszicar:
    """OSZICAR line by line, each flushed, so that who watches the run sees how far it is.

    Parameters
    ----------
    path
        The file; an old one is replaced.
    stream
        Gets the same lines, for ``vasp.out``.
    """

    def __init__(self, path: Path, stream: TextIO) -> None:
        self._file = path.open("w", encoding="utf-8")
        self._stream = stream
        self._previous = 0.0

    def scf_step(self, n: int, step: ScfStep) -> None:
        """Write electronic step ``n``, counted from 1 within its ionic step."""
        if n == 1:
            self._write(HEADER)
        self._write(scf_line(n, step))

    def ionic_step(self, n: int, step: IonicStep) -> None:
        """Write ionic step ``n``, counted from 1."""
        self._write(ionic_line(n, step, self._previous))
        self._previous = step.free_energy

    def close(self) -> None:
        """Close the file, not the stream."""
        self._file.close()

    def __enter__(self) -> LiveOszicar:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def _write(self, line: str) -> None:
        for target in (self._file, self._stream):
            target.write(line)
            target.flush()
