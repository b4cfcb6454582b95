"""One launcher process: takes what is ready, runs it, and ends when nothing is left (``python -m hibana.launch.launcher``)."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fireworks import FWorker

    from hibana.launch.launchpad import HibanaLaunchPad

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Orders:
    """What a launcher is told; no passwords, they stay in the launchpad file.

    Parameters
    ----------
    launchpad_file
        FireWorks launchpad file.
    fworker_file
        FireWorks worker file; None for a worker with no settings.
    directory
        Where the folders of the launches are made.
    last_start, deadline
        Times (seconds since 1970) from which on no job is started, and before which runs are stopped cleanly.
    poll_seconds
        How often to look for something to run while others are still running.
    """

    launchpad_file: str
    fworker_file: str | None
    directory: str
    last_start: float | None = None
    deadline: float | None = None
    poll_seconds: float = 1.0

    @property
    def is_over(self) -> bool:
        """Whether it is too late to start a job."""
        return self.last_start is not None and time.time() >= self.last_start

    def command(self) -> list[str]:
        """Command line of a launcher with these orders."""
        return [sys.executable, "-m", "hibana.launch.launcher", json.dumps(asdict(self))]


def launch(orders: Orders) -> None:
    """Run what is ready until nothing is left, the deadline is reached, or the process is asked to stop.

    A job that is interrupted by the request to stop is left RUNNING and is made ready again by whoever recovers next.
    """
    from hibana.launch.launchpad import HibanaLaunchPad
    from hibana.launch.stopping import STOP

    STOP.listen()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    launchpad = HibanaLaunchPad.connect(Path(orders.launchpad_file))
    fworker = read_fworker(orders.fworker_file, orders.deadline)
    while not STOP.asked and not orders.is_over:
        if launchpad.run_exists(fworker):
            _launch_one(launchpad, fworker, Path(orders.directory))
        elif not is_active(launchpad):
            break
        else:
            time.sleep(orders.poll_seconds)


def read_fworker(path: str | None, deadline: float | None = None) -> FWorker:
    """The worker of a file.

    Parameters
    ----------
    path
        FireWorks worker file; None for a worker named ``local`` without settings.
    deadline
        Time (seconds since 1970) at which all its runs must have ended.

    Raises
    ------
    HibanaError
        HIB-113 if the file cannot be used.
    """
    from fireworks import FWorker

    from hibana.launch.errors import BAD_WORKER
    from hibana.launch.firetasks import DEADLINE

    try:
        worker = FWorker(name="local") if path is None else FWorker.from_file(path)
    except Exception as error:
        raise BAD_WORKER.error(f"{type(error).__name__}: {error}", where=path or "") from error
    if deadline is not None:
        worker.env = {**(worker.env or {}), DEADLINE: deadline}
    return worker


def is_active(launchpad: HibanaLaunchPad) -> bool:
    """Whether something runs, after which there may be more to run; what waits in a queue is not waited for."""
    return launchpad.fireworks.find_one({"state": "RUNNING"}, {"_id": 1}) is not None


def _launch_one(launchpad: HibanaLaunchPad, fworker: FWorker, directory: Path) -> None:
    """Run the next Firework in a folder of its own."""
    from fireworks.core.rocket_launcher import launch_rocket
    from fireworks.utilities.fw_utilities import create_datestamp_dir

    folder = Path(create_datestamp_dir(str(directory), LOG, prefix="launcher_"))
    os.chdir(folder)
    launch_rocket(launchpad, fworker, strm_lvl="INFO")
    os.chdir(directory)
    if not any(folder.iterdir()):
        folder.rmdir()


def _log_to_output() -> None:
    """Say which job runs and what hibana does; FireWorks' own loggers have handlers already."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    for name in ("hibana", "jobflow"):
        logging.getLogger(name).addHandler(handler)
        logging.getLogger(name).setLevel(logging.INFO)


if __name__ == "__main__":
    _log_to_output()
    launch(Orders(**json.loads(sys.argv[1])))
