"""What docs/ tells users to write is taken by the programs that read it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from fireworks import Workflow
from ruamel.yaml import YAML

from hibana.launch.campaign import CampaignTask
from hibana.store.connection import StoreAddress
from hibana.tables.registry import find_table

CLUSTER = Path(__file__).resolve().parent.parent / "docs" / "cluster.md"


def example(key: str) -> str:
    """The one YAML example of docs/cluster.md with a top-level key."""
    blocks = re.findall(r"```yaml\n(.*?)```", CLUSTER.read_text(encoding="utf-8"), flags=re.DOTALL)
    (found,) = [block for block in blocks if key in YAML(typ="safe").load(block)]
    return found


def test_the_launchpad_file_names_a_user_and_a_password(tmp_path):
    path = tmp_path / "my_launchpad.yaml"
    path.write_text(example("mongoclient_kwargs"))
    address = StoreAddress.from_launchpad_file(path)
    assert (address.name, address.username, address.uri_mode) == ("hibana", "hibana_user", False)
    replace(address, mongoclient_kwargs={}).client().close()


def test_the_campaign_file_makes_a_campaign():
    (firework,) = Workflow.from_dict(YAML(typ="safe").load(example("fws"))).fws
    (task,) = firework.tasks
    assert isinstance(task, CampaignTask)
    assert firework.spec["_add_launchpad_and_fw_id"] is True, "without it the task does not know its database"


def test_examples_of_learning_name_columns_that_tables_have():
    root = CLUSTER.parent.parent
    files = [root / "README.md", *(root / "docs").glob("*.md"), *(root / "src" / "hibana" / "cli").glob("*.py")]
    written = "\n".join(file.read_text(encoding="utf-8") for file in files).replace("\\\n", " ")
    examples = re.findall(r"hibana (?:learn \w+|split) tables/(\w+) (.*)", written)
    option = re.compile(r"(?:-t|--target|-a|--and|--log) ([a-z_]{4,})")
    named = [(table, name) for table, rest in examples for name in option.findall(rest)]
    assert len(named) > 8
    for table, name in named:
        columns = [column.name for column in find_table(table).columns]
        assert any(name in column for column in columns), f"{table} has no column {name}"
