"""Compute nodes that reach the database only through a forwarded port (``ssh -N -L``), which may break and come back."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

import pytest
from farm import STEPS_OF_MGO, wait_until

from hibana.store.launchpad_file import write_launchpad_file
from hibana.store.server import ServerStatus, free_port

pytestmark = pytest.mark.timeout(600)


class Forwarder:
    """A port of this machine that leads to another; it can be closed, with all connections through it, and opened again."""

    def __init__(self, host: str, port: int) -> None:
        self.target = (host, port)
        self.port = free_port()
        self.passed = 0
        self._through: list[socket.socket] = []
        self.open()

    def open(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self._listening,), daemon=True).start()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for connection in self._through:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        self._through.clear()

    def _accept(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listening.accept()
                far = socket.create_connection(self.target)
                self._through += [near, far]
                self.passed += 1
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    @staticmethod
    def _pump(one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
        for end in (one, other):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def test_a_campaign_through_a_forwarded_port_that_breaks(farm, server, undisturbed):
    farm.behave(seconds=8)
    farm.submit()
    port = Forwarder(server.host, server.port)
    elsewhere = farm.folder / "compute_node.yaml"
    through = ServerStatus(server.directory, running=True, answering=True, host="127.0.0.1", port=port.port)
    write_launchpad_file(elsewhere, through, farm.launchpad.name)
    run = farm.start(*farm.run_command("--cores", "1", "-l", elsewhere))
    wait_until(farm.ran, 180, "the first calculation")
    port.close()
    time.sleep(12)  # the calculation ends meanwhile, and cannot be noted
    states = set(farm.states().values())
    port.open()
    farm.behave()
    output, _ = run.communicate(timeout=300)
    port.close()
    assert run.returncode == 0, output
    assert "COMPLETED" not in states
    assert port.passed > 0
    assert farm.results() == undisturbed
    assert farm.ran() == STEPS_OF_MGO
