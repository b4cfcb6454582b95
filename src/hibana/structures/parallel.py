"""Work on many items in several processes: a bounded number at a time, and a process that dies takes one item with it."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

PRELOADED = ("hibana.structures.intake", "hibana.structures.matching")
"""What the processes need, imported once for all of them."""

WAITING = 4
"""Chunks that are under way for each process."""


def work(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    workers: int,
    died: Callable[[Item], Result],
    chunk: int = 1,
) -> Iterator[tuple[Item, Result]]:
    """Results of a function of every item, in the order in which they come.

    Parameters
    ----------
    function
        A function of a module, with arguments and results that can be pickled.
    items
        Read as they are needed; no more than a few chunks for each process are held.
    workers
        Processes; with 1 everything is done in this one.
    died
        The result for an item whose process ended, for instance for want of memory.
    chunk
        Items handed over together.

    Yields
    ------
    tuple
        Item and result.
    """
    if workers == 1:
        for item in items:
            yield item, function(item)
        return
    chunks = _chunks(items, chunk)
    while True:
        broken: list[list[Item]] = []
        yield from _pool(function, chunks, workers, broken)
        if not broken:
            return
        yield from _one_by_one(function, [item for group in broken for item in group], died)


def _pool(
    function: Callable[[Item], Result], chunks: Iterator[list[Item]], workers: int, broken: list[list[Item]]
) -> Iterator[tuple[Item, Result]]:
    """Results of the chunks until they end or a process dies; what was under way then is left in ``broken``."""
    running: dict[Future[list[Result]], list[Item]] = {}
    with ProcessPoolExecutor(workers, mp_context=_context(), initializer=_hush) as pool:
        try:
            while True:
                for group in islice(chunks, max(0, WAITING * workers - len(running))):
                    try:
                        running[pool.submit(_each, function, group)] = group
                    except BrokenProcessPool:
                        broken.append(group)
                        break
                if not running:
                    return
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    group = running.pop(future)
                    try:
                        results = future.result()
                    except BrokenProcessPool:
                        broken.append(group)
                    else:
                        yield from zip(group, results, strict=True)
                if broken:
                    broken.extend(running.values())
                    return
        finally:
            for future in running:
                future.cancel()


def _one_by_one(
    function: Callable[[Item], Result], items: Sequence[Item], died: Callable[[Item], Result]
) -> Iterator[tuple[Item, Result]]:
    """Results of the items, one after the other in a process that is replaced when it dies."""
    waiting = list(items)
    while waiting:
        with ProcessPoolExecutor(1, mp_context=_context(), initializer=_hush) as pool:
            try:
                while waiting:
                    result = pool.submit(function, waiting[0]).result()
                    yield waiting.pop(0), result
            except BrokenProcessPool:
                item = waiting.pop(0)
                yield item, died(item)


def _each(function: Callable[[Item], Result], group: Sequence[Item]) -> list[Result]:
    return [function(item) for item in group]


def _chunks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    iterator = iter(items)
    while group := list(islice(iterator, size)):
        yield group


def _hush() -> None:
    """Silence spglib on the standard error; what it says there, its results say too."""
    os.environ["SPGLIB_WARNING"] = "OFF"


def _context() -> multiprocessing.context.BaseContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    return context
