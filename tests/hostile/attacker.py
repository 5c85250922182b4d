"""`python -m tests.hostile.attacker NAME`: one attack in a process of its own: it says `ready`, waits, and attacks.

In: the name, a Place in the environment, and a line on stdin as the sign to begin. Out: `ready`, then a line of JSON
with what it saw and the CPU it took. `calm` instead of a name takes so much CPU and attacks nobody: how slow the
machine alone makes everybody else. `capacity` posts readings as fast as they are answered. The process ends by itself
after its time, and with its parent.
"""

import argparse
import asyncio
import itertools
import json
import os
import resource
import signal
import sys
import time
from collections.abc import AsyncIterator

import uvloop

from tests.hostile.attack import TABLE, Place, Target
from tests.hostile.bound_life import end_with_parent, raise_open_files
from tests.hostile.lines import flood, request

CALM, CAPACITY = "calm", "capacity"
GRACE_SECS = 40
"""A process that has not ended so long after its time is ended by the system."""
TURN_SECS = 0.01


async def calm(target: Target, share: float) -> AsyncIterator[None]:
    """Take this share of a core."""
    yield
    while not target.is_over():
        until = time.process_time() + share * TURN_SECS
        while time.process_time() < until:
            pass
        await asyncio.sleep(TURN_SECS * max(0.0, 1 - share))


async def capacity(target: Target) -> AsyncIterator[None]:
    """Post as fast as is answered: how much there is of which honest clients offer a part."""
    numbers = itertools.count(time.time_ns() // 1000)

    def make() -> bytes:
        body = b'{"device":"capacity","ts":%d,"values":{"t":1.5,"h":2}}' % next(numbers)
        return request("POST", "/v1/readings", target.bearer("honest"), body=body)

    yield
    await flood(target, make, lines=16)


async def run(options: argparse.Namespace) -> dict[str, object]:
    """Prepare, wait for the sign, attack; return what came of it."""
    target = Target(Place(**json.loads(os.environ["HOSTILE_PLACE"])), options.seconds)
    strike = begin(options, target)
    await anext(strike)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    target.begin()
    began, before = time.monotonic(), cpu()
    try:
        await anext(strike, None)
    except Exception as exc:  # noqa: BLE001 - an attack that breaks is a trouble of its own
        target.report.troubles.append(f"the attack broke off: {exc!r}")
    took = time.monotonic() - began
    return {
        "counts": target.report.counts,
        "troubles": target.report.troubles,
        "secs": took,
        "cpu": (cpu() - before) / max(took, 0.001),
    }


def begin(options: argparse.Namespace, target: Target) -> AsyncIterator[None]:
    """Return what is to be done."""
    if options.name == CALM:
        return calm(target, options.share)
    return capacity(target) if options.name == CAPACITY else TABLE[options.name].strike(target)


def cpu() -> float:
    """Return the CPU seconds of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile.attacker", description=__doc__)
    parser.add_argument("name", choices=[*TABLE, CALM, CAPACITY])
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--share", type=float, default=0.0, help="of a core; for `calm`")
    options = parser.parse_args()
    end_with_parent()
    raise_open_files()
    signal.alarm(int(options.seconds) + GRACE_SECS)
    sys.stdout.write(json.dumps(uvloop.run(run(options))) + "\n")
    sys.stdout.flush()
    os._exit(0)  # what it still holds is for the system to close


if __name__ == "__main__":
    import tests.hostile.attacks  # noqa: F401 - fills the table

    main()
