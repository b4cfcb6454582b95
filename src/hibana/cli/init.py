"""``hibana init``: the FireWorks files of a machine or cluster."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hibana.cli.console import JsonOption, errors, output, print_json
from hibana.core.errors import declare

if TYPE_CHECKING:
    from hibana.launch.sites import Question, Site

MISSING_ANSWERS = declare(
    170, "answers are missing", "Give them as options, or run the command in a terminal without --yes to be asked."
)


def init(
    site: Annotated[str, typer.Option("--site", "-s", help="local, slurm, pbs, age (Grid Engine) or fugaku.")],
    directory: Annotated[Path, typer.Option("--directory", "-d", help="Where to write; made where it is missing.")] = Path(),
    host: Annotated[str | None, typer.Option("--host", help="Host of the MongoDB server.")] = None,
    port: Annotated[int | None, typer.Option("--port", min=1, max=65535, help="Port of the database.")] = None,
    database: Annotated[str | None, typer.Option("--database", help="Name of the database.")] = None,
    username: Annotated[str | None, typer.Option("--username", help="User name in the database.")] = None,
    password: Annotated[
        str | None,
        typer.Option("--password", envvar="HIBANA_INIT_PASSWORD", help="Password there; the variable is not seen by others."),
    ] = None,
    vasp_cmd: Annotated[str | None, typer.Option("--vasp-cmd", help="How VASP is started inside a job.")] = None,
    cores: Annotated[int | None, typer.Option("--cores", min=1, help="MPI processes of vasp_cmd (local).")] = None,
    potcars: Annotated[
        Path | None, typer.Option("--potcars", help="Folder of the POTCAR library; default: PMG_VASP_PSP_DIR.")
    ] = None,
    modules: Annotated[str | None, typer.Option("--modules", help="What a job loads with `module load`.")] = None,
    queue: Annotated[str | None, typer.Option("--queue", help="Queue, partition or resource group.")] = None,
    account: Annotated[str | None, typer.Option("--account", help="Account, project or group that pays.")] = None,
    nodes: Annotated[int | None, typer.Option("--nodes", min=1, help="Nodes a job.")] = None,
    cores_per_node: Annotated[int | None, typer.Option("--cores-per-node", min=1, help="MPI processes a node.")] = None,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="Threads a process.")] = None,
    walltime: Annotated[str | None, typer.Option("--walltime", help="Walltime of a job, hh:mm:ss.")] = None,
    resource: Annotated[str | None, typer.Option("--resource", help="Resource type, for instance node_f (age).")] = None,
    pe: Annotated[str | None, typer.Option("--pe", help="Parallel environment (age, where there are no resource types).")] = None,
    volumes: Annotated[str | None, typer.Option("--volumes", help="File systems that a job mounts (fugaku).")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing; take the defaults for what is not given.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that are there.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write the FireWorks files of a site: database, worker, queue, settings and job sizes. All paths in them are absolute.

    Asks for what the options do not say, when it runs in a terminal without --yes. Nothing is overwritten without --force.

    Example: hibana init --site slurm --host db.example.org --potcars ~/potcars --directory ~/fw_config --yes
    """
    from hibana.launch.sites import find_site, write_site

    kind = find_site(site)
    options = {
        "host": host,
        "port": port,
        "database": database,
        "username": username,
        "password": password,
        "vasp_cmd": vasp_cmd,
        "cores": cores,
        "potcars": None if potcars is None else potcars.expanduser().absolute(),
        "modules": modules,
        "queue": queue,
        "account": account,
        "nodes": nodes,
        "cores_per_node": cores_per_node,
        "threads": threads,
        "walltime": walltime,
        "resource": resource,
        "pe": pe,
        "volumes": volumes,
    }
    given = {key: str(value) for key, value in options.items() if value is not None}
    _refuse_foreign(kind, given)
    answers = _complete(kind, given, ask=not (yes or as_json) and sys.stdin.isatty())
    written = write_site(kind, answers, directory, force=force)
    if as_json:
        print_json(written.as_dict())
        return
    out = output()
    for path in written.files:
        out.print(f"wrote {path}", markup=False)
    out.print("\nnext:", markup=False)
    for command in written.commands:
        out.print(f"  {command}", markup=False)


def _refuse_foreign(site: Site, given: dict[str, str]) -> None:
    asked = {question.key for question in site.questions}
    for key in given:
        if key not in asked | {"password"}:  # a password may stand in the environment
            option = "--" + key.replace("_", "-")
            raise typer.BadParameter(f"{option} says nothing of the site {site.name} ({site.title})")


def _complete(site: Site, given: dict[str, str], *, ask: bool) -> dict[str, str]:
    """The answers with what is not given: asked for, or the default."""
    answers = {question.key: given[question.key] for question in site.questions if question.key in given}
    open_questions = [question for question in site.questions if question.key not in given]
    if ask:
        if open_questions:
            errors().print(f"{site.title}; Enter takes what stands in brackets", markup=False)
        return answers | {question.key: _ask(question) for question in open_questions}
    missing = [question.key.replace("_", "-") for question in open_questions if question.default is None]
    if missing:
        raise MISSING_ANSWERS.error(", ".join(f"--{name}" for name in missing), where=f"site {site.name}")
    return answers | {question.key: question.default or "" for question in open_questions}


def _ask(question: Question) -> str:
    answer = typer.prompt(
        question.text, default=question.default, hide_input=question.secret, show_default=bool(question.default), err=True
    )
    return str(answer)
