"""In: this machine, the environment. Out: the best ground for each server, or NoGroundError with what was tried."""

import os
import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from gateway.app.dev_servers.valkey import ValkeyServer
from tests.servers.docker import docker_timescale, engine_answers
from tests.servers.errors import NoGroundError
from tests.servers.mosquitto import Limits, Mosquitto, own_mosquitto, trixie_mosquitto
from tests.servers.postgres import DatabaseServer, GivenServer, trixie_timescale
from tests.servers.trixie import trixie
from tests.servers.valkey import trixie_valkey, wheel_valkey

GIVEN = "GATEWAY_TEST_DATABASE_URL"


def timescale(tuning: Mapping[str, str], *, port: int | None = None) -> AbstractContextManager[DatabaseServer]:
    """The given server, else one of our own."""
    given = os.environ.get(GIVEN)
    return nullcontext(GivenServer(given)) if given else own_timescale(tuning, port=port)


def own_timescale(tuning: Mapping[str, str], *, port: int | None = None) -> AbstractContextManager[DatabaseServer]:
    """A container where a Docker engine answers, else the trixie root: a server that a test may kill."""
    if engine_answers():
        return docker_timescale(tuning, port=port)
    try:
        return trixie_timescale(trixie(), tuning, port=port)
    except NoGroundError as error:
        raise NoGroundError(f"no TimescaleDB: {GIVEN} is not set, no Docker engine answers, and {error}") from error


def valkey(*, port: int | None = None) -> AbstractContextManager[ValkeyServer]:
    """Debian's build in the trixie root, else the wheel's."""
    try:
        return trixie_valkey(trixie(), port=port)
    except NoGroundError:
        return wheel_valkey(port=port)


def mosquitto(limits: Limits, *, port: int | None = None) -> AbstractContextManager[Mosquitto]:
    """Debian's build in the trixie root, else the machine's own program."""
    try:
        return trixie_mosquitto(trixie(), limits, port=port)
    except NoGroundError as error:
        program = shutil.which("mosquitto")
        if program is None:
            raise NoGroundError(f"no mosquitto: it is not installed, and {error}") from error
        return own_mosquitto(Path(program), limits, port=port)
