"""Being asked to stop: a notice lets the job that runs end, SIGTERM interrupts it."""

from __future__ import annotations

import os
import signal

import pytest

from hibana.launch.stopping import Stopped, StopSignal


@pytest.fixture
def ended(monkeypatch):
    """Statuses with which the process would have ended."""
    statuses: list[int] = []
    monkeypatch.setattr(os, "_exit", statuses.append)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield statuses
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("is_noticed", [False, True])
def test_sigterm_interrupts_a_job_also_after_a_notice(ended, is_noticed):
    stop, reached = StopSignal(), []
    stop.listen()
    with stop.interruptible():
        if is_noticed:
            stop.ask()
        reached.append("before")
        signal.raise_signal(signal.SIGTERM)
        reached.append("after")
    assert (reached, ended, stop.asked) == (["before"], [0], True)


def test_the_clean_up_of_an_interrupted_job_is_not_interrupted(ended):
    stop, reached = StopSignal(), []
    stop.listen()
    with stop.interruptible():
        try:
            signal.raise_signal(signal.SIGTERM)
        except Stopped:
            signal.raise_signal(signal.SIGTERM)
            reached.append("clean")
            raise
    assert (reached, ended) == (["clean"], [0])


def test_a_notice_lets_the_job_end_and_none_begins_after_it(ended):
    stop, reached = StopSignal(), []
    with stop.interruptible():
        stop.ask()
        reached.append("ended")
    assert (reached, ended) == (["ended"], [])
    with pytest.raises(RuntimeError), stop.interruptible():  # contextlib's, as the process goes on in this test
        reached.append("begun")
    assert (reached, ended) == (["ended"], [0])
