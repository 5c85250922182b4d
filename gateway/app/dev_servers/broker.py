"""An MQTT broker (rumqttd from a wheel) on two ports, run as somebody. Never keeps state over a restart.

Run as a program it is the broker's process itself: the interpreter may lie where only root can walk, so it gives root
up after everything is loaded, not before.
"""

import logging
import os
import resource
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from signal import SIGTERM

from gateway.app.dev_servers.child_process import Child, User
from gateway.app.dev_servers.exec_as import die_with_parent, drop_to
from gateway.app.dev_servers.own_files import write_private
from gateway.app.dev_servers.ports import LOOPBACK, listens
from gateway.app.dev_servers.server import ChildServer

_SEGMENT_BYTES = 16 * 1024 * 1024
_SEGMENTS = 16  # what a filter keeps for a consumer that is behind: 256 MiB of memory, then the oldest is lost
_LISTENER = """\
[{version}.1]
name = "{name}"
listen = "{host}:{port}"
next_connection_delay_ms = 1

[{version}.1.connections]
connection_timeout_ms = 5000
max_payload_size = 16777216
max_inflight_count = 2000
dynamic_filters = true
"""
_ROUTER = f"""\
id = 0

[router]
id = 0
max_connections = 10010
max_outgoing_packet_count = 200
max_segment_size = {_SEGMENT_BYTES}
max_segment_count = {_SEGMENTS}

"""


@dataclass(slots=True)
class BrokerServer(ChildServer):
    """An MQTT broker on 127.0.0.1 as our child: MQTT 3.1.1 for devices on one port, MQTT 5 for the gateway on another.

    ``config`` is written at start. Everything it holds is in memory: for first steps and tests, not for production.
    """

    config: Path
    log: Path
    device_port: int
    gateway_port: int
    user: User | None = None
    keep_fds: Sequence[int] = ()

    def start(self) -> None:
        """Start and return when both ports take connections; else LocalStackError."""
        write_private(self.config, self._config(), owner=self.user)
        whom = [] if self.user is None else [str(self.user.uid), str(self.user.gid)]
        child = Child(
            "MQTT broker",
            [sys.executable, "-P", "-m", __name__, self.config.resolve(), str(os.getpid()), *whom],
            log=self.log,
            env={"LANG": "C.UTF-8", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            keep_fds=self.keep_fds,
        )
        child.start(lambda: listens(self.device_port) and listens(self.gateway_port))
        self._child = child

    def url(self) -> str:
        """Where the gateway connects, with MQTT 5."""
        return f"mqtt://{LOOPBACK}:{self.gateway_port}"

    def device_url(self) -> str:
        """Where devices connect, with MQTT 3.1.1."""
        return f"mqtt://{LOOPBACK}:{self.device_port}"

    def _config(self) -> str:
        devices = _LISTENER.format(version="v4", name="devices", host=LOOPBACK, port=self.device_port)
        gateway = _LISTENER.format(version="v5", name="gateway", host=LOOPBACK, port=self.gateway_port)
        return f"{_ROUTER}{devices}\n{gateway}"


def serve(config: str, parent: str, *whom: str) -> None:
    """Be the broker until a signal ends this process; root is given up and the parent's death heeded first."""
    from iotcore import IotCoreBroker  # noqa: PLC0415 -- only this process needs it

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # a connection takes one, and a shell allows 1,024; else it stays as it is
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    logging.getLogger("rumqttd").setLevel(logging.CRITICAL)  # below that it writes a line for every packet
    broker = IotCoreBroker(config_path=config)
    if whom:
        uid, gid = map(int, whom)
        drop_to(uid, gid)
        die_with_parent(int(parent), SIGTERM)  # forgotten by the kernel when the user changed
    broker.run_forever()


if __name__ == "__main__":
    serve(*sys.argv[1:])
