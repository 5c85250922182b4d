"""`python -m tests.generator`: what a message, and a reading, costs the simulator, in CPU time of its one process.

In: nothing. Out: a table. HTTP goes to a sink in a process of its own, MQTT to a real mosquitto. CPU time, not the rate
reached, is what counts: it stays the same when others use the machine, and a rate below it costs no less.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.servers import choose
from tests.servers.errors import NoGroundError
from tests.servers.mosquitto import Limits

SECONDS = 8
BULK = 1_000


class Case(NamedTuple):
    """One load; `readings` in each request or publish."""

    told: str
    readings: int
    options: tuple[str, ...]


CASES = (
    Case("HTTP, 1,000 readings a request", BULK, ("--transport", "http", "--rate", "150000", "--batch", str(BULK))),
    Case(
        "HTTP, the same in columns", BULK,
        ("--transport", "http", "--rate", "150000", "--batch", str(BULK), "--shape", "columns"),
    ),
    Case("MQTT, 4 connections", 1, ("--transport", "mqtt", "--rate", "30000", "--batch", "1", "--metrics", "1")),
    Case(
        "MQTT, 10,000 connections", 1,
        ("--transport", "mqtt", "--rate", "20000", "--batch", "1", "--metrics", "1", "--devices", "10000",
         "--mqtt-connections", "10000"),
    ),
)  # fmt: skip


def main() -> int:
    try:
        with sink() as url, choose.mosquitto(Limits()) as broker, tempfile.TemporaryDirectory() as folder:
            for case in CASES:
                found = measured(case, url=url, mqtt=broker.url, report=Path(folder) / "report.json")
                sys.stdout.write(f"{line(case, found)}\n")
                sys.stdout.flush()
    except NoGroundError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


@contextmanager
def sink() -> Iterator[str]:
    """The sink, as long as it is needed; yields its URL."""
    command = [sys.executable, "-m", "tests.generator.sink", str(BULK)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        process.communicate(timeout=10)


def measured(case: Case, *, url: str, mqtt: str, report: Path) -> dict[str, float]:
    """Run one load; return what it came to: posts and seconds, and CPU seconds of the process that sent them."""
    fixed = ("--seconds", str(SECONDS), "--no-verify", "--watch", "0", "--json", str(report))
    subprocess.run(
        [sys.executable, "-m", "simulator", "run", "--url", url, "--mqtt", mqtt, *fixed, *case.options],
        env=os.environ | {"SIMULATOR_KEY": "none"}, stdout=subprocess.DEVNULL, check=True, timeout=SECONDS * 10,
    )  # fmt: skip
    told = json.loads(report.read_text())
    posts = sum(lane["acknowledged"] for lane in told["lanes"]) / case.readings
    return {"posts": posts, "seconds": told["elapsed_s"], "cpu": told["generator_cpu"] * told["elapsed_s"]}


def line(case: Case, found: dict[str, float]) -> str:
    """Return one row: the rate, CPU time a post and a reading, and how many readings that makes a core."""
    each = found["cpu"] / found["posts"]
    return (
        f"{case.told:32}{found['posts'] * case.readings / found['seconds']:>10,.0f} readings/s"
        f"{each * 1e6:>10,.1f} us a post{each / case.readings * 1e6:>8,.2f} us a reading"
        f"{case.readings / each:>12,.0f} readings a CPU second"
    )


if __name__ == "__main__":
    sys.exit(main())
