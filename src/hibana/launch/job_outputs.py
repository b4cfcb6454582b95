"""The small answers that jobs hand to each other, kept in the launchpad's database; a restart of the database is sat out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from maggma.stores import MongoStore

from hibana.store.patience import patiently

Document = dict[str, Any]


class PatientOutputs(MongoStore):  # type: ignore[misc]
    """maggma's store on a MongoDB collection, with what jobflow asks of it repeated until the database answers.

    Everything jobflow writes replaces the document of a job's uuid and index, and may be done twice.
    """

    def query(self, *args: Any, **kwargs: Any) -> Iterator[Document]:
        """Documents that match; see :meth:`maggma.stores.MongoStore.query`."""
        yield from patiently(lambda: list(super(PatientOutputs, self).query(*args, **kwargs)))

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Write documents; see :meth:`maggma.stores.MongoStore.update`."""
        patiently(lambda: super(PatientOutputs, self).update(*args, **kwargs))
