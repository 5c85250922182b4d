"""`python -m tests.instructions.run count|trace FOLDER PLANT NAME...`: the program that is counted, for `__main__`.

In: workloads, a folder. Out: under callgrind a section for each (`count`), or a file `NAME.json` of what each Python
function did (`trace`). Each workload runs in a child of its own, so that none depends on another. PLANT, unless it is
empty, is a module that is imported first.
"""
# ruff: noqa: E402 -- the clocks are held before anybody takes them

import sys

from tests.instructions import still

still.hold_clocks()

import gc
import importlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from itertools import islice
from pathlib import Path

from simulator.measure.bench.posts import device_names
from tests.instructions import yardstick
from tests.instructions.callgrind import Requests
from tests.instructions.loads import LOADS, Load, form_of
from tests.instructions.senders import PREFIX, Near, connect, reads, requests
from tests.instructions.tracing import Tracer
from tests.instructions.worker import working

AT_ONCE = 2
"""Workloads."""
WARM_WAVES = 12
"""Waves before those that count: the interpreter rewrites its code for what it sees in the first calls."""
GOOD = (b"HTTP/1.1 200", b"\x40\x02")
"""How an answer begins that says yes: a response, a PUBACK."""

Around = Callable[[str], AbstractContextManager[None]]


def main(mode: str, folder: Path, plant: str, *names: str) -> int:
    """Run the workloads; the exit code is the worst of theirs."""
    if plant:
        importlib.import_module(plant)
    gc.disable()
    gc.freeze()
    around = counting(Requests()) if mode == "count" else tracing(folder)
    yardstick.measure()
    with around("yardstick"):
        yardstick.measure()
    return in_children([LOADS[name] for name in names], around)


def counting(asked: Requests) -> Around:
    """Return what counts instructions."""

    @contextmanager
    def around(name: str) -> Iterator[None]:
        asked.start()
        yield
        asked.stop(name)

    return around


def tracing(folder: Path) -> Around:
    """Return what writes down what each Python function does."""

    @contextmanager
    def around(name: str) -> Iterator[None]:
        tracer = Tracer()
        tracer.begin()
        yield
        found = tracer.end()
        (folder / f"{name}.json").write_text(json.dumps(found._asdict()))

    return around


def in_children(loads: Sequence[Load], around: Around) -> int:
    """Run each workload in a process of its own, a few at a time; return the worst exit code."""
    worst, running = 0, 0
    for load in [*loads, *[None] * AT_ONCE]:
        if load is None or running == AT_ONCE:
            worst = max(worst, _ended() if running else 0)
            running -= running > 0
        if load is not None:
            _fork(load, around)
            running += 1
    return worst


def _ended() -> int:
    return abs(os.waitstatus_to_exitcode(os.wait()[1]))


def _fork(load: Load, around: Around) -> None:
    """Run a workload in a child, which leaves nothing that has to be closed."""
    if os.fork():
        return
    code = 1
    try:
        still.StillLoop().run_until_complete(measured(load, around))
        code = 0
    except BaseException:  # noqa: BLE001 -- nothing of it may go on in the child as if it were the parent
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(code)


async def measured(load: Load, around: Around) -> None:
    """Open a worker, warm it up, and count the waves. Raises AssertionError if an answer is not a good one."""
    opened = working()
    worker = await opened.__aenter__()  # and never left: the process ends instead
    form = form_of(load)
    worker.directory.add(*device_names(PREFIX, form))
    near, source = connect(load, worker), requests(load)
    await send(near, waves(load, source, 2 * -(-form.templates // load.at_once)))
    if load.kind == "state":
        worker.redis.take_in()
        source = reads(load)
    await send(near, waves(load, source, WARM_WAVES))
    due = waves(load, source, load.waves)
    with around(load.name):
        await send(near, due)
    assert near.last().startswith(GOOD), near.last()
    assert worker.database.copied


def waves(load: Load, source: Iterator[bytes], number: int) -> list[list[bytes]]:
    """Return so many waves."""
    return [list(islice(source, load.at_once)) for _ in range(number)]


async def send(near: Near, due: list[list[bytes]]) -> None:
    """Send waves one after the other; return when all is answered."""
    for wave in due:
        await near.tally.after(partial(near.send, wave), count=len(wave))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:]))
