"""Vacancies as parts of their host: which there must be, which have no energy, and which are left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hibana.documents.properties import PropertyDoc
from hibana.documents.sites import SiteDescriptor, SitesDoc
from hibana.documents.vacancy import LeftOutState, SupercellDoc, VacancyDoc, VacancySummaryDoc
from hibana.tables.columns import Documents, property_name
from hibana.tables.parts import Parts

PUBLISHED = {"born_charge": "ave_bec", "p_center_from_vbm": "o2p_center_from_vbm", "electronegativity": "eleneg"}
"""Quantities of site descriptors that have another name in the table."""


class VacancyParts(Parts):
    """Accounts for the vacancies of a host.

    Parameters
    ----------
    host
        Kinds of document of the host that a row is joined from.
    """

    noun = "vacancies"

    def __init__(self, host: Sequence[type[PropertyDoc]]) -> None:
        self._host = tuple(host)

    def refusal(self, documents: Documents) -> str | None:
        """Rules of the protocol that the host is refused by."""
        supercell = documents.get(SupercellDoc)
        verdicts = supercell.refusals if isinstance(supercell, SupercellDoc) else ()
        return "; ".join(f"{verdict.rule}: {verdict.what}" for verdict in verdicts) or None

    def expected(self, documents: Documents, parts: Sequence[PropertyDoc]) -> Mapping[str, str | None]:
        """Charge states that the summary names as left out, and of each site the charges that another site has."""
        there = {part.part for part in parts}
        found: dict[str, str | None] = {name: _said(state) for name, state in _left_out(documents).items()}
        supercell = documents.get(SupercellDoc)
        charges = sorted({part.charge for part in parts if isinstance(part, VacancyDoc)})
        for site in supercell.sites if isinstance(supercell, SupercellDoc) else ():
            for charge in charges:
                found.setdefault(f"Va_{site.name}_{charge}", None)
        return {name: found[name] for name in sorted(found, key=_natural) if name not in there}

    def order(self, part: PropertyDoc) -> tuple[int, str]:
        """By site, then by charge."""
        return _natural(part.part)

    def why_unavailable(self, documents: Documents) -> str | None:
        """Why there is no formation energy."""
        vacancy = _vacancy(documents)
        if vacancy.formation_energy is not None and vacancy.status != "unavailable":
            return None
        return _why(documents) or vacancy.reason or "no reason given"

    def flags(self, documents: Documents) -> tuple[str, ...]:
        """Why the state is not used, and the flags of the vacancy and of the host."""
        own = _why(documents)
        joined = [_vacancy(documents), *(documents[kind] for kind in self._host if kind in documents)]
        flags = (flag for document in joined if document.status != "unavailable" for flag in document.flags)
        return tuple(dict.fromkeys((*((own,) if own else ()), *flags)))

    def item(self, documents: Documents) -> SiteDescriptor | None:
        """Descriptors of the site."""
        return site_of(documents)

    def missing(self, documents: Documents, site: SiteDescriptor | None) -> tuple[str, ...]:
        """What of host and site is null, each with the reason."""
        vacancy = _vacancy(documents)
        found = [f"{step}: {why}" for step, why in sorted(vacancy.reasons.items())]
        for kind in self._host:
            document = documents.get(kind)
            if document is None:
                found.append(f"{property_name(kind)}: no document")
            elif document.status != "complete":
                found.append(f"{property_name(kind)}: {document.reason or 'no reason given'}")
        if site is not None:
            found += [f"{PUBLISHED.get(quantity, quantity)}: {why}" for quantity, why in sorted(site.reasons.items())]
        elif SitesDoc in documents and documents[SitesDoc].status != "unavailable":
            found.append(f"sites: it has no site {vacancy.site}")
        return tuple(dict.fromkeys(found))


def site_of(documents: Documents) -> SiteDescriptor | None:
    """Descriptors of the site that a vacancy is at; sites have the same names there as in supercells."""
    sites = documents.get(SitesDoc)
    if not isinstance(sites, SitesDoc):
        return None
    return next((site for site in sites.sites if site.label == _vacancy(documents).site), None)


def _vacancy(documents: Documents) -> VacancyDoc:
    vacancy = documents[VacancyDoc]
    if not isinstance(vacancy, VacancyDoc):
        raise TypeError(f"a document of the kind {type(vacancy).__name__} is no vacancy")
    return vacancy


def _left_out(documents: Documents) -> dict[str, LeftOutState]:
    """Charge states that the host's summary does not use, by name."""
    summary = documents.get(VacancySummaryDoc)
    sites = summary.sites if isinstance(summary, VacancySummaryDoc) else ()
    return {state.name: state for site in sites for state in site.left_out}


def _why(documents: Documents) -> str | None:
    """Why a charge state is not used; None for one that is."""
    vacancy = _vacancy(documents)
    if vacancy.left_out is None:
        return None
    state = _left_out(documents).get(vacancy.part)
    if state is not None and state.kind == vacancy.left_out:
        return _said(state)
    return f"{vacancy.left_out}: {vacancy.edge_reason or vacancy.reason or 'no reason given'}"


def _said(state: LeftOutState) -> str:
    return f"{state.kind}: {state.reason}"


def _natural(name: str) -> tuple[int, str]:
    """Va_O2_0 before Va_O10_0."""
    return len(name), name
