"""FireWorks' settings: which file is in force, and what in it does not say what it seems to.

FireWorks is not imported here: with a key that it does not know it cannot be.
"""

from __future__ import annotations

import ast
import difflib
import importlib.util
import os
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from hibana.core.errors import HibanaError
from hibana.launch.doctor.check import Check, failed, ok, warning
from hibana.launch.errors import CONFIG_TRAP
from hibana.store.launchpad_file import read_yaml

NAME = "settings"
FILE_NAME = "FW_config.yaml"
VARIABLE = "FW_CONFIG_FILE"
SPECIAL_KEYS = ("ADD_USER_PACKAGES", "ECHO_TEST")
FILE_KEYS = ("LAUNCHPAD_LOC", "FWORKER_LOC", "QUEUEADAPTER_LOC")

PINGS_BEFORE_LOST = 3
"""A run that misses fewer pings than this may only have been busy."""


def config_files() -> list[Path]:
    """The settings files FireWorks finds, the one in force first: the working directory goes before ``FW_CONFIG_FILE``."""
    folders = [Path.cwd(), Path.home() / ".fireworks", *package_folder()]
    found = [folder / FILE_NAME for folder in folders if (folder / FILE_NAME).is_file()]
    named = os.environ.get(VARIABLE)
    return list(dict.fromkeys([*found, *([Path(named)] if named and Path(named).is_file() else [])]))


def configured_file(config: Path | None, key: str, name: str) -> Path | None:
    """The file that the settings name under a key, or one of that name where FireWorks looks for it; None if there is none."""
    values = _values(config)
    folders = [Path(values["CONFIG_FILE_DIR"])] if values.get("CONFIG_FILE_DIR") else []
    folders += [Path.cwd(), Path.home() / ".fireworks", *([config.parent] if config else [])]
    named = [Path(str(values[key]))] if values.get(key) else [folder / name for folder in folders]
    return next((path for path in named if path.is_file()), None)


def check_settings(config: Path | None, launchpad_file: Path | None) -> list[Check]:
    """Look at the settings in force.

    Parameters
    ----------
    config
        The FW_config.yaml in force; None if there is none.
    launchpad_file
        The launchpad file that hibana uses.
    """
    named = os.environ.get(VARIABLE)
    if named and not Path(named).is_file():
        return [failed(NAME, CONFIG_TRAP.error(f"{VARIABLE} names a file that does not exist", where=named))]
    if config is None:
        what = "there is none: a killed run is noticed after four hours only, and qlaunch pauses 5 s after every job"
        return [
            warning(NAME, CONFIG_TRAP.error(what, where=FILE_NAME, fix=f"Name one with {VARIABLE}; `hibana init` writes one."))
        ]
    try:
        values = read_yaml(config)
    except HibanaError as error:
        return [failed(NAME, CONFIG_TRAP.error(error.what, where=config))]
    checks = [failed(NAME, error) for error in _breaking(config, values)]
    checks += [warning(NAME, error) for error in _misleading(config, values, launchpad_file)]
    return checks or [ok(NAME, str(config))]


def _breaking(config: Path, values: Mapping[str, Any]) -> Iterator[HibanaError]:
    known = (*known_keys(), *SPECIAL_KEYS)
    for key in values:
        if key not in known:
            close = difflib.get_close_matches(str(key), known, 1)
            fix = f"Write {close[0]}." if close else "Take it out."
            yield CONFIG_TRAP.error(f"FireWorks does not know {key} and starts no command with it", where=config, fix=fix)
    for key in ("CONFIG_FILE_DIR", *FILE_KEYS):
        path = values.get(key)
        if path and not Path(str(path)).exists():
            yield CONFIG_TRAP.error(f"{key} names {path}, which does not exist", where=config)
    for key in ("PING_TIME_SECS", "RUN_EXPIRATION_SECS"):
        if key in values and not (isinstance(values[key], int | float) and values[key] > 0):
            yield CONFIG_TRAP.error(f"{key} is {values[key]!r}, not a number of seconds", where=config)
            return
    ping, expiry = values.get("PING_TIME_SECS", 3600), values.get("RUN_EXPIRATION_SECS", 4 * 3600)
    if expiry < PINGS_BEFORE_LOST * ping:
        what = f"runs that live are taken for lost: they ping every {ping:g} s and expire after {expiry:g} s"
        yield CONFIG_TRAP.error(what, where=config, fix=f"Set RUN_EXPIRATION_SECS to {4 * ping:g} or more.")


def _misleading(config: Path, values: Mapping[str, Any], launchpad_file: Path | None) -> Iterator[HibanaError]:
    named = os.environ.get(VARIABLE)
    if named and Path(named).resolve() != config.resolve():
        what = f"it is in force instead of {named}, which {VARIABLE} names"
        yield CONFIG_TRAP.error(what, where=config, fix="Move it away, or start elsewhere: FireWorks looks here first.")
    if isinstance(values.get("PING_TIME_SECS"), int | float) and "RUN_EXPIRATION_SECS" not in values:
        what = "RUN_EXPIRATION_SECS is missing and stays at four hours: PING_TIME_SECS alone does not shorten it"
        yield CONFIG_TRAP.error(what, where=config, fix=f"Set RUN_EXPIRATION_SECS to {4 * values['PING_TIME_SECS']}.")
    if values.get("WFLOCK_EXPIRATION_KILL"):
        what = "WFLOCK_EXPIRATION_KILL breaks locks that others hold"
        yield CONFIG_TRAP.error(what, where=config, fix="Take it out: hibana breaks the locks of processes that are gone.")
    other = values.get("LAUNCHPAD_LOC")
    if other and launchpad_file and Path(str(other)).resolve() != launchpad_file.resolve():
        what = f"lpad and rlaunch use {other}, hibana uses {launchpad_file}"
        yield CONFIG_TRAP.error(what, where=config, fix="Let LAUNCHPAD_LOC and HIBANA_LAUNCHPAD name the same file.")
    for key in ("CONFIG_FILE_DIR", *FILE_KEYS):
        path = values.get(key)
        if path and not Path(str(path)).is_absolute():
            yield CONFIG_TRAP.error(f"{key} is relative, so that it depends on where a command is started", where=config)


@cache
def known_keys() -> tuple[str, ...]:
    """The settings that FireWorks knows, from its source."""
    (folder,) = package_folder()
    tree = ast.parse((folder / "fireworks" / "fw_config.py").read_text())
    targets = [target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
    return tuple(target.id for target in targets if isinstance(target, ast.Name) and target.id.isupper())


@cache
def package_folder() -> tuple[Path, ...]:
    """The folder that the package FireWorks lies in: it is one of the places where FireWorks looks for its settings."""
    found = importlib.util.find_spec("fireworks")
    places = list(found.submodule_search_locations or ()) if found else []
    return (Path(places[0]).parent,) if places else ()


def _values(config: Path | None) -> dict[str, Any]:
    try:
        return {} if config is None else read_yaml(config)
    except HibanaError:
        return {}
