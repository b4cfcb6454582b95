"""Runs that share an allocation of a real Slurm, hibana itself outside of it: only ``srun`` reaches the compute node."""

from __future__ import annotations

import json
import sys

import pytest
from rigs import REPOSITORY
from site_folder import SiteFolder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

DEMO = REPOSITORY / "workflows" / "demo"
STEP = """#!/bin/sh
echo "begin $SLURM_STEP_ID $(date +%s.%N)" >> {log}
{code}
result=$?
echo "end $SLURM_STEP_ID $(date +%s.%N)" >> {log}
exit $result
"""


def test_steps_of_an_allocation_run_side_by_side(slurm, potcars, launchpad_file, store, tmp_path):
    site = SiteFolder(tmp_path, slurm, launchpad_file, store, potcars, step_seconds=2.0)
    log, step = tmp_path / "steps.log", tmp_path / "step.sh"
    step.write_text(STEP.format(log=log, code=site.vasp_cmd))
    step.chmod(0o755)
    worker = {
        "name": "slurm",
        "category": "",
        "query": "{}",
        "env": {"vasp_cmd": f"srun --exact -n {{cores}} -c {{threads}} {step}", "cores": 1},
    }
    (tmp_path / "my_fworker.yaml").write_text(json.dumps(worker))
    (tmp_path / "resources.yaml").write_text(json.dumps([{"ntasks": 1}]))
    campaign = ["--flow", "electronic", "--protocol", "pbesol-demo", "--calculator", "gpaw-rehearsal"]
    site.env["HIBANA_LAUNCHPAD"] = str(launchpad_file)
    del site.env["FW_CONFIG_FILE"]
    site.hibana("submit", DEMO, *campaign)
    run = [sys.executable, "-m", "hibana.cli", "run", "--cores", "all", "--resources", "resources.yaml", "--json"]
    said = json.loads(site.call("salloc", "--quiet", "-n", 2, "-t", "00:10:00", *run, timeout=600))
    assert site.states() == {"COMPLETED"}
    assert said["packing"]["cores"] == said["packing"]["most_at_once"] == 2
    assert 0 < said["packing"]["occupancy"] <= 1
    lines = sorted((float(words[2]), words[0]) for words in map(str.split, log.read_text().splitlines()))
    level, levels = 0, set()
    for _, word in lines:
        level += 1 if word == "begin" else -1
        levels.add(level)
    assert levels == {0, 1, 2}
    steps = {words[1] for words in map(str.split, log.read_text().splitlines())}
    assert len(steps) == len(lines) / 2  # each a step of its own
