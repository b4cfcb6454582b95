"""Property documents built again from the runs in the store, as the collector of a flow builds them."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal

from hibana.core.errors import HibanaError
from hibana.defects.curate import build_vacancy_documents
from hibana.documents.candidate import Material
from hibana.documents.properties import PropertyDoc, RelaxationDoc
from hibana.flows.evidence import gather, recorded
from hibana.properties.registry import build_documents

if TYPE_CHECKING:
    from packaging.version import Version

    from hibana.protocol.protocol import Protocol
    from hibana.store.store import Store

KEY = ("material_id", "protocol", "protocol_version", "calculator")
TIMES = ("built_at", "built_with")
"""Fields in which two equal documents may differ."""

State = Literal["rebuilt", "current", "left"]


@dataclass(frozen=True, order=True)
class Target:
    """A material in one series.

    Parameters
    ----------
    material_id, protocol, protocol_version, calculator
        Key of its documents.
    """

    material_id: str
    protocol: str
    protocol_version: int
    calculator: str


@dataclass(frozen=True)
class Rebuilt:
    """What became of a target.

    Parameters
    ----------
    target
        Which it is.
    state
        ``rebuilt``; ``current``: its documents are new enough; ``left``: it cannot be rebuilt here, for the reason.
    reason
        Why it was left.
    changed
        Collections whose document is not what it was, times and versions aside.
    """

    target: Target
    state: State
    reason: str | None = None
    changed: tuple[str, ...] = ()


def targets(store: Store, query: Mapping[str, Any]) -> Iterator[Target]:
    """Every material and series with an outcome or a document, sorted by material; nothing is held in memory.

    Parameters
    ----------
    store
        Where they are.
    query
        MongoDB filter on the fields of :data:`KEY`.
    """
    streams = [store.query(name, query, KEY, by_key=True) for name in ("outcomes", RelaxationDoc.collection)]
    merged = heapq.merge(*streams, key=lambda found: str(found["material_id"]))
    for _, group in groupby(merged, key=lambda found: found["material_id"]):
        yield from sorted({Target(**{name: found[name] for name in KEY}) for found in group})


def rebuild(
    store: Store, target: Target, protocol: Protocol | None, *, older_than: Version | None = None, dry_run: bool = False
) -> Rebuilt:
    """Build all property documents of a material anew and store them.

    Runs and candidates are read; nothing is calculated. Why a step has no run is taken from the documents that are there.

    Parameters
    ----------
    store
        Where runs and documents are.
    target
        Which material and series.
    protocol
        The protocol of the series as it is here; None if there is none.
    older_than
        Rebuild only where a document was built by a version below this one, or there is none.
    dry_run
        Store nothing.
    """
    if protocol is None:
        return Rebuilt(target, "left", f"the protocol {target.protocol} is not here; name its file")
    if protocol.version != target.protocol_version:
        return Rebuilt(target, "left", f"the protocol {target.protocol} is version {protocol.version} here")
    if older_than is not None and _is_current(store, target, older_than):
        return Rebuilt(target, "current")
    candidate = store.candidate(target.material_id)
    if candidate is None:
        return Rebuilt(target, "left", "its candidate is not in the store")
    try:
        evidence = gather(store, Material.of(candidate), protocol, target.calculator)
        built = (*build_documents(evidence), *build_vacancy_documents(evidence))
        changed = tuple(item.document.collection for item in built if not _is_as_stored(store, item.document))
    except HibanaError as error:
        return Rebuilt(target, "left", f"{error.kind.code} {error.what}")
    if not built:
        return Rebuilt(target, "left", "no relaxation of it is in the store")
    if not dry_run:
        for item in built:
            store.put_property(item.document, item.arrays)
    return Rebuilt(target, "rebuilt", changed=changed)


def _is_current(store: Store, target: Target, version: Version) -> bool:
    from packaging.version import Version

    known = recorded(store, target.material_id, target.protocol, target.protocol_version, target.calculator)
    return bool(known.versions) and all(Version(text) >= version for text in known.versions)


def _is_as_stored(store: Store, document: PropertyDoc) -> bool:
    key = {name: getattr(document, name) for name in (*KEY, *(("part",) if document.part else ()))}
    stored = next(store.query(document.collection, key), None)
    return stored is not None and _content(stored) == _content(document.model_dump(mode="python"))


def _content(value: Any) -> Any:
    """A document without its times, the same from the store as from a builder."""
    if isinstance(value, Mapping):
        return {name: _content(item) for name, item in value.items() if name not in TIMES}
    if isinstance(value, list | tuple):
        return [_content(item) for item in value]
    return value
