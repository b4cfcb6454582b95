"""The material document from the property documents of one material."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from hibana.documents.material import MaterialDoc
from hibana.documents.properties import ElectronicDoc, PropertyDoc, PropertyStatus, RelaxationDoc, sources_of

SHARED = (
    "material_id",
    "formula",
    "elements",
    "calculator",
    "calculator_version",
    "protocol",
    "protocol_version",
    "built_with",
    "built_at",
)
"""Fields that the parts of a material document have in common."""

NEED_A_GAP = ("dielectric", "phonon", "optics")
"""Parts that a metal does not have; that they are missing then is no fault."""

BY_PRODUCTS = ("sites",)
"""Parts made of runs that are asked for others; what is missing in them is missing there already."""


def build_material(documents: Sequence[PropertyDoc]) -> MaterialDoc:
    """The material document.

    Parameters
    ----------
    documents
        The property documents of one material by one protocol and calculator, the relaxation among them.

    Raises
    ------
    ValueError
        If they are not of one material and series, or there is no relaxation.
    """
    parts = {document.collection: document for document in documents}
    relaxation = parts.get(RelaxationDoc.collection)
    if relaxation is None:
        raise ValueError("a material document rests on a relaxation")
    key = ("material_id", "protocol", "protocol_version", "calculator")
    if len({tuple(getattr(document, name) for name in key) for document in documents}) > 1:
        raise ValueError("the documents are of several materials or series")
    status, reason = _status(parts)
    return MaterialDoc(
        **{name: getattr(relaxation, name) for name in SHARED},
        **parts,
        status=status,
        reason=reason,
        flags=tuple(f"{name}: {flag}" for name, part in parts.items() for flag in part.flags),
        addresses=_joined(part.addresses for part in documents),
        reasons=_joined(part.reasons for part in documents),
        sources={name: sources for name, part in parts.items() if (sources := sources_of(part))},
    )


def shortcomings(parts: Mapping[str, PropertyDoc]) -> dict[str, PropertyDoc]:
    """Those parts of a material that are not complete, but for those that make no sense for a metal."""
    electronic = parts.get(ElectronicDoc.collection)
    is_metal = isinstance(electronic, ElectronicDoc) and electronic.gap_class == "metal"
    found = {}
    for name, part in parts.items():
        is_excused = (is_metal and name in NEED_A_GAP) or (part.status == "partial" and name in BY_PRODUCTS)
        if part.status != "complete" and not is_excused:
            found[name] = part
    return found


def said(parts: Iterable[PropertyDoc]) -> str:
    """Why parts are not complete, once each: a reason that does not name its step gets the name of its part."""
    reasons = []
    for part in parts:
        reason = part.reason or part.status
        steps = {step.partition("-")[0] for step in (*part.addresses, *part.reasons)}
        names_its_step = reason.partition(":")[0].partition("-")[0] in steps
        reasons.append(reason if names_its_step else f"{part.collection}: {reason}")
    return "; ".join(dict.fromkeys(reasons))


def _status(parts: Mapping[str, PropertyDoc]) -> tuple[PropertyStatus, str | None]:
    missing = shortcomings(parts)
    reason = said(missing.values()) or None
    if RelaxationDoc.collection in missing and parts[RelaxationDoc.collection].status == "unavailable":
        return "unavailable", reason
    return ("partial" if missing else "complete"), reason


def _joined(mappings: Iterable[Mapping[str, str]]) -> dict[str, str]:
    return {name: value for mapping in mappings for name, value in mapping.items()}
