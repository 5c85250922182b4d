"""Processes found by what they listen on, and by what Redis says."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from simulator.core.errors import Unreachable
from simulator.measure.bench import processes


@contextmanager
def listening_here(family: socket.AddressFamily, host: str) -> Iterator[int]:
    with socket.socket(family) as listener:
        try:
            listener.bind((host, 0))
        except OSError as error:
            pytest.skip(f"{host} cannot be listened on here: {error}")
        listener.listen()
        yield int(listener.getsockname()[1])


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_a_listener_is_found_by_its_port(family: socket.AddressFamily, host: str) -> None:
    with listening_here(family, host) as port:
        assert processes.on_port(host, port) == {os.getpid()}
    assert processes.on_port(host, port) == frozenset()


def test_of_a_parent_and_a_child_that_share_a_socket_the_parent_is_found() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        command = [sys.executable, "-c", "print(flush=True); input()"]
        with subprocess.Popen(
            command, pass_fds=[listener.fileno()], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as child:
            assert child.stdout is not None
            child.stdout.readline()
            found = processes.on_port("127.0.0.1", listener.getsockname()[1])
            child.communicate(b"\n")
    assert found == {os.getpid()}


async def test_redis_tells_its_process(valkey: str) -> None:
    (pid,) = await processes.of_redis(valkey)
    assert "valkey" in processes.snapshot()[pid].name


async def test_a_redis_that_is_away_is_a_sentence() -> None:
    with listening_here(socket.AF_INET, "127.0.0.1") as port:
        pass
    with pytest.raises(Unreachable, match="--redis"):
        await processes.of_redis(f"redis://127.0.0.1:{port}")
