"""The broker of `gateway up` may open as many files as the system lets it: a connection takes one."""

import resource
from pathlib import Path

from gateway.local.broker import BrokerServer
from gateway.local.ports import free_port


def test_a_shell_that_allows_few_files_does_not_bound_the_brokers_connections(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    broker = BrokerServer(tmp_path / "broker.toml", tmp_path / "broker.log", free_port(), free_port())
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        broker.start()
        assert broker._child is not None
        lines = Path(f"/proc/{broker._child.pid}/limits").read_text().splitlines()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        broker.stop()
    (files,) = (line for line in lines if line.startswith("Max open files"))
    assert int(files.split()[3]) == int(files.split()[4]) == hard
