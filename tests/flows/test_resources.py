"""Queue resources by the size of a cell: the table of a site, and the jobs that know how many atoms they calculate."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_documents import CANDIDATE
from hibana.core.errors import HibanaError
from hibana.flows.bulk import bulk_flow
from hibana.flows.resources import N_ATOMS, QUEUE, RESOURCES, cores_of, queue_of, read_resources, threads_of, with_queue

TABLE = """\
- {max_atoms: 8, nodes: 1, ntasks_per_node: 8, walltime: '04:00:00'}
- {max_atoms: 120, nodes: 1, ntasks_per_node: 32, walltime: '12:00:00', queue: long}
- {nodes: 4, ntasks_per_node: 32, walltime: '1-00:00:00', account: null}
"""
ROWS = [
    {"max_atoms": 8, "nodes": 1, "ntasks_per_node": 8, "walltime": "04:00:00"},
    {"max_atoms": 120, "nodes": 1, "ntasks_per_node": 32, "walltime": "12:00:00", "queue": "long"},
    {"nodes": 4, "ntasks_per_node": 32, "walltime": "1-00:00:00"},
]


@pytest.fixture
def written(tmp_path):
    def write(text: str):
        path = tmp_path / "resources.yaml"
        path.write_text(text)
        return path

    return write


def test_a_table_is_read_as_plain_rows(written):
    assert read_resources(written(TABLE)) == ROWS


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no list of rows"),
        ("nodes: 1\n", "no list of rows"),
        ("- 5\n", "5 is no row"),
        ("- {nodes: 1}\n- {nodes: 2}\n", "no max_atoms, and is not the last"),
        ("- {max_atoms: 10}\n", "says nothing to the queue"),
        ("- {max_atoms: 0, nodes: 1}\n", "max_atoms is 0"),
        ("- {max_atoms: 8, nodes: many}\n", "nodes is 'many'"),
        ("- {max_atoms: 8, nodes: true}\n", "nodes is True"),
        ("- {max_atoms: 8, nodes: 1}\n- {max_atoms: 8, nodes: 2}\n", "does not ascend: 8, 8"),
        ("- {max_atoms: 80, nodes: 1}\n- {max_atoms: 8, nodes: 2}\n", "does not ascend"),
        ("- {nodes: 1, walltime: 3600}\n", "walltime is 3600"),
        ("- {nodes: 1, walltime: soon}\n", "walltime is 'soon'"),
        ("- {nodes: 1, _fw_name: x}\n", "_fw_name is FireWorks' own"),
        ("- {nodes: 1\n", "cannot be read"),
        ("- {max_atom: 8, nodes: 1}\n- {nodes: 2}\n", "max_atom is read by no queue; is max_atoms meant?"),
        ("- {nodes: 1, ntask_per_node: 8}\n", "ntask_per_node is read by no queue; is ntasks_per_node meant?"),
        ("- {nodes: 1, wall_time: '01:00:00'}\n", "is walltime meant?"),
    ],
)
def test_what_is_no_table_is_refused_with_its_row(written, text, said):
    with pytest.raises(HibanaError, match="HIB-103") as raised:
        read_resources(written(text))
    assert said in raised.value.what


@pytest.mark.parametrize("key", ["burst_buffer", "project_code", "mem_per_gpu", "vmem", "pvmem", "ngpus", "licenses", "mail"])
def test_a_template_of_a_site_may_have_keys_of_its_own(key, written):
    assert read_resources(written(f"- {{nodes: 1, {key}: 2}}\n"))[0][key] == 2


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(HibanaError, match="HIB-103"):
        read_resources(tmp_path / "no.yaml")


@given(n_atoms=st.integers(1, 2000), limits=st.sets(st.integers(1, 1000), min_size=1, max_size=6), is_open=st.booleans())
def test_the_smallest_job_that_is_large_enough(n_atoms, limits, is_open):
    ordered = sorted(limits)
    rows = [{"max_atoms": limit, "nodes": number} for number, limit in enumerate(ordered, 1)]
    rows += [{"nodes": len(rows) + 1}] if is_open else []
    enough = [row["nodes"] for row in rows if n_atoms <= row.get("max_atoms", n_atoms)]
    assert queue_of(rows, n_atoms) == {"nodes": min(enough) if enough else rows[-1]["nodes"]}


def test_only_jobs_that_calculate_a_cell_get_a_queue():
    spec = {"_priority": 3, RESOURCES: ROWS}
    assert with_queue(spec) == spec
    assert with_queue({N_ATOMS: 64}) == {N_ATOMS: 64}
    made = with_queue({**spec, N_ATOMS: 64, QUEUE: {"nodes": 9, "mem": "1G"}})
    assert made[QUEUE] == {"nodes": 1, "ntasks_per_node": 32, "walltime": "12:00:00", "queue": "long"}


@pytest.mark.parametrize(
    ("queue", "cores"),
    [
        ({"nodes": 2, "ntasks_per_node": 32}, 64),
        ({"ntasks_per_node": 32}, 32),
        ({"ntasks": 48, "nodes": 2}, 48),
        ({"nnodes": 3, "ppnode": 16}, 48),
        ({"walltime": "01:00:00"}, None),
        (None, None),
    ],
)
def test_cores_are_those_of_the_job(queue, cores):
    assert cores_of({} if queue is None else {QUEUE: queue}) == cores


def test_threads_are_those_of_the_job():
    queue = {"nodes": 2, "ntasks_per_node": 8, "cpus_per_task": 4}
    assert (cores_of({QUEUE: queue}), threads_of({QUEUE: queue})) == (16, 4)
    assert threads_of({QUEUE: {"ntasks": 16}}) is threads_of({}) is None


def test_every_job_of_a_flow_that_calculates_knows_its_atoms():
    flow = bulk_flow(CANDIDATE, "pbesol-demo", "gpaw-rehearsal", "bulk:band+dos+dielectric+ddh+phonon+vacancy")
    atoms = {job.name.removeprefix("MgO "): job.metadata.get(N_ATOMS) for job in flow.jobs}
    assert atoms == {
        **dict.fromkeys(("relax 1", "band", "dos", "dielectric"), 2),
        **dict.fromkeys(("decide", "phonon", "host", "collect")),
    }
