"""What can go wrong with a run, and how often: rates as data, drawn from the question and the number of the attempt."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import tomllib
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from hibana.rehearsal.errors import RehearsalError

KINDS: dict[str, str] = {
    "hang": "prints nothing more until it is ended",
    "deaf": "hangs and ignores SIGTERM",
    "signal": "is killed by a signal in the middle of its files",
    "error": "prints one of VASP's errors and ends",
    "truncate": "ends as if all were well, with vasprun.xml and OUTCAR cut off",
    "oscillate": "the electrons do not converge within NELM",
    "slow": "takes its time, and stops at STOPCAR",
    "disk": "finds no space left on the device",
}
"""Faults and what they do."""

SIGNALS = ("SIGSEGV", "SIGBUS", "SIGFPE", "SIGKILL", "SIGABRT")
"""Signals a run may be killed by."""

LOG = "faults.tsv"
"""List of the faults that befell the runs that counted their attempts in a folder."""

FIRST_ATTEMPTS = 2
"""Attempts of a question that may meet a fault, where the table does not say."""


@dataclass(frozen=True)
class Fault:
    """What befalls one run.

    Parameters
    ----------
    kind
        One of :data:`KINDS`.
    detail
        Which error or signal; empty for the other kinds.
    seconds
        How long it hangs or takes.
    """

    kind: str
    detail: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Rates:
    """How often what goes wrong.

    Parameters
    ----------
    seed
        Another seed is another campaign.
    rates
        Probability of each kind of fault in one attempt.
    seconds
        How long the kinds that wait do so.
    errors
        Keys of the errors that are printed; all if empty.
    attempts
        Attempts of a question that may meet a fault; later ones succeed.
    permanent
        Probability that a question meets its first fault at every attempt.
    """

    seed: int = 0
    rates: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    errors: tuple[str, ...] = ()
    attempts: int = FIRST_ATTEMPTS
    permanent: float = 0.0

    def fault(self, digest: str, attempt: int) -> Fault | None:
        """The fault that befalls an attempt (from 0) at a question, None if there is none; always the same one."""
        if self._draw(digest, "permanent") < self.permanent:
            attempt = 0
        elif attempt >= self.attempts:
            return None
        left = self._draw(digest, f"fault {attempt}")
        for kind, rate in self.rates.items():
            if left < rate:
                return Fault(kind, self._detail(kind, digest, attempt), self.seconds.get(kind, 0.0))
            left -= rate
        return None

    def _detail(self, kind: str, digest: str, attempt: int) -> str:
        choices = {"signal": SIGNALS, "error": self.errors or tuple(messages())}.get(kind)
        return choices[int(self._draw(digest, f"{kind} {attempt}") * len(choices))] if choices else ""

    def _draw(self, *words: str) -> float:
        hashed = hashlib.sha256("|".join((str(self.seed), *words)).encode()).digest()
        return int.from_bytes(hashed[:8], "big") / 2**64


def read_rates(path: Path | None, seed: int | None = None) -> Rates:
    """Rates from a YAML, JSON or TOML file, or those of the package.

    Parameters
    ----------
    path
        The file; None for the package's own.
    seed
        Seed instead of the file's.

    Raises
    ------
    RehearsalError
        HIB-200 if it cannot be used.
    """
    where = path or "rates.toml of hibana"
    try:
        content = _content(path)
    except OSError as error:
        raise RehearsalError(200, f"it cannot be read: {error.strerror}", where=where) from error
    except ValueError as error:
        raise RehearsalError(200, f"it cannot be read: {error}", where=where) from error
    for key in ("rates", "seconds"):
        if not isinstance(content.get(key, {}), dict):
            raise RehearsalError(200, f"{key} is {content[key]!r}, not a table of numbers", where=where)
    named = content.get("errors", ())
    if not (isinstance(named, list | tuple) and all(isinstance(key, str) for key in named)):
        raise RehearsalError(200, f"errors is {named!r}, not a list of names", where=where)

    def number(name: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
            raise RehearsalError(200, f"{name} is {value!r}, not a number of 0 or more", where=where)
        return float(value)

    rates = {str(kind): number(f"rates.{kind}", rate) for kind, rate in content.get("rates", {}).items()}
    made = Rates(
        seed=int(number("seed", content.get("seed", 0))) if seed is None else seed,
        rates=rates,
        seconds={str(kind): number(f"seconds.{kind}", time) for kind, time in content.get("seconds", {}).items()},
        errors=tuple(named),
        attempts=int(number("attempts", content.get("attempts", FIRST_ATTEMPTS))),
        permanent=number("permanent", content.get("permanent", 0.0)),
    )
    known = (
        *((key, tuple(Rates.__dataclass_fields__)) for key in content),
        *((kind, tuple(KINDS)) for kind in (*rates, *made.seconds)),
        *((key, tuple(messages())) for key in made.errors),
    )
    unknown = dict.fromkeys(f"{name}{_meant(name, names)}" for name, names in known if name not in names)
    if unknown:
        raise RehearsalError(200, f"{', '.join(sorted(unknown))} means nothing", where=where)
    if sum(rates.values()) > 1:
        raise RehearsalError(200, f"the rates {rates} sum to more than 1", where=where)
    return made


def _meant(name: str, known: tuple[str, ...]) -> str:
    """The name that is meant by one that is not known, for a message."""
    near = difflib.get_close_matches(name, known, 1)
    return f" (is {near[0]} meant?)" if near else f" (there are {', '.join(known)})"


def messages() -> dict[str, tuple[str, str]]:
    """Stream and text of every error that is known, by custodian's key."""
    table = tomllib.loads(_packaged("messages.toml"))
    return {key: (stream, text) for stream, texts in table.items() for key, text in texts.items()}


def count_attempt(folder: Path, digest: str) -> int:
    """Note an attempt at a question and give its number, from 0; the folder is shared by all runs of a rehearsal.

    Raises
    ------
    RehearsalError
        HIB-194 if the folder cannot be written.
    """
    path = folder / digest[:2] / digest
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            before = os.fstat(descriptor).st_size
            os.write(descriptor, b".")
        finally:
            os.close(descriptor)
    except OSError as error:
        raise RehearsalError(194, str(error), where=folder) from error
    return before


def log_fault(folder: Path, digest: str, attempt: int, fault: Fault) -> None:
    """Add a line to the folder's list of faults: digest, attempt, kind, detail."""
    with (folder / LOG).open("a") as file:
        file.write(f"{digest}\t{attempt}\t{fault.kind}\t{fault.detail}\n")


def _content(path: Path | None) -> dict[str, Any]:
    text = _packaged("rates.toml") if path is None else path.read_text()
    if path is None or path.suffix == ".toml":
        return tomllib.loads(text)
    if path.suffix == ".json":
        content = json.loads(text)
    else:
        from ruamel.yaml import YAML, YAMLError

        try:
            content = YAML(typ="safe").load(text)
        except YAMLError as error:
            raise ValueError(str(error)) from error
    if not isinstance(content, dict):
        raise ValueError("it holds no table")
    return content


def _packaged(name: str) -> str:
    return resources.files("hibana.rehearsal.replay").joinpath(name).read_text()
