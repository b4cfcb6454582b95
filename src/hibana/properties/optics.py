"""Optical spectra of a material: the dielectric function of independent particles, moved to a hybrid gap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hibana.core.errors import HibanaError
from hibana.documents.arrays import pack
from hibana.documents.optics import OpticsDoc
from hibana.documents.task import BandEdges, TaskDoc
from hibana.properties import spectra
from hibana.properties.consistency import GAP_TOLERANCE, run_flags
from hibana.properties.evidence import Built, Evidence, with_initial_moments
from hibana.properties.kramers_kronig import real_part, uniform_step
from hibana.properties.tensors import conventional_frame

if TYPE_CHECKING:
    from hibana.protocol.protocol import OpticsRule

Floats = NDArray[np.float64]

SPECTRUM = "dielectric_function"

NEGATIVE = 0.01
"""Share of its largest eigenvalue by which the imaginary part may have a negative one; above the rounding of printed numbers."""

F_SUM_LIMITS = (0.2, 1.2)
"""Electrons by the f-sum rule over electrons in the calculation. Transitions to occupied core states are left out, which has a
negative weight, and matrix elements in PAW spheres are approximate: some per cent too many are usual. Too few are usual where
the spectrum ends below the transitions of semicore states, but the upper valence bands are more than a fifth of all electrons."""

RESIDUAL_LIMIT = 0.02
"""Of the code's real part against the one transformed from its imaginary part; complex shifts of 0.1 eV stay below 0.005."""

DFPT_LIMITS = (0.9, 1.25)
"""Constant of independent particles over the one with local fields. Local fields lower it by some per cent, up to a fifth where
the charge is in separate ions or molecules; a spectrum that ends early, or a coarser mesh, lowers the first."""

ONSET_TOLERANCE = 0.1
"""eV by which absorption may set in below the direct gap: the band run may miss the smallest one by some hundredths."""


@dataclass(frozen=True)
class Spectrum:
    """Calculated dielectric function in the conventional frame: ``energies`` (n,), ``imag`` and ``code_real`` (n, 6)."""

    energies: Floats
    imag: Floats
    code_real: Floats | None
    rotation: Floats


@dataclass(frozen=True)
class Shift:
    """Scissor shift, the step whose gap it comes from, and why a step that was preferred did not give it."""

    value: float
    source: str | None
    missing: dict[str, str]
    flags: tuple[str, ...] = ()


def build_optics(evidence: Evidence) -> Built:
    """Optical spectra of the relaxed crystal.

    The imaginary part is moved by the hybrid minus the semilocal gap on the same k-points, its real part made by Kramers-Kronig
    transformation of each component of the tensor, and the optical functions from the tensor or its average.

    Parameters
    ----------
    evidence
        With the steps ``dielectric_function``, ``band``, a hybrid step and ``dielectric``, as far as there are any.

    Raises
    ------
    ValueError
        If no calculation was done at all.
    """
    run = evidence.answer(SPECTRUM)
    spectrum = _read(evidence)
    if run is None or isinstance(spectrum, str):
        reason = spectrum if isinstance(spectrum, str) else evidence.why_not(SPECTRUM)
        return Built(OpticsDoc(**evidence.head(SPECTRUM), status="unavailable", reason=f"{SPECTRUM}: {reason}"))
    band, shift = evidence.answer("band"), scissor_shift(evidence)
    values, flags = _constants(evidence, run, spectrum)
    moved, arrays, more = _moved(spectrum, shift.value, band, evidence.protocol.optics)
    used = [step for step in (SPECTRUM, "band", shift.source, "dielectric") if step and evidence.answer(step)]
    missing = {} if band is not None else {"band": evidence.why_not("band")}
    missing |= {step: why for step, why in shift.missing.items() if shift.source is None or evidence.asked(step)}
    packed = {name: pack(array) for name, array in arrays.items()}
    document = OpticsDoc(
        **evidence.head(*used),
        status="partial" if missing else "complete",
        reason="; ".join(f"{step}: {why}" for step, why in missing.items()) or None,
        flags=tuple(dict.fromkeys([*_flags_of_runs(evidence, used), *flags, *shift.flags, *more])),
        arrays={name: array.ref for name, array in packed.items()},
        gap_source=shift.source or "none",
        scissor_shift=shift.value,
        **values,
        **moved,
    )
    return Built(document, packed)


def scissor_shift(evidence: Evidence) -> Shift:
    """The shift of the spectra: gap of the first hybrid step of the protocol that has one, minus the semilocal gap.

    The semilocal gap is the one on the k-points of the hybrid step, else that of the band run. Nothing is shifted where there
    is no hybrid gap, where the band run finds a metal, and where the hybrid gap is below the semilocal one.
    """
    band = evidence.answer("band")
    if band is not None and band.edges.gap_class == "metal":
        what = "the run finds a metal; the spectrum has no intraband part and is not shifted"
        return Shift(0.0, None, {"band": what}, (f"band: {what}",))
    missing: dict[str, str] = {}
    flags: list[str] = []
    for step in evidence.protocol.optics.gap:
        hybrid = evidence.answer(step)
        if hybrid is None:
            missing[step] = evidence.why_not(step)
            continue
        same = hybrid.semilocal_edges
        if same is not None and same.gap_class == "metal":
            missing[step] = "its semilocal stage finds a metal"
            flags.append(f"{step}: {missing[step]}")
            continue
        semilocal = next((gap for edges in (same, band and band.edges) if (gap := _gap(edges)) is not None), None)
        gap = _gap(hybrid.edges)
        if gap is None or semilocal is None:
            missing[step] = f"the {'hybrid' if gap is None else 'semilocal'} gap is unknown"
        elif gap < semilocal - GAP_TOLERANCE:
            missing[step] = f"its gap, {gap:.3f} eV, is below the semilocal gap, {semilocal:.3f} eV"
            flags.append(f"{step}: {missing[step]}")
        else:
            return Shift(max(gap - semilocal, 0.0), step, missing, tuple(flags))
    return Shift(0.0, None, missing, (*flags, "the spectra are not shifted: there is no hybrid gap to shift them to"))


def _gap(edges: BandEdges | None) -> float | None:
    """The gap, None if it is unknown or no number."""
    gap = None if edges is None else edges.band_gap
    return gap if gap is not None and np.isfinite(gap) else None


def _read(evidence: Evidence) -> Spectrum | str:
    """The calculated spectrum, or why there is none."""
    run = evidence.answer(SPECTRUM)
    if run is None:
        return evidence.why_not(SPECTRUM)
    energies, imag = evidence.load(SPECTRUM, "dielectric_energies"), evidence.load(SPECTRUM, "dielectric_imag")
    if energies is None or imag is None:
        return "the run has no dielectric function"
    if imag.shape != (len(energies), 6):
        return f"the imaginary part has the shape {imag.shape}, not {(len(energies), 6)}"
    try:
        step = uniform_step(energies)
        rotation = conventional_frame(with_initial_moments(run), evidence.protocol.symmetry).rotation
    except (ValueError, HibanaError) as error:
        return str(error)
    tensor = np.array(imag, dtype=float)
    tensor[0] = 0.0  # it is odd in the energy, whatever a code without a complex shift prints there
    if not np.isfinite(tensor).all():
        return "the imaginary part holds numbers that are not finite"
    real = evidence.load(SPECTRUM, "dielectric_real") if _has_real_part(run) else None
    code_real = None if real is None or real.shape != tensor.shape else spectra.rotate(np.array(real, dtype=float), rotation)
    return Spectrum(step * np.arange(len(tensor)), spectra.rotate(tensor, rotation), code_real, rotation)


def _has_real_part(run: TaskDoc) -> bool:
    """VASP's own transformation has its complex shift in the denominators; without one its real part is not judged."""
    return run.calculator.name != "vasp" or run.inputs.incar.get("CSHIFT") != 0


def _constants(evidence: Evidence, run: TaskDoc, spectrum: Spectrum) -> tuple[dict[str, Any], list[str]]:
    """What follows from the spectrum as calculated, and its flags."""
    real = real_part(spectrum.energies, spectrum.imag)
    zero = float(spectra.average(real[0]))
    volume = abs(float(np.linalg.det(np.array(run.final.lattice))))
    electrons = float(spectra.effective_electrons(spectrum.energies, spectra.average(spectrum.imag), volume)[-1])
    values: dict[str, Any] = {
        "epsilon_zero": _matrix(spectra.unpack_tensor(real[0])),
        "epsilon_zero_average": zero,
        "refractive_index_zero": float(np.sqrt(zero)) if zero > 0 else None,
        "rotation": _matrix(spectrum.rotation),
        "spectrum_end": float(spectrum.energies[-1]),
        "f_sum": electrons,
        "valence_electrons": run.inputs.nelect,
    }
    flags = [*_negative(spectrum), *_f_sum(electrons, run.inputs.nelect)]
    if run.edges.gap_class == "metal":
        flags.append(f"{SPECTRUM}: the run finds a metal; the spectrum has no intraband part")
    if spectrum.code_real is not None:
        inside = spectrum.energies <= evidence.protocol.optics.energy_max
        residual = _residual(spectra.average(spectrum.code_real)[inside], spectra.average(real)[inside])
        values["kramers_kronig_residual"] = residual
        if residual is None or residual > RESIDUAL_LIMIT:
            by = "it is not finite" if residual is None else f"by {residual:.1%}, above {RESIDUAL_LIMIT:.0%}"
            flags.append(f"Kramers-Kronig: the code's real part does not follow from its imaginary part ({by})")
    static = evidence.answer("dielectric")
    constant = None if static is None or static.epsilon_electronic is None else float(np.trace(static.epsilon_electronic)) / 3
    if constant is not None and constant > 0:
        ratio = zero / constant
        values["epsilon_zero_over_dfpt"] = ratio
        if not DFPT_LIMITS[0] <= ratio <= DFPT_LIMITS[1]:
            what = f"the constant at zero energy, {zero:.3f}, is {ratio:.2f} times that of the dielectric step"
            flags.append(f"{what}; {DFPT_LIMITS[0]} to {DFPT_LIMITS[1]} is expected")
    return values, flags


def _moved(
    spectrum: Spectrum, shift: float, band: TaskDoc | None, rule: OpticsRule
) -> tuple[dict[str, Any], dict[str, Floats], list[str]]:
    """Values, arrays and flags of the shifted spectra on the grid of the protocol."""
    edges = None if band is None or band.edges.gap_class != "gapped" else band.edges
    gap = _gap(edges)
    direct = None if edges is None else edges.direct_gap
    energies, imag = spectra.scissor(spectrum.energies, spectrum.imag, shift, gap or 0.0)
    grid = spectra.energy_grid(rule.energy_max, rule.energy_step)
    tensor = spectra.resample(energies, real_part(energies, imag) + 1j * imag, grid)
    mean = spectra.average(tensor)
    index = spectra.refractive_index(mean)
    alpha = spectra.absorption(grid, mean)
    arrays: dict[str, Floats] = {
        "energy": grid,
        "log10_absorption": spectra.log10_absorption(alpha),
        "log10_absorption_axes": spectra.log10_absorption(spectra.absorption(grid, tensor[:, :3])),
        "epsilon_real": tensor.real,
        "epsilon_imag": tensor.imag,
        "refractive_index": index.real,
        "extinction": index.imag,
        "reflectivity": spectra.reflectivity(mean),
    }
    onset = spectra.onset_energy(grid, alpha)
    values = {
        "gap_used": None if gap is None else gap + shift,
        "direct_gap": None if direct is None else direct + shift,
        "onset": onset,
        "absorption_edge_integral": None if onset is None else spectra.edge_integral(grid, alpha, onset),
    }
    beyond, flags = int(np.isnan(mean).sum()), []
    if beyond:
        flags.append(f"the spectrum ends at {energies[-1]:.2f} eV after the shift: {beyond} of {len(grid)} points are missing")
    if onset is None:
        flags.append(f"no absorption above {spectra.ONSET_ABSORPTION:.0e} cm^-1: the onset is unknown")
    elif direct is not None and onset < direct + shift - ONSET_TOLERANCE:
        flags.append(f"the onset, {onset:.3f} eV, is below the direct gap, {direct + shift:.3f} eV: the spectrum is broadened")
    return values, arrays, flags


def _negative(spectrum: Spectrum) -> list[str]:
    """The imaginary part is positive semidefinite at every energy: matter at rest gives no energy to light."""
    eigenvalues = np.linalg.eigvalsh(spectra.unpack_tensor(spectrum.imag))
    lowest, highest = eigenvalues[:, 0], float(eigenvalues.max())
    if highest <= 0:
        return ["the imaginary part of the dielectric function is nowhere positive"]
    at = int(lowest.argmin())
    if lowest[at] >= -NEGATIVE * highest:
        return []
    return [f"the imaginary part has a negative eigenvalue, {lowest[at]:.3f} at {spectrum.energies[at]:.2f} eV"]


def _f_sum(electrons: float, expected: float | None) -> list[str]:
    if not expected:
        return []
    ratio = electrons / expected
    if F_SUM_LIMITS[0] <= ratio <= F_SUM_LIMITS[1]:
        return []
    return [
        f"f-sum: the spectrum accounts for {electrons:.2f} of {expected:g} electrons ({ratio:.2f}; "
        f"{F_SUM_LIMITS[0]} to {F_SUM_LIMITS[1]} is expected)"
    ]


def _residual(code: Floats, ours: Floats) -> float | None:
    """Median difference over the root mean square of ε - 1; single points near singularities do not count.

    None if the code's real part is finite at less than half of the energies.
    """
    finite = np.isfinite(code)
    scale = float(np.sqrt(np.mean((ours - 1) ** 2)))
    if 2 * finite.sum() < len(code) or scale == 0:
        return None
    return float(np.median(np.abs(code - ours)[finite])) / scale


def _flags_of_runs(evidence: Evidence, steps: list[str]) -> list[str]:
    return [flag for step in steps for flag in run_flags(step, evidence.tasks[step])]


def _matrix(tensor: Floats) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(number) for number in row) for row in tensor)
