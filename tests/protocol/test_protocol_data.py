"""Protocols are complete, strict, frozen and versioned."""

from __future__ import annotations

import pytest
from pydantic import ValidationError
from ruamel.yaml import YAML

from hibana.core.errors import HibanaError
from hibana.protocol.protocol import Protocol, load_protocol, protocol_names

FROZEN = {
    "pbesol@1": "c70f2d1bb8d8c99190243686fb055576c3705eb3c84519fa4704b3385a3d0df2",
    "pbesol-demo@1": "d667a5abd3ca134424bf0d9aff817730aa9a2939dcd1cde1f04c39f87c2306ed",
    "pbesol@2": "c45099c498538cf9575233999b1e6fe8810eaeeb14f13f16a21f63b7c848092f",
    "vacancy-demo@1": "85706ca5483b0fd759158e393c866d50dc16710fe179eeb95e3d25a51a901190",
    "pbesol-demo@2": "0ea2b29c825cba3359dd0f6e269e55c546429bcb36060f2d72244990b38a169c",
}
"""Digests of released protocols. A new number needs a new version, and a new line here; no line is ever changed."""


def as_file(folder, protocol, **changes):
    data = {**protocol.model_dump(), **changes}
    data["sources"] = list(data["sources"])
    path = folder / "own.yaml"
    with path.open("w") as file:
        YAML(typ="safe").dump(data, file)
    return str(path)


@pytest.mark.parametrize("name", protocol_names())
def test_released_numbers_do_not_change(name):
    protocol = load_protocol(name)
    assert protocol.name == name
    assert FROZEN[f"{name}@{protocol.version}"] == protocol.digest


def test_digest_sees_numbers_and_not_words():
    protocol = load_protocol("pbesol")
    other = protocol.model_copy(update={"description": "x", "sources": ()})
    assert other.digest == protocol.digest
    denser = protocol.model_copy(update={"kpoints": protocol.kpoints.model_copy(update={"density": 5.1})})
    assert denser.digest != protocol.digest


def test_protocols_cannot_be_changed_by_their_users():
    protocol = load_protocol("pbesol")
    with pytest.raises(ValidationError):
        protocol.version = 3
    protocol.incar["dos"]["EDIFF"] = 1.0
    assert load_protocol("pbesol").incar["dos"]["EDIFF"] == 1e-5


def test_a_file_of_ones_own(tmp_path):
    path = as_file(tmp_path, load_protocol("pbesol"), name="mine")
    own = load_protocol(path)
    assert (own.name, own.version, own.kpoints) == ("mine", 2, load_protocol("pbesol").kpoints)


def test_a_supercell_of_ones_own_is_read_from_a_file(tmp_path):
    defects = load_protocol("pbesol").model_dump(mode="json")["defects"]
    matrix = [[2, 0, 0], [0, 2, 0], [0, 0, 2]]
    own = load_protocol(as_file(tmp_path, load_protocol("pbesol"), name="mine", defects={**defects, "matrix": matrix}))
    assert own.defects.matrix == ((2, 0, 0), (0, 2, 0), (0, 0, 2))
    with pytest.raises(HibanaError, match="HIB-031"):
        load_protocol(as_file(tmp_path, own, defects={**defects, "matrix": [[2, 0, 0], [0, 2.5, 0], [0, 0, 2]]}))


def test_a_copy_may_keep_the_name_but_not_with_other_numbers(tmp_path):
    protocol = load_protocol("pbesol")
    assert load_protocol(as_file(tmp_path, protocol)) == protocol
    with pytest.raises(HibanaError, match="HIB-031"):
        load_protocol(as_file(tmp_path, protocol, spectrum_step=0.02))


@pytest.mark.parametrize(
    "changes",
    [
        {"typo": 1},
        {"version": "1"},
        {"version": 0},
        {"kpoints": {"density": 5.0}},
        {"spectrum_step": -0.01},
        {"hubbard_u": 1},
        {"functional": "hse"},
        {"prior": {"gap_criterion": 0.1, "magnetization_criterion": 0.1}},
        {"name": "Two words"},
        {"hybrids": {"hse03": {}}},
        {"dielectric": {"method": "guess"}},
    ],
)
def test_faulty_files_are_refused(tmp_path, changes):
    data = {"name": "mine", **changes}
    with pytest.raises(HibanaError, match="HIB-031"):
        load_protocol(as_file(tmp_path, load_protocol("pbesol"), **data))


def test_what_is_no_protocol(tmp_path):
    with pytest.raises(HibanaError, match="HIB-030") as caught:
        load_protocol("pbe_sol")
    assert "pbesol-demo" in str(caught.value)
    broken = tmp_path / "x.yaml"
    for text in ("a: [", "", "- 1"):
        broken.write_text(text)
        with pytest.raises(HibanaError, match="HIB-031"):
            load_protocol(str(broken))
    broken.write_bytes(b"\xff\xfe name: x")
    with pytest.raises(HibanaError, match="HIB-031"):
        load_protocol(str(broken))


def test_the_demonstration_is_coarser_and_otherwise_the_same():
    full, demo = load_protocol("pbesol"), load_protocol("pbesol-demo")
    for rule in ("density", "insulator_density"):
        assert getattr(demo.kpoints, rule) < getattr(full.kpoints, rule)
        for name in full.hybrids:
            assert getattr(demo.hybrids[name], rule) < getattr(full.hybrids[name], rule)
    assert demo.kpoints.band_spacing > full.kpoints.band_spacing
    assert (demo.functional, demo.potcar, demo.symmetry, demo.prior) == (full.functional, full.potcar, full.symmetry, full.prior)
    for name, rule in full.hybrids.items():
        same = {"density", "insulator_density"}
        assert demo.hybrids[name].model_dump(exclude=same) == rule.model_dump(exclude=same)
    assert (demo.dielectric, demo.optics) == (full.dielectric, full.optics)
    assert isinstance(demo, Protocol)


def test_the_demonstration_of_vacancies_is_the_demonstration_but_for_what_it_names():
    """Γ alone in 64 atoms, charges whose electrons are paired, and no spin for them."""

    def flat(value, path=()):
        if isinstance(value, dict):
            return {key: item for name, part in value.items() for key, item in flat(part, (*path, name)).items()}
        return {path: value}

    demo, vacancies = (flat(load_protocol(name).model_dump(mode="json")) for name in ("pbesol-demo", "vacancy-demo"))
    different = {".".join(path) for path in demo.keys() | vacancies.keys() if demo.get(path) != vacancies.get(path)}
    numbers = {"kpoints.defect_density", "defects.charges", "incar.defect.ISPIN"}
    assert different == {"name", "version", "description", "sources", *numbers}
