"""The FastAPI baselines as targets (baseline/app.py), in a virtual environment that is made once and kept."""

import hashlib
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from gateway.app.dev_servers.child_process import Child
from gateway.app.dev_servers.ports import free_port
from tests.peers import databases
from tests.peers.target import HOST, PROGRAM, Target, answers
from tests.peers.works import Door
from tests.servers.trixie import cache_folder, locked, run, say

HERE = Path(__file__).with_name("baseline")
READY_SECS = 60.0
TABLE = (
    "create extension if not exists timescaledb",
    "create table readings (device_id text not null, metric text not null, time timestamptz not null, value float8)",
    "select create_hypertable('readings', 'time', create_default_indexes => false)",
    "create unique index on readings (device_id, metric, time desc)",
)
_STORED = """
select a.name, count(r.time) as readings from unnest($1::text[], $2::timestamptz[]) a(name, until)
left join readings r on r.device_id = a.name and r.time < a.until group by a.name"""


class Baseline(Target):
    """FastAPI on asyncpg, one worker of uvicorn."""

    promise = "COMMIT, fsynced"
    how: str

    def __init__(self, server: str, folder: Path) -> None:
        name = self.name.replace("-", "_")
        databases.make(server, f"peers_{name}", *TABLE)
        self._database = databases.within(server, f"peers_{name}")
        self._port = free_port()
        fixed = ["--workers", "1", "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "error"]
        app = ["-m", "uvicorn", "app:app", "--app-dir", str(HERE), "--host", HOST, "--port", str(self._port)]
        env = os.environ | {"DSN": self._database, "HOW": self.how}
        self._child = Child(self.name, [python(), *app, *fixed], log=folder / f"{self.name}.log", env=env)

    def door(self, work: str) -> Door | None:
        return None if work == "W4" else Door(self._port, "messages", path="/telemetry")

    def start(self) -> None:
        self._child.start(lambda: answers(f"http://{HOST}:{self._port}/health"), timeout=READY_SECS)

    def stop(self) -> None:
        self._child.stop()

    def kill(self) -> None:
        self._child.kill()

    def clear(self) -> None:
        databases.ask(self._database, "truncate readings")

    def readings(self) -> int:
        return int(databases.ask(self._database, "select count(*) from readings")[0][0])

    def stored(self, ends: Mapping[str, int], metrics: int) -> dict[str, int]:  # noqa: ARG002 -- a row each
        rows = databases.ask(self._database, _STORED, *databases.bounds(ends))
        return {row["name"]: row["readings"] for row in rows}

    def parts(self, work: str) -> dict[str, int]:  # noqa: ARG002 -- the same for all
        return {PROGRAM: self._port, "database": urlsplit(self._database).port or 0}

    def settle(self) -> None:
        databases.ask(self._database, "checkpoint")


class ExecuteMany(Baseline):
    """As most people would write it."""

    name, how = "fastapi-executemany", "executemany"
    title = "FastAPI + asyncpg, executemany"


class Unnest(Baseline):
    """As an expert would."""

    name, how = "fastapi-unnest", "unnest"
    title = "FastAPI + asyncpg, unnest"


def python() -> Path:
    """Return the interpreter of the environment, made now if there is none. Raises NoGroundError."""
    needed = HERE / "requirements.txt"
    told = f"{sys.version}\n{sys.prefix}\n{needed.read_text()}"
    place = cache_folder() / f"peers-{hashlib.sha256(told.encode()).hexdigest()[:12]}"
    with locked(place):
        if not (place / ".whole").exists():
            shutil.rmtree(place, ignore_errors=True)
            say(f"making an environment with FastAPI in {place}, once")
            run([sys.executable, "-m", "venv", str(place)])
            run([str(place / "bin/python"), "-m", "pip", "install", "-qq", "--no-compile", "-r", str(needed)])
            (place / ".whole").touch()
    return place / "bin/python"
