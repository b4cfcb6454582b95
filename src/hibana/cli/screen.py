"""``hibana screen``: from files of any kind to a list of candidates, with a reason for everything that is not in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hibana.cli.console import JsonOption, LaunchpadOption, errors, open_store, output, print_json
from hibana.core.errors import declare

if TYPE_CHECKING:
    from hibana.documents.candidate import CandidateDoc
    from hibana.store.store import Store
    from hibana.structures.rules import Rules
    from hibana.structures.screening import Screening

UNWRITABLE = declare(
    168, "the screening cannot be written", "Choose another folder with -o, or mend its permissions or free space."
)
NO_SUCH_COLLECTION = declare(
    169, "no such collection to be screened against", "Choose candidates or a property, as `hibana query --help` lists them."
)

FUNNEL = "funnel.png"

Step = Callable[[str, int, int | None], None]


def screen(
    paths: Annotated[
        list[Path],
        typer.Argument(
            help="CIF, POSCAR, JSON (pymatgen, ASE, OPTIMADE, Materials Project), JSON lines, folders of them and all below, "
            "zip and tar archives; - for the standard input."
        ),
    ],
    into: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.", show_default=True)] = Path("screened"),
    rules: Annotated[
        str | None,
        typer.Option("--rules", "-r", help="YAML file, or the name of one in workflows/screens; default: duplicates only."),
    ] = None,
    values: Annotated[
        Path | None,
        typer.Option("--values", help="CSV table of hull distances, gaps and moments by material_id (see docs/screening.md)."),
    ] = None,
    not_in: Annotated[
        str | None,
        typer.Option("--not-in-store", help="Leave out what the store has in this collection: candidates, electronic, ..."),
    ] = None,
    workers: Annotated[int | None, typer.Option("--workers", "-j", min=1, help="Processes; default: all processors.")] = None,
    launchpad: LaunchpadOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read structures of any kind, drop duplicates, apply rules, and say of every input what became of it and why.

    Writes candidates.jsonl.gz, which `hibana submit` takes, report.csv with a row for each input, summary.json and funnel.png.

    Example: hibana screen dump.jsonl.gz cifs/ --rules oxides -o screened && hibana submit screened --flow electronic
    """
    from hibana.structures.rules import NO_RULES, load_rules
    from hibana.structures.screening import screen as screen_paths
    from hibana.structures.values import read_values

    wanted = NO_RULES if rules is None else load_rules(rules)
    if not_in is not None:
        wanted = wanted.not_in_store(not_in)
    table = None if values is None else read_values(values)
    stored = None if wanted.collection is None else _asking(launchpad, wanted.collection)
    with _folder(into) as scratch, _progress(paths, into, quiet=as_json) as step:
        found = screen_paths(paths, scratch, wanted, workers=workers, values=table, stored=stored, without=into, step=step)
        files = _write(found, into, wanted)
    _report(found, files, as_json=as_json)


def _write(found: Screening, into: Path, rules: Rules) -> dict[str, Path]:
    from hibana.report.funnel import write_funnel
    from hibana.structures.screened import write_screening

    files = write_screening(found, into)
    write_funnel(found.funnel(), f"Screening by the rules {rules.name}", into / FUNNEL)
    return {**files, "funnel": into / FUNNEL}


def _report(found: Screening, files: dict[str, Path], *, as_json: bool) -> None:
    from hibana.structures.screened import summary_of

    summary = summary_of(found)
    if as_json:
        print_json({**summary, "files": {name: str(path) for name, path in files.items()}})
        return
    console = output()
    before = 0
    for step in summary["funnel"]:
        lost = before - step["left"]
        console.print(f"{step['step'].replace('_', ' '):20}{step['left']:>9,}" + (f"  (-{lost:,})" if lost > 0 else ""))
        before = step["left"]
    console.print(f"families: {summary['families']:,} of {summary['crystals']:,} different crystals", markup=False)
    for fate in ("unreadable", "passed_over"):
        if summary["fates"][fate]:
            console.print(f"{fate.replace('_', ' ')}: {summary['fates'][fate]:,}, see {files['report']}", markup=False)
    for path in files.values():
        console.print(str(path), markup=False)


def _asking(launchpad: Path | None, collection: str) -> Callable[[Sequence[str], str], Iterable[CandidateDoc]]:
    """What the store has of some formulas; the connection is made now, so that a fault of it is told at once."""
    from hibana.store.indexes import PROPERTY_COLLECTIONS

    known = ("candidates", *PROPERTY_COLLECTIONS)
    if collection not in known:
        raise NO_SUCH_COLLECTION.error(f"{collection!r}; there are: {', '.join(known)}")
    store = open_store(launchpad)

    def stored(formulas: Sequence[str], collection: str) -> Iterator[CandidateDoc]:
        return _candidates(store, formulas, collection)

    return stored


def _candidates(store: Store, formulas: Sequence[str], collection: str) -> Iterator[CandidateDoc]:
    from hibana.documents.candidate import CandidateDoc

    found = [CandidateDoc.model_validate(doc) for doc in store.query("candidates", {"formula": {"$in": list(formulas)}})]
    if collection == "candidates":
        yield from found
        return
    ids = {"material_id": {"$in": [candidate.material_id for candidate in found]}}
    there = {doc["material_id"] for doc in store.query(collection, ids, ["material_id"])}
    yield from (candidate for candidate in found if candidate.material_id in there)


@contextmanager
def _folder(into: Path) -> Iterator[Path]:
    """The folder for the results, with a folder in it for what is needed meanwhile."""
    import tempfile

    try:
        into.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".screening-", dir=into) as scratch:
            yield Path(scratch)
    except OSError as error:
        raise UNWRITABLE.error(error.strerror or str(error), where=into) from error


@contextmanager
def _progress(paths: Sequence[Path], into: Path, *, quiet: bool) -> Iterator[Step | None]:
    """A bar on the standard error, while it is a terminal."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    from hibana.structures.sources import check_paths, total_weight

    console = errors()
    check_paths(paths)
    if quiet or not console.is_terminal:
        yield None
        return
    columns: tuple[Any, ...] = (TextColumn("{task.description:9}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        tasks = {"read": bar.add_task("read", total=total_weight(paths, into))}

        def step(what: str, more: int, total: int | None) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.advance(tasks[what], more)

        yield step
