"""The embedded server as a process."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from hibana.core.errors import HibanaError
from hibana.store import server
from hibana.store.connection import connect
from hibana.store.launchpad_file import write_launchpad_file
from hibana.store.server import down, free_port, status, up


@pytest.fixture
def directory(tmp_path):
    yield tmp_path / "store"
    down(tmp_path / "store")


def test_up_twice_is_one_server_and_down_twice_is_none(directory):
    first = up(directory, free_port())
    second = up(directory)
    assert first.fresh
    assert not second.fresh
    assert first.pid == second.pid
    assert status(directory).answering
    assert not down(directory).running
    assert not down(directory).running


def test_what_was_acknowledged_survives_kill_9_and_the_port_stays(directory, tmp_path):
    first = up(directory, free_port())
    write_launchpad_file(tmp_path / "my_launchpad.yaml", first, "survivor")
    store = connect(tmp_path / "my_launchpad.yaml")
    for number in range(200):
        store.database["tasks"].insert_one({"_id": number})
    os.kill(first.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while status(directory).running and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not status(directory).running
    second = up(directory)
    assert second.port == first.port
    assert second.pid != first.pid
    assert store.database["tasks"].count_documents({}) == 200


def test_stale_process_id_file_of_another_process(directory):
    directory.mkdir()
    mine = {"pid": os.getpid(), "started": 1, "host": server.HOST, "port": free_port()}
    (directory / "server.json").write_text(json.dumps(mine))
    assert not status(directory).running
    assert up(directory).fresh


def test_the_server_listens_on_this_machine_only(directory):
    port = up(directory, free_port()).port
    listening = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    addresses = {fields[1].split(":")[0] for fields in listening if fields[3] == "0A" and fields[1].endswith(f":{port:04X}")}
    assert addresses == {"0100007F"}


def test_taken_port(directory):
    with socket.socket() as other:
        other.bind((server.HOST, 0))
        other.listen()
        with pytest.raises(HibanaError, match="HIB-075"):
            up(directory, other.getsockname()[1])
    assert not status(directory).running


def test_another_port_than_the_one_it_is_up_on(directory):
    up(directory, free_port())
    with pytest.raises(HibanaError, match="HIB-075"):
        up(directory, free_port())


def test_not_installed(directory, tmp_path, monkeypatch):
    monkeypatch.setattr(server.sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HibanaError, match=r"HIB-074(.|\n)*pip install hibana\[embedded\]"):
        up(directory)
    assert not directory.exists()


def test_a_server_that_fails_says_why(directory, tmp_path, monkeypatch):
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho 'no such luck' >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setattr(server, "find_command", lambda: str(broken))
    with pytest.raises(HibanaError, match=r"HIB-076(.|\n)*no such luck"):
        up(directory)
    assert not status(directory).running


def test_a_file_in_the_place_of_the_directory(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(HibanaError, match="HIB-081"):
        up(tmp_path / "file")


def test_a_server_that_does_not_stop_when_asked_is_killed(directory, monkeypatch):
    monkeypatch.setattr(server, "STOP_SECONDS", 0.5)
    pid = up(directory, free_port()).pid
    os.kill(pid, signal.SIGSTOP)
    assert not down(directory).running
    assert up(directory).fresh


def test_it_outlives_the_process_that_started_it(directory, tmp_path):
    code = f"from pathlib import Path; from hibana.store.server import up; up(Path({str(directory)!r}), {free_port()})"
    subprocess.run([server.sys.executable, "-c", code], check=True, cwd=tmp_path)
    assert status(directory).answering


def test_nothing_of_hibana_imports_the_server():
    source = Path(server.__file__).parents[1]
    texts = [path.read_text() for path in source.rglob("*.py")]
    assert not [text for text in texts if "import secantus" in text or "from secantus" in text]
