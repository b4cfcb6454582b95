"""A server killed and started again at any command of a launch: the job is done once, and it is no error."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest
from farm import Farm
from fireworks import FWorker
from fireworks.core.rocket_launcher import launch_rocket
from pymongo import monitoring
from pymongo.monitoring import CommandFailedEvent, CommandStartedEvent, CommandSucceededEvent
from ruamel.yaml import YAML

import hibana.vasp.run
from hibana.launch.launchpad import HibanaLaunchPad
from hibana.store.launchpad_file import write_launchpad_file
from hibana.store.server import down, free_port, up
from hibana.store.store import Store
from size import FULL

pytestmark = [pytest.mark.timeout(900), pytest.mark.slow]

STEP = 1 if FULL else 9
"""Every so many commands of the launch is one at which the server is killed."""


class Killer(monitoring.CommandListener):
    """Kills the server before a command of the main thread, and starts it again a moment later."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.port = directory, up(directory, free_port()).port
        self.left: int | None = None
        self.seen: list[str] = []
        self.again: threading.Thread | None = None

    def arm(self, number: int) -> None:
        """Count the commands from now on, and kill at one of them."""
        self.left, self.seen = number, []

    def disarm(self) -> bool:
        """Count no more; whether the server was killed."""
        was_killed, self.left = self.left == -1, None
        if self.again is not None:
            self.again.join()
        return was_killed

    def started(self, event: CommandStartedEvent) -> None:
        if self.left is None or threading.current_thread() is not threading.main_thread():
            return
        self.seen.append(f"{event.command_name} {event.command.get(event.command_name)}")
        if self.left == 0:
            os.kill(up(self.directory, self.port).pid or 0, signal.SIGKILL)
            self.again = threading.Thread(target=self._start)
            self.again.start()
        self.left = max(self.left - 1, -1)

    def succeeded(self, event: CommandSucceededEvent) -> None: ...

    def failed(self, event: CommandFailedEvent) -> None: ...

    def _start(self) -> None:
        time.sleep(0.3)
        up(self.directory, self.port)


@pytest.fixture(scope="module")
def killer(tmp_path_factory):
    made = Killer(tmp_path_factory.mktemp("killed-server"))
    yield made
    down(made.directory)


def launch(farm: Farm) -> None:
    """Run the next job in a folder of its own, as a launcher does."""
    folder = farm.folder / f"launch-{time.time_ns()}"
    folder.mkdir()
    here = Path.cwd()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("PMG_VASP_PSP_DIR", "FAKE_VASP", "FAKE_VASP_LOG"):
            patch.setenv(name, farm.env[name])
        patch.setattr(hibana.vasp.run, "POLLING_SECONDS", 0.05)
        os.chdir(folder)
        try:
            launch_rocket(farm.launchpad, FWorker.from_file(str(farm.fworker)), strm_lvl="CRITICAL")
        finally:
            os.chdir(here)


def test_a_server_killed_at_any_command_of_a_launch_costs_nothing(killer, fake_potcars, tmp_path):
    number, killed, points = 0, True, []
    while killed:
        name, folder = f"killed_{number}", tmp_path / str(number)
        folder.mkdir()
        file = folder / "my_launchpad.yaml"
        write_launchpad_file(file, up(killer.directory, killer.port), name)
        fields = YAML(typ="safe").load(file)
        listening = {**fields["mongoclient_kwargs"], "event_listeners": [killer]}
        launchpad = HibanaLaunchPad.from_dict({**fields, "mongoclient_kwargs": listening})
        launchpad.initialise()
        farm = Farm(folder, file, launchpad, Store(launchpad.db), fake_potcars)
        farm.submit()
        killer.arm(number)
        launch(farm)
        killed = killer.disarm()
        points.append(killer.seen[number] if killed else "none")
        assert farm.states()["MgO relax 1"] == "COMPLETED", points
        assert farm.ran() == ["relax"], points
        assert list(launchpad.fireworks.distinct("state", {"name": "MgO relax 1"})) == ["COMPLETED"]
        assert launchpad.workflows.count_documents({"locked": {"$exists": True}}) == 0, points
        assert [claim["state"] for claim in farm.store.query("claims", {})] == ["done"], points
        launchpad.connection.close()
        number += STEP
    assert number > 25
    assert len({point.partition(" ")[0] for point in points}) > 2
