"""The campaign behind ``workflows/*.yaml``: a Firetask that reads structures and adds a workflow for each."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fireworks import FiretaskBase, FWAction, LaunchPad, explicit_serialize

import hibana
from hibana.core.names import meant
from hibana.flows.resources import RESOURCES, read_resources
from hibana.launch.beats import beating
from hibana.launch.errors import BAD_CAMPAIGN, NO_STRUCTURES
from hibana.launch.firetasks import CARRIED, launchpad_of
from hibana.launch.submit import submit
from hibana.structures.reading import structure_format

WORKFLOWS = "workflows"
"""Folder in which a project keeps the YAML files that ``lpad add`` takes, beside the folders of structures they name."""

MAX_REPORTED = 1000
"""Refused files that are listed in the data of the launch; the rest is counted."""


@explicit_serialize
class CampaignTask(FiretaskBase):  # type: ignore[misc]
    """Reads structures and adds one workflow for each that has none yet; may be killed and rerun at any point.

    Parameters
    ----------
    structures
        Structure file or folder, or a list of them. A relative path is looked for as :func:`find_structures` says.
    flow
        Name of the flow: ``electronic``, ``bulk`` or ``competing``.
    protocol
        Name or file of the protocol.
    calculator
        ``vasp`` or ``gpaw-rehearsal``.
    branches
        Branches of the flow ``bulk``, with those they need: ``band``, ``dos``, ``dielectric``, ``hse06``, ``ddh``, ``optics``,
        ``phonon``, ``vacancy``; where it is left out, all but ``phonon`` and ``vacancy``.
        Of the flow ``competing`` the elements of the chemical system.
    energies
        Table of energies of competing phases (CSV or JSON) for the branch ``vacancy``, looked for as the structures are.
    resources
        Table of a site (YAML) that says how large a job of the queue a cell gets, looked for as the structures are.
    """

    required_params = ("structures", "flow", "protocol", "calculator")
    optional_params = ("branches", "energies", "resources")

    def run_task(self, fw_spec: dict[str, Any]) -> FWAction:
        """Add the workflows; what was refused, and why, stands in the stored data of the launch.

        Raises
        ------
        HibanaError
            HIB-103, HIB-110 to HIB-112, or as :func:`hibana.launch.submit.submit`.
        """
        launchpad, fw_id = launchpad_of(self)
        with beating(launchpad, fw_id):
            return self._submit(launchpad, fw_spec)

    def _submit(self, launchpad: LaunchPad, fw_spec: dict[str, Any]) -> FWAction:
        paths = check_fields(self)
        branches, energies, resources = (self.get(name) for name in self.optional_params)
        found = [find_structures(path) for path in paths]
        table = None if energies is None else find_table(energies, "energies")
        fields = {key: fw_spec[key] for key in CARRIED if key in fw_spec}
        if resources is not None:
            fields[RESOURCES] = read_resources(find_table(resources, "resources"))
        asked = (self["flow"], self["protocol"], self["calculator"])
        report = submit(found, *asked, launchpad, branches=branches, energies=table, fields=fields)
        return FWAction(
            stored_data={
                "structures": [str(path) for path in found],
                "n_added": len(report.added),
                "n_already_there": len(report.already_there),
                "n_refused": len(report.refused),
                "refused": [item.as_dict() for item in report.refused[:MAX_REPORTED]],
            }
        )


def check_fields(task: Mapping[str, Any]) -> list[str]:
    """Look at the fields of a campaign, before anything is done with them.

    Parameters
    ----------
    task
        Fields of a :class:`CampaignTask`.

    Returns
    -------
    list of str
        Paths of its structures, as the file has them.

    Raises
    ------
    HibanaError
        HIB-112 for a field that is missing, unknown or of the wrong kind.
    """
    known = (*CampaignTask.required_params, *CampaignTask.optional_params)
    unknown = [f"{key}{meant(key, known)}" for key in map(str, task) if key not in known and not key.startswith("_")]
    if unknown:
        raise BAD_CAMPAIGN.error(f"{', '.join(unknown)} means nothing; a campaign has {', '.join(known)}")
    if missing := [key for key in CampaignTask.required_params if key not in task]:
        raise BAD_CAMPAIGN.error(f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing")
    for name in ("flow", "protocol", "calculator"):
        if not isinstance(task[name], str):
            raise BAD_CAMPAIGN.error(f"{name} is {task[name]!r}, not a name")
    named = task["structures"]
    paths = [named] if isinstance(named, str) else named
    if not isinstance(paths, list) or not paths or not all(isinstance(path, str) and path for path in paths):
        raise BAD_CAMPAIGN.error(f"structures is {named!r}, neither a path nor a list of paths")
    branches = task.get("branches")
    if branches is not None and not (isinstance(branches, list) and all(isinstance(name, str) for name in branches)):
        raise BAD_CAMPAIGN.error(f"branches is {branches!r}, not a list of names")
    for name in ("energies", "resources"):
        table = task.get(name)
        if table is not None and not (isinstance(table, str) and table):
            raise BAD_CAMPAIGN.error(f"{name} is {table!r}, not the path of a table")
    return paths


def find_structures(path: str, bases: Sequence[Path] | None = None) -> Path:
    """The file or folder with structures that a path of a campaign means.

    ``lpad add`` forgets where the YAML file was, and a launcher works in a folder of its own, so a relative path is looked
    for below several folders, and there also below ``workflows``, the folder of the YAML file: the working directory and
    those above it, the folder the launcher was started in and those above it, the folder of FireWorks' configuration and
    those above it, and the source tree that hibana runs from. A folder counts only if it holds a structure file.

    Parameters
    ----------
    path
        Path as the YAML file has it; ``~`` and environment variables are expanded.
    bases
        Folders to look below instead.

    Raises
    ------
    HibanaError
        HIB-111 with all that was tried.
    """
    candidates = _candidates(path, bases)
    for candidate in candidates:
        if candidate.is_file() or _holds_structures(candidate):
            return candidate.resolve()
    tried = ", ".join(str(candidate) for candidate in candidates)
    raise NO_STRUCTURES.error(f"{path!r} names no structure file and no folder that holds one", where=tried)


def find_table(path: str, of: str, bases: Sequence[Path] | None = None) -> Path:
    """The table that a path of a campaign means; it is looked for as :func:`find_structures` does.

    Parameters
    ----------
    path
        Path as the YAML file has it.
    of
        What it is a table of, for the error.
    bases
        Folders to look below instead.

    Raises
    ------
    HibanaError
        HIB-111 with all that was tried.
    """
    candidates = _candidates(path, bases)
    found = next((candidate for candidate in candidates if candidate.is_file()), None)
    if found is None:
        what = f"{path!r} names no file with a table of {of}"
        raise NO_STRUCTURES.error(what, where=", ".join(str(candidate) for candidate in candidates))
    return found.resolve()


def _candidates(path: str, bases: Sequence[Path] | None) -> list[Path]:
    """Places that a path may mean, nearest first."""
    wanted = Path(os.path.expandvars(path)).expanduser()
    if wanted.is_absolute():
        return [wanted]
    folders = dict.fromkeys(_bases() if bases is None else bases)
    return [place for folder in folders for place in (folder / wanted, folder / WORKFLOWS / wanted)]


def _holds_structures(folder: Path) -> bool:
    try:
        return any(structure_format(item) is not None and item.is_file() for item in folder.iterdir())
    except OSError:
        return False


def _bases() -> Iterator[Path]:
    """Folders below which a relative path may be meant, nearest first."""
    shell, config = os.environ.get("PWD"), os.environ.get("FW_CONFIG_FILE")
    starts = [Path.cwd(), *([Path(shell)] if shell else []), *([Path(config).resolve().parent] if config else [])]
    for start in starts:
        yield start
        yield from start.parents
    yield Path(hibana.__file__).resolve().parents[2]
