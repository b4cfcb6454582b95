"""FireWorks' launchpad file: where it is looked for, and the one written for the embedded server."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from hibana.core.errors import ErrorKind
from hibana.core.names import meant
from hibana.core.settings import Settings
from hibana.store.errors import BAD_DIRECTORY, BAD_LAUNCHPAD, FOREIGN_LAUNCHPAD, NO_LAUNCHPAD
from hibana.store.server import ServerStatus

FILE_NAME = "my_launchpad.yaml"
MARK = "# Written by `hibana store up`: the embedded server. Plain FireWorks launchpad file, also for `lpad -l`."

KEYS = (
    *("host", "port", "name", "username", "password", "authsource", "uri_mode", "mongoclient_kwargs"),
    *("logdir", "strm_lvl", "user_indices", "wf_user_indices"),
)
"""Keys of a launchpad file, those of FireWorks' LaunchPad."""

OLD_KEYS = ("ssl", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_pem_passphrase")
"""Keys that older versions of FireWorks wrote."""


def find_launchpad_file(given: Path | None = None) -> Path:
    """The launchpad file in force.

    Looked for in this order: the argument; ``HIBANA_LAUNCHPAD``; what FireWorks' configuration file (``FW_CONFIG_FILE``)
    names, and its folder; the working directory; ``~/.fireworks``.

    Raises
    ------
    HibanaError
        HIB-072 if there is none.
    """
    named = given or Settings.from_environment().launchpad_file
    if named is not None:
        if not named.is_file():
            raise NO_LAUNCHPAD.error("the file does not exist", where=named)
        return named
    candidates = [*_configured(), Path(FILE_NAME), Path.home() / ".fireworks" / FILE_NAME]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise NO_LAUNCHPAD.error("none was named and none found", where=", ".join(str(c) for c in candidates))


def read_yaml(path: Path, wrong: ErrorKind = BAD_LAUNCHPAD) -> dict[str, Any]:
    """A YAML mapping.

    Parameters
    ----------
    path
        The file.
    wrong
        The error for a file that is none.

    Raises
    ------
    HibanaError
        That error if the file cannot be read or holds no mapping.
    """
    try:
        content = YAML(typ="safe", pure=True).load(path)
    except OSError as error:
        raise wrong.error(f"it cannot be read: {error.strerror}", where=path) from error
    except UnicodeDecodeError as error:
        raise wrong.error("it is no text", where=path) from error
    except YAMLError as error:
        raise wrong.error(f"it is no YAML: {error}", where=path) from error
    if not isinstance(content, dict):
        raise wrong.error("it holds no mapping", where=path)
    return content


def read_launchpad(path: Path) -> dict[str, Any]:
    """Content of a launchpad file.

    Raises
    ------
    HibanaError
        HIB-073 if the file cannot be read, or has a key that FireWorks does not know.
    """
    content = read_yaml(path)
    for key in map(str, content):
        if key not in (*KEYS, *OLD_KEYS) and not key.startswith("_"):
            known = f"a launchpad file has {', '.join(KEYS)}"
            raise BAD_LAUNCHPAD.error(f"{key} is no key of it{meant(key, KEYS)}; {known}", where=path)
    return content


def write_launchpad_file(path: Path, status: ServerStatus, name: str = "hibana") -> None:
    """Write the launchpad file of an embedded server; stock ``lpad``, ``rlaunch`` and ``qlaunch`` take it as it is.

    Parameters
    ----------
    path
        File to write. A file that was not written by this function is never overwritten, unless it says the same.
    status
        Status of a server that is up.
    name
        Name of the database.

    Raises
    ------
    HibanaError
        HIB-079 if another file is in the way, HIB-081 if the folder cannot be written.
    """
    content: dict[str, Any] = {
        "host": status.host,
        "port": status.port,
        "name": name,
        "username": None,
        "password": None,
        "authsource": None,
        "logdir": None,
        "strm_lvl": "INFO",
        "user_indices": [],
        "wf_user_indices": [],
        "uri_mode": False,
        "mongoclient_kwargs": {"retryWrites": False, "journal": True},
    }
    if path.exists() and not path.read_text().startswith(MARK):
        there = read_yaml(path)
        if all(there.get(key) == content[key] for key in ("host", "port", "name")):
            return
        raise FOREIGN_LAUNCHPAD.error(f"it names {there.get('host')}:{there.get('port')}", where=path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("w") as file:
            file.write(MARK + "\n")
            YAML(typ="safe", pure=True).dump(content, file)
        temporary.replace(path)
    except OSError as error:
        raise BAD_DIRECTORY.error(f"the launchpad file cannot be written: {error.strerror}", where=path) from error


def _configured() -> list[Path]:
    config = os.environ.get("FW_CONFIG_FILE")
    if not config or not Path(config).is_file():
        return []
    content = read_yaml(Path(config))
    named = [Path(content["LAUNCHPAD_LOC"])] if content.get("LAUNCHPAD_LOC") else []
    folders = [Path(content["CONFIG_FILE_DIR"])] if content.get("CONFIG_FILE_DIR") else []
    return [*named, *(folder / FILE_NAME for folder in [*folders, Path(config).parent])]
