"""Sites: the FireWorks files that a machine or a cluster needs, made from a few answers."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from hibana.launch.errors import BAD_ANSWER, FILES_IN_THE_WAY

DATA = Path(__file__).parent / "data" / "sites"
COMMON = "common"
PJM_TEMPLATE = DATA / "fugaku" / "PJM_template.txt"
"""Job script that the adapter of pjsub takes where none is named."""

SECRET_MODE, PROGRAM_MODE, USUAL_MODE = 0o600, 0o755, 0o644

PILOT_MARGIN = 600
"""Seconds before the walltime at which a pilot job ends by itself; a quarter of a short walltime."""

_PLACE = re.compile(r"@\{(\w+)(?::(\w+))?\}")
_PLAIN = re.compile(r"[A-Za-z/][\w./+-]*(?: [\w./=+-]+)*")
_WALLTIME = re.compile(r"(\d+):([0-5]\d):([0-5]\d)")


@dataclass(frozen=True)
class Question:
    """Something to ask about a site.

    Parameters
    ----------
    key
        Its name, that of the command's option too.
    text
        The question.
    default
        Answer where none is given; None if one must be given.
    secret
        Whether the answer is not to be shown.
    """

    key: str
    text: str
    default: str | None
    secret: bool = False


@dataclass(frozen=True)
class Site:
    """A kind of machine.

    Parameters
    ----------
    name, title
        Its name, and what it is.
    questions
        What to ask, in order.
    files
        Names of the files it needs.
    scheduler
        Kind of its queue as :mod:`hibana.launch.schedulers` calls it; None without a queue.
    compute_node
        What to put before a command to run it on a compute node; empty where that takes a job script.
    """

    name: str
    title: str
    questions: tuple[Question, ...]
    files: tuple[str, ...]
    scheduler: str | None = None
    compute_node: str = ""

    def render(self, answers: Mapping[str, str], directory: Path, programs: Path | None = None) -> dict[str, str]:
        """Texts of the files by name.

        Parameters
        ----------
        answers
            By key of the questions; where one is missing, its default.
        directory
            Absolute path where the files will be.
        programs
            Folder of the commands ``hibana`` and ``rlaunch``; None: that of this Python.

        Raises
        ------
        HibanaError
            HIB-241 if an answer is missing or impossible.
        """
        values = self._values(answers, directory) | {"bin": str(programs or Path(sys.executable).parent)}
        return {name: _filled(_template(self.name, name), values) for name in self.files}

    def _values(self, answers: Mapping[str, str], directory: Path) -> dict[str, str]:
        numbers, may_be_empty = _catalogue()["numbers"], _catalogue()["may_be_empty"]
        values = {"directory": str(directory), "site": self.name}
        for question in self.questions:
            key, answer = question.key, answers.get(question.key, question.default)
            if answer is None or (not answer.strip() and (key not in may_be_empty or question.default is None)):
                raise BAD_ANSWER.error(f"{key} is missing ({question.text})", where=self.name)
            if "\n" in answer or "$$" in answer:
                raise BAD_ANSWER.error(f"{key} holds a line break or $$", where=self.name)
            if key in numbers and not (answer.isdecimal() and int(answer) > 0):
                raise BAD_ANSWER.error(f"{key} is {answer!r}, not a positive whole number", where=self.name)
            values[key] = answer.strip()
        return {**self._fixed(values), **values, **_derived(values, directory)}

    def _fixed(self, values: Mapping[str, str]) -> dict[str, str]:
        """Defaults of what is not asked."""
        defaults: dict[str, str] = _catalogue()["sites"][self.name]["defaults"]
        return {key: value for key, value in defaults.items() if key not in values}


@dataclass(frozen=True)
class Written:
    """What :func:`write_site` wrote.

    Parameters
    ----------
    site
        Its name.
    files
        Paths of the files.
    commands
        What to type next.
    """

    site: str
    files: tuple[Path, ...]
    commands: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return {"site": self.site, "files": [str(path) for path in self.files], "commands": list(self.commands)}


def site_names() -> tuple[str, ...]:
    """Names of the kinds of site."""
    return tuple(_catalogue()["sites"])


def find_site(name: str) -> Site:
    """A kind of site by its name.

    Raises
    ------
    HibanaError
        HIB-241 if there is none.
    """
    catalogue = _catalogue()
    entry = catalogue["sites"].get(name)
    if entry is None:
        raise BAD_ANSWER.error(f"there is no kind of site {name!r}; there are {', '.join(site_names())}")
    needed = entry.get("needed", ())
    defaults = {**entry["defaults"], "potcars": os.environ.get("PMG_VASP_PSP_DIR")}
    questions = (
        Question(key, catalogue["questions"][key], None if key in needed else defaults.get(key), key in catalogue["secret"])
        for key in entry["asked"]
    )
    compute_node = entry.get("compute_node", "")
    return Site(name, entry["title"], tuple(questions), tuple(entry["files"]), entry.get("scheduler"), compute_node)


def write_site(site: Site, answers: Mapping[str, str], directory: Path, *, force: bool = False) -> Written:
    """Write the files of a site; all paths in them are absolute.

    Parameters
    ----------
    site
        Kind of site.
    answers
        By key of its questions.
    directory
        Where to write; made where it is missing.
    force
        Whether to overwrite files that say something else.

    Raises
    ------
    HibanaError
        HIB-241 for an answer, HIB-242 if a file is there already or cannot be written.
    """
    folder = directory.expanduser().absolute()
    texts = site.render(answers, folder)
    paths = {name: folder / name for name in texts}
    if not force:
        there = [name for name, path in paths.items() if path.exists() and _text(path) != texts[name]]
        if there:
            raise FILES_IN_THE_WAY.error(", ".join(there), where=folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            _write(paths[name], text)
    except OSError as error:
        raise FILES_IN_THE_WAY.error(f"they cannot be written: {error.strerror}", where=error.filename or folder) from error
    return Written(site.name, tuple(paths.values()), _next_commands(site, answers, folder))


def pilot_seconds(walltime: str) -> int:
    """Seconds that the launchers of a pilot job may run: its walltime (hh:mm:ss) without a margin for the clean stop.

    Raises
    ------
    HibanaError
        HIB-241 if it is no time.
    """
    found = _WALLTIME.fullmatch(walltime)
    total = 3600 * int(found[1]) + 60 * int(found[2]) + int(found[3]) if found else 0
    if total <= 0:
        raise BAD_ANSWER.error(f"walltime is {walltime!r}, not a time as 24:00:00")
    return total - min(PILOT_MARGIN, max(total // 4, 1))


def _derived(values: Mapping[str, str], directory: Path) -> dict[str, str]:
    derived = {f"{name}_file": str(directory / file) for name, file in _NAMED.items()}
    modules = values.get("modules", "")
    derived["module_line"] = f"module load {modules}" if modules else "# module load vasp"
    if "cores_per_node" in values:
        node = int(values["cores_per_node"])
        derived |= {"quarter_node": str(max(node // 4, 1)), "half_node": str(max(node // 2, 1))}
        derived["cores"] = values.get("cores", str(node * int(values["nodes"])))
    if "walltime" in values:
        derived["timeout"] = str(pilot_seconds(values["walltime"]))
    return derived


_NAMED = {"launchpad": "my_launchpad.yaml", "fworker": "my_fworker.yaml", "fw_config": "FW_config.yaml"}


def _filled(template: str, values: Mapping[str, str]) -> str:
    """A template with its places filled: as a YAML value, ``:raw``, ``:sh`` (shell) or ``:quoted`` (text in YAML)."""
    writers: dict[str | None, Callable[[str], str]] = {None: _scalar, "raw": str, "sh": shlex.quote, "quoted": "'{}'".format}
    numbers = _catalogue()["numbers"]

    def fill(place: re.Match[str]) -> str:
        key, how = place[1], place[2]
        return values[key] if key in numbers else writers[how](values[key])

    return _PLACE.sub(fill, template)


def _scalar(text: str) -> str:
    """A YAML value: null for nothing, else text, in quotes where it needs them."""
    if not text:
        return "null"
    plain = _PLAIN.fullmatch(text) and YAML(typ="safe", pure=True).load(text) == text
    return text if plain else json.dumps(text, ensure_ascii=False)


def _template(site: str, name: str) -> str:
    own = DATA / site / name
    return (own if own.is_file() else DATA / COMMON / name).read_text()


def _write(path: Path, text: str) -> None:
    program = text.startswith("#!") and "_template" not in path.name
    mode = SECRET_MODE if path.name == _NAMED["launchpad"] else PROGRAM_MODE if program else USUAL_MODE
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    temporary.chmod(mode)
    temporary.replace(path)


def _text(path: Path) -> str | None:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return None


def _next_commands(site: Site, answers: Mapping[str, str], folder: Path) -> tuple[str, ...]:
    launchpad, quoted = shlex.quote(str(folder / "my_launchpad.yaml")), shlex.quote(str(folder))
    export = f"export FW_CONFIG_FILE={quoted}/FW_config.yaml HIBANA_LAUNCHPAD={launchpad}"
    if answers.get("potcars"):
        export += f" PMG_VASP_PSP_DIR={shlex.quote(answers['potcars'])}"
    submit = "hibana submit structures/ --flow electronic"
    if site.scheduler is None:
        port = answers.get("port") or _catalogue()["sites"][site.name]["defaults"]["port"]
        up = f"hibana store up --port {port} --launchpad {launchpad}"
        doctor = f"hibana doctor --fworker {quoted}/my_fworker.yaml"
        run = f"hibana run --fworker {quoted}/my_fworker.yaml"
        return (export, up, doctor, submit, run)
    record = f"{site.compute_node} hibana doctor --record".strip()
    where = "" if site.compute_node else "   # in a job, on a compute node"
    return (
        export,
        "hibana doctor",
        record + where,
        submit,
        f"qlaunch -q {quoted}/my_qadapter.yaml rapidfire -m 20 --nlaunches infinite",
    )


@cache
def _catalogue() -> dict[str, Any]:
    content: dict[str, Any] = YAML(typ="safe", pure=True).load(DATA / "sites.yaml")
    return content
