"""``hibana-vasp``: the rehearsal engine's command line."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, TextIO

import hibana
from hibana.rehearsal.errors import RehearsalError

if TYPE_CHECKING:
    from hibana.rehearsal.inputs import RunInputs
    from hibana.rehearsal.result import IonicStep, ScfStep

DESCRIPTION = """\
A stand-in for VASP, NOT VASP: reads INCAR, POSCAR, KPOINTS and POTCAR in the working directory, runs real density-functional
theory with GPAW, and writes vasprun.xml, OUTCAR, CONTCAR, OSZICAR, EIGENVAL, DOSCAR, PROCAR and CHGCAR in VASP's layout.
What it cannot do it refuses with a numbered error; it never ignores a tag that matters."""

EXAMPLE = """\
example:
  hibana-vasp --make-potcars ~/potcars --elements Mg,O     POTCARs for this program, once
  export PMG_VASP_PSP_DIR=~/potcars
  hibana inputs MgO.cif --task structure_opt -o MgO        any program that writes VASP inputs
  cd MgO && hibana-vasp > vasp.out

environment:
  HIBANA_DATASETS          folder of the PAW data sets (default ~/.cache/hibana/datasets), made on demand
  HIBANA_VASP_MODE         gpaw, replay or chaos, as --mode
  HIBANA_RECORDINGS        folder of recorded answers, as --recordings
  HIBANA_CHAOS             table of rates, as --chaos
  HIBANA_CHAOS_SEED        seed, as --seed
  HIBANA_CHAOS_ATTEMPTS    folder in which attempts are counted, as --attempts"""

POTCAR_WORDS = (
    "with --make-potcars: elements of which to write all POTCARs (default: all elements); with --mode replay the names of the "
    "POTCAR folders, such as Mg,O,Ga_d, as the protocol chooses them"
)
"""Help of ``--elements``."""

MODES = ("gpaw", "replay", "chaos")


def main(arguments: list[str] | None = None) -> int:
    """Run the program and return its exit code: 0, or 2 for a numbered error.

    Parameters
    ----------
    arguments
        Command line without the program's name; ``sys.argv`` if None.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.elements and not options.make_potcars:
        parser.error("--elements goes with --make-potcars DIR")
    if options.mode not in MODES:
        parser.error(f"mode {options.mode!r}; there are {', '.join(MODES)}")
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    try:
        if options.list_elements:
            return _list_elements()
        symbols = [s.strip() for s in options.elements.split(",") if s.strip()] if options.elements else None
        if options.make_potcars and options.mode != "gpaw":
            return _make_synthetic_potcars(options.make_potcars, symbols, parser)
        if options.make_potcars:
            return _make_potcars(options.make_potcars, symbols)
        if options.record:
            return _record(options.record)
        if options.mode != "gpaw":
            return _replay(options)
        if options.check:
            return 0
        return _run(Path.cwd(), sys.stdout)
    except RehearsalError as error:
        print(error, file=sys.stderr, flush=True)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hibana-vasp", description=DESCRIPTION, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"hibana-vasp {hibana.__version__} (NOT VASP; runs GPAW)")
    parser.add_argument("--make-potcars", metavar="DIR", type=Path, help="write a library of POTCARs for this program and exit")
    parser.add_argument("--elements", metavar="NAMES", help=POTCAR_WORDS)
    parser.add_argument("--list-elements", action="store_true", help="list the elements of this release and exit")
    given = os.environ.get
    parser.add_argument("--mode", default=given("HIBANA_VASP_MODE", "gpaw"), help="gpaw (default), replay or chaos")
    parser.add_argument("--recordings", metavar="DIR", type=Path, default=given("HIBANA_RECORDINGS"), help="recorded answers")
    parser.add_argument("--only-recorded", action="store_true", help="refuse what has no recorded answer")
    parser.add_argument("--record", metavar="DIR", type=Path, help="keep the finished run in this folder as an answer and exit")
    parser.add_argument("--chaos", metavar="FILE", type=Path, default=given("HIBANA_CHAOS"), help="table of rates (YAML)")
    parser.add_argument("--seed", type=int, default=given("HIBANA_CHAOS_SEED"), help="seed of the mode chaos")
    parser.add_argument("--check", action="store_true", help="look at the options and the table of rates, and exit")
    parser.add_argument(
        "--attempts",
        metavar="DIR",
        type=Path,
        default=given("HIBANA_CHAOS_ATTEMPTS", "~/.cache/hibana/attempts"),
        help="where attempts are counted; one folder a rehearsal",
    )
    return parser


def _replay(options: argparse.Namespace) -> int:
    """Answer without a calculation."""
    from hibana.rehearsal.replay.program import Chaos, run

    chaos = None
    if options.mode == "chaos":
        from hibana.rehearsal.replay.faults import read_rates

        chaos = Chaos(read_rates(options.chaos, options.seed), options.attempts.expanduser())
    if options.check:
        return 0
    _check_writable(Path.cwd())
    return run(Path.cwd(), sys.stdout, recorded=options.recordings, only_recorded=options.only_recorded, chaos=chaos)


def _record(directory: Path) -> int:
    from hibana.rehearsal.replay.recordings import record

    for path in record(Path.cwd(), directory):
        print(path)
    return 0


def _make_synthetic_potcars(directory: Path, labels: list[str] | None, parser: argparse.ArgumentParser) -> int:
    from hibana.rehearsal.replay.potcars import write_library

    if not labels:
        parser.error("--make-potcars with the mode replay needs --elements with names of POTCAR folders, such as Mg,O,Ga_d")
    for path in write_library(directory, labels):
        print(path)
    return 0


def _list_elements() -> int:
    from hibana.rehearsal.datasets import table

    for symbol, recipe in table().items():
        labels = " ".join(recipe.labels)
        print(f"{symbol:2s}  {recipe.name}  ZVAL {recipe.zval:2d}  ENMAX {recipe.enmax:5.0f} eV  POTCAR folders: {labels}")
    return 0


def _make_potcars(directory: Path, symbols: list[str] | None) -> int:
    from hibana.rehearsal.potcar import write_library

    for path in write_library(directory, symbols):
        print(path)
    print(f"set PMG_VASP_PSP_DIR={directory.resolve()} to use them; they describe GPAW data sets and do not work with VASP")
    return 0


def _run(directory: Path, stream: TextIO) -> int:
    """The run in a directory; every line goes out at once."""
    from hibana.rehearsal.inputs import read_inputs

    signal.signal(signal.SIGTERM, _terminated)
    inputs = read_inputs(directory)
    _check_writable(directory)
    try:
        import gpaw  # noqa: F401 (only to say early that it is missing)
    except ImportError as error:
        raise RehearsalError(191, str(error)) from error
    from hibana.rehearsal.engine import run
    from hibana.rehearsal.writers import write_outputs

    _greet(inputs, stream)
    with _Live(directory, inputs, stream) as listener:
        result = run(inputs, directory, listener)
    write_outputs(result, directory)
    for warning in result.warnings:
        print(f" note: {warning}", file=stream)
    seconds = time.time() - result.started
    print(f" writing of all files done, {seconds:.1f} s in all; these numbers are GPAW's, NOT VASP's", file=stream, flush=True)
    return 0


class _Live:
    """Writes OSZICAR and CONTCAR and prints while the run goes on."""

    def __init__(self, directory: Path, inputs: RunInputs, stream: TextIO) -> None:
        from hibana.rehearsal.writers import LiveOszicar

        self.directory, self.inputs, self.stream = directory, inputs, stream
        self.oszicar = LiveOszicar(directory / "OSZICAR", stream)

    def __enter__(self) -> _Live:
        return self

    def __exit__(self, *_: object) -> None:
        self.oszicar.close()

    def scf_step(self, n: int, step: ScfStep) -> None:
        """One line."""
        self.oszicar.scf_step(n, step)

    def ionic_step(self, n: int, step: IonicStep) -> None:
        """One line, and the structure to go on from if the run is killed."""
        from hibana.rehearsal.writers import write_contcar

        self.oszicar.ionic_step(n, step)
        write_contcar(
            step.lattice,
            step.frac_coords,
            self.inputs.species,
            self.directory / "CONTCAR",
            self.inputs.comment,
            selective=self.inputs.movable,
        )

    def note(self, text: str) -> None:
        """One line on standard output only."""
        print(text, file=self.stream, flush=True)


def _greet(inputs: RunInputs, stream: TextIO) -> None:
    settings = inputs.settings
    print(f" hibana-vasp {hibana.__version__}: NOT VASP, a stand-in that runs GPAW", file=stream)
    print(f" running on    1 total cores, {len(inputs.symbols)} ions, {settings.nbands} bands", file=stream)
    functional = settings.functional if settings.hybrid is None else f"{settings.hybrid.functional} (not self-consistent)"
    print(f" {functional}, {settings.encut:g} eV, {len(inputs.kpoints.full)} points of the full zone", file=stream)
    print(" entering main loop", file=stream, flush=True)


def _check_writable(directory: Path) -> None:
    if not os.access(directory, os.W_OK):
        raise RehearsalError(194, f"no permission to write in {directory}", where=directory)


def _terminated(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001 (the signature of a signal handler)
    """End at once: what is on disk (OSZICAR, CONTCAR) is whole after every step."""
    os.write(1, b"\n hibana-vasp: ended by SIGTERM\n")
    os._exit(143)


if __name__ == "__main__":
    raise SystemExit(main())
