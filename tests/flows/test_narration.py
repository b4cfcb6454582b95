"""What is printed while a calculation runs."""

from __future__ import annotations

import time

import pytest

from flow_documents import task
from hibana.flows.narration import conclude, last_step, narrated

HEAD = "       N       E                     dE\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "starting"),
        ("", "ionic step 1 begins"),
        (HEAD, "ionic step 1 begins"),
        (
            HEAD + "DAV:   1    -0.125E+02   -0.12E+02\nDAV:   2    -0.126E+02   -0.1E+00\n",
            "ionic step 1, electronic step 2, E = -0.126E+02 eV",
        ),
        (HEAD + "DAV:   1    -0.125E+02   -0.12E+02\n   1 F= -.12E+02 E0= -.12E+02  d E =-.1E-10\n", "ionic step 2 begins"),
        (
            HEAD + "   1 F= -.12E+02 E0= -.12E+02\n" + HEAD + "RMM:   3    -0.1E+02   0.1\n",
            "ionic step 2, electronic step 3, E = -0.1E+02 eV",
        ),
    ],
)
def test_the_last_step_in_words(tmp_path, text, said):
    if text is not None:
        (tmp_path / "OSZICAR").write_text(text)
    assert last_step(tmp_path) == said


def test_lines_come_while_the_block_runs_and_stop_after(tmp_path, capsys):
    with narrated("MgO band", tmp_path, interval=0.02):
        printed, deadline = "", time.monotonic() + 60
        while printed.count("starting") < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
            printed += capsys.readouterr().out
    said = (printed + capsys.readouterr().out).splitlines()
    assert "MgO band: running in" in said[0]
    assert len(said) > 2
    assert all("MgO band: starting, " in line for line in said[1:])
    time.sleep(0.1)
    assert capsys.readouterr().out == ""


def test_the_end_names_gap_and_dielectric_constants(capsys):
    tensor = ((3.0, 0.0, 0.0), (0.0, 3.0, 0.0), (0.0, 0.0, 3.6))
    conclude("MgO dielectric", task("dielectric", epsilon_electronic=tensor))
    assert "converged, -6.0000 eV/atom, gap 4.60 eV, ε∞ 3.20, 1 ionic steps" in capsys.readouterr().out
