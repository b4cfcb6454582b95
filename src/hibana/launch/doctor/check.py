"""One check and its outcome, and what the checks look at."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from hibana.core.errors import HibanaError

State = Literal["ok", "warning", "failed", "skipped"]


@dataclass(frozen=True)
class Check:
    """What was looked at and what was found.

    Parameters
    ----------
    name
        What was looked at.
    state
        ``ok``; ``warning``: it works but is likely not what was meant; ``failed``: runs will fail; ``skipped``: it does not
        apply here, or something else has to be mended first.
    what
        What was found.
    code, where, fix
        Number of the error, the place it is about and how to mend it; empty if all is well.
    """

    name: str
    state: State
    what: str
    code: str = ""
    where: str = ""
    fix: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return asdict(self)


@dataclass(frozen=True)
class Setup:
    """The files and folders that are looked at.

    Parameters
    ----------
    launchpad_file, fworker_file, qadapter_file
        FireWorks' files; None where there is none.
    config_file
        The FW_config.yaml in force.
    directory
        Where launches will be made.
    protocol
        Protocol whose potentials are looked for.
    elements
        Elements that have to be there; empty: those of the candidates in the database.
    """

    launchpad_file: Path | None
    fworker_file: Path | None
    qadapter_file: Path | None
    config_file: Path | None
    directory: Path
    protocol: str
    elements: tuple[str, ...] = ()


def ok(name: str, what: str) -> Check:
    """All is well."""
    return Check(name, "ok", what)


def skipped(name: str, what: str) -> Check:
    """Nothing to look at, or not yet."""
    return Check(name, "skipped", what)


def warning(name: str, error: HibanaError) -> Check:
    """It works, but."""
    return _of(name, "warning", error)


def failed(name: str, error: HibanaError) -> Check:
    """It does not work."""
    return _of(name, "failed", error)


def _of(name: str, state: State, error: HibanaError) -> Check:
    return Check(name, state, error.what, error.kind.code, error.where, error.fix)
