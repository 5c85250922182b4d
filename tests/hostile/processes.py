"""The processes of attackers and honest clients: started, told to begin, heard, and ended in any case."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import IO, Any

from tests.hostile.attack import Place
from tests.hostile.attacker import CAPACITY

STOP_SECS = 30.0


@contextmanager
def child(place: Place, module: str, *words: str) -> Iterator["subprocess.Popen[str]"]:
    """Run a module that is told where the gateway is, until the end of the block at the latest."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"HOSTILE_PLACE": json.dumps(asdict(place))},
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(STOP_SECS)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()


@contextmanager
def attacker(place: Place, name: str, secs: float, *more: str) -> Iterator["subprocess.Popen[str]"]:
    """Start an attacker, and return when it is prepared; it waits until it is let go."""
    with child(place, "tests.hostile.attacker", name, "--seconds", f"{secs:g}", *more) as process:
        line = _stdout(process).readline()
        assert line == "ready\n", f"{name} did not come to attack: {line!r}"
        yield process


def let_go(process: "subprocess.Popen[str]") -> None:
    """Let it attack."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def finish(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """Return what the attacker has to say at its end."""
    line = _stdout(process).readline()
    died: dict[str, Any] = {"counts": {}, "troubles": ["the attacker died"], "secs": 0.0, "cpu": 0.0}
    return dict(json.loads(line)) if line else died


def capacity(place: Place, secs: float) -> float:
    """Return how many small posts are answered in a second."""
    with attacker(place, CAPACITY, secs) as process:
        let_go(process)
        report = finish(process)
    return float(report["counts"].get("200", 0) / max(secs, report["secs"]))


def _stdout(process: "subprocess.Popen[str]") -> IO[str]:
    assert process.stdout is not None
    return process.stdout
