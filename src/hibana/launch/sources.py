"""What is counted: fireworks, runs, outcomes and property documents, and what one of each counts as."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pymongo.database import Database

from hibana.documents.material import MaterialDoc
from hibana.launch.cells import Cell, Counted, slot_of
from hibana.launch.material_class import OTHER, class_of
from hibana.launch.patient import Document
from hibana.launch.stages import stage_of_job, stage_of_run
from hibana.launch.taxonomy import cause_of_launch, cause_of_run, pattern
from hibana.store.claims import ANSWERS
from hibana.store.indexes import PROPERTY_COLLECTIONS

LAYOUT = 1
"""Raised whenever documents are counted in other cells than before: the counters are then made anew by themselves."""

Store = Database[Document]


@dataclass(frozen=True)
class Source:
    """A collection whose documents are counted.

    Parameters
    ----------
    name
        Name of the collection.
    stamp_field
        Field with the time of the last change.
    fields
        What is read of a document.
    key_field
        Field that is unique.
    """

    name: str
    stamp_field: str
    fields: tuple[str, ...]
    key_field: str = "_id"

    def prepare(self, database: Store) -> None:
        """Create the index that is missing; FireWorks may have made it, with options of its own."""
        there = database[self.name].index_information().values()
        if not any([self.stamp_field] == [field for field, _ in index["key"]] for index in there):
            database[self.name].create_index(self.stamp_field)

    def contributions(
        self, database: Store, documents: Mapping[Any, Document], about: Mapping[Any, list[str] | None]
    ) -> dict[Any, Counted]:
        """What documents count as, by key.

        Parameters
        ----------
        database
            Where more can be looked up.
        documents
            The documents by key.
        about
            What is known of some of them from the last time.
        """
        raise NotImplementedError

    def key(self, document: Mapping[str, Any]) -> Any:
        """Key of a document."""
        return document[self.key_field]

    def stamp(self, document: Mapping[str, Any]) -> Any:
        """Time of the last change, as the document has it."""
        value: Any = document
        for name in self.stamp_field.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        return value

    def moment(self, document: Mapping[str, Any]) -> datetime | None:
        """Time of the last change."""
        value = self.stamp(document)
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        if not isinstance(value, datetime):
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value

    def everything(self, database: Store) -> Iterator[Document]:
        """All documents."""
        return self._find(database, {})

    def changed(self, database: Store, since: datetime) -> Iterator[Document]:
        """Documents with a time stamp that is not older."""
        return self.between(database, since, None)

    def between(self, database: Store, begin: datetime | None, end: datetime | None) -> Iterator[Document]:
        """Documents with a time stamp in a window; None for no limit."""
        for query in self.windows(self.stamp_field, begin, end):
            yield from self._find(database, query)

    def of_keys(self, database: Store, keys: list[Any]) -> Iterator[Document]:
        """Documents of these keys."""
        return self._find(database, {self.key_field: {"$in": keys}}) if keys else iter(())

    def windows(self, field: str, begin: datetime | None, end: datetime | None) -> list[Document]:
        """Queries that together ask for a window of time."""
        return [_window(field, begin, end)]

    def _find(self, database: Store, query: Document) -> Iterator[Document]:
        fields: Document = dict.fromkeys((self.key_field, self.stamp_field, *self.fields), 1)
        yield from database[self.name].find(query, fields if "_id" in fields else {**fields, "_id": 0})


@dataclass(frozen=True)
class Fireworks(Source):
    """FireWorks' collection: jobs by their state, those that ended with an error by its cause."""

    name: str = "fireworks"
    stamp_field: str = "updated_on"
    key_field: str = "fw_id"
    fields: tuple[str, ...] = (
        *("name", "state", "launches"),
        *("spec.formula", "spec.flow", "spec.protocol", "spec.protocol_version", "spec.calculator"),
    )

    def windows(self, field: str, begin: datetime | None, end: datetime | None) -> list[Document]:
        """As text, as hibana and mostly FireWorks write it, and as a date, as FireWorks' checkout does."""
        first, last = (None if moment is None else _text(moment) for moment in (begin, end))
        return [_window(field, first or "", last), _window(field, begin, end)]

    def contributions(
        self, database: Store, documents: Mapping[Any, Document], about: Mapping[Any, list[str] | None]
    ) -> dict[Any, Counted]:
        """See :meth:`Source.contributions`."""
        known = {key: words for key, words in about.items() if words}
        for key, document in documents.items():
            if key not in known and (document.get("spec") or {}).get("formula"):
                known[key] = _about(document["spec"])
        known |= self._from_workflows(database, [key for key in documents if key not in known])
        causes = self._causes(database, documents)
        return {key: self._counted(document, known.get(key), causes.get(key)) for key, document in documents.items()}

    @staticmethod
    def _counted(document: Document, about: list[str] | None, cause: str | None) -> Counted:
        flow, series, formula = about or ("", "", "")
        counted = Counted(about=about)
        cell = Cell(
            "job",
            flow=flow or OTHER,
            series=series,
            material=class_of(formula),
            stage=stage_of_job(str(document.get("name", "")), formula) if about else OTHER,
            state=document["state"],
            cause=cause or "",
        )
        counted.add(cell, is_failure=cause is not None)
        return counted

    @staticmethod
    def _from_workflows(database: Store, keys: list[Any]) -> dict[Any, list[str]]:
        """What the workflows say of jobs that were added while they ran."""
        if not keys:
            return {}
        wanted = set(keys)
        found: dict[Any, list[str]] = {}
        for workflow in database["workflows"].find({"nodes": {"$in": keys}}, {"nodes": 1, "metadata": 1}):
            metadata = workflow.get("metadata") or {}
            if metadata.get("formula"):
                found |= dict.fromkeys(wanted.intersection(workflow["nodes"]), _about(metadata))
        return found

    @staticmethod
    def _causes(database: Store, documents: Mapping[Any, Document]) -> dict[Any, str]:
        """Causes of the errors of jobs, from their last launches."""
        fizzled = {key: document for key, document in documents.items() if document["state"] == "FIZZLED"}
        last = {key: document["launches"][-1] for key, document in fizzled.items() if document.get("launches")}
        query = {"launch_id": {"$in": list(last.values())}}
        fields = {"launch_id": 1, "action.stored_data._exception": 1}
        launches = {launch["launch_id"]: launch for launch in database["launches"].find(query, fields)} if last else {}
        return {key: cause_of_launch(launches.get(last.get(key))) for key in fizzled}


@dataclass(frozen=True)
class Runs(Source):
    """Task documents: runs by status and cause, their cost, their ends by time, corrections and flags."""

    name: str = "tasks"
    stamp_field: str = "machine.finished"
    fields: tuple[str, ...] = (
        *("formula", "task", "functional", "variant", "status", "failure", "protocol", "protocol_version", "calculator.name"),
        *("machine.core_hours", "flags", "corrections.handler", "corrections.errors", "corrections.verdict"),
    )

    def contributions(
        self, _database: Store, documents: Mapping[Any, Document], _about: Mapping[Any, list[str] | None]
    ) -> dict[Any, Counted]:
        """See :meth:`Source.contributions`."""
        return {key: self._counted(document) for key, document in documents.items()}

    def _counted(self, document: Document) -> Counted:
        counted = Counted()
        stage = stage_of_run(document["task"], document["functional"], document.get("variant", ""))
        series = _series(document["calculator"]["name"], document["protocol"], document["protocol_version"])
        place = {"series": series, "material": class_of(document["formula"]), "stage": stage}
        seconds = round(3600 * document["machine"]["core_hours"])
        answered = document["status"] in ANSWERS
        cause = "" if answered else cause_of_run(document)
        counted.add(Cell("run", **place, state=document["status"], cause=cause), seconds=seconds, is_failure=not answered)
        moment = self.moment(document)
        if moment is not None:
            counted.add(Cell("slot", stage=stage, cause=str(slot_of(moment))), seconds=seconds)
        for correction in document.get("corrections") or ():
            for error in correction["errors"] or ("",):
                about = {"material": "answered" if answered else "unanswered", "state": correction["verdict"]}
                cause = f"{correction['handler']}:{error}"
                counted.add(Cell("correction", stage=stage, cause=cause, **about), is_failure=True)
        for flag in dict.fromkeys(map(pattern, document.get("flags") or ())):
            counted.add(Cell("flag", series=series, stage=stage, state="flagged", cause=flag), is_failure=True)
        return counted


@dataclass(frozen=True)
class Outcomes(Source):
    """What became of workflows: done, metal, partial, failed."""

    name: str = "outcomes"
    stamp_field: str = "recorded_at"
    fields: tuple[str, ...] = ("material_id", "flow", "protocol", "protocol_version", "calculator", "state")

    def contributions(
        self, database: Store, documents: Mapping[Any, Document], about: Mapping[Any, list[str] | None]
    ) -> dict[Any, Counted]:
        """See :meth:`Source.contributions`."""
        formulas = {key: words[0] for key, words in about.items() if words}
        wanted = {key: document["material_id"] for key, document in documents.items() if key not in formulas}
        if wanted:
            query = {"_id": {"$in": list(set(wanted.values()))}}
            found = {item["_id"]: item["formula"] for item in database["candidates"].find(query, {"formula": 1})}
            formulas |= {key: found[material] for key, material in wanted.items() if material in found}
        return {key: self._counted(document, formulas.get(key)) for key, document in documents.items()}

    @staticmethod
    def _counted(document: Document, formula: str | None) -> Counted:
        counted = Counted(about=None if formula is None else [formula])
        series = _series(document["calculator"], document["protocol"], document["protocol_version"])
        place = {"flow": document["flow"].partition(":")[0], "series": series, "material": class_of(formula or "")}
        counted.add(Cell("outcome", **place, state=document["state"]))
        return counted


@dataclass(frozen=True)
class Properties(Source):
    """Property documents of a kind: flags, refusals and missing values by reason."""

    name: str = ""
    stamp_field: str = "built_at"
    fields: tuple[str, ...] = ("status", "reason", "flags", "refusals.rule", "calculator", "protocol", "protocol_version")

    def contributions(
        self, _database: Store, documents: Mapping[Any, Document], _about: Mapping[Any, list[str] | None]
    ) -> dict[Any, Counted]:
        """See :meth:`Source.contributions`."""
        return {key: self._counted(document) for key, document in documents.items()}

    def _counted(self, document: Document) -> Counted:
        counted = Counted()
        series = _series(document["calculator"], document["protocol"], document["protocol_version"])
        place = {"series": series, "stage": self.name}
        for flag in dict.fromkeys(map(pattern, document.get("flags") or ())):
            counted.add(Cell("flag", **place, state="flagged", cause=flag), is_failure=True)
        refusals = [str(refusal.get("rule", "")) for refusal in document.get("refusals") or ()]
        for rule in dict.fromkeys(refusals):
            counted.add(Cell("flag", **place, state="refused", cause=rule), is_failure=True)
        if document["status"] == "unavailable" and not refusals:
            cause = pattern(document.get("reason") or "no reason given")
            counted.add(Cell("flag", **place, state="unavailable", cause=cause), is_failure=True)
        return counted


JOBS, RUNS, OUTCOMES = Fireworks(), Runs(), Outcomes()
PROPERTIES = tuple(Properties(name=name) for name in PROPERTY_COLLECTIONS if name != MaterialDoc.collection)
"""All but the documents of whole materials, which repeat the flags of their parts."""

SOURCES: tuple[Source, ...] = (JOBS, RUNS, OUTCOMES, *PROPERTIES)


def _about(fields: Mapping[str, Any]) -> list[str]:
    series = _series(fields.get("calculator", ""), fields.get("protocol", ""), fields.get("protocol_version", ""))
    return [str(fields.get("flow", "")).partition(":")[0], series, str(fields["formula"])]


def _series(calculator: str, protocol: str, version: Any) -> str:
    return f"{calculator} {protocol}@{version}"


def _text(moment: datetime) -> str:
    """A moment as FireWorks writes it; the zone, which is always UTC, is written by some and left out by others."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat()


def _window(field: str, begin: Any, end: Any) -> Document:
    limits = {word: value for word, value in (("$gte", begin), ("$lt", end)) if value is not None}
    return {field: limits or {"$exists": True}}
