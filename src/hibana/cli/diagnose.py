"""``hibana diagnose``: which handlers fire on a run, and what the policy would do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hibana.cli import console
from hibana.cli.console import JsonOption

if TYPE_CHECKING:
    from hibana.vasp.diagnose import Diagnosis


def diagnose(
    directory: Annotated[Path, typer.Argument(help="Folder of a VASP run; its files may be gzipped and are not changed.")],
    task: Annotated[str, typer.Option("--task", "-t", help="vise's task name.")] = "structure_opt",
    functional: Annotated[str, typer.Option("--functional", "-f", help="pbesol, hse06_nsc or ddh_nsc.")] = "pbesol",
    policy: Annotated[str, typer.Option("--policy", help="Name of the handler policy, or a YAML file.")] = "standard",
    as_json: JsonOption = False,
) -> None:
    """Say which of custodian's handlers fire on a run, with their error keys, and what the policy makes of their corrections.

    Example: hibana diagnose runs/ZnO_band --task band
    """
    from hibana.vasp.diagnose import diagnose as ask
    from hibana.vasp.policy import load_policy

    found = ask(directory, task, functional, load_policy(policy))
    if as_json:
        console.print_json([diagnosis.as_dict() for diagnosis in found])
        return
    out = console.output()
    if not any(diagnosis.fires for diagnosis in found):
        out.print(f"no handler of {task} fires", markup=False)
    for diagnosis in found:
        for line in _lines(diagnosis):
            out.print(line, markup=False)


def _lines(diagnosis: Diagnosis) -> list[str]:
    name = diagnosis.handler if diagnosis.in_use else f"{diagnosis.handler} (not in use)"
    lines = [f"{name}: {', '.join(diagnosis.errors) or diagnosis.note}"]
    lines += [f"  would change: {json.dumps(action)}" for action in diagnosis.actions or ()]
    if diagnosis.verdict is not None:
        lines.append(f"  verdict: {diagnosis.verdict}")
    if diagnosis.errors and diagnosis.note:
        lines.append(f"  {diagnosis.note}")
    return lines
