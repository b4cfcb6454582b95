"""Adding and launching empty fireworks: hibana's LaunchPad against FireWorks' own, one launcher, on the embedded server.

Run ``python benchmarks/bench_launchpad.py``; the numbers are also written to ``benchmarks/results/launchpad.json``. The
workflows are chains of six fireworks that do nothing, so all the time is that of the launchpad. Each LaunchPad has a fresh
server of its own; they are measured in turns in one process, and the best of three rounds counts. ``backlog``: so many other
workflows are ready to run. Read the ratios: the times depend on the machine.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import tempfile
import time
from pathlib import Path

from pymongo import monitoring

CHAIN = 6
KINDS = ("hibana", "FireWorks")


class Counter(monitoring.CommandListener):
    """Counts the commands sent to the server."""

    def __init__(self) -> None:
        self.commands = 0

    def started(self, event) -> None:
        """Count a command."""
        self.commands += event.command_name not in ("hello", "ping", "isMaster")

    def succeeded(self, event) -> None:
        """Nothing to count."""

    def failed(self, event) -> None:
        """Nothing to count."""


def chain():
    from fireworks import Firework, PyTask, Workflow

    fireworks: list = []
    for number in range(CHAIN):
        task = PyTask(func="builtins.len", args=["x"])
        fireworks.append(Firework([task], name=str(number), parents=fireworks[-1:] or None))
    return Workflow(fireworks)


def open_launchpad(kind: str, folder: Path, status):
    from fireworks import LaunchPad

    from hibana.launch.launchpad import HibanaLaunchPad
    from hibana.store.launchpad_file import write_launchpad_file

    path = folder / f"{kind}.yaml"
    write_launchpad_file(path, status, kind.lower())
    launchpad = (LaunchPad if kind == "FireWorks" else HibanaLaunchPad).from_file(str(path))
    for name in ("launchpad", "rocket.launcher"):
        logger = logging.getLogger(name)
        logger.setLevel("ERROR")
        for handler in logger.handlers:
            handler.setLevel("ERROR")
    launchpad.reset("", require_password=False, max_reset_wo_password=10**9)
    return launchpad


def rate(action, count: int, counter: Counter) -> dict[str, float]:
    """Things done a second, and commands to the server for each."""
    before, start = counter.commands, time.perf_counter()
    action()
    seconds = time.perf_counter() - start
    return {"per second": count / seconds, "commands each": (counter.commands - before) / count}


def launch(launchpad, count: int, folder: Path) -> None:
    from fireworks.core.rocket_launcher import rapidfire

    here = Path.cwd()
    try:
        rapidfire(launchpad, nlaunches=count, m_dir=tempfile.mkdtemp(dir=folder), strm_lvl="ERROR", sleep_time=0.01)
    finally:
        os.chdir(here)


def measure(kind: str, folder: Path, status, counter: Counter, workflows: int, backlog: int) -> dict[str, dict[str, float]]:
    launchpad = open_launchpad(kind, folder, status)
    launchpad.add_wf(chain())
    launch(launchpad, CHAIN, folder)
    made = [chain() for _ in range(workflows)]
    results = {"add workflows one by one": rate(lambda: [launchpad.add_wf(wf) for wf in made], workflows, counter)}
    results["launch"] = rate(lambda: launch(launchpad, CHAIN * workflows, folder), CHAIN * workflows, counter)
    many = [chain() for _ in range(backlog)]
    results["add workflows at once"] = rate(lambda: launchpad.bulk_add_wfs(many), backlog, counter)
    results[f"launch, backlog of {backlog}"] = rate(lambda: launch(launchpad, 30, folder), 30, counter)
    launchpad.connection.close()
    return results


def best(rounds: list[dict], what: str) -> dict[str, float]:
    """The round in which it went fastest."""
    return max((one[what] for one in rounds), key=lambda found: found["per second"])


def table(results: dict[str, dict[str, dict[str, float]]]) -> str:
    lines = ["| | FireWorks, 1/s | hibana, 1/s | ratio | commands, FireWorks | hibana |", "|---|---|---|---|---|---|"]
    for what in results["hibana"]:
        stock, ours = results["FireWorks"][what], results["hibana"][what]
        ratio = ours["per second"] / stock["per second"]
        rates = f"{stock['per second']:.2f} | {ours['per second']:.2f} | {ratio:.1f}"
        lines.append(f"| {what} | {rates} | {stock['commands each']:.1f} | {ours['commands each']:.1f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workflows", type=int, default=20, help="workflows of six fireworks that are added and run")
    parser.add_argument("--backlog", type=int, default=2000, help="workflows that are ready while others are launched")
    parser.add_argument("--rounds", type=int, default=3, help="how often all is measured, in turns; the best round counts")
    options = parser.parse_args()

    from hibana.store.server import down, free_port, up

    counter = Counter()
    monitoring.register(counter)
    rounds: dict[str, list[dict]] = {kind: [] for kind in KINDS}
    for kind in KINDS * options.rounds:
        with tempfile.TemporaryDirectory() as name:
            status = up(Path(name) / "store", free_port())
            try:
                rounds[kind].append(measure(kind, Path(name), status, counter, options.workflows, options.backlog))
            finally:
                down(Path(name) / "store")
    results = {kind: {what: best(rounds[kind], what) for what in rounds[kind][0]} for kind in KINDS}
    target = Path(__file__).parent / "results" / "launchpad.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(results, indent=1) + "\n")
    print(table(results))


if __name__ == "__main__":
    main()
