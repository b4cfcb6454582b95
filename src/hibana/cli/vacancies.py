"""``hibana vacancies``: formation energies of vacancies, every term."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hibana.cli import console
from hibana.cli.console import CalculatorOption, JsonOption, LaunchpadOption, ProtocolOption, ProtocolVersionOption
from hibana.core.errors import declare

if TYPE_CHECKING:
    from rich.table import Table

    from hibana.report.vacancy_terms import HostTerms, Level, StateTerms

NO_VACANCIES = declare(
    167,
    "no vacancies of this material",
    "Submit it with the branch vacancy (`hibana submit --flow bulk --branch vacancy`); `hibana why MATERIAL` says where it is.",
)

MISSING = "–"


def vacancies(
    material: Annotated[str, typer.Argument(help="A material_id, or a reduced formula.")],
    protocol: ProtocolOption = None,
    protocol_version: ProtocolVersionOption = None,
    calculator: CalculatorOption = None,
    launchpad: LaunchpadOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the formation energies of a material's oxygen vacancies with every term, in eV, and their transition levels.

    Energies are those at the valence-band maximum and Δμ = 0, by every functional's valence-band maximum and both references of
    oxygen. Charge states that are kept out of the table are shown too, and said to be so.

    Example: hibana vacancies MgO --protocol vacancy-demo
    """
    from hibana.report.vacancy_terms import vacancy_terms

    store = console.open_store(launchpad)
    found = vacancy_terms(
        store,
        material,
        protocol=protocol,
        protocol_version=protocol_version,
        calculator=calculator,
    )
    if not found:
        from hibana.launch.naming import find_materials

        find_materials(store, material)
        raise NO_VACANCIES.error(material)
    if as_json:
        console.print_json([host.as_dict() for host in found])
        return
    for host in found:
        _print_host(host)


def _print_host(host: HostTerms) -> None:
    from hibana.report.vacancy_terms import EDGE_NAMES

    out = console.output()
    atoms = "" if host.n_atoms is None else f", supercell of {host.n_atoms} atoms"
    out.print(f"{host.formula} {host.material_id} ({host.series}){atoms}", markup=False)
    for name, (vbm, cbm) in host.band_edges.items():
        used = ", used" if name == host.edges else ""
        out.print(f"  band edges {EDGE_NAMES[name]}: {vbm:.3f} and {cbm:.3f} eV, gap {cbm - vbm:.3f} eV{used}", markup=False)
    for line in _oxygen(host):
        out.print(f"  {line}", markup=False)
    for refusal in host.refusals:
        out.print(f"  no host of vacancies: {refusal}", markup=False)
    if host.reason:
        out.print(f"  {host.reason}", markup=False)
    for site in dict.fromkeys(state.site for state in host.states):
        out.print()
        out.print(_table(host, [state for state in host.states if state.site == site]))
        for level in host.levels:
            if level.site == site:
                out.print(f"  {_level(level)}", markup=False)
    for state in host.states:
        for remark in _remarks(state):
            out.print(f"  {state.name}: {remark}", markup=False)


def _oxygen(host: HostTerms) -> list[str]:
    """The references of oxygen, and why one is missing."""
    from hibana.report.vacancy_terms import OXYGEN_NAMES

    lines = []
    for name, said in OXYGEN_NAMES.items() if host.oxygen is not None else ():
        value, used = host.oxygen.of(name), ", used" if name == host.oxygen.used else ""
        why = host.oxygen.reasons.get(name, "not known")
        lines.append(f"μ(O) by {said}: {why if value is None else f'{value:.3f} eV'}{used}")
    return lines


def _table(host: HostTerms, states: list[StateTerms]) -> Table:
    """A line a term, a column a charge state."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    name = states[0].name.rpartition("_")[0]
    table = Table(title=f"{name}, eV", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("term")
    for state in states:
        table.add_column(f"q = {state.charge:+d}" if state.charge else "q = 0", justify="right")
    for title, values in _terms(host, states):
        table.add_row(Text(title), *map(_number, values))
    table.add_section()
    for title, values in _sums(states):
        table.add_row(title, *map(_number, values))
    table.add_section()
    table.add_row("electrons", *(state.edge_state.replace("_", " ") for state in states))
    table.add_row("structure", *(state.structure_class for state in states))
    table.add_row("used for levels", *("no" if state.left_out else "yes" for state in states))
    return table


def _terms(host: HostTerms, states: list[StateTerms]) -> list[tuple[str, list[float | None]]]:
    """The terms whose sum is the formation energy."""
    from hibana.report.vacancy_terms import EDGE_NAMES, OXYGEN_NAMES

    oxygen = "" if host.oxygen is None else f", {OXYGEN_NAMES[host.oxygen.used]}"
    edges = "" if host.edges is None else f", {EDGE_NAMES[host.edges]}"
    perfect = [None if state.perfect is None else -state.perfect for state in states]
    return [
        ("E[vacancy]", [state.defect for state in states]),
        ("-E[perfect]", perfect),
        (f"μ(O){oxygen}", [state.removed for state in states]),
        (f"q VBM{edges}", [state.band_edge for state in states]),
        ("correction: point charge", [state.point_charge for state in states]),
        ("correction: alignment", [state.alignment for state in states]),
        ("formation energy (sum)", [state.formation_energy for state in states]),
    ]


def _sums(states: list[StateTerms]) -> list[tuple[str, list[float | None]]]:
    """Formation energies by every valence-band maximum and oxygen reference."""
    from hibana.report.vacancy_terms import EDGE_NAMES, OXYGEN_NAMES

    pairs = dict.fromkeys((item.edges, item.oxygen) for state in states for item in state.energies)
    return [
        (f"at VBM of {EDGE_NAMES[edges]}, O: {OXYGEN_NAMES[oxygen]}", [state.energy(edges, oxygen) for state in states])
        for edges, oxygen in pairs
    ]


def _level(level: Level) -> str:
    from hibana.report.vacancy_terms import EDGE_NAMES

    def said(charge: int) -> str:
        return f"{abs(charge)}{'+' if charge > 0 else '-'}" if charge else "0"

    high, low = map(said, level.charges)
    where = ", ".join(f"{value:.3f} eV above the VBM of {EDGE_NAMES[name]}" for name, value in level.above.items())
    out = f" (left out: {', '.join(level.left_out)})" if level.left_out else ""
    return f"level ({high}/{low}): {where}{out}"


def _number(value: float | None) -> str:
    return MISSING if value is None else f"{round(value, 3) + 0.0:.3f}"


def _remarks(state: StateTerms) -> list[str]:
    """Why a state is left out, what is not known of it, and its flags."""
    said = [state.reason] if state.reason else []
    if state.left_out:
        said.insert(0, f"left out of levels and of the default table, {state.left_out.replace('_', ' ')}")
    return [*([": ".join(said)] if said else []), *state.flags]
