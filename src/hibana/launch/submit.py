"""Submission: structure files become candidates, candidates become workflows, each once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hibana.core.errors import HibanaError
from hibana.documents.candidate import CandidateDoc, Submission
from hibana.documents.chemical_potentials import EnergyTable
from hibana.documents.spec import CalculatorName
from hibana.flows.branches import VACANCIES, branches_of
from hibana.flows.errors import IMPOSSIBLE_BRANCHES
from hibana.flows.messages import Series, series_of
from hibana.flows.registry import FlowKind, find_flow
from hibana.launch.adding import SUBMISSION, Order, add_once, find_submitted, prepare
from hibana.launch.errors import NOTHING_TO_SUBMIT, UNKNOWN_CALCULATOR
from hibana.launch.potentials import Potentials
from hibana.protocol.protocol import load_protocol
from hibana.store.patience import patiently
from hibana.store.store import Store
from hibana.structures.errors import EMPTY_FOLDER, NO_STRUCTURE, READER_DIED
from hibana.structures.identity import is_same_crystal, make_candidate
from hibana.structures.parallel import work
from hibana.structures.reading import ReadStructure, iterate_structures, structure_files, structure_format

if TYPE_CHECKING:
    from fireworks import LaunchPad

CALCULATORS: tuple[CalculatorName, ...] = ("vasp", "gpaw-rehearsal", "synthetic")
BATCH = 200
"""Materials that are added together."""

CHUNK = 10
"""Structures handed to a process together."""


@dataclass(frozen=True)
class Listed:
    """A material of a submission."""

    material_id: str
    formula: str
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Refused:
    """A file, or a structure in it, that was refused."""

    source: str
    error: HibanaError

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"source": self.source, **self.error.as_dict()}


@dataclass
class SubmitReport:
    """What became of the files.

    Parameters
    ----------
    added, already_there, refused
        Materials and files.
    potentials
        Elements that VASP has no potential for on this machine, with what was found.
    """

    added: list[Listed] = field(default_factory=list)
    already_there: list[Listed] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    potentials: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "added": [asdict(item) for item in self.added],
            "already_there": [asdict(item) for item in self.already_there],
            "refused": [item.as_dict() for item in self.refused],
            "potentials": dict(self.potentials),
        }


def submit(
    files: Sequence[Path],
    flow: str,
    protocol: str,
    calculator: str,
    launchpad: LaunchPad,
    *,
    branches: Sequence[str] | None = None,
    energies: Path | None = None,
    fields: dict[str, Any] | None = None,
    workers: int = 1,
    on_batch: Callable[[SubmitReport], None] = lambda _: None,
) -> SubmitReport:
    """Add a workflow for every structure in the files that has none of this flow, protocol and calculator.

    A flow with other branches is another flow; its calculations that are done already are not done again.

    A file that cannot be used is reported and does not stop the others. It may be killed at any point and started again.

    Parameters
    ----------
    files
        Structure files, or folders of them.
    flow
        Name of the flow: ``electronic``, ``bulk`` or ``competing``.
    protocol
        Name or file of the protocol.
    calculator
        ``vasp`` or ``gpaw-rehearsal``.
    launchpad
        Where the workflows go; its database is the store.
    branches
        Branches of the flow ``bulk``, with those they need; None for those it has by default. Elements of the chemical system
        of ``competing``; a structure with others is refused.
    energies
        Table of energies of competing phases (CSV or JSON), for the branch ``vacancy``. It is read now; a workflow with another
        table is another one, and calculates nothing again.
    fields
        More fields for the specs of all jobs, for instance ``{"_priority": 5}``.
    workers
        Processes that standardise the structures; with more than one, workflows are added in the order in which they are ready.
    on_batch
        Called whenever some hundred more are done.

    Raises
    ------
    HibanaError
        HIB-030, HIB-031, HIB-096 or HIB-116 for an unknown protocol, flow or calculator; HIB-099 or HIB-100 for branches
        that cannot be; HIB-230 to HIB-232 for a table of energies; HIB-115, or the one error there is, if no file can be used.
        Nothing is written then.
    """
    asked = _Question(find_flow(flow, branches), protocol, calculator, energies, fields or {})
    store = Store(launchpad.db)
    report, potentials = SubmitReport(), Potentials(asked.protocol, asked.calculator)
    patiently(lambda: prepare(launchpad))
    for batch in _batches(_candidates(files, asked.check, report, workers), store):
        report.potentials |= potentials.lacking(element for candidate in batch.values() for element in candidate.elements)
        patiently(partial(_submit_batch, batch, asked, store, launchpad, report, set()))
        on_batch(report)
    if report.refused and not report.added and not report.already_there:
        raise _nothing(report.refused)
    return report


def check_question(
    flow: str, protocol: str, calculator: str, *, branches: Sequence[str] | None = None, energies: Path | None = None
) -> None:
    """Find out whether workflows of a flow can be asked for, before there is a database; arguments as of :func:`submit`.

    Raises
    ------
    HibanaError
        Those of :func:`submit` that have nothing to do with the structures.
    """
    _Question(find_flow(flow, branches), protocol, calculator, energies, {})


def submission_key(material_id: str, flow: str, protocol: str, version: int, calculator: str) -> str:
    """The key under which a workflow is added once."""
    return "|".join((material_id, flow, f"{protocol}@{version}", calculator))


def keys_of_submission(material_id: str, asked: Submission) -> dict[str, str]:
    """Matches the keys of the workflows of a submission, by their index; one with a table of energies goes on after a ``|``."""
    key = submission_key(material_id, asked.flow, asked.protocol, asked.protocol_version, asked.calculator)
    return {"$gte": key, "$lt": key + chr(ord("|") + 1)}


def forget_without_workflow(store: Store, launchpad: LaunchPad, material_id: str, submission: Submission) -> None:
    """Remove the note of a submission from a candidate if no workflow of it is there; one that is being added renews the note."""
    candidate = store.candidate(material_id)
    noted = () if candidate is None else candidate.submissions
    note = next((item for item in noted if item.question() == submission.question()), None)
    workflow = {f"metadata.{SUBMISSION}": keys_of_submission(material_id, submission)}
    if note is not None and patiently(lambda: launchpad.workflows.find_one(workflow, {"_id": 1})) is None:
        store.forget_submission(material_id, note)


def energies_key(energies: EnergyTable) -> str:
    """What the key of a workflow with a table of energies ends with."""
    return f"energies:{sha256(energies.model_dump_json().encode()).hexdigest()[:12]}"


class _Question:
    """What is asked of every material."""

    def __init__(self, flow: FlowKind, protocol: str, calculator: str, energies: Path | None, fields: dict[str, Any]) -> None:
        if calculator not in CALCULATORS:
            raise UNKNOWN_CALCULATOR.error(f"{calculator!r}; there are: {', '.join(CALCULATORS)}")
        self.make_flow = flow.make
        self.check = flow.check
        self.flow = flow.label
        self.calculator: CalculatorName = next(name for name in CALCULATORS if name == calculator)
        self.series: Series = series_of(protocol, self.calculator)
        self.protocol = load_protocol(protocol)
        self.energies = None if energies is None else self._read(energies)
        self.fields = fields

    def _read(self, energies: Path) -> EnergyTable:
        """The table of energies, if there is a use for it."""
        from hibana.defects.host_energies import given_energies

        if VACANCIES not in branches_of(self.flow):
            raise IMPOSSIBLE_BRANCHES.error(
                f"{energies} is a table of energies for the branch {VACANCIES}, which is not asked for"
            )
        return given_energies(energies, self.calculator, f"{self.protocol.name}@{self.protocol.version}")

    def key(self, material_id: str) -> str:
        key = submission_key(material_id, self.flow, self.protocol.name, self.protocol.version, self.calculator)
        return key if self.energies is None else f"{key}|{energies_key(self.energies)}"

    def submission(self) -> Submission:
        return Submission(
            flow=self.flow,
            protocol=self.protocol.name,
            protocol_version=self.protocol.version,
            calculator=self.calculator,
            submitted_at=datetime.now(UTC),
        )

    def order(self, candidate: CandidateDoc) -> Order:
        about = {
            "material_id": candidate.material_id,
            "formula": candidate.formula,
            "flow": self.flow,
            "protocol": self.protocol.name,
            "protocol_version": self.protocol.version,
            "calculator": self.calculator,
        }
        flow = self.make_flow(candidate, self.series.protocol, self.calculator, self.energies)
        return Order(flow, about | self.fields)


def _candidates(
    files: Sequence[Path], check: Callable[[CandidateDoc], None], report: SubmitReport, workers: int
) -> Iterator[CandidateDoc]:
    """Candidates of the files one by one; what cannot be used goes into the report."""
    coming = (read for path in files for read in _readable(path, report))
    for read, candidate in work(_standardised, coming, workers=workers, died=_died, chunk=CHUNK):
        try:
            if isinstance(candidate, HibanaError):
                raise candidate
            check(candidate)
        except HibanaError as error:
            report.refused.append(Refused(read.source, error))
        else:
            yield candidate


def _standardised(read: ReadStructure) -> CandidateDoc | HibanaError:
    try:
        return make_candidate(read)
    except HibanaError as error:
        return error


def _died(read: ReadStructure) -> HibanaError:
    return READER_DIED.error("the process that standardised it ended without an answer", where=read.source)


def _readable(path: Path, report: SubmitReport) -> Iterator[ReadStructure]:
    """Structures of a file or folder; what cannot be read goes into the report."""
    is_folder, is_empty = path.is_dir(), True
    for file in structure_files(path) if is_folder else [path]:
        try:
            for read in iterate_structures(file):
                is_empty = False
                yield read
        except HibanaError as error:
            if is_folder and error.kind == NO_STRUCTURE and structure_format(file) == "json":
                continue
            is_empty = False
            report.refused.append(Refused(str(file), error))
    if is_folder and is_empty:
        report.refused.append(Refused(str(path), EMPTY_FOLDER.error("none of its files holds a structure", where=path)))


def _batches(candidates: Iterable[CandidateDoc], store: Store) -> Iterator[dict[str, CandidateDoc]]:
    """Candidates in groups, copies of one crystal joined with all their sources."""
    coming = iter(candidates)
    while some := list(islice(coming, BATCH)):
        yield _joined(some, store)


def _joined(some: Sequence[CandidateDoc], store: Store) -> dict[str, CandidateDoc]:
    """Candidates by identity; one that the store, or one before it, holds already goes under the identity it has there."""
    near: dict[str, list[CandidateDoc]] = {}
    for known in store.candidates_of(*{candidate.formula for candidate in some}):
        near.setdefault(known.formula, []).append(known)
    batch: dict[str, CandidateDoc] = {}
    for candidate in some:
        alike = near.setdefault(candidate.formula, [])
        alike.sort(key=lambda item: item.material_id != candidate.material_id)
        same = next((item for item in alike if is_same_crystal(item, candidate)), None)
        if same is not None:
            alike.remove(same)
            sources = tuple(dict.fromkeys((*same.sources, *candidate.sources)))
            families = tuple(dict.fromkeys((*same.families, *candidate.families)))
            candidate = same.model_copy(update={"sources": sources, "families": families})
        alike.append(candidate)
        batch[candidate.material_id] = candidate
    return batch


def _submit_batch(
    batch: dict[str, CandidateDoc], asked: _Question, store: Store, launchpad: LaunchPad, report: SubmitReport, tried: set[str]
) -> None:
    """Add the workflows of a batch; `tried` are keys that this process began to add when the connection dropped."""
    submission, before = asked.submission(), set(tried)
    store.add_candidates(list(batch.values()))
    store.record_submissions(batch, submission)
    keys = {asked.key(material_id): material_id for material_id in batch}
    there = find_submitted(launchpad, list(keys))
    orders = {key: asked.order(batch[material_id]) for key, material_id in keys.items() if key not in there}
    tried.update(orders)
    there |= add_once(launchpad, orders)
    store.attach_workflows(submission, {material_id: there[key].root_ids for key, material_id in keys.items()})
    left = launchpad.workflows.find({f"metadata.{SUBMISSION}": {"$in": list(keys)}}, {f"metadata.{SUBMISSION}": 1})
    for key in set(keys).difference(item["metadata"][SUBMISSION] for item in left):  # a withdrawal came between
        forget_without_workflow(store, launchpad, keys[key], submission)
    for key, material_id in keys.items():
        candidate = batch[material_id]
        listed = Listed(material_id, candidate.formula, candidate.sources)
        (report.added if there[key].is_new or key in before else report.already_there).append(listed)


def _nothing(refused: Sequence[Refused]) -> HibanaError:
    """The error for a submission without a single usable structure."""
    if len(refused) == 1:
        return refused[0].error
    said = "; ".join(f"{item.source}: {item.error.kind.code} {item.error.what}" for item in refused[:20])
    return NOTHING_TO_SUBMIT.error(f"{len(refused)} files were refused: {said}")
