"""What is wrong with a run: which handlers fire on its files, what they would do, and what the policy makes of it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hibana.protocol.errors import UNKNOWN_TASK
from hibana.protocol.protocol import FUNCTIONALS
from hibana.vasp.corrections import correction_of
from hibana.vasp.errors import NOT_A_RUN
from hibana.vasp.files import find, load
from hibana.vasp.inputs_read import read_incar
from hibana.vasp.policy import HandlerPolicy, Verdict, load_policy
from hibana.vasp.quiet import silenced

if TYPE_CHECKING:
    from custodian.custodian import ErrorHandler, Validator

READ_BY_HANDLERS = (
    "INCAR",
    "KPOINTS",
    "POSCAR",
    "POTCAR",
    "CONTCAR",
    "OSZICAR",
    "OUTCAR",
    "vasprun.xml",
    "vasp.out",
    "std_err.txt",
)
"""Files that handlers and validators read."""

WATCHED = READ_BY_HANDLERS[5:]
"""Files of which one must be there for a handler to say anything."""


@dataclass(frozen=True)
class Diagnosis:
    """What one handler or validator says of a run.

    Parameters
    ----------
    handler
        Class name.
    errors
        custodian's error keys; empty where the handler could not look.
    actions
        The first correction; None where it has none.
    verdict
        What the policy makes of the correction; None without one.
    in_use
        False for a handler of stock custodian that the policy leaves out; ``note`` says why.
    note
        What to know of it: why it could not look, is left out, or that the run is given up.
    """

    handler: str
    errors: tuple[str, ...] = ()
    actions: tuple[dict[str, Any], ...] | None = None
    verdict: Verdict | None = None
    in_use: bool = True
    note: str | None = None

    @property
    def fires(self) -> bool:
        """Whether it found an error that the policy acts upon."""
        return self.in_use and bool(self.errors)

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {**asdict(self), "fires": self.fires}


def diagnose(
    directory: Path, task: str = "structure_opt", functional: str = "pbesol", policy: HandlerPolicy | None = None
) -> list[Diagnosis]:
    """Ask the handlers and validators of a task about the files in a folder; nothing in the folder is changed.

    Parameters
    ----------
    directory
        Folder of a run; its files may be gzipped.
    task, functional
        What the run was for; they choose handlers and verdicts.
    policy
        Default: the packaged policy ``standard``.

    Returns
    -------
    list of Diagnosis
        One for each handler that fires, for each that could not look because a file is missing, and for each of stock
        custodian's that fires and is left out by the policy.

    Raises
    ------
    HibanaError
        HIB-036 for a functional that no protocol has, HIB-050 if the folder has no VASP output, HIB-060 for a task without
        handlers.
    """
    directory = Path(directory)
    policy = policy or load_policy()
    if functional not in FUNCTIONALS:
        raise UNKNOWN_TASK.error(f"functional {functional!r}; there are {', '.join(FUNCTIONALS)}")
    handlers = policy.handlers(task, functional)
    if not any(find(directory, name) for name in WATCHED):
        raise NOT_A_RUN.error(f"none of {', '.join(WATCHED)} is there", where=directory)
    with silenced():
        found = [_ask(handler, directory, policy, task, functional) for handler in handlers]
        found += [_validate(validator, directory) for validator in policy.validators()]
        for handler, why in policy.left_out_handlers(task, functional):
            answer = _ask(handler, directory, policy, task, functional)
            if answer is not None and answer.fires:
                found.append(replace(answer, verdict=None, in_use=False, note=f"left out by the policy: {why}"))
    return [diagnosis for diagnosis in found if diagnosis is not None]


def _ask(handler: ErrorHandler, directory: Path, policy: HandlerPolicy, task: str, functional: str) -> Diagnosis | None:
    """What a handler says; each one gets a fresh copy, since a correction changes files."""
    name = type(handler).__name__
    with _copied(directory) as folder:
        try:
            if not handler.check(directory=str(folder)):
                return None
        except FileNotFoundError as error:
            return Diagnosis(name, note=f"could not look: {Path(str(error.filename)).name} is missing")
        except Exception as error:
            return Diagnosis(name, note=f"could not look: {error or type(error).__name__}")
        incar = read_incar(folder)
        try:
            answer = handler.correct(directory=str(folder))
        except Exception as error:
            keys = tuple(sorted(getattr(handler, "errors", ()))) or (name,)
            return Diagnosis(name, keys, note=f"its correction cannot be made: {error or type(error).__name__}")
    correction = correction_of({**answer, "handler": handler}, policy, task, functional, incar)
    if not correction.actions:
        return Diagnosis(name, correction.errors, note="no correction is left; the run is given up")
    note = "the correction is refused; the run is given up" if correction.verdict == "refused" else None
    return Diagnosis(name, correction.errors, correction.actions, correction.verdict, note=note)


def _validate(validator: Validator, directory: Path) -> Diagnosis | None:
    name = type(validator).__name__
    if find(directory, "vasprun.xml") is None:
        return Diagnosis(name, note="could not look: vasprun.xml is missing")
    with _copied(directory) as folder:
        if not validator.check(directory=str(folder)):
            return None
    return Diagnosis(name, ("invalid_output",), note="vasprun.xml is not complete")


@contextmanager
def _copied(directory: Path) -> Iterator[Path]:
    """Unpacked copy of the files that are read, with fresh times: an old run is not a frozen one."""
    with tempfile.TemporaryDirectory() as scratch:
        for name in READ_BY_HANDLERS:
            file = load(directory, name)
            if file is not None:
                (Path(scratch) / name).write_bytes(file.data)
        yield Path(scratch)
