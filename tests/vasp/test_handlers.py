"""hibana's handlers that read less than custodian's of the same name, and answer as these do."""

from __future__ import annotations

import io
import itertools
import os
import sys
from pathlib import Path

import pytest
from custodian.utils import tracked_lru_cache
from custodian.vasp import handlers as stock
from custodian.vasp import validators as stock_validators

sys.path.insert(0, str(Path(__file__).parents[1] / "rehearsal" / "replay"))

from questions import CRYSTALS, STATIC, ask

from hibana.rehearsal.replay import program
from hibana.vasp import handlers

COMPLAINT = f" {handlers.MESH_SYMMETRY}\n"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run that the stand-in has answered."""
    ask(tmp_path, CRYSTALS["rock salt"].get_primitive_structure(), STATIC)
    assert program.run(tmp_path, io.StringIO(), recorded=None, only_recorded=False, chaos=None) == 0
    return tmp_path


def oszicar(steps: list[int]) -> str:
    """An OSZICAR with so many electronic steps in each ionic step."""
    lines = []
    for ionic, count in enumerate(steps, start=1):
        lines.append("       N       E                     dE             d eps       ncg     rms          rms(c)")
        lines += [f"DAV: {n:3d}    -0.100000E+02   -0.10000E-01   -0.10000E-01   100   0.100E-01" for n in range(1, count + 1)]
        lines.append(f"   {ionic} F= -.10000000E+02 E0= -.10000000E+02  d E =-.100000E-01")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("steps", [*itertools.product((4, 3), repeat=4), (4, 4), (4,), (), (4, 4, 4, 4, 2), (3, 4, 4, 4, 4)])
def test_runs_that_do_not_converge_are_those_of_custodian(run, steps):
    tags = (run / "INCAR").read_text()
    (run / "INCAR").write_text("\n".join([*(line for line in tags.splitlines() if "NELM" not in line), "NELM = 4", ""]))
    (run / "OSZICAR").write_text(oszicar(list(steps)))
    ours, custodians = (module.NonConvergingErrorHandler(nionic_steps=3) for module in (handlers, stock))
    assert ours.check(str(run)) == custodians.check(str(run)) == (len(steps) > 3 and set(steps[-4:-1]) == {4})


def test_a_mesh_of_another_symmetry_matters_where_the_run_did_not_converge(run):
    ours, custodians = (module.MeshSymmetryErrorHandler(output_filename="vasp.out") for module in (handlers, stock))
    said = run / "vasp.out"
    for whole, complains in itertools.product((True, False), repeat=2):
        if not whole:
            (run / "vasprun.xml").unlink(missing_ok=True)
        said.write_text("all is well\n" + COMPLAINT * complains)
        tracked_lru_cache.tracked_cache_clear()
        assert ours.check(str(run)) == custodians.check(str(run)) == (complains and not whole)


def test_a_damaged_vasprun_is_found_however_often_it_changes(run):
    ours, custodians = handlers.VasprunXMLValidator(), stock_validators.VasprunXMLValidator()
    path, content = run / "vasprun.xml", (run / "vasprun.xml").read_bytes()
    for size in (len(content), len(content) // 2, 0, len(content)):
        path.write_bytes(content[:size])
        tracked_lru_cache.tracked_cache_clear()
        assert ours.check(str(run)) == custodians.check(str(run)) == (size < len(content))
    path.unlink()
    tracked_lru_cache.tracked_cache_clear()
    assert ours.check(str(run))


def test_handlers_and_validator_read_a_vasprun_once(run, monkeypatch):
    read = []
    whole = handlers.Vasprun
    monkeypatch.setattr(handlers, "Vasprun", lambda path, **given: read.append(path) or whole(path, **given))
    for _ in range(2):
        assert not handlers.ElectronicUnconvergedErrorHandler().check(str(run))
        assert not handlers.VasprunXMLValidator().check(str(run))
    assert len(read) == 1
    os.utime(run / "vasprun.xml", ns=(1, 1))
    assert not handlers.VasprunXMLValidator().check(str(run))
    assert len(read) == 2
