"""Screening: every input gets a fate and a reason, whatever the order in which the inputs come."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Literal, get_args

from hibana.documents.candidate import CandidateDoc
from hibana.documents.crystal import Crystal
from hibana.structures.errors import DISORDERED
from hibana.structures.intake import Taken, died, packed, take_in, unpacked
from hibana.structures.matching import Bucket, Family, find_families
from hibana.structures.parallel import work
from hibana.structures.rules import NO_RULES, Rules
from hibana.structures.sources import check_paths, pieces
from hibana.structures.values import Values

Fate = Literal["candidate", "in_store", "duplicate", "refused", "unreadable", "passed_over"]
FATES: tuple[Fate, ...] = get_args(Fate)

CHUNK = 16
"""Pieces handed to a process together."""

FORMULAS = 200
"""Formulas whose crystals are compared, and asked for in the store, together."""

DISORDER = "disorder"
"""Name of the rule that refuses disordered structures; nothing can be calculated of them, so it always holds."""

Stored = Callable[[Sequence[str], str], Iterable[CandidateDoc]]
"""Candidates of some formulas that have a document in a collection of the store."""

Step = Callable[[str, int, int | None], None]
"""Told how it gets on: what is done, how much more of it is done, and of how much, where that is known."""


@dataclass(slots=True)
class Row:
    """One input in the report.

    Parameters
    ----------
    source, place
        Where it was read; the place is that in the file, (0, 0) if the file is one input.
    name
        What it calls itself, for instance its ``material_id`` there.
    fate, rule, reason
        What became of it, by which rule, and in words.
    formula, material_id, key, family
        Identity; empty if it could not be read.
    representative
        Key of the candidate that stands for it.
    n_sites, space_group
        Of the standardised primitive cell; 0 if it could not be read.
    values
        What is known of it.
    offset, length
        Where its crystal is kept.
    """

    source: str
    place: tuple[int, int]
    name: str
    fate: Fate
    rule: str = ""
    reason: str = ""
    formula: str = ""
    material_id: str = ""
    key: str = ""
    family: str = ""
    representative: str = ""
    n_sites: int = 0
    space_group: int = 0
    values: Values = field(default_factory=dict)
    offset: int = 0
    length: int = 0

    @property
    def index(self) -> str:
        """The place as text: empty, ``12``, or ``12.3`` for an entry of a line."""
        number, part = self.place
        return f"{number}.{part}" if part else str(number or "")

    @property
    def title(self) -> str:
        """What to call it: its own name, or where it was read."""
        return self.name or (f"{self.source}#{self.index}" if self.index else self.source)


class Screening:
    """The result: rows in order of source and place, and the crystals of those that were read.

    Parameters
    ----------
    rules
        The rules applied.
    rows
        One an input.
    crystals
        File of packed crystals.
    """

    def __init__(self, rules: Rules, rows: list[Row], crystals: Path) -> None:
        self.rules = rules
        self.rows = rows
        self._crystals = crystals

    def count(self, fate: Fate) -> int:
        """Rows of a fate."""
        return sum(row.fate == fate for row in self.rows)

    def candidates(self) -> Iterator[tuple[Row, Crystal]]:
        """Candidates with their standardised primitive cells, by formula and identity."""
        wanted = [row for row in self.rows if row.fate == "candidate"]
        with self._crystals.open("rb") as file:
            for row in sorted(wanted, key=lambda row: (row.formula, row.key)):
                yield row, unpacked(_read(file.fileno(), row))

    def funnel(self) -> list[tuple[str, int]]:
        """Names of the steps and how many inputs are left after each; files of other kinds are no inputs."""
        inputs = [row for row in self.rows if row.fate != "passed_over"]
        left = len(inputs)
        steps = [("inputs", left), ("readable", left := left - self.count("unreadable"))]
        refused = Counter(row.rule for row in inputs if row.fate == "refused")
        for name in dict.fromkeys((DISORDER, *(rule.rule for rule in self.rules.rules if rule.rule != "not_in_store"))):
            steps.append((name, left := left - refused[name]))
        steps.append(("duplicates", left := left - self.count("duplicate")))
        if self.rules.collection is not None:
            steps.append(("not_in_store", left - self.count("in_store")))
        return steps


def screen(
    paths: Sequence[Path],
    scratch: Path,
    rules: Rules = NO_RULES,
    *,
    workers: int | None = None,
    values: Mapping[str, Values] | None = None,
    stored: Stored | None = None,
    without: Path | None = None,
    step: Step | None = None,
) -> Screening:
    """Read, standardise and judge everything in the paths.

    Parameters
    ----------
    paths
        Files, folders and what is below them, zip and tar archives, ``-`` for the standard input.
    scratch
        Folder for the crystals while it lasts, some 1.5 kB each.
    rules
        What is wanted.
    workers
        Processes; default: one for each processor this process may use.
    values
        More values by the name of an input; they win over those the input has itself.
    stored
        Asked for what the store has, if a rule is about it.
    without
        Folder that is left out, where it lies below the paths.
    step
        Told how it gets on.

    Raises
    ------
    HibanaError
        HIB-014 for a folder in which nothing has a name that is read, HIB-016 if a path does not exist. Whatever is wrong with
        an input stands in its row.
    """
    check_paths(paths)
    workers = workers or len(os.sched_getaffinity(0))
    step = step or _silent
    read = partial(take_in, orbits=any(rule.rule == "inequivalent_sites" for rule in rules.rules))
    handle, name = tempfile.mkstemp(prefix="crystals-", dir=scratch)
    crystals = Path(name)
    rows: list[Row] = []
    with os.fdopen(handle, "wb") as file:
        for piece, taken in work(read, pieces(paths, without), workers=workers, died=died, chunk=CHUNK):
            for item in taken:
                row = _judged(item, rules, values or {})
                if item.facts is not None:
                    row.offset, row.length = file.tell(), file.write(item.facts.crystal)
                rows.append(row)
            step("read", piece.weight, None)
    rows.sort(key=lambda row: (row.source, row.place))
    _settle(rows, crystals, rules, workers, stored, step)
    return Screening(rules, rows, crystals)


def _silent(what: str, more: int, total: int | None) -> None:
    """Nobody wants to know how it gets on."""


def _judged(taken: Taken, rules: Rules, values: Mapping[str, Values]) -> Row:
    row = Row(taken.source, taken.place, taken.name, "candidate")
    if taken.error is not None:
        is_disordered = taken.error.kind == DISORDERED
        row.fate = "refused" if is_disordered else "unreadable"
        row.rule = DISORDER if is_disordered else taken.error.kind.code
        row.reason = f"{taken.error.kind.title}: {taken.error.what}"
    elif taken.facts is None:
        row.fate, row.reason = "passed_over", taken.reason
    else:
        facts = taken.facts
        facts.values.update(values.get(taken.name, {}))
        row.formula, row.material_id, row.key = facts.formula, facts.material_id, facts.structure_key
        row.n_sites, row.space_group, row.values = facts.n_sites, facts.space_group, facts.values
        against = [(rule.rule, said) for rule in rules.rules if (said := rule.refusal(facts)) is not None]
        if against:
            row.fate, row.rule = "refused", against[0][0]
            row.reason = "; ".join(said for _, said in against)
    return row


def _settle(rows: Sequence[Row], crystals: Path, rules: Rules, workers: int, stored: Stored | None, step: Step) -> None:
    """Find the families, and what becomes of those that the rules let pass."""
    formulas: dict[str, list[Row]] = {}
    for row in rows:
        if row.key:
            formulas.setdefault(row.formula, []).append(row)
    ask = stored if rules.collection is not None else None
    total = len({row.key for row in rows if row.key})
    with crystals.open("rb") as file:
        buckets = _buckets(formulas, file.fileno(), rules.collection or "", ask)
        for (formula, bucket), found in work(_families, _several(buckets, formulas), workers=workers, died=_undecided):
            _apply(formulas[formula], found)
            step("compared", len(bucket.members), total)


def _several(buckets: Iterable[tuple[str, Bucket]], formulas: Mapping[str, list[Row]]) -> Iterator[tuple[str, Bucket]]:
    """Buckets in which there is something to compare; the others are settled here."""
    for formula, bucket in buckets:
        if len(bucket.members) > 1 or bucket.stored:
            yield formula, bucket
        else:
            _apply(formulas[formula], find_families(bucket))


def _families(item: tuple[str, Bucket]) -> Family:
    return find_families(item[1])


def _undecided(item: tuple[str, Bucket]) -> Family:
    """Every crystal a family of its own, where comparing them ended the process."""
    keys = [key for key, _ in item[1].members]
    same = {key: key for key in keys}
    return Family(same, {key: key for key in item[1].wanted}, {}, "comparing it with others of its formula ended the process")


def _buckets(
    formulas: Mapping[str, list[Row]], file: int, collection: str, stored: Stored | None
) -> Iterator[tuple[str, Bucket]]:
    """Crystals by formula, the largest groups first; formulas with one crystal too, as they have a family all the same."""
    order = iter(sorted(formulas, key=lambda formula: (-len({row.key for row in formulas[formula]}), formula)))
    while batch := list(islice(order, FORMULAS)):
        there: dict[str, list[tuple[str, str, bytes]]] = {}
        asked = [formula for formula in batch if any(row.fate == "candidate" for row in formulas[formula])]
        for candidate in stored(asked, collection) if stored and asked else ():
            item = (candidate.material_id, candidate.structure_key, packed(candidate.crystal))
            there.setdefault(candidate.formula, []).append(item)
        for formula in batch:
            best = {row.key: row for row in sorted(formulas[formula], key=_rank, reverse=True)}
            wanted = [row for row in sorted(best.values(), key=_rank) if row.fate == "candidate"]
            members = tuple((key, _read(file, row)) for key, row in sorted(best.items()))
            yield formula, Bucket(members, tuple(row.key for row in wanted), tuple(there.get(formula, ())))


def _rank(row: Row) -> tuple[object, ...]:
    """The best first: let pass by the rules, nearest to the hull, smallest cell; then by identity, name and source."""
    distance = row.values.get("hull_distance", float("inf"))
    known = tuple(sorted(row.values.items()))
    return (row.fate != "candidate", distance, row.n_sites, row.key, row.name, known, row.source, row.place)


def _apply(rows: Sequence[Row], found: Family) -> None:
    first: dict[str, Row] = {}
    for row in sorted(rows, key=_rank):
        row.family = f"fam-{found.family[row.key][:16]}"
        if row.fate != "candidate":
            continue
        row.representative = found.representative[row.key]
        if row.representative != row.key or row.key in first:
            row.fate, row.rule = "duplicate", "duplicate"
        elif row.key in found.stored:
            row.fate, row.rule = "in_store", "not_in_store"
            row.reason = f"the store has it as {found.stored[row.key]}"
        first.setdefault(row.key, row)
    heads = {row.key for row in first.values() if row.representative == row.key}
    for row in rows:
        if row.fate == "duplicate":
            same = "the same crystal as" if row.representative == row.key else "alike to"
            row.reason = f"{same} {first[row.representative].title}"
        elif row.fate == "candidate" and len([key for key in heads if found.family[key] == found.family[row.key]]) > 1:
            others = sorted(first[key].title for key in heads if key != row.key and found.family[key] == found.family[row.key])
            row.reason = f"in the family of {', '.join(others)}, but not alike"
        elif row.fate == "candidate":
            row.reason = found.fault


def _read(file: int, row: Row) -> bytes:
    return os.pread(file, row.length, row.offset)
