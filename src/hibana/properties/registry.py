"""All property documents: which builder makes which kind, and from which steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from hibana.documents.dielectric import DielectricDoc, PhononDoc
from hibana.documents.dispersion import DispersionDoc
from hibana.documents.optics import OpticsDoc
from hibana.documents.properties import ElectronicDoc, PropertyDoc, RelaxationDoc
from hibana.documents.sites import SitesDoc
from hibana.properties.dielectric import build_dielectric
from hibana.properties.dispersion import build_dispersion
from hibana.properties.electronic import build_electronic
from hibana.properties.evidence import Built, Evidence
from hibana.properties.material import BY_PRODUCTS, NEED_A_GAP, build_material
from hibana.properties.optics import build_optics
from hibana.properties.phonon import build_phonon
from hibana.properties.relaxation import build_relaxation
from hibana.properties.sites import build_sites


@dataclass(frozen=True)
class Property:
    """A kind of property document.

    Parameters
    ----------
    kind
        The document.
    build
        Makes it of evidence.
    steps
        It is made where one of these steps was asked for.
    """

    kind: type[PropertyDoc]
    build: Callable[[Evidence], Built]
    steps: tuple[str, ...]

    @property
    def name(self) -> str:
        """Its name, that of its collection."""
        return self.kind.collection


PROPERTIES: tuple[Property, ...] = (
    Property(RelaxationDoc, build_relaxation, ("structure_opt",)),
    Property(ElectronicDoc, build_electronic, ("band", "dos", "hse06_nsc", "ddh_nsc")),
    Property(DielectricDoc, build_dielectric, ("dielectric",)),
    Property(PhononDoc, build_phonon, ("dielectric",)),
    Property(OpticsDoc, build_optics, ("dielectric_function",)),
    Property(DispersionDoc, build_dispersion, ("phonon_force",)),
    Property(SitesDoc, build_sites, ("dos", "dielectric")),
)
"""All kinds, in the order in which they are built."""


def properties_of(steps: Iterable[str]) -> tuple[Property, ...]:
    """The properties that one of these steps is asked for; by-products are not among them."""
    asked = set(steps)
    return tuple(item for item in PROPERTIES if item.name not in BY_PRODUCTS and not asked.isdisjoint(item.steps))


def build_documents(evidence: Evidence) -> tuple[Built, ...]:
    """All property documents whose steps were asked for, the material document last; none without a relaxation.

    Parameters
    ----------
    evidence
        What is known of the material.
    """
    if "structure_opt" not in evidence.tasks:
        return ()
    asked = {step.partition("-")[0] for step in (*evidence.tasks, *evidence.reasons)}
    built = [item.build(evidence) for item in PROPERTIES if not asked.isdisjoint(item.steps)]
    built = list(_marked(built, evidence))
    return (*built, Built(build_material([item.document for item in built])))


def _marked(built: list[Built], evidence: Evidence) -> Iterable[Built]:
    """The documents, with a flag on what was calculated for a gap that later runs do not find."""
    electronic = next((item.document for item in built if isinstance(item.document, ElectronicDoc)), None)
    if electronic is None or electronic.gap_class != "metal":
        return built
    relaxation = evidence.answer("structure_opt")
    gap = None if relaxation is None else relaxation.edges.band_gap
    found = "a gap" if gap is None else f"a gap of {gap:.3f} eV"
    flag = f"calculated because the relaxation has {found}, but the band or dos run finds a metal"
    return [_flagged(item, flag) if item.document.collection in NEED_A_GAP else item for item in built]


def _flagged(item: Built, flag: str) -> Built:
    document = item.document
    if document.status == "unavailable":
        return item
    return replace(item, document=document.model_copy(update={"flags": (*document.flags, flag)}))
