"""`python -m tests.servers.bench [options of simulator bench]`: real servers, a gateway on them, a bench; stops all.

In: what to measure. Out: the bench's report and its exit code. Never leaves anything behind: the readings go into a
database of their own that is dropped in the end, also on a server that GATEWAY_TEST_DATABASE_URL names.
"""

import asyncio
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from types import FrameType

from gateway.app.dev_servers.child_process import Child
from gateway.app.dev_servers.ports import free_port
from gateway.core.errors import LocalStackError
from gateway.timescale.migrations import migrate
from tests.servers import choose
from tests.servers.databases import Databases
from tests.servers.errors import NoGroundError
from tests.servers.mosquitto import Limits
from tests.servers.postgres import BENCH_TUNING

READY_SECS = 60.0
CHUNK_HOURS = 24


def main() -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # until the bench runs, both ends unwind the stack below
    try:
        with ExitStack() as stack:
            server = stack.enter_context(choose.timescale(BENCH_TUNING))
            return asyncio.run(
                on_own_database(Databases(server, "timescale", partial(migrate, chunk_hours=CHUNK_HOURS)))
            )
    except (NoGroundError, LocalStackError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except KeyboardInterrupt:
        return 2


async def on_own_database(databases: Databases) -> int:
    """Start what else is needed, and measure."""
    async with databases.empty() as database:
        with serving(database.url) as environ:
            return measure(environ, sys.argv[1:])


@contextmanager
def serving(database: str) -> Iterator[Mapping[str, str]]:
    """A gateway, its Valkey and its broker; yields what the simulator has to know."""
    with ExitStack() as stack:
        valkey = stack.enter_context(choose.valkey())
        broker = stack.enter_context(choose.mosquitto(Limits()))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        port, key = free_port(), secrets.token_urlsafe(24)
        settings = {
            "GATEWAY_DATABASE__URL": database,
            "GATEWAY_REDIS__URL": valkey.url(),
            "GATEWAY_MQTT__URL": broker.url,
            "GATEWAY_HTTP__PORT": str(port),
            "GATEWAY_AUTH__ADMIN_KEY": key,
            "GATEWAY_DEVICES__UNKNOWN": "auto",
            "GATEWAY_SPOOL__DIR": str(folder / "spool"),
        }
        command = [sys.executable, "-m", "gateway", "serve"]
        gateway = Child("the gateway", command, log=folder / "gateway.log", env=os.environ | settings)
        stack.callback(gateway.stop)
        gateway.start(lambda: is_ready(port), timeout=READY_SECS)
        yield {
            "SIMULATOR_URL": f"http://127.0.0.1:{port}",
            "SIMULATOR_MQTT": broker.url,
            "SIMULATOR_KEY": key,
            "SIMULATOR_DATABASE": database,
            "SIMULATOR_REDIS": valkey.url(),
        }


def is_ready(port: int) -> bool:
    """Whether the gateway on this port says so."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


def measure(environ: Mapping[str, str], options: list[str]) -> int:
    """Run the bench to its end. Ctrl-C and SIGTERM are for it, and it ends by itself; then we do."""
    process = subprocess.Popen([sys.executable, "-m", "simulator", "bench", *options], env=os.environ | dict(environ))

    def pass_on(number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGTERM:  # a Ctrl-C in the terminal reaches it without us
            process.send_signal(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, pass_on)
    return process.wait()


if __name__ == "__main__":
    sys.exit(main())
