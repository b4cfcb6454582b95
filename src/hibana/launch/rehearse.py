"""``hibana rehearse``: a whole campaign in a store of its own, with a stand-in that answers at once and fails as told."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hibana.launch.errors import NO_STAND_IN, UNWRITABLE_LAUNCHES
from hibana.launch.forecast import Forecast, make_forecast
from hibana.launch.made_crystals import write_crystals
from hibana.launch.plan import CALCULATOR, chaos_options, make_plan, stand_in
from hibana.launch.taxonomy import cause_of_launch, cause_of_run

if TYPE_CHECKING:
    from hibana.launch.launchpad import HibanaLaunchPad
    from hibana.protocol.protocol import Protocol

DATABASE = "rehearsal"
POLLING_SECONDS = 0.05
"""How often custodian looks at runs that take no time."""

ROUNDS = 8
"""How often an operator starts jobs again that ended with an error; what still fails then fails for good."""


@dataclass(frozen=True)
class Resources:
    """Cores of the machine that the campaign is meant for, and of each run."""

    cores: int = 1
    cores_per_run: int = 1


def rehearse(
    workflow: Path,
    *,
    structures: int | Sequence[Path] | None = None,
    seed: int | None = None,
    rates: Path | None = None,
    recordings: Path | None = None,
    workers: int = 2,
    resources: Resources | None = None,
    folder: Path | None = None,
    on_progress: Callable[[Any], None] = lambda _: None,
) -> Forecast:
    """Run a campaign with synthetic answers and tell what it would take.

    All that is asked for is checked before anything is started.

    Parameters
    ----------
    workflow
        File with the campaign, as for ``lpad add``.
    structures
        Structure files instead of the campaign's, or a number of crystals that are made up; None for the campaign's own.
    seed
        Seed of the faults; None for a campaign without any.
    rates
        Table of rates of faults; None for the stand-in's own.
    recordings
        Folder of recorded answers, which are preferred to synthetic ones.
    workers
        Launchers side by side.
    resources
        What the campaign is meant to run on.
    folder
        Where everything goes and stays; None for a temporary folder that is removed.
    on_progress
        Called at every look with a :class:`hibana.launch.worker.Progress`.

    Raises
    ------
    HibanaError
        Those of :func:`hibana.launch.plan.make_plan` before anything is started; then HIB-118 if the folder cannot be written,
        and those of submitting and running.
    """
    from hibana.launch.submit import submit
    from hibana.launch.worker import run_workers

    started, given = time.monotonic(), resources or Resources()
    plan = make_plan(workflow, structures, seed=seed, rates=rates, recordings=recordings)
    campaign = plan.campaign
    with ExitStack() as stack:
        where = Path(folder or stack.enter_context(tempfile.TemporaryDirectory(prefix="hibana-rehearsal-"))).resolve()
        _make(where)
        stage = Stage(where)
        files = _files(plan.structures, where)
        stack.enter_context(stage.environment(campaign.protocol))
        launchpad = stack.enter_context(stage.launchpad())
        fworker = stage.write_worker(seed=seed, rates=rates, recordings=recordings, cores=given.cores_per_run)
        branches = None if campaign.branches is None else list(campaign.branches)
        submit(files, campaign.flow, campaign.protocol, CALCULATOR, launchpad, branches=branches, energies=plan.energies)
        failures: Counter[str] = Counter()
        repeated = 0
        for again in range(ROUNDS + 1):
            run_workers(
                launchpad,
                stage.launchpad_file,
                workers=workers,
                fworker_file=fworker,
                directory=where / "launches",
                poll_seconds=0.2,
                on_progress=on_progress,
            )
            failed = failed_jobs(launchpad)
            failures.update(failed.values())
            if not failed or again == ROUNDS:
                break
            repeated += start_again(launchpad, failed)
        cores = {"cores": given.cores, "cores_per_run": given.cores_per_run}
        forecast = make_forecast(launchpad, stage.attempts, failures, **cores)
        forecast.repeated, forecast.seconds = repeated, round(time.monotonic() - started, 1)
        return forecast


def failed_jobs(launchpad: HibanaLaunchPad) -> dict[int, str]:
    """Cause by firework: jobs that are FIZZLED, and those whose calculation was given up."""
    found = {}
    for firework in launchpad.fireworks.find({"state": "FIZZLED"}, {"fw_id": 1, "launches": 1}):
        own = {"launch_id": {"$in": firework["launches"]}}
        found[firework["fw_id"]] = cause_of_launch(launchpad.launches.find_one(own, {"action": 1}, sort=[("launch_id", -1)]))
    given_up = launchpad.db["tasks"].find({"status": "failed"}, {"machine.directory": 1, "failure": 1, "status": 1})
    causes: dict[str, str] = {}
    for task in given_up:
        folder = Path(task["machine"]["directory"])
        causes |= dict.fromkeys((str(folder), *map(str, folder.parents)), cause_of_run(task))  # in the launch's, or one in it
    if causes:
        for launch in launchpad.launches.find({"state": "COMPLETED"}, {"fw_id": 1, "launch_dir": 1}):
            if launch["launch_dir"] in causes:
                found[launch["fw_id"]] = causes[launch["launch_dir"]]
    return found


def start_again(launchpad: HibanaLaunchPad, fw_ids: Mapping[int, str]) -> int:
    """Start jobs again as an operator does with ``lpad rerun_fws``; how many there were."""
    for fw_id in sorted(fw_ids):
        launchpad.rerun_fw(fw_id)
    return len(fw_ids)


@dataclass(frozen=True)
class Stage:
    """The folder of a rehearsal: store, launchpad file, worker file, potentials and the count of attempts."""

    folder: Path

    @property
    def launchpad_file(self) -> Path:
        """FireWorks launchpad file of the rehearsal's store."""
        return self.folder / "my_launchpad.yaml"

    @property
    def attempts(self) -> Path:
        """Where the stand-in counts its attempts."""
        return self.folder / "attempts"

    @contextmanager
    def launchpad(self) -> Iterator[HibanaLaunchPad]:
        """The launchpad on an embedded store that runs as long as the block."""
        from hibana.launch.launchpad import HibanaLaunchPad
        from hibana.store.launchpad_file import write_launchpad_file
        from hibana.store.server import down, free_port, up

        status = up(self.folder / "store", free_port())
        try:
            write_launchpad_file(self.launchpad_file, status, DATABASE)
            launchpad = HibanaLaunchPad.connect(self.launchpad_file)
            launchpad.initialise()
            yield launchpad
            launchpad.connection.close()
        finally:
            down(self.folder / "store")

    @contextmanager
    def environment(self, protocol: str) -> Iterator[None]:
        """A library of synthetic potentials, and short looks at the runs, while the block runs."""
        from hibana.protocol.potcar import LIBRARY_VARIABLE
        from hibana.protocol.protocol import load_protocol
        from hibana.vasp.run import POLLING_VARIABLE

        library = self.folder / "potcars"
        labels = _all_labels(load_protocol(protocol))
        command = [*stand_in(), "--mode", "replay", "--make-potcars", str(library), "--elements", ",".join(labels)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NO_STAND_IN.error(done.stderr.strip()[-500:] or f"exit status {done.returncode}", where=shlex.join(command[:3]))
        settings = {LIBRARY_VARIABLE: str(library), POLLING_VARIABLE: str(POLLING_SECONDS), "OMP_NUM_THREADS": "1"}
        before = {name: os.environ.get(name) for name in settings}
        os.environ.update(settings)
        try:
            yield
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})

    def write_worker(self, *, seed: int | None, rates: Path | None, recordings: Path | None, cores: int) -> Path:
        """A worker file whose code is the stand-in; without a seed nothing befalls it, but its attempts are counted."""
        if seed is None:
            rates = self.folder / "no_faults.json"
            rates.write_text("{}\n")
        words = [*stand_in(), *chaos_options(seed, rates), "--attempts", str(self.attempts)]
        words += ["--recordings", str(recordings.resolve())] if recordings else []
        path = self.folder / "my_fworker.yaml"
        command = json.dumps(shlex.join(words), ensure_ascii=False)  # YAML, quoted: a path may hold anything
        path.write_text(f"name: rehearsal\ncategory: ''\nquery: '{{}}'\nenv:\n  vasp_cmd: {command}\n  cores: {cores}\n")
        return path


def _all_labels(protocol: Protocol) -> list[str]:
    """POTCAR labels of all elements that the protocol has a choice for."""
    from pymatgen.core import Element

    from hibana.core.errors import HibanaError
    from hibana.protocol.potcar import potcar_labels

    labels: list[str] = []
    for element in Element:
        try:
            labels += potcar_labels([element.symbol], protocol)
        except HibanaError:
            continue
    return labels


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UNWRITABLE_LAUNCHES.error(error.strerror or str(error), where=folder) from error


def _files(structures: tuple[Path, ...] | int, folder: Path) -> list[Path]:
    """Structure files of the rehearsal; those of made-up crystals are written."""
    if isinstance(structures, int):
        return write_crystals(folder / "structures", structures)
    return list(structures)
