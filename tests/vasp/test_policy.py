"""The handler policy: every stock handler is in use or left out with a reason; verdicts on changed inputs."""

from __future__ import annotations

import inspect
import json
from importlib import metadata

import pytest
from custodian.custodian import ErrorHandler, Validator
from custodian.vasp import handlers as stock
from custodian.vasp import validators as stock_validators
from monty.json import MontyDecoder, MontyEncoder
from pymatgen.io.vasp import Incar

from hibana.core.errors import HibanaError
from hibana.vasp.handlers import ElectronicUnconvergedErrorHandler, RunWalltimeHandler
from hibana.vasp.policy import load_policy

TASKS = [
    *("structure_opt", "structure_opt_rough", "structure_opt_tight", "cluster_opt", "phonon_force", "defect", "defect_2d"),
    *("band", "dos", "dielectric_dfpt", "dielectric_finite_field", "dielectric_function"),
]


def setting(**tags) -> list[dict]:
    return [{"dict": "INCAR", "action": {"_set": tags}}]


def stock_names() -> set[str]:
    classes = [*vars(stock).values(), *vars(stock_validators).values()]
    return {
        item.__name__
        for item in classes
        if inspect.isclass(item)
        and issubclass(item, ErrorHandler | Validator)
        and item.__module__ in (stock.__name__, stock_validators.__name__)
    }


def test_every_stock_handler_is_in_use_or_left_out_with_a_reason():
    policy = load_policy()
    dotted = [rule.dotted for rule in policy.handler_rules.values()] + list(policy.validator_classes)
    in_use = {path.rpartition(".")[2] for path in dotted} & stock_names()  # hibana's own have custodian's names
    assert in_use | policy.left_out.keys() == stock_names()
    assert not in_use & policy.left_out.keys()
    assert all(len(why.split()) >= 4 for why in policy.left_out.values())


def test_the_policy_is_about_the_installed_custodian():
    text = (__import__("importlib.resources").resources.files("hibana.vasp") / "data" / "handlers.yaml").read_text()
    assert f"({metadata.version('custodian')})" in text


@pytest.mark.parametrize("functional", ["pbesol", "hse06_nsc", "ddh_nsc"])
@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_handlers_that_custodian_can_log(task, functional):
    handlers = load_policy().handlers(task, functional)
    assert all(isinstance(handler, ErrorHandler) for handler in handlers)
    again = json.loads(json.dumps(handlers, cls=MontyEncoder), cls=MontyDecoder)
    assert [type(handler) for handler in again] == [type(handler) for handler in handlers]


def test_handlers_are_new_each_time():
    first, second = (load_policy().handlers("band", "pbesol") for _ in range(2))
    assert not set(map(id, first)) & set(map(id, second))


def test_dfpt_has_its_handler_and_the_hybrid_step_only_what_it_can_use():
    policy = load_policy()
    assert "LrfCommutatorHandler" in policy.handler_names("dielectric_dfpt", "pbesol")
    for functional in ("hse06_nsc", "ddh_nsc"):
        hybrid = policy.handler_names("band", functional)
        assert not any("onverg" in name for name in hybrid)
        (errors,) = [h.errors_subset_to_catch for h in policy.handlers("band", functional) if type(h) is stock.VaspErrorHandler]
        assert "algo_tet" not in errors
        assert "posmap" in errors


def test_both_hybrids_have_the_same_policy():
    from hibana.protocol.protocol import load_protocol

    policy, hybrids = load_policy(), set(load_protocol("pbesol").hybrids)
    assert hybrids == {"hse06_nsc", "ddh_nsc"}
    omissions = [rule for handler in policy.handler_rules.values() for rule in handler.without]
    for rule in (*omissions, *policy.tasks, *policy.verdicts):
        assert not set(rule.functionals) or set(rule.functionals) == hybrids


@pytest.mark.parametrize(
    ("actions", "task", "functional", "verdict"),
    [
        (setting(ALGO="Fast"), "structure_opt", "pbesol", "accepted"),
        (setting(ALGO="Normal"), "band", "hse06_nsc", "refused"),
        (setting(ISMEAR=0, SIGMA=0.05), "dos", "pbesol", "flagged"),
        (setting(LPEAD=True), "dielectric_dfpt", "pbesol", "flagged"),
        (setting(LPEAD=True), "dielectric_finite_field", "pbesol", "flagged"),
        (setting(IBRION=7), "dielectric_dfpt", "pbesol", "refused"),
        (setting(IBRION=1), "structure_opt", "pbesol", "flagged"),
        (setting(NEDOS=2000), "dielectric_function", "pbesol", "flagged"),
        (setting(ALGO="Normal"), "band", "ddh_nsc", "refused"),
        (setting(ENCUT=600), "structure_opt", "pbesol", "refused"),
        (setting(ALGO="Fast", ENCUT=600), "structure_opt", "pbesol", "refused"),
        (setting(SOMETHING_NEW=1), "structure_opt", "pbesol", "flagged"),
        (setting(NBANDS=20), "structure_opt", "pbesol", "accepted"),
        (setting(NBANDS=20), "dielectric_function", "pbesol", "flagged"),
        (setting(NBANDS=20), "band", "hse06_nsc", "refused"),
        ([{"dict": "INCAR", "action": {"_unset": {"NPAR": 1}}}], "dos", "pbesol", "accepted"),
        ([{"dict": "KPOINTS", "action": {"_set": {"generation_style": "Gamma"}}}], "dos", "pbesol", "flagged"),
        ([{"dict": "KPOINTS", "action": {"_set": {"generation_style": "Gamma"}}}], "band", "pbesol", "refused"),
        ([{"dict": "POSCAR", "action": {"_set": {"structure": {}}}}], "structure_opt", "pbesol", "refused"),
        ([{"file": "CONTCAR", "action": {"_file_copy": {"dest": "POSCAR"}}}], "structure_opt", "pbesol", "accepted"),
        ([{"file": "WAVECAR", "action": {"_file_delete": {"mode": "actual"}}}], "band", "pbesol", "accepted"),
        ([{"file": "WAVECAR", "action": {"_file_delete": {"mode": "actual"}}}], "band", "hse06_nsc", "refused"),
        ([], "band", "pbesol", "accepted"),
        (None, "band", "pbesol", "accepted"),
    ],
)
def test_verdicts(actions, task, functional, verdict):
    assert load_policy().judge(actions, task, functional) == verdict


def test_a_tighter_ediff_is_accepted_and_a_looser_one_is_not():
    policy = load_policy()
    assert policy.judge(setting(EDIFF=1e-8), "dos", "pbesol", {"EDIFF": 1e-7}) == "accepted"
    assert policy.judge(setting(EDIFF=1e-6), "dos", "pbesol", {"EDIFF": 1e-7}) == "flagged"


def test_without_a_task_only_general_rules_count():
    assert load_policy().judge(setting(NBANDS=20)) == "accepted"


def test_an_unknown_policy_is_a_numbered_error(tmp_path):
    with pytest.raises(HibanaError) as caught:
        load_policy("nothing")
    assert caught.value.kind.code == "HIB-058"


@pytest.mark.parametrize(
    "change",
    [
        ("max_errors: 8", "max_errors: none"),
        ("default: flagged", "defaults: flagged"),
        ("custodian.vasp.handlers.PotimErrorHandler", "custodian.vasp.handlers.NoSuchHandler"),
        ("handlers: [VaspErrorHandler, FrozenJobErrorHandler", "handlers: [NoSuchHandler, FrozenJobErrorHandler"),
        ("standard:", "standard: ["),
    ],
)
def test_a_damaged_policy_is_a_numbered_error(change, tmp_path):
    from importlib.resources import files

    text = (files("hibana.vasp") / "data" / "handlers.yaml").read_text()
    assert change[0] in text
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    assert load_policy(str(path)).name == "standard"
    path.write_text(text.replace(*change))
    with pytest.raises(HibanaError) as caught:
        load_policy(str(path))
    assert caught.value.kind.code == "HIB-059"


def test_the_packaged_protocols_name_packaged_policies():
    from hibana.protocol.protocol import load_protocol, protocol_names

    assert all(load_policy(load_protocol(name).handlers) for name in protocol_names())


def test_a_relaxation_that_reached_nsw_is_not_unconverged(recorded, tmp_path):
    import gzip

    data = gzip.decompress((recorded / "vasp_errors" / "unconverged_ionic" / "vasprun.xml.gz").read_bytes())
    (tmp_path / "vasprun.xml").write_bytes(data)
    assert stock.UnconvergedErrorHandler().check(str(tmp_path))
    assert not ElectronicUnconvergedErrorHandler().check(str(tmp_path))


def test_a_stopped_run_is_not_unconverged(recorded, tmp_path):
    source = recorded / "vasp_errors" / "unconverged_electronic" / "vasprun.xml"
    (tmp_path / "vasprun.xml").write_bytes(source.read_bytes())
    assert ElectronicUnconvergedErrorHandler().check(str(tmp_path))
    (tmp_path / "OUTCAR").write_text(" hard stop encountered!  aborting job ...\n")
    assert not ElectronicUnconvergedErrorHandler().check(str(tmp_path))


def test_the_walltime_of_a_scheduler_is_found(monkeypatch, tmp_path):
    monkeypatch.delenv("CUSTODIAN_WALLTIME_START", raising=False)
    monkeypatch.delenv("PBS_WALLTIME", raising=False)
    monkeypatch.setenv("SBATCH_TIMELIMIT", "2")
    handler = RunWalltimeHandler()
    assert handler.wall_time == 120
    assert handler.buffer_time == 12
    assert not handler.check(str(tmp_path))


def test_long_steps_bring_the_stop_forward(tmp_path):
    handler = RunWalltimeHandler(wall_time=1000)
    assert not handler.check(str(tmp_path))
    (tmp_path / "OUTCAR").write_text(
        "     LOOP+:  cpu time   99.0: real time   400.0\n      LOOP:  cpu time 1.0: real time 2.0\n"
    )
    assert handler.check(str(tmp_path))
    assert not RunWalltimeHandler(wall_time=1000, electronic_step_stop=True).check(str(tmp_path))
    assert handler.correct(str(tmp_path)) == {"errors": ["Walltime reached"], "actions": None}
    assert Incar.from_file(tmp_path / "STOPCAR")["LSTOP"] is True
