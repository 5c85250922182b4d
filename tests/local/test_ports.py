"""Ports for servers that stop and start again on the same one."""

import socket
from pathlib import Path

import pytest

from gateway.app.dev_servers.ports import LOOPBACK, free_port, listens

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def test_each_is_another_one_and_nobody_listens_there() -> None:
    ports = [free_port() for _ in range(200)]
    assert len(set(ports)) == len(ports)
    assert not any(listens(port) for port in ports[:20])


@pytest.mark.skipif(not _RANGE.exists(), reason="not Linux")
def test_no_connection_is_given_one_of_them() -> None:
    least = int(_RANGE.read_text().split()[0])
    if least < 32_000:
        pytest.skip(f"this machine gives connections ports from {least} on")
    assert max(free_port() for _ in range(200)) < least


def test_a_port_in_use_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        port = free_port()
        taken.bind((LOOPBACK, port))
        taken.listen()
        monkeypatch.setattr("gateway.app.dev_servers.ports._given", set())
        monkeypatch.setattr("gateway.app.dev_servers.ports._QUIET", range(port, port + 100))
        assert port not in {free_port() for _ in range(80)}
