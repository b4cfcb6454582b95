"""Priorities set in bulk on waiting work."""

from __future__ import annotations

import json

import pytest
from farm import MGO, wait_until
from fireworks import FWorker, Workflow
from launchpad_tasks import note

from hibana.launch.priorities import BATCH, set_priorities

pytestmark = pytest.mark.timeout(600)


def of_material(name: str, n: int = 1, **spec) -> Workflow:
    return Workflow([note(f"{name} {k}", spec=spec) for k in range(n)], metadata={"material_id": name})


def priorities(launchpad) -> dict[str, int | None]:
    found = launchpad.fireworks.find({}, {"name": 1, "spec._priority": 1})
    return {item["name"]: item["spec"].get("_priority") for item in found}


def taken(launchpad) -> list[str]:
    """Names in the order of checkout."""
    names = []
    while True:
        firework, _ = launchpad.checkout_fw(FWorker(), "/tmp")
        if firework is None:
            return names
        names.append(firework.name)


def test_each_material_gets_its_own_and_checkout_follows_strictly(launchpad):
    launchpad.bulk_add_wfs([of_material(f"m{k:03}", 2) for k in range(2 * BATCH // 100 + 1)])
    wanted = {f"m{k:03}": (k * 5) % 7 for k in range(2 * BATCH // 100 + 1)}
    report = set_priorities(launchpad, wanted)
    assert (report.materials, report.changed, report.unchanged) == (len(wanted), {"READY": 2 * len(wanted)}, 0)
    assert set_priorities(launchpad, wanted).as_dict()["unchanged"] == 2 * len(wanted)
    order = [wanted[name.split()[0]] for name in taken(launchpad)]
    assert order == sorted(order, reverse=True)
    assert len(order) == 2 * len(wanted)


def test_a_launcher_that_has_looked_ahead_heeds_what_is_raised_and_what_is_lowered(launchpad):
    launchpad.bulk_add_wfs([of_material(name, _priority=5) for name in "abcdef"])
    first, _ = launchpad.checkout_fw(FWorker(), "/tmp")
    rest = sorted(set("abcdef") - {first.name[0]})
    set_priorities(launchpad, {rest[0]: 1, rest[1]: 2, rest[2]: 3, rest[3]: 9, rest[4]: 4})
    assert [name[0] for name in taken(launchpad)] == [rest[k] for k in (3, 4, 2, 1, 0)]


def test_only_the_workflows_of_a_series_change(launchpad):
    for protocol in ("one", "other"):
        launchpad.add_wf(Workflow([note(protocol)], metadata={"material_id": "a", "protocol": protocol}))
    report = set_priorities(launchpad, {"a": 7}, series={"protocol": "one"})
    assert (report.materials, report.changed) == (1, {"READY": 1})
    assert priorities(launchpad) == {"one": 7, "other": None}


def test_only_what_is_not_done_changes(launchpad):
    launchpad.bulk_add_wfs([of_material("a", 2, _priority=1), of_material("b", 1, _priority=1), of_material("c")])
    launchpad.fireworks.update_one({"name": "a 0"}, {"$set": {"state": "COMPLETED"}})
    launchpad.fireworks.update_one({"name": "c 0"}, {"$set": {"state": "DEFUSED"}})
    before = {doc["name"]: doc["updated_on"] for doc in launchpad.fireworks.find({})}
    dry = set_priorities(launchpad, {"a": 7, "c": 7, "nobody": 7}, dry_run=True)
    assert priorities(launchpad) == {"a 0": 1, "a 1": 1, "b 0": 1, "c 0": None}
    report = set_priorities(launchpad, {"a": 7, "c": 7, "nobody": 7})
    assert priorities(launchpad) == {"a 0": 1, "a 1": 7, "b 0": 1, "c 0": None}
    assert report.as_dict() | {"dry_run": True} == dry.as_dict()
    assert (report.changed, report.done, report.missing) == ({"READY": 1}, ["c"], ["nobody"])
    assert {doc["name"]: doc["updated_on"] for doc in launchpad.fireworks.find({})} == before


def test_what_a_running_job_adds_later_has_the_new_priority(farm):
    farm.behave(seconds=6)
    farm.submit()
    run = farm.start(*farm.run_command())
    wait_until(farm.ran, 180, "the first calculation")
    (material,) = (item["material_id"] for item in farm.store.query("candidates", {}))
    assert set_priorities(farm.launchpad, {material: 11}).changed == {"RUNNING": 1, "WAITING": 4}
    farm.behave()
    output, _ = run.communicate(timeout=120)
    assert run.returncode == 0, output
    found = priorities(farm.launchpad)
    assert set(found.values()) == {11}
    assert {"MgO relax 2", "MgO hse06"} <= set(found)


def test_the_command_reads_a_table_or_a_filter(farm):
    farm.submit(MGO.parent)
    ids = {item["formula"]: item["material_id"] for item in farm.store.query("candidates", {})}
    table = farm.folder / "priorities.csv"
    table.write_text(f"material_id,priority\n{ids['MgO']},3\n{ids['ZnO']},8\n")
    assert "10 jobs would change" in farm.hibana("priority", "--file", table, "--dry-run")
    assert set(priorities(farm.launchpad).values()) == {None}
    assert "10 jobs changed (2 READY, 8 WAITING)" in farm.hibana("priority", "--file", table)
    farm.hibana("priority", "--where", '{"formula": "MgO"}', "--set", "20")
    found = priorities(farm.launchpad)
    assert (found["MgO band"], found["ZnO band"]) == (20, 8)
    for text in (
        "material_id,priority\nx,high\n",
        "material_id\nx\n",
        "material_id,priority\n",
        "material_id,priority\nx,1\nx,2\n",
    ):
        table.write_text(text)
        said = json.loads(farm.hibana("priority", "--file", table, "--json", code=2))
        assert said["error"]["code"] == "HIB-177"
    farm.hibana("priority", "MgO", code=2)
