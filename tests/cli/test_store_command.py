"""``hibana store`` and ``hibana query`` as a user types them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hibana.store.server import free_port


@pytest.fixture
def run(tmp_path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HIBANA_", "FW_CONFIG"))}
    environment |= {"HOME": str(tmp_path), "COLUMNS": "200"}

    def hibana(*words):
        command = [sys.executable, "-m", "hibana.cli", *map(str, words)]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)

    yield hibana
    hibana("store", "down")


def test_up_use_and_down(run, tmp_path):
    port = free_port()
    up = run("store", "up", "--port", port, "--json")
    assert up.returncode == 0, up.stderr
    assert json.loads(up.stdout)["port"] == port
    assert json.loads(up.stdout)["fresh"]
    again = run("store", "up")
    assert f"up: 127.0.0.1:{port}" in again.stdout
    assert (tmp_path / "hibana_store" / "data").is_dir()
    status = run("store", "status", "--json")
    assert (status.returncode, json.loads(status.stdout)["answering"]) == (0, True)

    lpad = Path(sys.executable).parent / "lpad"
    added = [str(lpad), "-l", "my_launchpad.yaml", "add_scripts", "true"]
    subprocess.run(added, cwd=tmp_path, check=True, capture_output=True, timeout=120)
    listed = subprocess.run([*added[:3], "get_fws", "-d", "count"], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert listed.stdout.split()[-1] == "1"

    assert json.loads(run("query", "{}", "--json").stdout) == []
    assert "no document of tasks matches" in run("query", "{}", "--collection", "tasks", "--fields", "address,status").stdout
    wrong = run("query", "{}", "--collection", "fireworks")
    assert (wrong.returncode, "HIB-078" in wrong.stderr) == (2, True)

    assert run("store", "down").stdout.startswith("not running")
    assert run("store", "status").returncode == 1
    gone = run("query", "{}", "--json")
    assert gone.returncode == 2
    assert json.loads(gone.stdout)["error"]["code"] == "HIB-070"


def test_a_launchpad_file_of_another_database_is_left_alone(run, tmp_path):
    theirs = "host: db.example\nport: 27017\nname: fireworks\n"
    (tmp_path / "my_launchpad.yaml").write_text(theirs)
    up = run("store", "up", "--port", free_port())
    assert up.returncode == 2
    assert "HIB-079" in up.stderr
    assert (tmp_path / "my_launchpad.yaml").read_text() == theirs


def test_fields_in_a_table(run, tmp_path):
    run("store", "up", "--port", free_port())
    code = (
        "from hibana.store.connection import connect; s = connect();"
        "s.record_outcome('hib-1', 'electronic', 'pbesol', 'vasp', 'failed', 'failed at band', protocol_version=1)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=120)
    shown = run("query", '{"material_id": "hib-1"}', "--collection", "outcomes", "--fields", "material_id,reason,flow")
    assert [line.split() for line in shown.stdout.splitlines()] == [
        ["material_id", "reason", "flow"],
        ["hib-1", "failed", "at", "band", "electronic"],
    ]
    as_json = run("query", "{}", "--collection", "outcomes", "--json", "--limit", 1)
    assert json.loads(as_json.stdout)[0]["state"] == "failed"
