"""The cache of features: several writers, a writer that is killed, a file that is none."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from hibana.core.errors import HibanaError
from hibana.learn.features import structure
from hibana.learn.features.address import feature_address, set_version, structure_address
from hibana.learn.features.cache import FILE, FeatureCache

WRITER = """
import sys
from itertools import count
from pathlib import Path
import numpy as np
from hibana.learn.features.cache import FeatureCache
with FeatureCache(Path(sys.argv[1])) as cache:
    for number in count():
        cache.put(f"a{number:09d}", np.full(400, float(number)))
        if number % 640 == 639:
            print(number, flush=True)
"""


def write_many(folder, first):
    with FeatureCache(folder) as cache:
        for number in range(first, first + 300):
            cache.put(str(number), np.array([number, np.nan, 0.5]))


def test_what_was_kept_comes_back(tmp_path):
    with FeatureCache(tmp_path / "new" / "folder") as cache:
        assert cache.get("a") is None
        cache.put("a", np.array([1.5, np.nan, -0.0]))
        cache.put("b", "it cannot be done")
        cache.put("a", np.array([2.0, 2.0, 2.0]))
        assert cache.get("b") == "it cannot be done"
    with FeatureCache(tmp_path / "new" / "folder") as cache:
        cache.put("a", np.array([3.0, 3.0, 3.0]))
        cache.flush()
        np.testing.assert_array_equal(cache.get("a"), [2.0, 2.0, 2.0])
        assert (cache.get("b"), len(cache)) == ("it cannot be done", 2)


def test_several_processes_write_at_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_many, args=(tmp_path, first)) for first in (0, 150, 300)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    with FeatureCache(tmp_path) as cache:
        assert len(cache) == 600
        assert all(cache.get(str(number))[0] == number for number in range(600))


def test_writer_that_is_killed_leaves_a_whole_cache(tmp_path):
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        done = int(writer.stdout.readline())
        os.kill(writer.pid, signal.SIGKILL)
    with FeatureCache(tmp_path) as cache:
        assert len(cache) >= done + 1
        for number in range(len(cache)):
            np.testing.assert_array_equal(cache.get(f"a{number:09d}"), np.full(400, float(number)))
        cache.put("after", np.array([1.0]))
    with sqlite3.connect(tmp_path / FILE) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_file_that_is_no_cache(tmp_path):
    (tmp_path / FILE).write_text("not a database, and long enough to be looked at " * 50)
    with pytest.raises(HibanaError, match="HIB-266"):
        FeatureCache(tmp_path)
    with pytest.raises(HibanaError, match="HIB-266"):
        FeatureCache(tmp_path / FILE)


def test_address_is_that_of_the_cell():
    one = Structure(Lattice.cubic(4.2), ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    same = Structure(Lattice.cubic(4.2 + 1e-9), ["Mg2+", "O2-"], [[1, -1e-10, 0], [-0.5, 0.5, 0.5]])
    moved = Structure(Lattice.cubic(4.2), ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.501]])
    swapped = Structure(Lattice.cubic(4.2), ["O", "Mg"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert structure_address(one) == structure_address(same)
    assert len({structure_address(cell) for cell in (one, moved, swapped)}) == 3
    addresses = {feature_address("structure", "x"), feature_address("site", "x", 0), feature_address("site", "x", 1)}
    assert len(addresses) == 3


def test_features_of_another_meaning_have_another_address(monkeypatch):
    entries = structure.structure_dictionary()
    before = feature_address("structure", "x")
    changed = (dataclasses.replace(entries[0], meaning="something else"), *entries[1:])
    monkeypatch.setattr(structure, "structure_dictionary", lambda: changed)
    set_version.cache_clear()
    after = feature_address("structure", "x")
    monkeypatch.undo()
    set_version.cache_clear()
    assert after != before == feature_address("structure", "x")
